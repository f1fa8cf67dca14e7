"""Clips of arrays of any dtype, rank, strides and kind, equal to the reference."""

import array
import ctypes
import itertools

import numpy as np
import pytest
from helpers.windows import FILL, expected, numbers, only, same
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from clipx.windows import extract, iterate

POLICIES = ("drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad")

PLANS = [
    {"length": 3},
    {"length": 3, "stride": 1},
    {"length": 2, "stride": 3, "dilation": 2, "policy": "repeat_last"},
    {"length": 4, "stride": 3, "policy": "wrap"},
    {"length": 5, "stride": 2, "dilation": 3, "policy": "reflect"},
    {"length": 4, "stride": 5, "policy": "backpad"},
    {"length": 3, "num_clips": 4},
]


def independent(clips, frames):
    for clip in clips:
        assert clip.flags.owndata
        assert clip.flags.c_contiguous
        assert clip.flags.writeable
        assert not np.shares_memory(clip, frames)
    for a, b in itertools.combinations(clips, 2):
        assert not np.shares_memory(a, b)


def check(source, frames=None, axis=0, **plan):
    """Both functions against the reference; `frames` is the array that `source` stands for."""
    frames = np.asarray(source) if frames is None else frames
    before = frames.tobytes()
    wanted = expected(frames, axis, **plan)
    whole = extract(source, axis=axis, **plan)
    each = list(iterate(source, axis=axis, **plan))
    same(whole, wanted)
    assert len(each) == len(wanted)
    for clip, row in zip(each, wanted):
        same(clip, row)
    independent([whole, *each], frames)
    assert frames.tobytes() == before


DTYPES = [
    "?",
    *np.typecodes["AllInteger"],
    *np.typecodes["Float"],
    *np.typecodes["Complex"],
    *(">i2", ">u4", ">i8", ">f2", ">f4", ">f8", ">c16", "<i4", "<f8"),
    *("M8[s]", "m8[ns]", ">M8[D]", "M8[25us]", "m8"),
    *("S1", "S5", "V1", "V7", "V100", "V5000"),
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype(dtype):
    frames = numbers((11, 3, 5), dtype)
    if dtype == "?":
        frames = numbers((11, 3, 5)) < 128
    for plan in PLANS:
        check(frames, **plan)
    check(frames[:, ::-1, 1:4], **PLANS[4])


STRUCTURES = {
    "packed": [("a", "u1"), ("b", ">f4", (2,)), ("c", "S3")],
    "nested": [("a", [("x", "i2"), ("y", "c8")]), ("b", "M8[s]")],
    "holes": {"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [3, 16], "itemsize": 32},
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structured(name):
    frames = numbers((11, 4), STRUCTURES[name])
    for plan in PLANS:
        whole = extract(frames, **plan)
        # Elements are copied whole, what lies between their fields too; NumPy need not.
        same(whole.view(np.uint8), extract(frames.view(np.uint8), **plan))
        for field in frames.dtype.names:
            same(whole[field], expected(frames[field], **plan))
        same(np.stack([c.view(np.uint8) for c in iterate(frames, **plan)]), whole.view(np.uint8))


@pytest.mark.parametrize("dtype", ["U3", ">U3", "U1", "U40"])
def test_text(dtype):
    frames = np.array([f"{i}é\N{SNOWMAN}"[: 1 + i % 4] for i in range(44)], dtype).reshape(11, 4)
    for plan in PLANS:
        check(frames, **plan)
    check(frames, length=4, policy="constant", fill_value="ab")


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "int4"])
def test_ml_dtypes(name):
    dtype = getattr(pytest.importorskip("ml_dtypes"), name)
    frames = (numbers((11, 3, 5)) % 8).astype(dtype)
    for plan in PLANS:
        check(frames, **plan)
        check(frames[:, ::-1, ::2], **plan)
    check(frames, length=4, policy="constant", fill_value=3)
    assert extract(frames, 3).dtype == dtype


def test_elements_of_no_bytes():
    frames = np.zeros((6, 3), np.dtype([]))
    assert frames.dtype.itemsize == 0
    check(frames, length=2)
    check(frames, length=4, policy="wrap")


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5, 12])
def test_rank(rank):
    frames = numbers((11, 4, 3, 2, 5, 1, 2, 1, 2, 1, 2, 1)[:rank], "u2")
    for plan in PLANS:
        check(frames, **plan)
        check(np.moveaxis(frames.T, -1, 0), **plan)


def padded(base):
    room = numbers((11, 9, 14, 4), base.dtype)
    return room[:, 2:8, 3:10, :3]


VIEWS = {
    "plain": lambda x: x,
    "time reversed": lambda x: x[::-1],
    "every second frame": lambda x: x[::2],
    "rows reversed": lambda x: x[:, ::-1],
    "columns reversed": lambda x: x[:, :, ::-1],
    "channels reversed": lambda x: x[..., ::-1],
    "all reversed": lambda x: x[::-1, ::-1, ::-1, ::-1],
    "one channel": lambda x: x[..., 1],
    "one column": lambda x: x[:, :, 2:3],
    "every third column": lambda x: x[:, :, ::3],
    "crop": lambda x: x[2:, 1:-1, 2:-1],
    "padded rows": padded,
    "transposed frames": lambda x: x.transpose(0, 2, 1, 3),
    "channels first": lambda x: x.transpose(0, 3, 1, 2),
    "fortran": np.asfortranarray,
    "one frame repeated": lambda x: np.broadcast_to(x[3], x.shape),
    "one row repeated": lambda x: np.broadcast_to(x[:, 2:3], x.shape),
    "one element repeated": lambda x: np.broadcast_to(x[:1, :1, :1, :1], x.shape),
    "new axes": lambda x: x[:, None, :, None, :, :, None],
    "overlapping frames": lambda x: as_strided(x, (15, 40), (x.strides[2], x.strides[3])),
    "squeezed": lambda x: x[:, :1, :1, :1],
}


@pytest.mark.parametrize("dtype", ["u1", "i2", "V3", "f4", "V6", "c8", "c16", "V12", "V80"])
@pytest.mark.parametrize("view", VIEWS)
def test_strides(view, dtype):
    frames = VIEWS[view](numbers((11, 6, 7, 3), dtype))
    for plan in PLANS:
        check(frames, **plan)


def test_unaligned():
    raw = numbers(1 + 11 * 5 * 8)
    frames = raw[1:].view("f8").reshape(11, 5)
    assert not frames.flags.aligned
    for plan in PLANS:
        check(frames, **plan)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_axis(rank):
    base = numbers((7, 8, 9, 10)[:rank], "u2")
    for axis in range(rank):
        for plan in PLANS:
            check(base, axis=axis, **plan)
            check(base[..., ::-1], axis=axis - rank, **plan)
    check(base, axis=np.int8(rank - 1), **PLANS[0])


@settings(deadline=None, max_examples=200)
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    steps=st.lists(st.sampled_from([1, 1, 2, -1, -3]), min_size=4, max_size=4),
    dtype=st.sampled_from(["u1", "i2", "V3", "f4", "V6", "f8"]),
    length=st.integers(1, 6),
    stride=st.none() | st.integers(1, 7),
    dilation=st.integers(1, 3),
    policy=st.sampled_from([p for p in POLICIES if p != "error"]),
    data=st.data(),
)
def test_anything(shape, steps, dtype, length, stride, dilation, policy, data):
    base = numbers([size * abs(step) for size, step in zip(shape, steps)], dtype)
    frames = base[tuple(slice(None, None, step) for step in steps[: len(shape)])]
    frames = frames.transpose(data.draw(st.permutations(range(len(shape)))))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    fill = bytes(frames.itemsize) if dtype.startswith("V") else 0
    check(frames, axis=axis, length=length, stride=stride, dilation=dilation, policy=policy, fill_value=fill)


def test_read_only():
    frames = numbers((11, 6))
    frames.flags.writeable = False
    for plan in PLANS:
        check(frames, **plan)
        check(bytes(frames), frames.reshape(-1), **plan)


def test_memmap(tmp_path):
    wanted = numbers((11, 6, 5), "i4")
    wanted.tofile(tmp_path / "frames")
    for mode in ("r", "c", "r+"):
        frames = np.memmap(tmp_path / "frames", "i4", mode, shape=wanted.shape)
        for plan in PLANS:
            check(frames, wanted, **plan)
            check(frames[:, ::-1], wanted[:, ::-1], **plan)


def test_subclass_becomes_ndarray():
    class Sub(np.ndarray):
        pass

    frames = numbers((11, 6))
    check(frames.view(Sub), frames, length=3)
    check(np.rec.array(numbers((11,), [("a", "u1"), ("b", "f4")])).b, length=3)


def structure(x):
    return ((ctypes.c_int16 * x.shape[1]) * len(x)).from_buffer(x)


BUFFERS = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "sliced memoryview": lambda x: memoryview(x)[::-1],
    "array.array": lambda x: array.array("i", x.tobytes()),
    "ctypes": structure,
}


@pytest.mark.parametrize("name", BUFFERS)
def test_buffers(name):
    source = BUFFERS[name](numbers((12, 6), "i2"))
    for plan in PLANS:
        check(source, np.asarray(memoryview(source)), **plan)


def test_buffer_is_let_go():
    source = bytearray(range(40))
    clips = [extract(source, 4), *iterate(source, 4)]
    source.append(1)  # refused with BufferError while somebody holds the buffer
    assert len(clips) == 11


@pytest.mark.parametrize("view", ["plain", "crop", "channels first", "time reversed"])
def test_protocols(view):
    frames = VIEWS[view](numbers((11, 6, 7, 3), "i2"))
    interface = only(array=lambda self, dtype=None, copy=None: frames)
    capsule = only(dlpack=lambda self, **_: frames.__dlpack__(), dlpack_device=lambda self: frames.__dlpack_device__())
    for plan in PLANS:
        check(interface, frames, **plan)
        check(capsule, frames, **plan)


@pytest.mark.parametrize("name", ["uint8", "int16", "int64", "float16", "float32", "bool", "complex64"])
def test_torch(name):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(numbers((11, 6, 7, 3)) % 2).to(getattr(torch, name))
    for each in (tensor, tensor.permute(0, 3, 1, 2), tensor[:, 1:-1, 2:], tensor.contiguous().flip(0)):
        for plan in PLANS:
            check(each, each.numpy(), **plan)
    same(extract(tensor, 3, axis=-1), expected(tensor.numpy(), -1, length=3))


@pytest.mark.parametrize("make", [
    lambda torch: torch.zeros(6, 3, requires_grad=True),
    lambda torch: torch.zeros(6, 3).to_sparse(),
    lambda torch: torch.zeros(6, 3, device="meta"),
], ids=["grad", "sparse", "meta"])  # fmt: skip
def test_torch_refused(make):
    tensor = make(pytest.importorskip("torch"))
    for function in (extract, iterate):
        with pytest.raises(TypeError, match="frames, a Tensor"):
            function(tensor, 2)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_frames(policy):
    frames = numbers((0, 3, 4))
    same(extract(frames, 5, policy=policy), np.zeros((0, 5, 3, 4), np.uint8))
    assert list(iterate(frames, 5, policy=policy)) == []
    same(extract(b"", 2, policy=policy), np.zeros((0, 2), np.uint8))


@pytest.mark.parametrize("policy", ["repeat_last", "wrap", "reflect", "constant"])
def test_one_frame(policy):
    frames = numbers((1, 3, 4))
    for plan in (
        {"length": 1},
        {"length": 4},
        {"length": 3, "stride": 1, "dilation": 5},
        {"length": 2, "num_clips": 3},
    ):
        check(frames, policy=policy, **plan)
        check(frames[::-1, :, ::-1], policy=policy, **plan)
    assert len(extract(frames, 2)) == len(extract(frames, 2, policy="backpad")) == 0
    check(frames, length=1)
    check(frames, length=1, policy="backpad")


@pytest.mark.parametrize("shape", [(9, 0), (9, 0, 3), (9, 4, 0), (9, 0, 0)])
def test_frames_of_no_elements(shape):
    for plan in PLANS:
        check(np.zeros(shape, "f4"), **plan)
    check(np.zeros(shape, "f4"), length=4, **FILL)
    check(np.zeros(shape, "f4"), length=4, axis=-1, policy="wrap")
