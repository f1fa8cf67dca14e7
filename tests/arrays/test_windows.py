"""Clips of arrays: equal to the reference byte for byte, on memory of their own, or an error before any write."""

import array
import ctypes
import gc
import itertools
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import clipx
from clipx.windows import extract, iterate

POLICIES = ("drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad")
FILL = {"policy": "constant", "fill_value": 7}
PLANS = [
    {"length": 3},
    {"length": 3, "stride": 1},
    {"length": 2, "stride": 3, "dilation": 2, "policy": "repeat_last"},
    {"length": 4, "stride": 3, "policy": "wrap"},
    {"length": 5, "stride": 2, "dilation": 3, "policy": "reflect"},
    {"length": 4, "stride": 5, "policy": "backpad"},
    {"length": 3, "num_clips": 4},
]


def numbers(shape, dtype="uint8", seed=0):
    """Random bytes as an array of any plain dtype."""
    dtype = np.dtype(dtype)
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(bytearray(raw), dtype).reshape(shape)


def table_of(n, length, stride=None, dilation=1, policy="drop", fill_value=0, num_clips=None):
    at = reference.starts(n, length, stride, dilation, policy, num_clips)
    return reference.indices(n, at, length, dilation, policy)


def expected(frames, axis=0, **plan):
    frames = np.moveaxis(frames, axis, 0)
    return reference.gather(frames, table_of(len(frames), **plan), plan.get("fill_value", 0))


def same(got, wanted):
    assert type(got) is np.ndarray
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert got.tobytes() == wanted.tobytes()


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


def only(**methods):
    """An object with these methods and no others."""
    return type("Only", (), {f"__{name}__": each for name, each in methods.items()})()


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


@pytest.mark.parametrize(("dtype", "value"), [
    ("u1", 255),
    ("u1", np.float32(7)),
    ("i1", -128),
    ("i8", -(2**63)),
    ("u8", 2**64 - 1),
    (">i4", 258),
    ("?", True),
    ("f2", 0.5),
    ("f4", 0.1),
    ("f8", float("nan")),
    ("f8", float("-inf")),
    (">f8", 3),
    ("c8", 1 - 2j),
    ("M8[s]", np.datetime64("2020-01-02", "s")),
    ("M8[s]", "2020-01-02T03:04:05"),
    ("m8[ms]", np.timedelta64("NaT")),
    ("S5", b"abc"),
    ("U3", "ab"),
    ("V3", b"xyz"),
    ("V9000", bytes(range(250)) * 36),
    ([("a", "u1"), ("b", "f4")], 3),
    ([("a", "u1"), ("b", "f4")], np.array((1, 2.5), [("a", "u1"), ("b", "f4")])[()]),
])  # fmt: skip
def test_fill(dtype, value):
    frames = np.zeros((7, 5), dtype)
    wanted = np.zeros((2, 4, 5), dtype)
    wanted[1, 3] = value
    same(extract(frames, 4, policy="constant", fill_value=value), wanted)
    for clip, row in zip(iterate(frames, 4, policy="constant", fill_value=value), wanted, strict=True):
        same(clip, row)


@pytest.mark.parametrize(("dtype", "value"), [
    ("u1", 256),
    ("u1", -1),
    ("i1", 128),
    ("u1", np.int64(300)),
    ("i4", 0.5),
    ("i4", np.float32(0.5)),
    ("i4", float("nan")),
    ("i4", np.float64("nan")),
    ("i8", np.uint64(2**63)),
    ("i8", 2.0**63),
    ("u1", np.inf),
    ("?", 2),
    ("?", -0.5),
    ("i4", "x"),
    ("i4", "7"),
    ("i4", None),
    ("f4", "x"),
    ("f4", 1j),
    ("f4", np.complex64(1j)),
    ("M8[s]", "never"),
    ("f8", object()),
])  # fmt: skip
def test_fill_that_does_not_fit(dtype, value):
    frames = np.zeros((7, 5), dtype)
    for function in (extract, iterate):
        with pytest.raises(ValueError, match="fill_value is ") as caught:
            function(frames, 4, policy="constant", fill_value=value)
        assert repr(value) in str(caught.value)
        assert str(frames.dtype) in str(caught.value)
    # Only a policy that fills looks at it.
    assert extract(frames, 4, policy="wrap", fill_value=value).shape == (2, 4, 5)


def test_random_starts():
    frames = np.arange(1000)
    plan = {"length": 4, "num_clips": 6, "sampling": "random"}
    whole = extract(frames, rng=3, **plan)
    at = clipx.windows.starts(1000, rng=3, **plan)
    same(whole, frames[at[:, None] + np.arange(4)])
    same(np.stack(list(iterate(frames, rng=3, **plan))), whole)
    same(extract(frames, rng=np.random.default_rng(3), **plan), whole)
    rng = np.random.default_rng(3)
    clips = iterate(frames, rng=rng, **plan)
    rng.random(50)  # drawn at the call, not while iterating
    same(np.stack(list(clips)), whole)


def block(size):
    """Bytes that tell when they are touched, and room around them."""
    return np.full(size, 0xA5, np.uint8)


@pytest.mark.parametrize("offset", [0, 1, 3, 64])
def test_out(offset):
    frames = numbers((11, 6, 3), "i4")
    wanted = expected(frames, length=4, stride=3, **FILL)
    room = block(wanted.nbytes + 128)
    out = room[offset : offset + wanted.nbytes].view("i4").reshape(wanted.shape)
    assert extract(frames, 4, 3, out=out, **FILL) is out
    same(out, wanted)
    assert (room[:offset] == 0xA5).all()
    assert (room[offset + wanted.nbytes :] == 0xA5).all()


def test_out_beside_frames():
    room = numbers(200)
    frames, out = room[:40].reshape(10, 4), room[40:80].reshape(2, 5, 4)
    wanted = expected(frames, length=5)
    same(extract(frames, 5, out=out), wanted)
    interleaved = as_strided(room, (10, 4), (20, 1))  # reaches past out on both sides, and never into it
    out = room[4:20].reshape(4, 1, 4)[:4]
    same(extract(interleaved, 1, 3, out=out), expected(interleaved, length=1, stride=3))


def test_out_with_no_clips():
    out = np.zeros((0, 5, 3), "u1")
    assert extract(np.zeros((4, 3), "u1"), 5, out=out) is out


def frozen(x):
    x.flags.writeable = False
    return x


BAD_OUTS = {
    "shape": (lambda f: np.zeros((3, 4, 6), "i4"), ValueError, r"out has shape \(3, 4, 6\).*\(2, 4, 6\)"),
    "flat": (lambda f: np.zeros(48, "i4"), ValueError, r"out has shape \(48,\)"),
    "dtype": (lambda f: np.zeros((2, 4, 6), "u4"), ValueError, "out has dtype uint32.*int32"),
    "byte order": (lambda f: np.zeros((2, 4, 6), ">i4"), ValueError, "out has dtype >i4"),
    "fortran": (lambda f: np.zeros((2, 4, 6), "i4", "F"), ValueError, "out has strides.*C-contiguous"),
    "steps": (lambda f: np.zeros((2, 4, 12), "i4")[..., ::2], ValueError, "out has strides.*C-contiguous"),
    "read-only": (lambda f: frozen(np.zeros((2, 4, 6), "i4")), ValueError, "out is read-only"),
    "frames themselves": (lambda f: f[:8].reshape(2, 4, 6), ValueError, "out overlaps frames"),
    "last element": (lambda f: as_strided(f[9:, 5:], (2, 4, 6), (96, 24, 4)), ValueError, "out overlaps frames"),
    "list": (lambda f: [[0] * 6] * 8, TypeError, "out is a list"),
    "bytearray": (lambda f: bytearray(192), TypeError, "out is a bytearray"),
    "number": (lambda f: 0, TypeError, "out is a int"),
}


@pytest.mark.parametrize("name", BAD_OUTS)
def test_bad_out(name):
    make, error, words = BAD_OUTS[name]
    room = numbers((40, 6), "i4")
    frames = room[:10]
    out = make(frames)
    before = room.tobytes(), repr(out)
    with pytest.raises(error, match=words):
        extract(frames, 4, out=out)
    assert before == (room.tobytes(), repr(out))


@pytest.mark.parametrize("bad", [
    {"policy": "error"},
    {"policy": "constant", "fill_value": 2.5},
    {"num_threads": 0},
    {"axis": 2},
    {"dilation": 0},
    {"stride": 1, "num_clips": 2},
    {"num_clips": 2, "sampling": "random", "rng": -1},
])  # fmt: skip
def test_error_before_any_write(bad):
    out = np.full((2, 4, 6), 77, "i4")
    with pytest.raises(ValueError):
        extract(numbers((10, 6), "i4"), 4, out=out, **bad)
    assert (out == 77).all()


THREADED = {
    "plain": lambda x: x,
    "reversed": lambda x: x[::-1, :, ::-1],
    "crop": lambda x: x[:, 1:-1, 3:-3],
    "thin": lambda x: x[:, :1, 5:9],
}


@pytest.mark.parametrize("view", THREADED)
@pytest.mark.parametrize("plan", [
    {"length": 8, "stride": 3},
    {"length": 8, "stride": 3, **FILL},
    {"length": 5, "dilation": 3, "stride": 2, "policy": "reflect"},
], ids=["drop", "constant", "reflect"])  # fmt: skip
def test_threads(view, plan):
    frames = THREADED[view](numbers((40, 100, 300)))
    one = extract(frames, **plan)
    same(one, expected(frames, **plan))
    room = block(one.nbytes + 2)
    for num_threads in (2, 3, 8, 1000, np.int64(2)):
        same(extract(frames, num_threads=num_threads, **plan), one)
        room[:] = 0xA5
        out = room[1:-1].reshape(one.shape)
        extract(frames, num_threads=num_threads, out=out, **plan)
        same(out, one)
        assert room[0] == room[-1] == 0xA5


REFUSED = {
    "list": lambda: [[1, 2], [3, 4]],
    "tuple": lambda: (1, 2, 3),
    "text": lambda: "frames",
    "number": lambda: 3,
    "none": lambda: None,
    "generator": lambda: (i for i in range(5)),
    "object": object,
    "objects": lambda: np.array([1, "a", None], object),
    "structured objects": lambda: np.zeros(5, [("a", "u1"), ("b", "O")]),
    "masked": lambda: np.ma.zeros((5, 2)),
    "array of objects": lambda: only(array=lambda self, dtype=None, copy=None: np.zeros(5, object)),
    "strings": lambda: np.array(["a", "bc", "d"], np.dtypes.StringDType()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_frames_refused(name):
    if name == "strings" and not hasattr(np.dtypes, "StringDType"):
        pytest.skip("NumPy 1 has no StringDType")
    for function in (extract, iterate):
        with pytest.raises(TypeError, match="frames"):
            function(REFUSED[name](), 2)


@pytest.mark.parametrize("frames", [np.array(3), np.float32(3), np.zeros((), "V4")])
def test_no_time_axis(frames):
    for function in (extract, iterate):
        with pytest.raises(ValueError, match="frames has no dimensions"):
            function(frames, 2)


@pytest.mark.parametrize(("name", "value", "error"), [
    ("length", 0, ValueError),
    ("length", 2.0, TypeError),
    ("length", True, TypeError),
    ("stride", -1, ValueError),
    ("stride", "2", TypeError),
    ("dilation", 0, ValueError),
    ("policy", "crop", ValueError),
    ("sampling", "all", ValueError),
    ("num_clips", 0, ValueError),
    ("num_clips", False, TypeError),
    ("fill_value", (1, 2), ValueError),
    ("axis", 2, ValueError),
    ("axis", -3, ValueError),
    ("axis", True, TypeError),
    ("axis", 0.0, TypeError),
    ("axis", None, TypeError),
])  # fmt: skip
def test_bad_argument(name, value, error):
    frames = numbers((10, 6))
    for function in (extract, iterate):  # iterate: at the call, not at the first clip
        with pytest.raises(error) as caught:
            function(frames, **{"length": 2, name: value})
        assert name in str(caught.value)
        assert str(np.shape(value) if name == "fill_value" else repr(value)) in str(caught.value)


@pytest.mark.parametrize(("value", "error"), [
    (0, ValueError),
    (-2, ValueError),
    (True, TypeError),
    (1.5, TypeError),
    ("2", TypeError),
    (None, TypeError),
], ids=repr)  # fmt: skip
def test_bad_num_threads(value, error):
    with pytest.raises(error, match="num_threads is ") as caught:
        extract(numbers((10, 6)), 2, num_threads=value)
    assert repr(value) in str(caught.value)


def test_policy_error_raises_at_the_call():
    for function in (extract, iterate):
        with pytest.raises(ValueError, match="1 of 10 frames are left"):
            function(numbers((10, 6)), 3, policy="error")


@pytest.mark.parametrize(("function", "shape", "plan"), [
    (extract, (2, 2**40), {"length": 2**30, "policy": "repeat_last"}),
    (extract, (2, 2**40), {"length": 2**24, "policy": "wrap"}),
    (extract, (2**21, 2**41), {"length": 4, "stride": 1}),
    (extract, (8, 2**42), {"length": 2, "num_clips": 2**20}),
    (extract, (8, 2**42), {"length": 2, "num_clips": 2**20, "sampling": "random", "rng": 0}),
    (extract, (2, 0), {"length": 2**60, "policy": "repeat_last"}),
    (iterate, (2, 2**40), {"length": 2**24, "policy": "repeat_last"}),
    (iterate, (2, 0), {"length": 2**60, "policy": "repeat_last"}),
])  # fmt: skip
def test_too_large(function, shape, plan):
    frames = np.broadcast_to(np.uint8(0), shape)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"clip|plan|length"):
            function(frames, **plan)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Said from the sizes, before memory is asked for the plan.
    assert peak < 1 << 20


def test_source_is_not_kept():
    source = numbers((20, 6)).copy()
    seen = weakref.ref(source)
    whole = extract(source, 4, out=None, num_threads=2)
    clips = list(iterate(source, 4))
    wanted = expected(source, length=4)
    del source
    gc.collect()
    assert seen() is None
    same(whole, wanted)
    same(np.stack(clips), wanted)


def test_clips_are_independent():
    frames = numbers((20, 6))
    wanted = expected(frames, length=4, stride=2)
    for clip, row in zip(iterate(frames, 4, 2), wanted, strict=True):
        same(clip, row)
        clip[...] = 0
    same(extract(frames, 4, 2), wanted)


def test_threads_share_an_iterator():
    frames = np.zeros((2400, 100, 400), "u1")
    frames[:, 0, :2] = np.arange(2400, dtype="<u2").view("u1").reshape(-1, 2)
    clips, seen = iterate(frames, 4), []

    def take():
        seen.extend(int(clip[0, 0, :2].view("<u2")[0]) for clip in clips)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(seen) == list(range(0, 2400, 4))


@pytest.mark.parametrize("dtype", ["u1", ">i4", "M8[s]", "V3", [("a", "u1"), ("b", "f4")]])
def test_into_a_pool(dtype):
    frames = numbers((20, 6, 5), dtype)[:, ::-1]
    whole = extract(frames, 4, 3)
    # The second pool is past what is written through the cache.
    for slots in (8, 1 + (16 << 20) // (120 * frames.itemsize)):
        pool = clipx.ClipPool(slots, (4, 6, 5), frames.dtype)
        clips = list(iterate(frames, 4, 3, pool=pool))
        assert pool.stats().leased == len(clips) == len(whole)
        for clip, row in zip(clips, whole):
            same(clip, row)
            assert not np.shares_memory(clip, frames)
        for a, b in itertools.combinations(clips, 2):
            assert not np.shares_memory(a, b)
        del clips, clip, a, b
        assert pool.stats().leased == 0


def test_pool_that_is_held():
    pool = clipx.ClipPool(3, (4, 6))
    clips = iterate(numbers((40, 6)), 4, pool=pool)
    held = [next(clips) for _ in range(3)]
    with pytest.raises(clipx.PoolExhausted):
        next(clips)
    assert len(held) == 3


@pytest.fixture(scope="module")
def film():
    """96 frames of 360 rows, 640 columns and 3 channels, and some bytes more for other shapes."""
    return np.random.default_rng(1).integers(0, 256, 96 * 360 * 641 * 3, dtype=np.uint8)


@pytest.fixture(scope="module")
def room():
    return block(128 << 20)


FILMS = {
    "whole lines": lambda x: x[: 96 * 360 * 640 * 3].reshape(96, 360, 640, 3),
    "odd frames": lambda x: x[: 96 * 359 * 641 * 3].reshape(96, 359, 641, 3),
    "short rows": lambda x: x[: 96 * 360 * 640 * 3].reshape(96, 360, 640, 3)[:, 3:-3, 5:-5],
    "long rows": lambda x: x[: 96 * 120 * 1920 * 3].reshape(96, 120, 1920, 3)[:, 3:-3, 5:-5],
    "columns flipped": lambda x: x[: 96 * 360 * 640 * 3].reshape(96, 360, 640, 3)[:, :, ::-1],
    "time flipped": lambda x: x[: 96 * 360 * 640 * 3].reshape(96, 360, 640, 3)[::-1],
    "floats": lambda x: x[1 : 1 + 96 * 359 * 160 * 12].view("f4").reshape(96, 359, 160, 3),
}


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("plan", [
    {"length": 16, "stride": 8},
    {"length": 16, "stride": 8, "dilation": 4},
    {"length": 16, "stride": 16, "policy": "wrap"},
    {"length": 16, "stride": 8, **FILL},
    {"length": 8, "stride": 8, "dilation": 4, **FILL},
], ids=["drop", "dilated", "wrap", "constant", "dilated constant"])  # fmt: skip
@pytest.mark.parametrize("view", FILMS)
def test_past_the_cache(film, room, view, plan, num_threads):
    frames = FILMS[view](film)[: 96 if plan.get("policy") is None else 93]
    table = table_of(len(frames), **plan)
    shape = (*table.shape, *frames.shape[1:])
    size = int(np.prod(shape)) * frames.itemsize
    offset = 64 + (1 if num_threads == 1 else 0)
    ends = room[:offset], room[offset + size : offset + size + 128]
    for each in ends:
        each[:] = 0xA5
    out = room[offset : offset + size].view(frames.dtype).reshape(shape)
    extract(frames, out=out, num_threads=num_threads, **plan)
    for clip, row in zip(out, table):
        wanted = frames[row]
        wanted[row < 0] = plan.get("fill_value", 0)
        # As bytes: random floats hold NaNs.
        assert np.array_equal(clip.view(np.uint8), wanted.view(np.uint8))
    assert all((each == 0xA5).all() for each in ends)
