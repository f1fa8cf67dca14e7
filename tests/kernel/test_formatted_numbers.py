"""Formatted numbers: every byte, float and integer, rounded as the reference rounds."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import reference
from helpers.formatted import FLOATS, HARSH, ORDERS, check, dtype_of, every_byte, expected, near, rounded, same

import clipx
from clipx import _kernel
from clipx.format import PRESETS
from clipx.windows import extract


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
