"""Views that are drawn: the same for the same seed, from everywhere, and as often as a format says."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from helpers.formatted import FLOATS, ORDERS, moved, numbers, rounded, same

import clipx
from clipx import windows
from clipx.windows import extract, iterate

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
    positions = [view[:2] for view in views]
    assert set(positions) == set(itertools.product(range(3), range(3)))
    assert min(positions.count(each) for each in set(positions)) > 150
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
    positions = np.broadcast_to(np.arange(240, dtype="i4").reshape(1, 12, 20, 1), (30, 12, 20, 1))
    views = []
    for clip in extract(positions, 4, 3, policy="constant", format=replace(format, dtype=None, order=None), rng=8):
        flip = bool(clip[0, 0, 1] < clip[0, 0, 0])
        views.append((*divmod(int(clip[0, 0, -1 if flip else 0, 0]), 20), 7, 9, flip))
    plan = {"length": 4, "stride": 3, "policy": "constant", "fill_value": 9}
    got = extract(frames, **plan, format=format, rng=8)
    wanted = moved(frames, format, plan, views).astype(np.float32)
    same(got, wanted.astype(got.dtype) if kind is None else rounded(wanted, kind))
    pool = clipx.ClipPool(4, got.shape[1:], got.dtype)
    for clip, row in zip(iterate(frames, **plan, format=format, rng=8, pool=pool), got, strict=True):
        same(clip, row)
