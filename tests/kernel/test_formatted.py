"""Frames of arrays as a format says: every number, order, stride, dtype and policy, random views, and every check."""

import ctypes
import gc
import hashlib
import itertools
import mmap
import os
import subprocess
import sys
import threading
import weakref
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import clipx
from clipx import _kernel, windows
from clipx.format import PRESETS
from clipx.windows import extract, iterate

CACHED, STREAMING = 1, 1 << 50
GUARD = 192
LEFT_ALONE = 0xA5

FLOATS = ("float32", "float16", "bfloat16")
KINDS = ("uint8", *FLOATS)
ORDERS = ("THWC", "TCHW", "CTHW")
POLICIES = ("drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad")
NUMBERS = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
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


def table_of(n, length, stride=None, dilation=1, policy="drop", num_clips=None, **_):
    at = reference.starts(n, length, stride, dilation, policy, num_clips)
    return reference.indices(n, at, length, dilation, policy)


def with_fill(frames, plan):
    """The frames and one of fill_value, which comes last, where a table's -1 finds it."""
    return np.concatenate([frames, np.full((1, *frames.shape[1:]), plan.get("fill_value", 0)).astype(frames.dtype)])


def laid_out(frames, format, plan, views=None, numbers=(1.0, 0.0, 1.0)):
    table = table_of(len(frames) - 1, **plan)
    views = [format.view(*frames.shape[1:3])] * len(table) if views is None else views
    order = {"HWC": "THWC", "CHW": "TCHW"}.get(format.order, format.order or "THWC")
    made = reference.formatted(frames, table, views, *numbers, order)
    return made[:, 0] if format.order in ("HWC", "CHW") else made


def expected(frames, format, plan, views=None):
    """The reference's float64."""
    return laid_out(with_fill(frames, plan), format, plan, views, format.arithmetic(frames.shape[3]))


def moved(frames, format, plan, views=None):
    """The frames' own elements, where they only change places: the reference says which."""
    frames = with_fill(frames, plan)
    places = laid_out(np.arange(frames.size).reshape(frames.shape), format, plan, views)
    return frames.reshape(-1)[places.astype(np.int64)]


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


# Numbers


def every_byte(channels, layout="side by side"):
    """All bytes in each channel, in another order in each: (1, 1, 256, channels)."""
    rows = [np.roll(np.arange(256, dtype=np.uint8), 85 * c) for c in range(channels)]
    room = np.zeros((1, 1, 256, channels + 1), np.uint8)
    seen = room[..., :channels] if layout == "apart" else np.empty((1, 1, 256, channels), np.uint8)
    seen[0, 0] = np.stack(rows, axis=1)
    return seen


@pytest.mark.parametrize("layout", ["side by side", "apart"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_byte_of_presets(name, order, layout):
    mean, std = PRESETS[name]
    frames = every_byte(3, layout)
    wanted = reference.formatted(frames, np.array([[0]]), [(0, 0, 1, 256, False)], 1 / 255, mean, std, order)
    single = extract(frames, 1, format=clipx.ClipFormat(mean=name, order=order))
    near(single, wanted)
    for kind in FLOATS:
        same(extract(frames, 1, format=clipx.ClipFormat(mean=name, order=order, dtype=kind)), rounded(single, kind))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("numbers", HARSH, ids=str)
def test_every_byte_of_harsh_numbers(numbers, channels):
    scale, mean, std = numbers
    frames = every_byte(channels)
    format = clipx.ClipFormat(scale=scale, mean=mean, std=std)
    single = extract(frames, 1, format=format)
    near(single, expected(frames, format, {"length": 1}))
    for kind in ("float16", "bfloat16"):
        got = np.zeros(single.shape, np.uint16)
        how = _kernel.Output(kind, "THWC", *format.arithmetic(channels))
        _kernel.Formatted(frames, how).write(got, np.array([[0]]), [(0, 0, 1, 256, False)])
        same(got.view(dtype_of(kind)), rounded(single, kind))


def test_numbers_that_are_nothing_but_the_rounding_of_float64():
    """254 * 0.3 - 76.2 is 1.4e-14 in float64, and 0 in decimals: a std that makes something of it is refused."""
    with pytest.raises(ValueError, match=r"std is 1e-09, so small beside mean 76\.2 and scale 0\.3"):
        clipx.ClipFormat(scale=0.3, mean=76.2, std=1e-9)
    frames, format = every_byte(3), clipx.ClipFormat(scale=0.3, mean=76.2, std=2e-8)
    near(extract(frames, 1, format=format), expected(frames, format, {"length": 1}))


@pytest.mark.parametrize("seed", range(4))
def test_random_numbers_of_all_sizes(seed):
    rng, frames = np.random.default_rng(seed), every_byte(3)
    for _ in range(100):
        scale = float(rng.choice([-1, 1]) * 10.0 ** rng.uniform(-6, 3))
        mean = tuple((rng.uniform(-300, 300, 3) * scale).tolist())
        std = tuple((10.0 ** rng.uniform(-4, 3, 3) * abs(scale)).tolist())
        format = clipx.ClipFormat(scale=scale, mean=mean, std=std)
        single = extract(frames, 1, format=format)
        near(single, expected(frames, format, {"length": 1}))
        same(single[0, 0], reference.floats(frames[0].astype(np.float64), scale, mean, std))
        same(extract(frames, 1, format=replace(format, dtype="bfloat16")), rounded(single, "bfloat16"))
        if np.abs(single).max() < 65504:
            same(extract(frames, 1, format=replace(format, dtype="float16")), rounded(single, "float16"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_halves_at_the_edge_of_infinity(channels, sign):
    frames = every_byte(channels)
    got = np.zeros((1, 1, 1, 256, channels), np.float16)
    output = _kernel.Output("float16", "THWC", sign * 16.0, [sign * -61440.0] * channels, [1.0] * channels)
    _kernel.Formatted(frames, output).write(got, np.array([[0]]), [(0, 0, 1, 256, False)])
    same(got[0, 0], rounded(frames[0] * np.float32(sign * 16) + np.float32(sign * 61440), "float16"))
    assert np.unique(sign * got)[-2:].tolist() == [65504, np.inf]


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_every_rounding_of_floats(kind):
    """All 16-bit floats, what lies halfway to the next, and the floats on both sides of that."""
    narrow = np.arange(1 << 16, dtype=np.uint16).view(dtype_of(kind)).astype(np.float32)
    later = np.append(narrow[1:], narrow[:1])
    with np.errstate(over="ignore", invalid="ignore"):
        halfway = ((narrow.astype(np.float64) + later) / 2).astype(np.float32)
        around = [np.nextafter(halfway, np.float32(to)) for to in (-np.inf, np.inf)]
        values = np.concatenate([narrow, halfway, *around]).reshape(1, 4, -1, 1)
        doubles = values.astype(np.float64)
    for source in (values, doubles):
        got = extract(source, 1, format=clipx.ClipFormat(dtype=kind))
        same(got[0], rounded(values, kind))


@pytest.mark.parametrize("kind", FLOATS)
def test_no_numbers_and_infinity_pass_through(kind):
    values = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5]
    for dtype, channels in itertools.product(["f2", "f4", "f8"], [1, 3]):
        frames = np.array(values, dtype).repeat(channels).reshape(1, 1, -1, channels)
        for numbers in ({}, {"mean": 0.5, "std": -2.0}):
            got = extract(frames, 1, format=clipx.ClipFormat(dtype=kind, **numbers))[0, 0, 0, :, 0].astype(np.float32)
            turned = -1 if numbers else 1
            assert np.isnan(got[:2]).all()
            assert (got[2:4] * turned).tolist() == [np.inf, -np.inf]
            assert got[4:].tolist() == ([0.25, 0.25, -0.5] if numbers else [0, 0, 1.5])
            assert not numbers or not np.signbit(got[4])


def test_every_half_is_read():
    frames = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(1, 256, 256, 1)
    same(extract(frames, 1, format=clipx.ClipFormat(dtype="float32"))[0], frames.astype(np.float32))
    same(extract(frames, 1, format=clipx.ClipFormat(dtype="float16", order="CTHW"))[0, 0], frames[..., 0])


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_integers_beyond_what_doubles_hold(dtype):
    top = np.iinfo(dtype).max
    frames = np.array([top, top - 1, top // 2, 2**53 + 1, 2**53 + 3, np.iinfo(dtype).min], dtype).reshape(1, 1, 6, 1)
    check(frames, clipx.ClipFormat(scale=0.5, mean=3.0, std=7.0), length=1)
    check(frames, clipx.ClipFormat(dtype="bfloat16"), length=1)


def test_a_float_that_holds_too_little_becomes_infinity():
    frames = np.array([1e300, -1e300, 1e38, 7e4], np.float64).reshape(1, 1, 4, 1)
    for kind, wanted in (
        ("float32", [np.inf, -np.inf, 1e38, 7e4]),
        ("bfloat16", [np.inf, -np.inf, 1e38, 7e4]),
        ("float16", [np.inf, -np.inf, np.inf, np.inf]),
    ):
        got = extract(frames, 1, format=clipx.ClipFormat(dtype=kind)).reshape(-1)
        same(got, rounded(np.array(wanted, np.float32), kind))


# Rows


def guarded(size, offset, item):
    """Zeroed items of so many bytes inside more bytes, at any address, and a check that those are left alone."""
    around = np.full(size + 2 * GUARD, LEFT_ALONE, np.uint8)
    start = GUARD // 2 + offset
    inside = around[start : start + size]
    inside[:] = 0

    def check_guards():
        assert (around[:start] == LEFT_ALONE).all()
        assert (around[start + size :] == LEFT_ALONE).all()

    return inside.view(f"u{item}"), check_guards


SCALE, MEAN, STD = -1 / 200, [0.1, -0.456, 7.0, 1e3, 2.5], [0.2, 1e-3, -0.7, 3.0, 1e2]


def output(kind, order, channels):
    if kind == "uint8":
        return _kernel.Output(kind, order, 1.0, [0.0] * channels, [1.0] * channels)
    return _kernel.Output(kind, order, SCALE, MEAN[:channels], STD[:channels])


def converted(frames, kind):
    if kind == "uint8":
        return frames
    channels = frames.shape[3]
    return rounded(reference.floats(frames.astype(np.float64), SCALE, MEAN[:channels], STD[:channels]), kind)


def ordered(clips, order):
    return np.ascontiguousarray(clips.transpose(0, *(1 + "THWC".index(each) for each in order)))


def write(formatted, kind, table, views, size, footprint=0, offset=0):
    """The bytes that the kernel writes, with nothing around them touched."""
    item = 1 if kind == "uint8" else dtype_of(kind).itemsize
    channels = formatted[1]
    target, check_guards = guarded(table.size * size[0] * size[1] * channels * item, offset, item)
    formatted[0].write(target, table, views, footprint)
    check_guards()
    return target.tobytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_width(kind, order, channels):
    table, how = np.array([[0, 1], [1, 0]]), output(kind, order, channels)
    for width, height in itertools.product(range(1, 131), range(1, 5)):
        frames = numbers((2, height, width, channels), seed=width)
        made = converted(frames, kind)[table]
        formatted = _kernel.Formatted(frames, how), channels
        for flip, footprint in ((False, CACHED), (True, STREAMING), (False, STREAMING), (True, CACHED)):
            wanted = ordered(made[:, :, :, ::-1] if flip else made, order).tobytes()
            view, offset = (0, 0, height, width, flip), (7 * width + 13 * height) % 71
            got = write(formatted, kind, table, [view], (height, width), footprint, offset)
            assert got == wanted, (width, height, flip, footprint)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_alignment(kind, order, channels):
    """Planes that begin at whole lines and planes that do not; lines longer than what is converted at a time."""
    how = output(kind, order, channels)
    for height, width in ((4, 64), (3, 65), (2, 1100)):
        frames, table = numbers((3, height, width, channels)), np.array([[0, 2], [2, 1]])
        formatted, wanted = (_kernel.Formatted(frames, how), channels), ordered(converted(frames, kind)[table], order)
        for offset in range(0, 70, 1 if width < 100 else 9):
            view = [(0, 0, height, width, False)]
            assert write(formatted, kind, table, view, (height, width), STREAMING, offset) == wanted.tobytes()


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
@pytest.mark.parametrize("kind", FLOATS)
def test_targets_of_numbers_at_odd_addresses(kind, dtype):
    frames, table = numbers((2, 3, 300, 2), dtype), np.array([[0, -1], [1, 0]])
    for order, offset in itertools.product(ORDERS, (0, 1, 2, 3, 63)):
        formatted = _kernel.Formatted(frames, output(kind, order, 2)), 2
        made = converted(frames, kind)[table]
        made[0, 1] = 0
        got = write(formatted, kind, table, [(0, 0, 3, 300, False)], (3, 300), 0, offset)
        assert got == ordered(made, order).tobytes()


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_every_corner(order, channels):
    height, width = 5, 67
    frames = numbers((3, height, width, channels))
    kinds = ("uint8", "float32") if channels != 2 else ("float32",)
    for y, x in itertools.product((0, 1, 4), (0, 1, 2, 31, 66)):
        sizes = {(height - y, width - x), (1, 1), (height - y, 1), (1, width - x), (height - y, (width - x + 1) // 2)}
        for (h, w), flip, kind in itertools.product(sizes, (False, True), kinds):
            format = clipx.ClipFormat(crop=(y, x, h, w), flip=flip, order=order, dtype=kind)
            seen = frames[:, y : y + h, x : x + w]
            wanted = ordered((seen[:, :, ::-1] if flip else seen)[None], order).astype(kind)
            same(extract(frames, 3, format=format), wanted)


@pytest.mark.parametrize("footprint", [CACHED, STREAMING])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_overlapping_clips_equal_each_alone(kind, order, footprint):
    """All clips at once are written frame by frame, one alone place by place."""
    frames = numbers((9, 5, 37, 3))
    formatted, view = (_kernel.Formatted(frames, output(kind, order, 3)), 3), (1, 3, 4, 33, True)
    table = np.array([[i, i + 2, 4, i] for i in range(7)])
    table[2, 1] = table[5, 3] = -1
    together = write(formatted, kind, table, [view], (4, 33), footprint, 5)
    alone = [write(formatted, kind, row[None], [view], (4, 33), footprint, 3) for row in table]
    assert together == b"".join(alone)
    assert together == write(formatted, kind, table, [view] * 7, (4, 33), footprint, 5)


@pytest.mark.parametrize("footprint", [CACHED, STREAMING])
def test_a_view_for_each_clip(footprint):
    frames, rng = numbers((6, 20, 70, 3)), np.random.default_rng(0)
    table = rng.integers(0, 6, (40, 3))
    views = [(*rng.integers(0, (9, 38)).tolist(), 12, 33, bool(rng.integers(2))) for _ in table]
    wanted = reference.formatted(frames, table, views, order="CTHW").astype(np.uint8)
    formatted = _kernel.Formatted(frames, output("uint8", "CTHW", 3)), 3
    assert write(formatted, "uint8", table, views, (12, 33), footprint, 1) == wanted.tobytes()


def fenced(size):
    """Bytes that end where a page begins that nobody may touch, for as long as the process runs."""
    page = mmap.PAGESIZE
    room = -(-size // page) * page
    mapped = mmap.mmap(-1, room + page)
    libc, start = ctypes.CDLL(None, use_errno=True), ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    assert libc.mprotect(ctypes.c_void_p(start + room), ctypes.c_size_t(page), 0) == 0, ctypes.get_errno()
    return np.frombuffer(mapped, np.uint8, room)[room - size :]


def show_digest():
    """Print a digest of clips of every kind, order, width and store; nothing is touched past frames and clips."""
    seen = hashlib.sha256()
    largest = 2 * 3 * 130 * 3
    room, target = fenced(largest), fenced(4 * largest)
    room[:] = numbers(largest)
    for width in range(1, 131):
        for channels, kind, order in itertools.product((1, 3), KINDS, ORDERS):
            size = 2 * 3 * width * channels
            frames, dtype = room[-size:].reshape(2, 3, width, channels), output_dtype(kind)
            for x, flip in ((0, False), (width // 2, True)):
                view = [(0, x, 3, width - x, flip)]
                out = target[-(size // width * (width - x)) * dtype.itemsize :].view(dtype)
                footprint = STREAMING if width % 3 == 0 else CACHED
                _kernel.Formatted(frames, output(kind, order, channels)).write(out, np.array([[0, 1]]), view, footprint)
                seen.update(out)
    for width in range(1, 131):
        for channels, kind, order in itertools.product((1, 3), KINDS, ORDERS):
            frames = numbers((2, 3, width, channels), seed=width)
            formatted = _kernel.Formatted(frames, output(kind, order, channels)), channels
            view = [(0, 0, 3, width, width % 2 == 0)]
            footprint = STREAMING if width % 3 == 0 else CACHED
            seen.update(write(formatted, kind, np.array([[0, 1]]), view, (3, width), footprint, width % 64))
    for scale, mean, std in HARSH:
        for channels, kind in itertools.product((1, 3), FLOATS):
            frames = every_byte(channels)
            how = _kernel.Output(kind, "THWC", scale, [mean] * channels, [std] * channels)
            seen.update(
                write((_kernel.Formatted(frames, how), channels), kind, np.array([[0]]), [(0, 0, 1, 256, 0)], (1, 256))
            )
    print(clipx.simd, seen.hexdigest())


@pytest.mark.skipif(sys.platform == "win32", reason="no mprotect")
def test_every_implementation_gives_the_same_bits():
    digests = {}
    for name in _kernel.implementations:
        env = {**os.environ, "CLIPX_SIMD": name, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, __file__]
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, f"{name}: {ran.returncode} {ran.stderr}"
        ran_as, digests[name] = ran.stdout.split()
        assert ran_as == name
    assert len(set(digests.values())) == 1, digests


# Sources


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


def padded(x):
    room = np.zeros(tuple(each + 3 for each in x.shape), x.dtype)
    seen = room[1:-2, 1:-2, 1:-2, 1:-2]
    seen[...] = x
    return seen


def unaligned(x):
    room = np.zeros(x.nbytes + 1, np.uint8)
    room[1:] = np.frombuffer(x.tobytes(), np.uint8)
    return room[1:].view(x.dtype).reshape(x.shape)


def stored(x, *axes):
    """The same array, its dimensions stored in another order."""
    return np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))


SEEN = {
    "as it is": lambda x: x,
    "every other frame": lambda x: x.repeat(2, 0)[::2],
    "every other row": lambda x: x.repeat(2, 1)[:, ::2],
    "every other column": lambda x: x.repeat(2, 2)[:, :, ::2],
    "every other channel": lambda x: x.repeat(2, 3)[..., ::2],
    "frames backwards": lambda x: x[::-1].copy()[::-1],
    "rows backwards": lambda x: x[:, ::-1].copy()[:, ::-1],
    "columns backwards": lambda x: x[:, :, ::-1].copy()[:, :, ::-1],
    "channels backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "all backwards": lambda x: x[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
    "padded": padded,
    "channels of more": lambda x: np.concatenate([x, x], 3)[..., : x.shape[3]],
    "columns of more": lambda x: np.concatenate([x, x], 2)[:, :, : x.shape[2]],
    "Fortran": np.asfortranarray,
    "columns first": lambda x: stored(x, 0, 2, 1, 3),
    "channels first": lambda x: stored(x, 0, 3, 1, 2),
    "channels before time": lambda x: stored(x, 3, 0, 1, 2),
    "time last": lambda x: stored(x, 1, 2, 3, 0),
    "unaligned": unaligned,
    "one frame": lambda x: np.broadcast_to(x[:1], x.shape),
    "one row": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "one column": lambda x: np.broadcast_to(x[:, :, :1], x.shape),
    "one channel": lambda x: np.broadcast_to(x[..., :1], x.shape),
    "one number": lambda x: np.broadcast_to(x[:1, :1, :1, :1], x.shape),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "?", "i2", "f4"])
@pytest.mark.parametrize("seen", SEEN)
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


# Plans


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


@settings(deadline=None, max_examples=300)
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
            place = np.moveaxis(got[1], {"CTHW": 1}.get(order, 0), 0)
            same(
                np.ascontiguousarray(place[1:2]), np.ascontiguousarray(np.moveaxis(alone, {"CTHW": 1}.get(order, 0), 0))
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


# Random views


NAMED = np.arange(40 * 50).reshape(40, 50)


def found(clip):
    """(y, x, h, w, flip) of a clip (h, w) of a picture whose pixels have their places as numbers."""
    flip = bool(clip.shape[1] > 1 and clip[0, 1] < clip[0, 0])
    y, x = divmod(int(clip[0, -1] if flip else clip[0, 0]), 50)
    return y, x, *clip.shape, flip


def drawn(rng, format, n=64, **plan):
    frames = np.broadcast_to(NAMED[None, :, :, None].astype("i4"), (n, 40, 50, 1))
    clips = extract(frames, **{"length": 2, **plan}, format=format, rng=rng)
    views = [found(clip[0, :, :, 0]) for clip in clips]
    for clip, (y, x, h, w, flip) in zip(clips, views):
        seen = NAMED[y : y + h, x : x + w]
        assert (clip[..., 0] == (seen[:, ::-1] if flip else seen)).all()
    for clip, wanted in zip(iterate(frames, **{"length": 2, **plan}, format=format, rng=rng), clips, strict=True):
        same(clip, wanted)
    return views


RANDOM = [
    {"crop": ("random", 8)},
    {"crop": ("random", (40, 9))},
    {"crop": ("random", (1, 50)), "flip": True},
    {"crop": (3, 5, 7, 8), "flip": 0.5},
    {"crop": ("random", (5, 7)), "flip": 0.3},
]


@pytest.mark.parametrize("format", RANDOM, ids=str)
def test_the_seed_says_what_is_drawn(format):
    format = clipx.ClipFormat(**format)
    views = drawn(3, format)
    assert views == drawn(3, format)
    assert views != drawn(4, format)
    assert len(set(views)) > 1
    assert drawn(3, format, n=20) == views[:10]
    frames = np.broadcast_to(NAMED[None, :, :, None], (64, 40, 50, 1))
    with_seed, with_generator = (extract(frames, 2, format=format, rng=rng) for rng in (3, np.random.default_rng(3)))
    same(with_generator, with_seed)


def test_a_generator_goes_on():
    format, rng = clipx.ClipFormat(crop=("random", 8)), np.random.default_rng(0)
    frames = np.broadcast_to(NAMED[None, :, :, None], (20, 40, 50, 1))
    first, second = (extract(frames, 2, format=format, rng=rng) for _ in range(2))
    assert (first != second).any()
    untouched = np.random.default_rng(0)
    extract(frames, 2, format=clipx.ClipFormat(crop=8, flip=True), rng=untouched)
    assert untouched.integers(1 << 60) == np.random.default_rng(0).integers(1 << 60)


def test_without_a_seed_no_two_runs_are_alike():
    format = clipx.ClipFormat(crop=("random", 8))
    frames = np.broadcast_to(NAMED[None, :, :, None], (40, 40, 50, 1))
    assert (extract(frames, 2, format=format) != extract(frames, 2, format=format)).any()


def test_starts_are_those_without_a_format():
    frames = np.broadcast_to(np.arange(500)[:, None, None, None], (500, 9, 9, 1))
    plan = {"length": 2, "num_clips": 20, "sampling": "random"}
    starts = windows.starts(500, **plan, rng=6).tolist()
    for format in (clipx.ClipFormat(crop=("random", 5), flip=0.5), clipx.ClipFormat(crop=5)):
        assert extract(frames, **plan, format=format, rng=6)[:, 0, 0, 0, 0].tolist() == starts
        assert [clip[0, 0, 0, 0] for clip in iterate(frames, **plan, format=format, rng=6)] == starts


def test_crops_are_drawn_from_everywhere_and_as_often_as_said():
    views = drawn(0, clipx.ClipFormat(crop=("random", (38, 48)), flip=0.3), n=2000, length=1)
    places = [view[:2] for view in views]
    assert set(places) == set(itertools.product(range(3), range(3)))
    assert min(places.count(each) for each in set(places)) > 150
    assert 0.25 < np.mean([view[4] for view in views]) < 0.35
    assert {view[4] for view in drawn(0, clipx.ClipFormat(flip=0.0))} == {False}
    assert {view[4] for view in drawn(0, clipx.ClipFormat(flip=1.0))} == {True}


def test_a_random_crop_of_the_whole_picture():
    assert set(drawn(0, clipx.ClipFormat(crop=("random", (40, 50)), flip=0.5))) == {
        (0, 0, 40, 50, False),
        (0, 0, 40, 50, True),
    }


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [None, *FLOATS])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_random_views_in_every_kind_and_order(dtype, kind, order):
    """The same seed draws the same views, whatever the frames are made into."""
    frames = numbers((30, 12, 20, 3), dtype)
    format = clipx.ClipFormat(crop=("random", (7, 9)), flip=0.5, dtype=kind, order=order)
    places = np.broadcast_to(np.arange(240, dtype="i4").reshape(1, 12, 20, 1), (30, 12, 20, 1))
    views = []
    for clip in extract(places, 4, 3, policy="constant", format=replace(format, dtype=None, order=None), rng=8):
        flip = bool(clip[0, 0, 1] < clip[0, 0, 0])
        views.append((*divmod(int(clip[0, 0, -1 if flip else 0, 0]), 20), 7, 9, flip))
    plan = {"length": 4, "stride": 3, "policy": "constant", "fill_value": 9}
    got = extract(frames, **plan, format=format, rng=8)
    wanted = moved(frames, format, plan, views).astype(np.float32)
    same(got, wanted.astype(got.dtype) if kind is None else rounded(wanted, kind))
    pool = clipx.ClipPool(4, got.shape[1:], got.dtype)
    for clip, row in zip(iterate(frames, **plan, format=format, rng=8, pool=pool), got, strict=True):
        same(clip, row)


# What is refused


PLAIN = np.zeros((4, 6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("frames", "format", "match"),
    [
        (PLAIN, {"mean": (1, 2)}, "mean has 2 numbers, but the frames have 3 channels"),
        (PLAIN, {"std": (1, 2, 3, 4)}, "std has 4 numbers, but the frames have 3 channels"),
        (PLAIN[..., :1], {"mean": "imagenet"}, "mean has 3 numbers, but the frames have 1 channels"),
        (PLAIN, {"resize": 4}, "resize is 4, but arrays are not resized"),
        (PLAIN, {"resize": (6, 8)}, r"resize is \(6, 8\), but arrays are not resized"),
        (PLAIN, {"crop": 7}, r"crop is \(7, 7\), but the picture is 6 by 8"),
        (PLAIN, {"crop": (1, 0, 6, 8)}, r"crop is \(1, 0, 6, 8\), but the picture is 6 by 8"),
        (PLAIN, {"crop": (0, 1, 6, 8)}, r"crop is \(0, 1, 6, 8\)"),
        (PLAIN, {"crop": ("random", 7)}, r"crop is \('random', \(7, 7\)\), but the picture is 6 by 8"),
        (PLAIN, {"crop": ("random", (2, 9))}, r"crop is \('random', \(2, 9\)\)"),
        (PLAIN, {"order": "HWC"}, "order is 'HWC', which is for clips of one frame, but length is 2"),
        (PLAIN, {"order": "CHW"}, "order is 'CHW', which is for clips of one frame, but length is 2"),
        (PLAIN[..., 0], {}, r"frames has shape \(4, 6, 8\), but a format is for \(n, height, width, channels\)"),
        (PLAIN[None], {}, r"frames has shape \(1, 4, 6, 8, 3\)"),
        (PLAIN[:, :0], {}, r"frames has shape \(4, 0, 8, 3\), but a format needs pictures"),
        (PLAIN[..., :0], {}, r"frames has shape \(4, 6, 8, 0\)"),
        (PLAIN.astype("f4"), {"dtype": "uint8"}, "dtype is 'uint8', which cannot hold the frames' float32"),
        (PLAIN.astype("i1"), {"dtype": "uint8"}, "dtype is 'uint8', which cannot hold the frames' int8"),
        (PLAIN.astype("u2"), {"dtype": "uint8"}, "dtype is 'uint8', which cannot hold the frames' uint16"),
        (PLAIN.astype(">i4"), {"dtype": "float32"}, "frames has dtype >i4, .* byte order"),
        (PLAIN.astype(">f4"), {"dtype": "float32"}, "frames has dtype >f4, .* byte order"),
        (PLAIN.astype(">f8"), {"mean": 1.0}, "frames has dtype >f8, .* byte order"),
        (PLAIN.astype("c8"), {"dtype": "float32"}, "frames has dtype complex64, but a format is for numbers"),
        (PLAIN.astype("S3"), {"mean": 1.0}, r"frames has dtype \|S3, but a format is for numbers"),
        (PLAIN.astype("U3"), {"dtype": "float16"}, "frames has dtype <U3, but a format is for numbers"),
        (PLAIN.astype("M8[s]"), {"dtype": "uint8"}, r"frames has dtype datetime64\[s\], but a format is for numbers"),
        (np.zeros((4, 6, 8, 3), "i4,f4"), {"scale": 2.0}, "frames has dtype .*, but a format is for numbers"),
        (PLAIN.astype("g"), {"dtype": "float32"}, "frames has dtype float128"),
    ],
    ids=lambda each: str(each.dtype if isinstance(each, np.ndarray) else each),
)
def test_refused(frames, format, match):
    out, format = np.full(10_000, 77, np.uint8), clipx.ClipFormat(**format)
    for function in (extract, iterate):
        with pytest.raises(ValueError, match=match):
            function(frames, 2, format=format)
    assert (out == 77).all()


def test_refused_before_anything_is_written():
    for dtype, shape in ((np.float64, (2, 2, 6, 8, 3)), (np.float32, (2, 2, 3, 6, 8))):
        out = np.full(shape, 77, dtype)
        with pytest.raises(ValueError, match="out has"):
            extract(PLAIN, 2, format=clipx.ClipFormat(dtype="float32"), out=out)
        assert (out == 77).all()
    with pytest.raises(ValueError, match="out overlaps frames"):
        extract(PLAIN, 2, format=clipx.ClipFormat(flip=True), out=PLAIN.reshape(2, 2, 6, 8, 3))
    with pytest.raises(TypeError, match="format is 'CTHW', but must be a ClipFormat"):
        extract(PLAIN, 2, format="CTHW")
    with pytest.raises(TypeError, match="rng is 'x'"):
        extract(PLAIN, 2, format=clipx.ClipFormat(flip=0.5), rng="x")
    with pytest.raises(ValueError, match="fill_value is 256, which dtype uint8 cannot hold"):
        extract(PLAIN, 3, policy="constant", fill_value=256, format=clipx.ClipFormat(dtype="float32"))
    with pytest.raises(ValueError, match="make the pool with"):
        iterate(PLAIN, 2, format=clipx.ClipFormat(dtype="float32"), pool=clipx.ClipPool(4, (2, 6, 8, 3)))


def test_no_clips():
    for format in (clipx.ClipFormat(crop=("random", 3)), clipx.ClipFormat(crop=3, mean="clip", order="CTHW")):
        for frames in (PLAIN, PLAIN[:0]):
            got = extract(frames, 5, format=format, rng=0)
            assert got.shape in ((0, 5, 3, 3, 3), (0, 3, 5, 3, 3))
            assert list(iterate(frames, 5, format=format, rng=0)) == []
    formatted = _kernel.Formatted(PLAIN, output("float32", "CTHW", 3))
    for views in ([], ONE):
        formatted.write(np.zeros(0, np.float32), np.zeros((0, 2), np.int64), views)


ONE = [(0, 0, 6, 8, False)]


@pytest.mark.parametrize(
    ("size", "table", "views", "error", "match"),
    [
        (143, [[0]], ONE, ValueError, r"dst has \d+ bytes in items of \d for 1 clips of 1 frames"),
        (145, [[0]], ONE, ValueError, r"dst has \d+ bytes"),
        (0, [[0]], ONE, ValueError, "dst has 0 bytes"),
        (144, [[4]], ONE, IndexError, "outside the source's 4 frames"),
        (144, [[-2]], ONE, IndexError, "outside the source's 4 frames"),
        (144, [0], ONE, ValueError, "indices have 1 dimensions"),
        (288, [[0], [1]], ONE * 3, ValueError, "3 views for 2 clips"),
        (288, [[0], [1]], [], ValueError, "0 views for 2 clips"),
        (288, [[0], [1]], [*ONE, (0, 0, 6, 7, False)], ValueError, "not of the same size"),
        (288, [[0], [1]], [*ONE, (1, 0, 6, 8, False)], ValueError, "lies outside the picture"),
        *[
            (144, [[0]], [(*crop, False)], ValueError, "lies outside the picture")
            for crop in [
                (0, 0, 7, 8),
                (0, 0, 6, 9),
                (-1, 0, 6, 8),
                (0, -1, 6, 8),
                (0, 0, 0, 8),
                (0, 0, 6, -1),
                (2**31 - 1, 0, 6, 8),
                (1, 0, 2**31 - 1, 8),
            ]
        ],
        (144, [[0]], [(0, 0, 6, 2**31, False)], OverflowError, "int"),
        (144, [[0]], [(0, 0, 6, 8)], ValueError, "unpack"),
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_bad_writes(kind, size, table, views, error, match):
    item = dtype_of(kind).itemsize
    formatted, target = _kernel.Formatted(PLAIN, output(kind, "CTHW", 3)), np.full(size, 77, kind)
    with pytest.raises(error, match=match):
        formatted.write(target, np.array(table), views)
    assert (target == 77).all()
    with pytest.raises(ValueError, match="dst has 144 bytes in items of"):
        formatted.write(np.zeros(144 // (5 - item), f"u{5 - item}" if item == 1 else "u1"), np.array([[0]]), ONE)


def test_bad_targets_and_tables():
    formatted, table = _kernel.Formatted(PLAIN, output("uint8", "THWC", 3)), np.array([[0]])
    for target in (np.zeros(288, np.uint8)[::2], np.frombuffer(bytes(144), np.uint8)):
        with pytest.raises((ValueError, BufferError)):
            formatted.write(target, table, ONE)
    for bad in (
        table.astype("i4"),
        table.astype("f8"),
        np.zeros((1, 2), np.int64)[:, ::2][:, :1].T[::-1].repeat(2, 0)[::2],
    ):
        if not bad.flags.c_contiguous or bad.dtype != np.int64:
            with pytest.raises(ValueError):
                formatted.write(np.zeros(144, np.uint8), bad, ONE)


@pytest.mark.parametrize(
    ("frames", "kind", "order", "channels", "match"),
    [
        (PLAIN, "uint8", "THWC", 1, r"frames are not \(n, height, width, 1\)"),
        (PLAIN[0], "uint8", "THWC", 3, "frames are not"),
        (PLAIN[:, :0], "float32", "THWC", 3, "frames of 0 by 8 are not read"),
        (PLAIN.astype("c8"), "float32", "THWC", 3, "numbers of format"),
        (PLAIN.astype(">i4"), "float32", "THWC", 3, "numbers of format >i4"),
        (PLAIN.astype("i4"), "uint8", "THWC", 3, "not written as uint8"),
        (np.zeros((4, 6, 8, 2), np.uint8), "uint8", "THWC", 2, "not written as uint8"),
    ],
)
def test_frames_that_the_kernel_does_not_read(frames, kind, order, channels, match):
    with pytest.raises(ValueError, match=match):
        _kernel.Formatted(frames, output(kind, order, channels))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("float64", "THWC", 1.0, [0.0], [1.0]), KeyError, "float64"),
        (("uint8", "HWC", 1.0, [0.0], [1.0]), ValueError, "frames are not written as HWC"),
        (("uint8", "THWC", 1.0, [], []), ValueError, "not of the same channels"),
        (("uint8", "THWC", 1.0, [0.0], [1.0, 2.0]), ValueError, "not of the same channels"),
        (("uint8", "THWC", 1.0, [[0.0]], [[1.0]]), ValueError, "not of the same channels"),
    ],
)
def test_bad_outputs(arguments, error, match):
    with pytest.raises(error, match=match):
        _kernel.Output(*arguments)


WRAPS = """
import numpy as np
from clipx import _kernel
height, width, clips = 4295467, 3161593, 339581
assert 4 * height * width * clips == 2**64 + 4 * 7
frames = np.broadcast_to(np.zeros((1, 1, 1, 1), np.uint8), (1, height, width, 1))
formatted = _kernel.Formatted(frames, _kernel.Output("float32", "THWC", 1.0, [0.0], [1.0]))
try:
    formatted.write(np.zeros(7, np.float32), np.zeros((clips, 1), np.int64), [(0, 0, height, width, False)])
except (ValueError, OverflowError, MemoryError):
    print("refused")
"""


def test_sizes_that_pass_what_an_integer_holds():
    """In a process of its own: where it is not refused, memory is written that is not there."""
    ran = subprocess.run([sys.executable, "-c", WRAPS], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "refused"), ran.stderr


# Lifetimes


HELD = {
    "clip": lambda clip: clip,
    "slice": lambda clip: clip[1:, ::2],
    "bits": lambda clip: clip.view(np.uint8),
    "transposed": lambda clip: clip.transpose(1, 0, 2, 3),
    "memoryview": lambda clip: memoryview(clip.view(np.uint8)),
}


@pytest.fixture(scope="module")
def quick_collections():
    """Keep what exists already out of the collections that an exhausted pool makes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize(
    ("kind", "held"),
    [
        (kind, held)
        for kind in (None, *FLOATS)
        for held in (*HELD, "tensor", "slice of a tensor")
        if kind != "bfloat16" or held in HELD  # torch.from_numpy takes no bfloat16
    ],
)
def test_a_slot_is_kept_while_its_clip_is_seen(kind, held):
    hold = HELD.get(held)
    if hold is None:
        torch = pytest.importorskip("torch")
        hold = torch.from_numpy if held == "tensor" else lambda clip: torch.from_numpy(clip)[1:, 1:]
    frames = numbers((24, 6, 10, 3))
    format = clipx.ClipFormat(dtype=kind, order="CTHW", crop=("random", 5), flip=0.5)
    wanted = extract(frames, 4, format=format, rng=0)
    pool = clipx.ClipPool(3, wanted.shape[1:], wanted.dtype)
    cut = iterate(frames, 4, format=format, rng=0, pool=pool)
    kept = hold(next(cut))
    before = np.asarray(kept).tobytes()
    for i, clip in enumerate(cut, 1):
        same(clip, wanted[i])
        assert np.asarray(kept).tobytes() == before
        del clip
    del cut
    assert pool.stats().leased == 1
    others = [pool.acquire() for _ in range(2)]
    for each in others:
        each.view(np.uint8)[...] = 0xEE
    with pytest.raises(clipx.PoolExhausted):
        pool.acquire()
    assert np.asarray(kept).tobytes() == before
    del kept
    assert pool.stats().free == 1


def test_views_of_bfloat16_made_inside_hold_no_slot():
    format = clipx.ClipFormat(dtype="bfloat16", order="TCHW")
    pool = clipx.ClipPool(2, (2, 3, 6, 8), BFLOAT16)
    for clip in iterate(PLAIN, 2, policy="constant", format=format, pool=pool):
        assert clip.dtype == BFLOAT16
        assert pool.stats().leased == 1
        del clip
    assert pool.stats().free == 2


def test_a_pool_with_too_few_slots_is_refused_or_exhausted():
    format = clipx.ClipFormat(dtype="float32")
    with pytest.raises(ValueError, match="the pool has 1 slots, but a source holds up to 2"):
        iterate(PLAIN, 2, format=format, pool=clipx.ClipPool(1, (2, 6, 8, 3), "f4"))
    pool = clipx.ClipPool(2, (1, 6, 8, 3), "f4")
    cut, held = iterate(PLAIN, 1, format=format, pool=pool), []
    with pytest.raises(clipx.PoolExhausted):
        held.extend(clip for clip in cut)
    assert pool.stats().leased <= 2


def test_clips_share_no_memory():
    for format in (clipx.ClipFormat(), clipx.ClipFormat(order="CTHW"), clipx.ClipFormat(dtype="float16")):
        clips = list(iterate(PLAIN, 2, 1, format=format))
        assert not any(np.shares_memory(a, b) for a, b in itertools.combinations([*clips, PLAIN], 2))


@pytest.mark.parametrize("format", [{}, {"mean": "clip"}, {"crop": ("random", 3)}, {"order": "CTHW"}], ids=str)
def test_clips_do_not_keep_their_source(format):
    frames = numbers((4, 6, 8, 3))
    gone, cut = weakref.ref(frames), iterate(frames, 2, format=clipx.ClipFormat(**format))
    clips = [*cut, extract(frames, 2, format=clipx.ClipFormat(**format))]
    del frames
    assert gone() is None
    assert len(clips) == 3
    assert next(cut, None) is None


if __name__ == "__main__":
    show_digest()
