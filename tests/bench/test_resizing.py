"""The benchmark of resizing: its rectangles, and how contestants' pixels are compared."""

import numpy as np
import pytest


def make_clips(load, count=2):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, *load("_resized_arrays").LAYOUTS[0].clip_shape), np.uint8)


def test_rectangles_have_the_size_of_their_case_and_lie_in_the_picture(load):
    for case in load("_resized_arrays").CASES:
        rectangles = case.rectangles()
        assert len(rectangles) == case.frames // 16
        for y, x, h, w in rectangles:
            assert case.rectangle in (None, (h, w))
            assert 0 <= y <= case.height - h
            assert 0 <= x <= case.width - w


def test_clips_are_those_of_pillow(load):
    pytest.importorskip("PIL")
    arrays, resizing = load("_resized_arrays"), load("_resizing")
    bytes_, floats = arrays.LAYOUTS
    case = arrays.Case("small", 60, 80, 16, (40, 30))
    x = case.make_source()
    right = arrays.expected(x, case, ())
    clips = {each: arrays.clips_of(x, case, each, arrays.make_out(case, each))() for each in arrays.LAYOUTS}
    assert resizing.check("clipx", clips[bytes_], right, bytes_, resizing.Closeness(0, 0)) == 0
    resizing.check("clipx", clips[floats], right, floats, resizing.Closeness(0.01, 0.01))


@pytest.mark.parametrize(
    ("near", "change", "message"),
    [
        ((0.5, 1.01), lambda clips: clips ^ np.uint8(2), "other pixels for clip 0: 2.00 apart, up to 2.00"),
        ((9, 1.01, 6), lambda clips: clips ^ np.pad([[[2]]], ((6, 217), (6, 217), (0, 0))).astype("u1"), "up to 2.00"),
        ((9,), lambda clips: clips[:1], "less than 2 clips"),
        ((9,), lambda clips: clips[[0, 1, 0]], "more than 2 clips"),
        ((9,), lambda clips: clips.astype("i2"), "gives int16"),
        ((9,), lambda clips: clips.swapaxes(2, 3), "strides"),
    ],
)
def test_other_pixels_are_refused(load, near, change, message):
    resizing, layout = load("_resizing"), load("_resized_arrays").LAYOUTS[0]
    clips = make_clips(load)
    with pytest.raises(AssertionError, match=message):
        resizing.check("a rival", change(clips), list(clips), layout, resizing.Closeness(*near))
    resizing.check("a rival", clips, list(clips), layout, resizing.Closeness(0, 0))


def test_edges_within_the_margin_are_not_compared(load):
    resizing, layout = load("_resizing"), load("_resized_arrays").LAYOUTS[0]
    clips = make_clips(load)
    other = clips.copy()
    other[:, :, :6] ^= 2
    assert resizing.check("a rival", other, list(clips), layout, resizing.Closeness(1, 1.01, 6)) == pytest.approx(
        12 / 224
    )
