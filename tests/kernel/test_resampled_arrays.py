"""Frames of arrays resampled by the kernel: bit for bit those of the reference."""

import itertools

import numpy as np
import pytest
from helpers.formatted import BFLOAT16, FLOATS, ORDERS, numbers, same
from helpers.guards import CACHED, STREAMING
from helpers.resampled import WAYS, Rectangle, drawn_rectangles, drawn_views, expected, written
from helpers.strides import SEEN
from hypothesis import given, settings
from hypothesis import strategies as st

NUMBERS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
NUMBERS += ["float16", "float32", "float64"]
AS_IT_IS = [each for each in NUMBERS if each not in FLOATS]
ALL = np.array([[0, 1], [1, 0]])


def check(frames, table, ways, views, kind, order, per_clip=1, **how):
    wanted = expected(frames, table, ways, views, kind, order, per_clip)
    got = written(frames, table, ways, views, kind, order, per_clip, **how)
    same(got.view(BFLOAT16) if kind == "bfloat16" else got, wanted)


def whole(rectangle, flip=False):
    return [(0, 0, *rectangle.whole, flip)]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_every_dtype(dtype, channels):
    frames = numbers((2, 7, 9, channels), dtype)
    kinds = [*FLOATS, dtype] if dtype in AS_IT_IS else FLOATS
    shapes = itertools.cycle(itertools.product(WAYS, ORDERS))
    for size, kind in itertools.product([(4, 11), (20, 3)], kinds):
        way, order = next(shapes)
        rectangle = Rectangle((1, 0.25, 5.5, 8.5), size, *way)
        check(frames, ALL, [rectangle], whole(rectangle, flip=size[0] == 4), kind, order)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_filter(dtype, way):
    """Whole pictures, single pixels and corners, to more, to fewer and to as many pixels."""
    frames = numbers((2, 13, 21, 3), dtype)
    for box in [(0, 0, 13, 21), (12, 20, 1, 1), (0, 0, 1, 1), (5, 0, 8, 21), (0, 11, 13, 10), (2.5, 3.75, 0.5, 0.125)]:
        for size in [(1, 1), (13, 21), (5, 40), (26, 7)]:
            rectangle = Rectangle(box, size, *way)
            check(frames, ALL[:1], [rectangle], whole(rectangle), "uint8" if dtype == "uint8" else "float32", "THWC")


@pytest.mark.parametrize("seen", SEEN)
def test_every_stride(seen):
    for dtype, channels, order in (("u1", 1, "CTHW"), ("u1", 3, "THWC"), ("?", 4, "TCHW"), ("i2", 3, "CTHW")):
        frames = SEEN[seen](numbers((2, 6, 20, channels), dtype))
        kind = {"?": "bool", "u1": "uint8"}.get(dtype, "bfloat16")
        for way in (("bilinear", True), ("bicubic", False)):
            rectangle = Rectangle((1, 2, 5, 17), (4, 9), *way)
            check(frames, ALL, [rectangle], whole(rectangle, flip=True), kind, order)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_width(channels):
    """All numbers of outputs and of taps that vectors take in parts, from rows that end with the array."""
    for width in range(1, 71, 2):
        frames = numbers((1, 3, width, channels), seed=width)
        for size in ((2, (width * 7) % 70 + 1), (5, width), (1, width // 3 + 1)):
            rectangle = Rectangle((0, 0, 3, width), size, "bicubic" if width % 4 == 1 else "bilinear")
            check(frames, ALL[:1, :1], [rectangle], whole(rectangle), "uint8", "TCHW", offset=width)


@st.composite
def cases(draw):
    """Frames, and clips of them with one rectangle for all of them or one of its own for each."""
    dtype = draw(st.sampled_from(["uint8", "uint8", "uint8", *NUMBERS]))
    height, width, channels = draw(st.integers(1, 24)), draw(st.integers(1, 60)), draw(st.integers(1, 5))
    frames = numbers((3, height, width, channels), dtype, draw(st.integers(0, 9)))
    frames = SEEN[draw(st.sampled_from(["as it is", "as it is", *SEEN]))](frames)
    clips, length, per_clip = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.sampled_from([1, 1, 3, 16]))
    table = np.array([[draw(st.integers(-1, 2)) for _ in range(length)] for _ in range(clips)])
    value = draw(st.integers(0, 1) if dtype == "bool" else st.integers(0, 127))
    ways = [draw(drawn_rectangles(height, width, value=value))]
    own = draw(st.booleans())
    if own and ways[0].bars is None:
        ways += [draw(drawn_rectangles(height, width, ways[0].size)) for _ in range(clips - 1)]
    views = draw(drawn_views(ways[0].whole, per_clip * (clips if own else 1)))
    if own and len(ways) < clips:
        ways *= clips
    kind = draw(st.sampled_from([*FLOATS, *[dtype] * 3] if dtype in AS_IT_IS else FLOATS))
    return frames, table, ways, views, kind, draw(st.sampled_from(ORDERS)), per_clip


@settings(deadline=None, max_examples=100)
@given(case=cases(), offset=st.integers(0, 7))
def test_against_reference(case, offset):
    wanted = expected(*case)
    for footprint in (CACHED, STREAMING):
        got = written(*case, footprint=footprint, offset=8 * offset)
        same(got.view(BFLOAT16) if case[4] == "bfloat16" else got, wanted)


@pytest.mark.parametrize("kind", ["float32", "float16", "float64"])
def test_what_is_no_number(kind):
    frames = numbers((1, 12, 18, 2), "f8")
    frames[0, 3, 4], frames[0, 7, 11], frames[0, 0, 17], frames[0, 9, 2, 0] = np.inf, np.nan, -np.inf, np.inf
    for way in WAYS:
        for size in ((12, 18), (6, 9), (4, 6), (24, 36), (7, 31)):
            rectangle = Rectangle((0, 0, 12, 18), size, *way)
            check(frames, ALL[:1, :1], [rectangle], whole(rectangle), kind, "CTHW")
    for box in ((0, 0, 12, 18), (2, 3, 9, 14)):  # nothing is resampled
        y, x, h, w = box
        rectangle = Rectangle(box, (h, w))
        got = written(frames, ALL[:1, :1], [rectangle], whole(rectangle), "float64", "THWC")
        same(got[0, 0], np.ascontiguousarray(frames[:, y : y + h, x : x + w]))


def test_numbers_that_a_type_does_not_hold_are_clipped():
    """Bicubic weights overshoot on both sides."""
    for dtype in AS_IT_IS[1:-1]:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        frames = np.random.default_rng(0).choice(np.array([low, high], dtype), (1, 9, 9, 2))
        rectangle = Rectangle((0, 0, 9, 9), (21, 14), "bicubic")
        check(frames, ALL[:1, :1], [rectangle], whole(rectangle), dtype, "THWC")


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16"])
def test_bars(dtype):
    frames = numbers((2, 9, 12, 3), dtype)
    kind = "float32" if dtype == "float32" else dtype
    rectangle = Rectangle((0, 0, 9, 12), (6, 8)).with_bars(100, room=(9, 11), at=(4, 5))
    views = [[(0, 0, 15, 19, True)], [(0, 0, 4, 19, False)], [(3, 4, 8, 10, False)], [(10, 13, 5, 6, True)]]
    views += [[(5, 0, 3, 5, False)], [(6, 7, 1, 1, False)], [(y, x, 7, 9, y > 3) for y in (0, 4, 8) for x in (0, 10)]]
    for seen, order in itertools.product(views, ORDERS):
        check(frames, ALL, [rectangle], seen, kind, order, len(seen))
        check(frames, ALL, [rectangle], seen, "bfloat16", order, len(seen))
