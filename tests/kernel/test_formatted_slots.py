"""Slots of formatted clips: kept while a clip is seen, and no longer."""

import gc
import itertools
import weakref

import numpy as np
import pytest
from helpers.formatted import (
    BFLOAT16,
    FLOATS,
    numbers,
    same,
)

import clipx
from clipx.windows import extract, iterate

PLAIN = np.zeros((4, 6, 8, 3), np.uint8)

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
    extracted = iterate(frames, 4, format=format, rng=0, pool=pool)
    kept = hold(next(extracted))
    before = np.asarray(kept).tobytes()
    for i, clip in enumerate(extracted, 1):
        same(clip, wanted[i])
        assert np.asarray(kept).tobytes() == before
        del clip
    del extracted
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
    extracted, held = iterate(PLAIN, 1, format=format, pool=pool), []
    with pytest.raises(clipx.PoolExhausted):
        held.extend(clip for clip in extracted)
    assert pool.stats().leased <= 2


def test_clips_share_no_memory():
    for format in (clipx.ClipFormat(), clipx.ClipFormat(order="CTHW"), clipx.ClipFormat(dtype="float16")):
        clips = list(iterate(PLAIN, 2, 1, format=format))
        assert not any(np.shares_memory(a, b) for a, b in itertools.combinations([*clips, PLAIN], 2))


@pytest.mark.parametrize("format", [{}, {"mean": "clip"}, {"crop": ("random", 3)}, {"order": "CTHW"}], ids=str)
def test_clips_do_not_keep_their_source(format):
    frames = numbers((4, 6, 8, 3))
    gone, extracted = weakref.ref(frames), iterate(frames, 2, format=clipx.ClipFormat(**format))
    clips = [*extracted, extract(frames, 2, format=clipx.ClipFormat(**format))]
    del frames
    assert gone() is None
    assert len(clips) == 3
    assert next(extracted, None) is None
