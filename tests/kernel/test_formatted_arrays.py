"""Formatted clips of arrays of every dtype, order and layout: equal to the reference."""

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest
from helpers.formatted import BFLOAT16, FLOATS, MEAN, ORDERS, STD, check, numbers, ordered, same
from helpers.long import LONG, some
from helpers.strides import SEEN
from helpers.windows import table_of
from hypothesis import given, settings
from hypothesis import strategies as st

import clipx
from clipx.windows import extract, iterate

POLICIES = ("drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad")
NUMBERS = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


@pytest.mark.parametrize("order", [None, *ORDERS])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_every_dtype(dtype, channels, order):
    frames = numbers((5, 3, 7, channels), dtype)
    plan = {"length": 2, "stride": 1}
    mean, std = tuple(MEAN[:channels]), tuple(STD[:channels])
    for kind in FLOATS:
        check(frames, clipx.ClipFormat(dtype=kind, order=order), **plan)
        if kind != "float16":
            check(frames, clipx.ClipFormat(scale=1e-3, mean=mean, std=std, dtype=kind, order=order, flip=True), **plan)
    check(frames, clipx.ClipFormat(order=order, crop=(1, 2, 2, 5), flip=True), **plan)
    if np.dtype(dtype).itemsize == 1 and dtype != "i1":
        check(frames, clipx.ClipFormat(dtype="uint8", order=order, crop=2), **plan)


@pytest.mark.parametrize("dtype", ["u1", "?", "i4", "f4"])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("order", ["HWC", "CHW"])
def test_orders_without_time(order, channels, dtype):
    frames = numbers((5, 3, 7, channels), dtype)
    for kind in (None, "float32", "bfloat16"):
        format = clipx.ClipFormat(order=order, dtype=kind, crop=(2, 5))
        clips = check(frames, format, length=1, stride=2)
        assert clips.shape == ((3, 2, 5, channels) if order == "HWC" else (3, channels, 2, 5))


@pytest.mark.parametrize(
    ("seen", "dtype", "channels"), some(itertools.product(SEEN, ["u1", "?", "i2", "f4"], [1, 3, 4]), 5)
)
def test_every_stride(seen, dtype, channels):
    frames = SEEN[seen](numbers((6, 4, 9, channels), dtype))
    plan = {"length": 2, "stride": 3, "policy": "repeat_last"}
    for order, flip in itertools.product(ORDERS, (False, True)):
        check(frames, clipx.ClipFormat(order=order, flip=flip, crop=(1, 2, 3, 5)), **plan)
        check(frames, clipx.ClipFormat(order=order, flip=flip, mean=0.5, std=0.1, scale=1 / 255), **plan)
    if dtype in ("u1", "?"):
        check(frames, clipx.ClipFormat(dtype="uint8", order="CTHW"), **plan)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_time_on_any_axis(axis):
    frames = numbers((5, 4, 6, 3))
    for format in (clipx.ClipFormat(order="CTHW", crop=3), clipx.ClipFormat(order="TCHW", mean="clip")):
        same(extract(np.moveaxis(frames, 0, axis), 2, axis=axis, format=format), extract(frames, 2, format=format))


def test_tensors_and_buffers_are_sources():
    torch = pytest.importorskip("torch")
    frames = numbers((5, 4, 6, 3), "f4")
    format = clipx.ClipFormat(order="CTHW", mean=0.5)
    for source in (torch.from_numpy(frames), memoryview(frames)):
        same(extract(source, 2, format=format), extract(frames, 2, format=format))


@pytest.mark.parametrize(
    "dtype", [">u2", ">i4", ">f2", ">f8", "c8", "S5", "U2", "M8[s]", "m8[ns]", "i4,f8", "g", BFLOAT16], ids=str
)
def test_what_is_only_moved_may_be_anything(dtype):
    frames = np.frombuffer(np.random.default_rng(0).bytes(5 * 3 * 4 * 3 * np.dtype(dtype).itemsize), np.uint8)
    frames = frames.copy().view(dtype).reshape(5, 3, 4, 3)
    for order, flip in itertools.product(ORDERS, (False, True)):
        got = extract(frames, 2, format=clipx.ClipFormat(order=order, flip=flip, crop=(1, 1, 2, 3)))
        seen = frames[:4, 1:3, 1:4].reshape(2, 2, 2, 3, 3)
        wanted = ordered(seen[:, :, :, ::-1] if flip else seen, order)
        assert (got.dtype, got.shape, got.tobytes()) == (frames.dtype, wanted.shape, wanted.tobytes())


def test_big_endian_bytes_are_bytes():
    frames = numbers((4, 3, 5, 3)).view(">u1")
    check(frames, clipx.ClipFormat(mean="imagenet"), length=2)


@st.composite
def sources(draw):
    dtype = draw(st.sampled_from(["u1", "u1", "u1", *NUMBERS]))
    shape = (draw(st.integers(0, 9)), draw(st.integers(1, 7)), draw(st.integers(1, 40)), draw(st.integers(1, 5)))
    frames = numbers(shape, dtype, draw(st.integers(0, 5)))
    return SEEN[draw(st.sampled_from(list(SEEN)))](frames) if shape[0] else frames


@st.composite
def plans(draw):
    plan = {
        "length": draw(st.integers(1, 5)),
        "dilation": draw(st.integers(1, 3)),
        "policy": draw(st.sampled_from(POLICIES)),
    }
    which = draw(st.sampled_from(["stride", "num_clips"]))
    return plan | {which: draw(st.integers(1, 6)), "fill_value": draw(st.sampled_from([0, 1, True]))}


@st.composite
def formats(draw, shape, length):
    height, width, channels = shape[1:]
    y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    h, w = draw(st.integers(1, height - y)), draw(st.integers(1, width - x))
    number = st.floats(-5, 5)
    above = st.floats(1e-3, 10) | st.floats(-10, -1e-3)
    per_channel = st.one_of(number, st.tuples(*[number] * channels))
    return clipx.ClipFormat(
        crop=draw(st.sampled_from([None, (y, x, h, w), (h, w)])),
        flip=draw(st.booleans()),
        order=draw(st.sampled_from([None, *ORDERS, *(["HWC", "CHW"] if length == 1 else [])])),
        dtype=draw(st.sampled_from(["float32", "bfloat16"])),
        scale=draw(st.none() | st.just(1 / 255) | above),
        mean=draw(st.none() | per_channel),
        std=draw(st.none() | above | st.tuples(*[above] * channels)),
    )


@settings(deadline=None, max_examples=300 if LONG else 120)
@given(data=st.data())
def test_against_reference(data):
    frames, plan = data.draw(sources()), data.draw(plans())
    format = data.draw(formats(frames.shape, plan["length"]))
    if data.draw(st.booleans()):
        format = replace(format, dtype=None, scale=None, mean=None, std=None)
    try:
        table = table_of(len(frames), **plan)
    except ValueError:
        with pytest.raises(ValueError, match="policy is 'error'"):
            extract(frames, format=format, **plan)
        return
    if len(table):
        got = check(frames, format, **plan)
    else:
        got = extract(frames, format=format, **plan)
        assert len(got) == 0 == len(list(iterate(frames, format=format, **plan)))
    pool = clipx.ClipPool(40, got.shape[1:], got.dtype)
    for clip, row in zip(iterate(frames, format=format, pool=pool, **plan), got):
        same(clip, row)
    assert pool.stats().free == 40 - (len(got) > 0)


@pytest.mark.parametrize("order", [*ORDERS, "HWC", "CHW"])
@pytest.mark.parametrize("kind", [None, *FLOATS])
@pytest.mark.parametrize(("dtype", "fill"), [("u1", 255), ("i2", -300), ("f4", 0.1), ("?", True)])
def test_the_fill_is_formatted_too(dtype, fill, kind, order):
    frames = numbers((4, 3, 5, 3), dtype)
    length = 1 if len(order) == 3 else 3
    plan = {"length": length, "stride": 1 if length == 1 else 3, "policy": "constant", "fill_value": fill}
    formats = [clipx.ClipFormat(dtype=kind, order=order, flip=True, crop=(2, 3))]
    if kind:
        formats.append(replace(formats[0], mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, -2.0)))
    for format in formats:
        got = check(frames, format, **plan)
        if length == 3:
            alone = extract(np.full_like(frames, fill), 1, format=format)[0]
            position = np.moveaxis(got[1], {"CTHW": 1}.get(order, 0), 0)
            same(
                np.ascontiguousarray(position[1:2]),
                np.ascontiguousarray(np.moveaxis(alone, {"CTHW": 1}.get(order, 0), 0)),
            )


@pytest.mark.parametrize("fill", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("kind", FLOATS)
def test_a_fill_that_is_no_number(kind, fill):
    frames = numbers((2, 3, 5, 3), "f4")
    got = extract(frames, 3, policy="constant", fill_value=fill, format=clipx.ClipFormat(dtype=kind, mean=0.5))
    assert np.array_equal(got[0, 2].astype(np.float32), np.full((3, 5, 3), fill, np.float32), equal_nan=True)


@pytest.mark.parametrize(
    ("dtype", "fill", "kind"), [("f4", 1e10, "float16"), ("f8", 1e300, "float32"), ("i4", 10**6, "float16")]
)
def test_a_fill_that_a_float_cannot_hold_is_infinite_as_frames_are(dtype, fill, kind):
    format = clipx.ClipFormat(dtype=kind)
    assert np.isinf(extract(np.full((2, 1, 1, 3), fill, dtype), 2, format=format)).all()
    got = extract(np.ones((1, 1, 1, 3), dtype), 2, policy="constant", fill_value=fill, format=format)
    assert np.isinf(got[0, 1]).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("format", [{"mean": "imagenet"}, {"crop": ("random", 60), "flip": 0.5}], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i2"])
def test_threads_write_the_same(dtype, format, order):
    frames = numbers((34, 64, 70, 3), dtype)
    format = clipx.ClipFormat(**format, order=order, dtype="float32")
    plan = {"length": 8, "stride": 2, "policy": "reflect", "format": format, "rng": 5}
    alone = extract(frames, **plan)
    assert alone.nbytes > 4 << 20
    for num_threads in (2, 3, 4):
        assert extract(frames, **plan, num_threads=num_threads).tobytes() == alone.tobytes()
    out = np.empty_like(alone)
    assert extract(frames, **plan, num_threads=4, out=out) is out
    assert out.tobytes() == alone.tobytes()


def test_threads_share_frames():
    frames = numbers((30, 64, 70, 3))
    format = clipx.ClipFormat(mean="imagenet", order="CTHW", crop=("random", 50), flip=0.5)
    alone = [extract(frames, 8, 4, format=format, rng=seed) for seed in range(4)]
    wrong = []

    def cut(seed):
        for _ in range(3):
            wrong.extend(
                i
                for i, clip in enumerate(iterate(frames, 8, 4, format=format, rng=seed))
                if (clip != alone[seed][i]).any()
            )

    threads = [threading.Thread(target=cut, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong
