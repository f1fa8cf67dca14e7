"""Resamplings, and what is written with them, that are refused before anything is read or written."""

import sys

import numpy as np
import pytest
from helpers.formatted import numbers, output
from helpers.pictures import NUMBERS
from helpers.processes import in_child
from helpers.resampled import Rectangle

from clipx import _kernel

NAN, INF = float("nan"), float("inf")
MOST = (1 << 24) - 1


def resampling(**changes):
    arguments = {"picture": (6, 8), "box": (0, 0, 6, 8), "size": (3, 5), "bars": None} | changes
    return _kernel.Resampling(**arguments)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        *[
            ({"picture": each}, ValueError, "picture is ")
            for each in [(0, 8), (6, 0), (-6, 8), (6, MOST + 1), (2**40, 8)]
        ],
        *[({"size": each}, ValueError, "size is ") for each in [(0, 5), (3, 0), (-3, 5), (3, MOST + 1), (2**40, 5)]],
        ({"picture": (2**80, 8)}, OverflowError, "int"),
        ({"size": (3, 2**80)}, OverflowError, "int"),
        ({"size": 3}, TypeError, "iter|unpack|subscriptable"),
        ({"size": (3,)}, ValueError, "unpack"),
        ({"picture": (6, 8, 3)}, ValueError, "unpack"),
        ({"size": (3.5, 5)}, TypeError, "float"),
        *[
            ({"box": each}, ValueError, r"box .* lies outside the picture of 6 by 8")
            for each in [
                *[
                    tuple(np.where(np.arange(4) == i, bad, [0, 0, 6, 8]))
                    for i in range(4)
                    for bad in (NAN, INF, -INF, -0.5)
                ],
                (0, 0, 0, 8),
                (0, 0, 6, 0),
                (0, 0, 6.000001, 8),
                (0, 0, 6, 8.000001),
                (1, 0, 6, 8),
                (0, 1, 6, 8),
                (6.000001, 0, 1e-300, 8),
                (1e308, 0, 1e308, 8),
            ]
        ],
        ({"box": (0, 0, 6)}, ValueError, "unpack"),
        ({"box": (0, 0, "6", 8)}, TypeError, "number"),
        ({"interpolation": "lanczos"}, ValueError, "interpolation is 'lanczos'"),
        ({"interpolation": None}, ValueError, "interpolation is None"),
        ({"interpolation": 2}, TypeError, "interpolation"),
        ({"interpolation": "nearest"}, ValueError, "antialias is True"),
        *[
            ({"bars": each}, ValueError, "do not fit|bars is ")
            for each in [
                (0, 0, 2, 5, 0),
                (0, 0, 3, 4, 0),
                (1, 0, 3, 5, 0),
                (0, 1, 3, 5, 0),
                (-1, 0, 9, 9, 0),
                (0, -1, 9, 9, 0),
                (0, 0, 0, 0, 0),
                (2**31 - 1, 0, 9, 9, 0),
                (0, 0, MOST + 1, 9, 0),
                (0, 0, 9, 2**40, 0),
            ]
        ],
        ({"bars": (0, 0, 9, 9)}, ValueError, "unpack"),
        ({"bars": (0, 0, 9, 9, "x")}, TypeError, "number"),
        ({"bars": (2**40, 0, 9, 9, 0)}, OverflowError, "int"),
    ],
    ids=str,
)
def test_bad_resampling(changes, error, match):
    with pytest.raises(error, match=match):
        resampling(**changes)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area", "nearest"])
def test_boxes_at_the_very_edge(interpolation):
    """Rounding puts the center of the first ones on the edge, behind the last pixel."""
    frames = numbers((1, 10, 10, 3))
    formatted = _kernel.Formatted(frames, output("uint8", "THWC", 3))
    for start in (np.nextafter(10, 0), 10 - 1e-15, 10 - 2e-9, 0.0, 5e-324, np.nextafter(5, 10)):
        pixel = frames[0, int(start), int(start)]
        for extent in (min(10 - start, 1e-9), 1e-300):
            box = (start, start, extent, extent)
            for antialias in (False,) if interpolation == "nearest" else (True, False):
                made = np.zeros((2, 2, 3), np.uint8)
                how = _kernel.Resampling((10, 10), box, (2, 2), interpolation, antialias)
                formatted.write(made, np.array([[0]]), [(0, 0, 2, 2, False)], 0, 1, how)
                assert (made == made[0, 0]).all()
                assert interpolation in ("bilinear", "bicubic") or (made == pixel).all()


@pytest.mark.parametrize("value", [-1, 256, 0.5, NAN, INF, 1e300])
def test_bars_that_no_byte_is(value):
    how, target = resampling(bars=(0, 0, 9, 9, value)), np.full((9, 9, 3), 77, np.uint8)
    for frames in (numbers((1, 6, 8, 3)), numbers((1, 6, 8, 3), "?")):
        formatted = _kernel.Formatted(frames, output("uint8", "THWC", 3))
        with pytest.raises(ValueError, match="bars"):
            formatted.write(target, np.array([[0]]), [(0, 0, 9, 9, False)], 0, 1, how)
    picture = _kernel.Picture("gray", 1, (0, 0, 0), False, (6, 8), NUMBERS)
    with pytest.raises(ValueError, match="bars"):
        picture.write([bytes(48)], [8], output("uint8", "THWC", 3), [(0, 0, 9, 9, False)], [target], 0, how)
    assert (target == 77).all()


WHOLE = [(0, 0, 3, 5, False)]


@pytest.mark.parametrize(
    ("dtype", "kind", "views", "how", "error", "match"),
    [
        ("u1", "uint8", [(0, 0, 6, 8, False)], {}, ValueError, "lies outside the picture of 3 by 5"),
        ("u1", "uint8", [(1, 0, 3, 5, False)], {}, ValueError, "lies outside the picture of 3 by 5"),
        ("u1", "uint8", [(0, 0, 9, 5, False)], {"bars": (0, 0, 8, 5, 0)}, ValueError, "the picture of 8 by 5"),
        ("u1", "uint8", WHOLE, {"picture": (7, 8)}, ValueError, "pictures are 6 by 8, but are resampled from 7 by 8"),
        ("u1", "uint8", WHOLE, {"picture": (6, 9)}, ValueError, "from 6 by 9"),
        ("i2", "uint8", WHOLE, {}, ValueError, "not written as uint8"),
        ("u1", "int8", WHOLE, {}, ValueError, "not written as int8"),
        ("i1", "bool", WHOLE, {}, ValueError, "not written as bool"),
        ("u2", "int16", WHOLE, {}, ValueError, "not written as int16"),
        ("f4", "float64", WHOLE, {}, ValueError, "not written as float64"),
        ("f8", "int64", WHOLE, {}, ValueError, "not written as int64"),
        ("i2", "int16", WHOLE, None, ValueError, "not written as int16 unless they are resampled"),
        ("f8", "float64", WHOLE, None, ValueError, "not written as float64 unless"),
    ],
)
def test_refused_of_arrays(dtype, kind, views, how, error, match):
    items = np.dtype(kind)
    target = np.full(3 * views[0][2] * views[0][3] * items.itemsize, 77, np.uint8)
    frames, resampled = numbers((1, 6, 8, 3), dtype), None if how is None else resampling(**how)

    def write():
        formatted = _kernel.Formatted(frames, output(kind, "THWC", 3))
        formatted.write(target.view(items), np.array([[0]]), views, 0, 1, resampled)

    with pytest.raises(error, match=match):
        write()
    assert (target == 77).all()


def test_refused_resamplings_of_clips():
    formatted = _kernel.Formatted(numbers((1, 6, 8, 3)), output("uint8", "THWC", 3))
    one, table = resampling(), np.zeros((2, 1), np.int64)
    for how, error, match in [
        ([one], ValueError, "1 resamplings for 2 clips"),
        ([one] * 3, ValueError, "3 resamplings for 2 clips"),
        ([], ValueError, "0 resamplings for 2 clips"),
        ([one, resampling(size=(3, 4))], ValueError, "not of one size"),
        ([one, resampling(picture=(7, 8))], ValueError, "from 7 by 8"),
        ([one, None], TypeError, "None"),
        ([one, 3], TypeError, "Resampling"),
        ("bilinear", TypeError, "Resampling"),
        ((one, one), TypeError, "Resampling"),
    ]:
        target = np.full((2, 3, 5, 3), 77, np.uint8)
        with pytest.raises(error, match=match):
            formatted.write(target, table, WHOLE, 0, 1, how)
        assert (target == 77).all()
    with pytest.raises(ValueError, match="dst has 90 bytes"):
        formatted.write(np.zeros(90, np.uint8), np.zeros((3, 1), np.int64), WHOLE, 0, 1, one)
    assert formatted.write(np.zeros(0, np.uint8), np.zeros((0, 1), np.int64), WHOLE, 0, 1, one) is False
    assert formatted.write(np.zeros(0, np.uint8), np.zeros((0, 1), np.int64), [], 0, 1, []) is False


@pytest.mark.parametrize(
    ("layout", "sample", "kind", "views", "how", "match"),
    [
        ("gray", 1, "int16", WHOLE, {}, "written as bytes or floats"),
        ("gray", 1, "uint8", [(0, 0, 6, 8, False)], {}, "lies outside the picture of 3 by 5"),
        ("gray", 1, "uint8", WHOLE, {"picture": (7, 8)}, "are resampled from 7 by 8"),
        ("packed", 5, "uint8", WHOLE, {}, "pixels of 5 bytes are not resampled"),
        ("packed", 8, "uint8", WHOLE, {}, "pixels of 8 bytes are not resampled"),
    ],
)
def test_refused_of_pictures(layout, sample, kind, views, how, match):
    picture = _kernel.Picture(layout, sample, (0, 1, 2), False, (6, 8), NUMBERS)
    shape = (views[0][2], views[0][3], 3)
    target = np.full(shape, 77, kind)
    planes, lines, how = [bytes(48 * sample)], [8 * sample], resampling(**how)
    with pytest.raises(ValueError, match=match):
        picture.write(planes, lines, output(kind, "THWC", 3), views, [target], 0, how)
    assert (target == 77).all()


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_short_memory():
    """Where there is no room for weights: MemoryError."""
    import resource

    def make():
        with open("/proc/self/statm") as held:
            pages = int(held.read().split()[0])
        most = pages * resource.getpagesize() + (64 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        got = []
        for picture, size in [((MOST, 8), (MOST, 5)), ((6, 8), (5, MOST)), ((MOST, MOST), (MOST, MOST))]:
            try:
                Rectangle((0, 0, *picture), size).of(picture)
                got.append(None)
            except MemoryError:
                got.append("MemoryError")
        return got

    assert in_child(make) == ["MemoryError"] * 3
