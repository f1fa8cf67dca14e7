"""Memory of clips of arrays: their own or a pool's, written by many threads, and through the caches or past them."""

import gc
import itertools
import threading
import weakref

import numpy as np
import pytest
from helpers.long import some
from helpers.windows import FILL, block, expected, numbers, same, table_of

import clipx
from clipx.windows import extract, iterate

THREADED = {
    "plain": lambda x: x,
    "reversed": lambda x: x[::-1, :, ::-1],
    "crop": lambda x: x[:, 1:-1, 3:-3],
    "thin": lambda x: x[:, :1, 5:9],
}


@pytest.mark.parametrize("view", THREADED)
@pytest.mark.parametrize("plan", [
    {"length": 8, "stride": 3},
    {"length": 8, "stride": 3, **FILL},
    {"length": 5, "dilation": 3, "stride": 2, "policy": "reflect"},
], ids=["drop", "constant", "reflect"])  # fmt: skip
def test_threads(view, plan):
    frames = THREADED[view](numbers((40, 100, 300)))
    one = extract(frames, **plan)
    same(one, expected(frames, **plan))
    room = block(one.nbytes + 2)
    for num_threads in (2, 3, 8, 1000, np.int64(2)):
        same(extract(frames, num_threads=num_threads, **plan), one)
        room[:] = 0xA5
        out = room[1:-1].reshape(one.shape)
        extract(frames, num_threads=num_threads, out=out, **plan)
        same(out, one)
        assert room[0] == room[-1] == 0xA5


def test_source_is_not_kept():
    source = numbers((20, 6)).copy()
    seen = weakref.ref(source)
    whole = extract(source, 4, out=None, num_threads=2)
    clips = list(iterate(source, 4))
    wanted = expected(source, length=4)
    del source
    gc.collect()
    assert seen() is None
    same(whole, wanted)
    same(np.stack(clips), wanted)


def test_clips_are_independent():
    frames = numbers((20, 6))
    wanted = expected(frames, length=4, stride=2)
    for clip, row in zip(iterate(frames, 4, 2), wanted, strict=True):
        same(clip, row)
        clip[...] = 0
    same(extract(frames, 4, 2), wanted)


def test_threads_share_an_iterator():
    frames = np.zeros((2400, 100, 400), "u1")
    frames[:, 0, :2] = np.arange(2400, dtype="<u2").view("u1").reshape(-1, 2)
    clips, seen = iterate(frames, 4), []

    def take():
        seen.extend(int(clip[0, 0, :2].view("<u2")[0]) for clip in clips)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(seen) == list(range(0, 2400, 4))


@pytest.mark.parametrize("dtype", ["u1", ">i4", "M8[s]", "V3", [("a", "u1"), ("b", "f4")]])
def test_into_a_pool(dtype):
    frames = numbers((20, 6, 5), dtype)[:, ::-1]
    whole = extract(frames, 4, 3)
    # The second pool is past what is written through the cache.
    for slots in (8, 1 + (16 << 20) // (120 * frames.itemsize)):
        pool = clipx.ClipPool(slots, (4, 6, 5), frames.dtype)
        clips = list(iterate(frames, 4, 3, pool=pool))
        assert pool.stats().leased == len(clips) == len(whole)
        for clip, row in zip(clips, whole):
            same(clip, row)
            assert not np.shares_memory(clip, frames)
        for a, b in itertools.combinations(clips, 2):
            assert not np.shares_memory(a, b)
        del clips, clip, a, b
        assert pool.stats().leased == 0


def test_pool_that_is_held():
    pool = clipx.ClipPool(3, (4, 6))
    clips = iterate(numbers((40, 6)), 4, pool=pool)
    held = [next(clips) for _ in range(3)]
    with pytest.raises(clipx.PoolExhausted):
        next(clips)
    assert len(held) == 3


@pytest.fixture(scope="module")
def film():
    """96 frames of 360 rows, 640 columns and 3 channels, and some bytes more for other shapes."""
    return np.random.default_rng(1).integers(0, 256, 96 * 360 * 641 * 3, dtype=np.uint8)


@pytest.fixture(scope="module")
def room():
    return block(128 << 20)


FILMS = {
    "whole lines": lambda x: x[: 96 * 360 * 640 * 3].reshape(96, 360, 640, 3),
    "odd frames": lambda x: x[: 96 * 359 * 641 * 3].reshape(96, 359, 641, 3),
    "short rows": lambda x: x[: 96 * 360 * 640 * 3].reshape(96, 360, 640, 3)[:, 3:-3, 5:-5],
    "long rows": lambda x: x[: 96 * 120 * 1920 * 3].reshape(96, 120, 1920, 3)[:, 3:-3, 5:-5],
    "columns flipped": lambda x: x[: 96 * 360 * 640 * 3].reshape(96, 360, 640, 3)[:, :, ::-1],
    "time flipped": lambda x: x[: 96 * 360 * 640 * 3].reshape(96, 360, 640, 3)[::-1],
    "floats": lambda x: x[1 : 1 + 96 * 359 * 160 * 12].view("f4").reshape(96, 359, 160, 3),
}


PLANS = {
    "drop": {"length": 16, "stride": 8},
    "dilated": {"length": 16, "stride": 8, "dilation": 4},
    "wrap": {"length": 16, "stride": 16, "policy": "wrap"},
    "constant": {"length": 16, "stride": 8, **FILL},
    "dilated constant": {"length": 8, "stride": 8, "dilation": 4, **FILL},
}


@pytest.mark.parametrize(("view", "plan", "num_threads"), some(itertools.product(FILMS, PLANS, (1, 3)), 3))
def test_past_the_cache(film, room, view, plan, num_threads):
    plan = PLANS[plan]
    frames = FILMS[view](film)[: 96 if plan.get("policy") is None else 93]
    table = table_of(len(frames), **plan)
    shape = (*table.shape, *frames.shape[1:])
    size = int(np.prod(shape)) * frames.itemsize
    offset = 64 + (1 if num_threads == 1 else 0)
    ends = room[:offset], room[offset + size : offset + size + 128]
    for each in ends:
        each[:] = 0xA5
    out = room[offset : offset + size].view(frames.dtype).reshape(shape)
    extract(frames, out=out, num_threads=num_threads, **plan)
    for clip, row in zip(out, table):
        wanted = frames[row]
        wanted[row < 0] = plan.get("fill_value", 0)
        # As bytes: random floats hold NaNs.
        assert np.array_equal(clip.view(np.uint8), wanted.view(np.uint8))
    assert all((each == 0xA5).all() for each in ends)
