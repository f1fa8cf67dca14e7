"""Formatted clips of arrays: numbers of every dtype, and the reference in the dtypes and orders of formats."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import reference

from clipx import _kernel
from clipx.windows import extract, iterate
from helpers.windows import table_of

FLOATS = ("float32", "float16", "bfloat16")
KINDS = ("uint8", *FLOATS)
ORDERS = ("THWC", "TCHW", "CTHW")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

# Scale, mean, std. In the last ones bytes lie next to the mean, or far away from it.
HARSH = [
    (1.0, 0.0, 1.0),
    (1 / 255, 0.485, 0.229),
    (1 / 255, 0.0, 1.0),
    (-1 / 255, 0.3, 1e-3),
    (1 / 255, 128 / 255, 1e-3),
    (1.0, 127.3, 1e-3),
    (1.0, 127.00000001, 1e-3),
    (0.1, 0.3, 1e-6),
    (1.0, 1e10, 1.0),
    (1.0, -1e30, 1e25),
    (1e-20, 1e-19, 1e-22),
    (1.0, 3e38, 1e44),
    (1.0, 0.0, -1e30),
    (1e30, 5e31, 1e29),
    (2.0**-25, 0.0, 1.0),
    (-(2.0**-20), 7 * 2.0**-21, 1.0),
    (1 + 2.0**-11, 0.0, 1.0),
    (1 + 2.0**-8, 0.0, 1.0),
    (256.0, -224.0, 1.0),
]


def dtype_of(kind):
    return BFLOAT16 if kind == "bfloat16" else np.dtype(kind)


def output_dtype(kind):
    """As the kernel sees items: bfloat16 as its bits."""
    return np.dtype("u2") if kind == "bfloat16" else np.dtype(kind)


def numbers(shape, dtype="uint8", seed=0):
    """Random numbers of a dtype, of every size that it holds."""
    dtype, rng = np.dtype(dtype), np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "f":
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(dtype)
    native = np.dtype(dtype.str[1:]) if dtype.isnative is False else dtype
    return rng.integers(*(np.iinfo(native).min, np.iinfo(native).max), shape, native, endpoint=True).astype(dtype)


def rounded(floats, kind):
    """float32 to a kind, to nearest even."""
    with np.errstate(over="ignore", invalid="ignore"):
        return floats.astype(dtype_of(kind))


def bits(array):
    return array.view(f"u{array.itemsize}")


def same(got, wanted):
    """Equal bit for bit, but for the bits of what is not a number."""
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    if got.tobytes() != wanted.tobytes():
        no_numbers = np.isnan(wanted.astype(np.float32))
        np.testing.assert_array_equal(np.isnan(got.astype(np.float32)), no_numbers)
        np.testing.assert_array_equal(bits(got)[~no_numbers], bits(wanted)[~no_numbers])


def near(got, wanted):
    """float32 within 1e-6 of float64, relative to what is above 1; what is not finite is so in both."""
    assert (got.dtype, got.shape) == (np.float32, wanted.shape)
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(got[~finite], wanted[~finite].astype(np.float32))
    error = np.abs(got[finite].astype(np.float64) - wanted[finite]) / np.maximum(1, np.abs(wanted[finite]))
    assert error.max(initial=0) <= 1e-6


def with_fill(frames, plan):
    """The frames and one of fill_value, which comes last, where a table's -1 finds it."""
    return np.concatenate([frames, np.full((1, *frames.shape[1:]), plan.get("fill_value", 0)).astype(frames.dtype)])


def laid_out(frames, format, plan, views=None, numbers=(1.0, 0.0, 1.0)):
    table = table_of(len(frames) - 1, **plan)
    views = [*format.views(*frames.shape[1:3])] * len(table) if views is None else views
    order = {"HWC": "THWC", "CHW": "TCHW"}.get(format.order, format.order or "THWC")
    made = reference.formatted(frames, table, views, *numbers, order)
    return made[:, 0] if format.order in ("HWC", "CHW") else made


def expected(frames, format, plan, views=None):
    """The reference's float64."""
    return laid_out(with_fill(frames, plan), format, plan, views, format.arithmetic(frames.shape[3]))


def moved(frames, format, plan, views=None):
    """The frames' own elements, where they only change places: the reference says which."""
    frames = with_fill(frames, plan)
    positions = laid_out(np.arange(frames.size).reshape(frames.shape), format, plan, views)
    return frames.reshape(-1)[positions.astype(np.int64)]


def exact(frames, format, plan, views=None):
    """The reference's float32, to the bit."""
    laid = laid_out(with_fill(frames, plan), format, plan, views)
    axis = 1 + (format.order or "THWC").index("C")
    floats = reference.floats(np.moveaxis(laid, axis, -1), *format.arithmetic(frames.shape[3]))
    return np.ascontiguousarray(np.moveaxis(floats, -1, axis))


def check(frames, format, views=None, **plan):
    """`extract` and `iterate` against the reference, in every kind of float or in the format's own dtype."""
    before = frames.tobytes()
    got = extract(frames, format=format, **plan)
    assert got.flags.owndata
    assert got.flags.c_contiguous
    if format.dtype not in FLOATS:
        same(got, moved(frames, format, plan, views).astype(frames.dtype if format.dtype is None else format.dtype))
    else:
        single = extract(frames, format=replace(format, dtype="float32"), **plan)
        same(single, exact(frames, format, plan, views))
        near(single, expected(frames, format, plan, views))
        same(got, rounded(single, format.dtype))
    clips = list(iterate(frames, format=format, **plan))
    assert len(clips) == len(got)
    for clip, row in zip(clips, got):
        same(clip, row)
        assert clip.flags.owndata
        assert clip.flags.c_contiguous
        assert clip.flags.writeable
    assert frames.tobytes() == before
    return got


def every_byte(channels, layout="side by side"):
    """All bytes in each channel, in another order in each: (1, 1, 256, channels)."""
    rows = [np.roll(np.arange(256, dtype=np.uint8), 85 * c) for c in range(channels)]
    room = np.zeros((1, 1, 256, channels + 1), np.uint8)
    seen = room[..., :channels] if layout == "apart" else np.empty((1, 1, 256, channels), np.uint8)
    seen[0, 0] = np.stack(rows, axis=1)
    return seen


SCALE, MEAN, STD = -1 / 200, [0.1, -0.456, 7.0, 1e3, 2.5], [0.2, 1e-3, -0.7, 3.0, 1e2]


def output(kind, order, channels):
    if kind not in FLOATS:
        return _kernel.Output(kind, order, 1.0, [0.0] * channels, [1.0] * channels)
    return _kernel.Output(kind, order, SCALE, MEAN[:channels], STD[:channels])


def ordered(clips, order):
    return np.ascontiguousarray(clips.transpose(0, *(1 + "THWC".index(each) for each in order)))
