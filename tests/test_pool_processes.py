"""A ClipPool belongs to one process: after a fork, and pickled."""

import contextlib
import copy
import gc
import mmap
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from operator import methodcaller

import numpy as np
import pytest
from helpers.arrays import random_bytes
from helpers.pools import PAIR, again
from helpers.processes import in_child

from clipx import ClipPool, PoolExhausted, PoolStats, windows


def test_fork():
    pool = ClipPool(3, 100)
    inherited, parents = pool.acquire(), pool.acquire()
    inherited[:] = random_bytes(100)
    parents[:] = random_bytes(100, 1)

    def child():
        nonlocal inherited, parents
        at_first = pool.stats()
        clips = [pool.acquire() for _ in range(3)]
        for clip in clips:
            clip[:] = 255
        apart = not any(np.shares_memory(clip, old) for clip in clips for old in (inherited, parents))
        kept = (inherited == random_bytes(100)).all() and (parents == random_bytes(100, 1)).all()
        parents[:] = 77
        del inherited, parents
        gc.collect()
        after_drop = pool.stats()
        with contextlib.suppress(PoolExhausted):
            pool.acquire()
            return "a slot too many"
        del clip, clips
        return at_first, apart, bool(kept), after_drop, pool.stats()

    at_first, apart, kept, after_drop, at_end = in_child(child)
    assert at_first == PoolStats(slots=3, free=3, leased=0, peak_leased=0, slot_bytes=128, waits=0)
    assert apart
    assert kept
    assert after_drop == PoolStats(slots=3, free=0, leased=3, peak_leased=3, slot_bytes=128, waits=0)
    assert at_end == PoolStats(slots=3, free=3, leased=0, peak_leased=3, slot_bytes=128, waits=0)

    assert pool.stats() == PoolStats(slots=3, free=1, leased=2, peak_leased=2, slot_bytes=128, waits=0)
    assert inherited.tobytes() == random_bytes(100).tobytes()
    assert parents.tobytes() == random_bytes(100, 1).tobytes()
    del inherited
    assert pool.stats().free == 2


def test_fork_of_a_fork():
    pool = ClipPool(2, 100)
    first = pool.acquire()
    first[:] = 1

    def grandchild():
        nonlocal first
        third = pool.acquire()
        third[:] = 3
        kept = int(first[0])
        del first
        return kept, pool.stats().leased

    def child():
        second = pool.acquire()
        second[:] = 2
        return in_child(grandchild), second.tolist() == [2] * 100, pool.stats().leased

    assert in_child(child) == ((1, 1), True, 1)
    assert pool.stats().leased == 1
    assert first.tolist() == [1] * 100


def test_fork_before_the_first_clip():
    pool = ClipPool.of_bytes(1000)
    assert in_child(lambda: (pool.acquire(100).shape, pool.stats().slots)) == ((100,), 7)
    assert pool.stats().slots == 0
    assert pool.acquire(200).shape == (200,)


def test_fork_over_backing():
    pool = ClipPool(2, 100, backing=bytearray(3 * 128))
    clip = pool.acquire()
    clip[:] = random_bytes(100)

    def child():
        nonlocal clip
        kept = clip.tobytes()
        del clip
        return kept

    with pytest.raises(RuntimeError, match="backing"):
        in_child(lambda: pool.acquire().shape)
    with pytest.raises(RuntimeError, match="backing"):
        in_child(lambda: pool.require(1))
    assert in_child(child) == random_bytes(100).tobytes()
    assert pool.stats().leased == 1
    assert pool.acquire().shape == (100,)


@pytest.mark.parametrize("shared", [False, True])
def test_fork_amid_a_source(shared):
    block = mmap.mmap(-1, 8 * 64)
    pool = ClipPool(4, 64, backing=block if shared else None)
    clips = windows.iterate(np.zeros((8, 64), np.uint8), 1, pool=pool)
    inherited = next(clips)
    inherited[:] = 1

    def child():
        nonlocal inherited
        with contextlib.suppress(RuntimeError):  # where it is to raise, it raises again below
            next(clips)[:] = 99
        kept = bool((inherited == 1).all())
        del inherited
        rest = [next(clips) for _ in range(3)]
        for clip in rest:
            clip[:] = 99
        return kept, pool.stats().leased

    if shared:
        with pytest.raises(RuntimeError, match="backing"):
            in_child(child)
        assert bytes([99] * 64) not in bytes(block)
    else:
        assert in_child(child) == (True, 3)
    assert inherited.tolist() == [[1] * 64]
    assert pool.stats().leased == 1
    assert [next(clips).shape for _ in range(3)] == [(1, 64)] * 3


@pytest.mark.parametrize("duplicate", [again, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("make", [lambda: ClipPool(3, (5, 5), PAIR), lambda: ClipPool.of_bytes(1200, (5, 5), PAIR)])
def test_pickle(duplicate, make):
    pool = make()
    clips = [pool.acquire() for _ in range(2)]
    twin = duplicate(pool)
    assert twin.stats() == PoolStats(pool.slots, pool.slots, leased=0, peak_leased=0, slot_bytes=320, waits=0)
    others = [twin.acquire() for _ in range(twin.slots)]
    assert {(clip.shape, clip.dtype) for clip in others} == {((5, 5), PAIR)}
    assert not any(np.shares_memory(a, b) for a in clips for b in others)
    assert pool.stats().leased == 2
    others.clear()
    assert twin.stats().free == twin.slots
    assert pool.stats().leased == 2


def test_pickle_waits_for_the_first_clip():
    twin = again(ClipPool.of_bytes(1000))
    assert twin.stats().slots == 0
    assert twin.acquire((10, 10)).shape == (10, 10)
    assert twin.stats().slots == 7


def test_unpickled_pool_is_made_on_first_use(monkeypatch):
    data = pickle.dumps(ClipPool(2, 100))
    made, mapping = [], mmap.mmap

    def count(*args, **options):
        made.append(args)
        return mapping(*args, **options)

    monkeypatch.setattr(mmap, "mmap", count)
    pool = pickle.loads(data)
    pool.stats()
    repr(pool)
    assert len(made) == 0
    pool.acquire()
    assert len(made) == 1


def test_pickle_over_backing():
    pool = ClipPool(2, 100, backing=bytearray(3 * 128))
    for twin in (again(pool), again(again(pool))):
        with pytest.raises(RuntimeError, match="backing"):
            twin.acquire()
        with pytest.raises(RuntimeError, match="backing"):
            twin.require(1)
    assert pool.acquire().shape == (100,)


def test_spawned_process():
    pool = ClipPool(2, (4, 4), "float32")
    mine = pool.acquire()
    mine[:] = 1
    # Only functions of the library and of Python are sent, so that the child need not import this module.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        stats = executor.submit(methodcaller("stats"), pool).result()
        clip = executor.submit(methodcaller("acquire"), pool).result()
    assert stats == PoolStats(slots=2, free=2, leased=0, peak_leased=0, slot_bytes=64, waits=0)
    assert (clip.shape, clip.dtype) == ((4, 4), "float32")
    assert not clip.any()  # not the parent's slot
    assert pool.stats().leased == 1
