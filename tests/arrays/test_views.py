"""Clips of several views of arrays: bit for bit whole clips, cropped and flipped by NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.formatted import FLOATS, ORDERS, numbers, same
from hypothesis import given, settings
from hypothesis import strategies as st

import clipx
from clipx.windows import extract, iterate

NAMES = ["three", "five", "ten"]


def cropped(whole, format, views):
    """Clips (clips, views, ...) of whole ones (clips, ...), whose views each clip shows; by NumPy."""
    order = format.order or "THWC"
    height, width = 1 + order.index("H"), 1 + order.index("W")
    parts = []
    for i, own in enumerate(views):
        seen = []
        for y, x, h, w, flip in own:
            part = whole[i : i + 1].take(range(y, y + h), height).take(range(x, x + w), width)
            seen.append(np.flip(part, width)[0] if flip else part[0])
        parts.append(np.stack(seen))
    return np.ascontiguousarray(np.stack(parts))


def check(frames, format, views=None, rng=None, **plan):
    whole = extract(frames, format=replace(format, crop=None, flip=False), rng=rng, **plan)
    own = [format.views(*frames.shape[1:3])] * len(whole) if views is None else views
    got = extract(frames, format=format, rng=rng, **plan)
    assert got.flags.c_contiguous
    assert got.shape[:2] == (len(whole), format.num_views)
    if len(whole):
        same(got, cropped(whole, format, own))
    pool = clipx.ClipPool(20, got.shape[1:], got.dtype)
    for slots in (None, pool):
        for clip, row in zip(iterate(frames, format=format, rng=rng, pool=slots, **plan), got, strict=True):
            same(clip, row)
    threads = extract(frames, format=format, rng=rng, num_threads=3, **plan)
    same(threads, got)
    return got


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", [None, *ORDERS])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "?"])
@pytest.mark.parametrize("kind", [None, *FLOATS])
def test_every_kind_and_order(name, order, dtype, kind):
    frames = numbers((11, 9, 14, 3), dtype)
    for flip in (False, True):
        format = clipx.ClipFormat(crop=(name, (7, 6)), flip=flip, order=order, dtype=kind)
        check(frames, format, length=3, stride=2, policy="constant", fill_value=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["HWC", "CHW"])
def test_clips_of_one_frame(name, order):
    frames = numbers((4, 9, 14, 3))
    for kind in (None, "float16"):
        format = clipx.ClipFormat(crop=(name, 5), order=order, dtype=kind)
        got = extract(frames, 1, format=format)
        with_time = extract(frames, 1, format=replace(format, order={"HWC": "THWC", "CHW": "TCHW"}[order]))
        same(got, np.ascontiguousarray(with_time[:, :, 0]))


def test_shapes():
    frames = numbers((6, 20, 31, 3))
    assert extract(frames, 4, 1, format=clipx.ClipFormat(("three", 16), order="CTHW")).shape == (3, 3, 3, 4, 16, 16)
    assert extract(frames, 4, 1, format=clipx.ClipFormat(("five", (8, 9)))).shape == (3, 5, 4, 8, 9, 3)
    assert extract(frames, 4, 1, format=clipx.ClipFormat(("ten", 8), order="TCHW")).shape == (3, 10, 4, 3, 8, 8)
    assert extract(frames[:3], 4, format=clipx.ClipFormat(("ten", 8))).shape == (0, 10, 4, 8, 8, 3)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_size_and_plan(data):
    height, width, channels = (data.draw(st.integers(1, high)) for high in (12, 90, 4))
    dtype = data.draw(st.sampled_from(["u1", "u2", "f8"]))
    frames = numbers((data.draw(st.integers(0, 9)), height, width, channels), dtype)
    if data.draw(st.booleans()):
        frames = frames[:, :, ::-1]
    format = clipx.ClipFormat(
        crop=(data.draw(st.sampled_from(NAMES)), data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))),
        flip=data.draw(st.booleans()),
        dtype=data.draw(st.sampled_from([None, *FLOATS])),
        order=data.draw(st.sampled_from([None, *ORDERS])),
    )
    policy = data.draw(st.sampled_from(["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]))
    length, stride, dilation = (data.draw(st.integers(1, 4)) for _ in range(3))
    check(frames, format, length=length, stride=stride, dilation=dilation, policy=policy)


@pytest.mark.parametrize("dtype", ["u1", "i4"])
def test_a_flip_is_drawn_once_for_all_views_of_a_clip(dtype):
    frames = numbers((40, 9, 14, 3), dtype)
    format, flips = clipx.ClipFormat(crop=("ten", 6), flip=0.5, order="CTHW"), []
    plain = extract(frames, 2, format=replace(format, flip=False))
    mirrored = extract(frames, 2, format=replace(format, flip=True))
    got = extract(frames, 2, format=format, rng=3)
    for clip, as_it_is, flipped in zip(got, plain, mirrored):
        flips.append(clip.tobytes() == flipped.tobytes())
        same(clip, flipped if flips[-1] else as_it_is)
    assert 3 < sum(flips) < 17
    own = [replace(format, flip=flip).views(9, 14) for flip in flips]
    check(frames, format, own, rng=3, length=2)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("order", [None, "CTHW"])
def test_views_of_segments(dtype, order):
    """With segments, whose clips may have different lengths, from one writer for each length."""
    frames, segments = numbers((30, 9, 14, 3), dtype), [(3, 11), (0, 30), (9, 12)]
    format = clipx.ClipFormat(crop=("ten", 6), order=order)
    for spec in (clipx.WindowSpec(3, 2, policy="constant", fill_value=1), clipx.UniformSpec(4)):
        whole = extract(frames, spec, segments=segments, format=replace(format, crop=None))
        got = extract(frames, spec, segments=segments, format=format)
        same(got, cropped(whole, format, [format.views(9, 14)] * len(whole)))
        for clip, row in zip(iterate(frames, spec, segments=segments, format=format, pool="1MB"), got, strict=True):
            same(clip, row)


def test_a_view_larger_than_the_frames():
    for call in (extract, iterate):
        with pytest.raises(ValueError, match=r"crop is \('five', \(10, 10\)\), but the picture is 9 by 14"):
            call(numbers((4, 9, 14, 3)), 2, format=clipx.ClipFormat(crop=("five", 10)))


def test_a_pool_whose_slots_hold_one_view():
    frames, format = numbers((4, 9, 14, 3)), clipx.ClipFormat(crop=("three", 9))
    with pytest.raises(ValueError, match="slot"):
        next(iterate(frames, 2, format=format, pool=clipx.ClipPool(4, (2, 9, 9, 3))))
