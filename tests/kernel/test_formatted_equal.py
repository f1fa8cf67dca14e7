"""Equal numbers become equal bits, whatever dtype, strides, channels, crop and implementation they go through."""

import itertools

import ml_dtypes
import numpy as np
import pytest
import reference
from helpers.formatted import FLOATS, ORDERS, bits
from helpers.long import LONG
from helpers.processes import printed_by_implementations
from hypothesis import given, settings
from hypothesis import strategies as st

import clipx
from clipx.format import PRESETS
from clipx.windows import extract

NUMBERS = ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
DTYPES = {"float32": np.dtype("f4"), "float16": np.dtype("f2"), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
# Scale, mean, std: what is common, and means next to a byte and far from all.
ARITHMETIC = [
    (1.0, 0.0, 1.0),
    *((1 / 255, *each) for each in PRESETS.values()),
    (1 / 255, 0.0, 1.0),
    (2 / 255, 1.0, 1.0),
    (1.0, 127.3, 1e-1),
    (-0.1, 0.3, 7.0),
    (1.0, 1e5, 1e3),
]

VIEWS = {
    "as it is": lambda x: x,
    "backwards": lambda x: x[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
    "every other column": lambda x: x.repeat(2, 2)[:, :, ::2],
    "channels of more": lambda x: np.concatenate([x, x], 3)[..., : x.shape[3]],
    "channels first": lambda x: np.ascontiguousarray(x.transpose(3, 0, 1, 2)).transpose(1, 2, 3, 0),
    "rows of more": lambda x: np.concatenate([x, x], 2)[:, :, : x.shape[2]],
}


def arithmetic_of(numbers, channels):
    scale, mean, std = numbers
    return scale, *(np.resize(np.atleast_1d(each), channels) for each in (mean, std))


def wanted(values, numbers, kind):
    """What the reference makes of float64 numbers (..., channels), with NumPy's rounding to a kind."""
    with np.errstate(over="ignore", invalid="ignore"):
        return reference.floats(values, *arithmetic_of(numbers, values.shape[-1])).astype(DTYPES[kind])


def format_of(numbers, channels, **rest):
    scale, mean, std = arithmetic_of(numbers, channels)
    return clipx.ClipFormat(scale=scale, mean=tuple(mean.tolist()), std=tuple(std.tolist()), **rest)


def every_byte(channels):
    """All bytes in each channel, in another order in each: (2, 2, 64, channels)."""
    rows = [np.roll(np.arange(256, dtype=np.uint8), 85 * c) for c in range(channels)]
    return np.stack(rows, axis=1).reshape(2, 2, 64, channels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("numbers", ARITHMETIC, ids=str)
def test_every_byte_in_every_dtype(numbers, channels):
    frames = every_byte(channels)
    for kind in FLOATS:
        expected = wanted(frames.astype(np.float64), numbers, kind)
        for dtype in NUMBERS:
            got = extract(frames.astype(dtype), 1, format=format_of(numbers, channels, dtype=kind))[:, 0]
            np.testing.assert_array_equal(bits(got), bits(expected), err_msg=f"{dtype} to {kind}")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seen", VIEWS)
def test_every_stride_and_order(seen, order, channels):
    frames, numbers = every_byte(channels), (1 / 255, *PRESETS["imagenet"])
    for kind, flip in itertools.product(FLOATS, (False, True)):
        expected = wanted(frames.astype(np.float64), numbers, kind)[:, :, 1:60][:, :, :: -1 if flip else 1]
        expected = expected.transpose(["THWC".index(each) for each in order])
        format = format_of(numbers, channels, dtype=kind, order=order, flip=flip, crop=(0, 1, 2, 59))
        for dtype in ("u1", "i2", "f4", "i8"):
            got = extract(VIEWS[seen](frames.astype(dtype)), 2, format=format)[0]
            np.testing.assert_array_equal(bits(got), bits(np.ascontiguousarray(expected)), err_msg=f"{dtype} to {kind}")


def test_false_and_true_are_zero_and_one():
    frames = np.random.default_rng(0).integers(0, 2, (2, 3, 40, 3))
    for numbers, kind, channels in itertools.product(ARITHMETIC, FLOATS, (1, 3)):
        format = format_of(numbers, channels, dtype=kind)
        expected = extract(frames[..., :channels], 1, format=format)
        for dtype in ("?", "u1", "f8"):
            got = extract(frames[..., :channels].astype(dtype), 1, format=format)
            np.testing.assert_array_equal(bits(got), bits(expected))


@pytest.mark.parametrize("size", [(1, 1), (3, 257), (64, 64), (301, 1031)])
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_that_rows_take_in_parts(size, channels):
    frames = np.random.default_rng(1).integers(0, 256, (2, *size, channels), dtype=np.uint8)
    format = format_of((1 / 255, 0.45, 0.225), channels, order="CTHW")
    expected = bits(extract(frames, 2, format=format))
    for other in (frames.astype("i2"), frames.astype("f4"), frames.repeat(2, 2)[:, :, ::2]):
        np.testing.assert_array_equal(bits(extract(other, 2, format=format)), expected)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_the_fill_has_the_bits_of_an_equal_number(dtype):
    for numbers, kind, fill in itertools.product(ARITHMETIC, FLOATS, (0, 7, 130, 255)):
        format = format_of(numbers, 3, dtype=kind, order="CTHW")
        frames = np.full((1, 2, 5, 3), fill, dtype)
        got = extract(frames, 3, policy="constant", fill_value=fill, format=format)[0]
        np.testing.assert_array_equal(bits(got[:, 1:]), bits(got[:, :1].repeat(2, axis=1)))


def test_only_what_a_byte_holds_is_a_byte():
    """The numbers next to bytes, and those that round to one as a float32, go the way of float64."""
    bytes_ = np.arange(256, dtype=np.float64)
    near = [np.nextafter(bytes_, side) for side in (-np.inf, np.inf)]
    values = np.concatenate([bytes_, *near, bytes_ + 0.5, -bytes_, bytes_ + 256, bytes_ * 2.0**52, bytes_ * 2.0**-1060])
    for numbers in ARITHMETIC:
        channels = len(np.atleast_1d(numbers[1]))
        frames = values.repeat(channels).reshape(1, 4, -1, channels)
        got = extract(frames, 1, format=format_of(numbers, channels))[:, 0]
        np.testing.assert_array_equal(bits(got), bits(wanted(frames, numbers, "float32")))


@st.composite
def arrays(draw):
    """One array of values in two dtypes and two memory orders."""
    first, second = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(NUMBERS))
    kinds = [np.dtype(first), np.dtype(second)]
    low = max([np.iinfo(each).min for each in kinds if each.kind in "iu"], default=-(2**70))
    high = min([np.iinfo(each).max for each in kinds if each.kind in "iu"], default=2**70)
    whole = st.integers(low, high) | st.integers(max(low, -3), min(high, 300))
    number = whole if any(each.kind in "iu" for each in kinds) else whole | st.floats(width=16)
    shape = (1, draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 5)))
    drawn = draw(st.lists(number, min_size=1, max_size=30))
    with np.errstate(over="ignore", invalid="ignore"):
        # What both hold exactly: a number that one rounds is not the same number in the other.
        pairs = [(np.array(each).astype(first), np.array(each).astype(second)) for each in drawn]
        held = [pair for pair, each in zip(pairs, drawn) if same_number(*pair, each)] or [
            (np.zeros((), first), np.zeros((), second))
        ]
    made = [np.resize(np.array([pair[i] for pair in held]), shape) for i in (0, 1)]
    views = [draw(st.sampled_from(list(VIEWS))) for _ in made]
    return [VIEWS[view](array) for view, array in zip(views, made)]


def same_number(one, other, number):
    if one.dtype.kind == other.dtype.kind == "f":
        return bool(one == other)  # "not a number" is equal to none
    return one.item() == other.item() == number


@settings(deadline=None, max_examples=300 if LONG else 120)
@given(pair=arrays(), data=st.data())
def test_equal_numbers(pair, data):
    channels = pair[0].shape[3]
    kind, order = data.draw(st.sampled_from(FLOATS)), data.draw(st.sampled_from(ORDERS))
    scale = data.draw(st.sampled_from([1.0, 1 / 255, -3.0]))
    mean, std = data.draw(st.floats(-2, 200)), data.draw(st.floats(0.25, 4))
    format = format_of((scale, mean * abs(scale), std * abs(scale)), channels, dtype=kind, order=order)
    one, other = (extract(each, 1, format=format) for each in pair)
    np.testing.assert_array_equal(bits(one), bits(other))
    values = pair[0].astype(np.float64)
    single = extract(pair[0], 1, format=format_of((scale, mean * abs(scale), std * abs(scale)), channels))[:, 0]
    expected = (values * scale - mean * abs(scale)) / (std * abs(scale))
    np.testing.assert_allclose(single, expected.astype(np.float32), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_a_video_is_written_as_its_bytes_are_in_any_dtype(make_video, whole, pix_fmt, kind):
    path = make_video(6, pix_fmt=pix_fmt)
    format = clipx.ClipFormat(mean="kinetics", dtype=kind, order="CTHW", crop=(5, 7, 31, 33), flip=True)
    got = [clip.data for clip in clipx.video.clips(path, clipx.WindowSpec(3), format)]
    for dtype in ("u1", "i4", "f4"):
        expected = extract(whole(path).astype(dtype), 3, format=format)
        np.testing.assert_array_equal(bits(np.stack(got)), bits(expected))


def test_every_implementation():
    assert not any(printed_by_implementations(__file__).values())


if __name__ == "__main__":
    for numbers, channels in itertools.product(ARITHMETIC, (1, 3, 4)):
        test_every_byte_in_every_dtype(numbers, channels)
    test_only_what_a_byte_holds_is_a_byte()
    print(clipx.simd)
