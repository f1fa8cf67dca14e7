"""Leases of a ClipPool: their arrays, its limits, and what it says of itself."""

import copy
import gc
import itertools
import threading
import time

import numpy as np
import pytest
from helpers.arrays import address, random_bytes
from helpers.pools import PAIR, again, check_array, in_cycle

import clipx
from clipx import ClipPool, PoolExhausted, PoolStats
from clipx.errors import PoolTooSmall

PADDED = np.dtype([("key", "u1"), ("at", "<f8")], align=True)
NAMED = ["uint8", "bool", "int16", "float16", ">i4", ">f8", "complex64", "M8[ns]", "m8[s]", "S5", "U3", "V7"]
DTYPES = [*NAMED, PAIR, PADDED]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), 7, (3, 5), [2, 3, 4], (3, 0, 2), (0,)], ids=str)
def test_arrays(dtype, shape):
    pool = ClipPool(3, shape, dtype)
    dims = (shape,) if isinstance(shape, int) else tuple(shape)
    clips = [pool.acquire() for _ in range(3)]
    for seed, clip in enumerate(clips):
        check_array(clip, dims, dtype)
        clip.reshape(-1).view(np.uint8)[:] = random_bytes(clip.nbytes, seed)
    for seed, clip in enumerate(clips):
        assert clip.tobytes() == random_bytes(clip.nbytes, seed).tobytes()
    assert pool.stats().free == 0
    del clip, clips
    assert pool.stats().free == 3


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "int4"])
def test_arrays_of_ml_dtypes(name):
    dtype = getattr(pytest.importorskip("ml_dtypes"), name)
    pool = ClipPool(2, (4, 6), dtype)
    clip, other = pool.acquire(), pool.acquire()
    check_array(clip, (4, 6), dtype)
    clip[:] = np.arange(24).reshape(4, 6) % 8
    other[:] = 0
    np.testing.assert_array_equal(clip.astype("float32"), np.arange(24).reshape(4, 6) % 8)
    assert pool.stats().free == 0
    del clip
    assert pool.stats().free == 1


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((3, 4), "u1"), (60, "u1"), (15, "f4"), ((), "f8"), ((0, 9**9), "f8"), (5, PAIR), (7, "M8[s]")],
    ids=str,
)
def test_smaller_clips(shape, dtype):
    pool = ClipPool(2, (3, 5), "float32")
    clip, other = pool.acquire(shape, dtype), pool.acquire()
    check_array(clip, (shape,) if isinstance(shape, int) else shape, dtype)
    other.view(np.uint8)[:] = 255
    clip[...] = np.zeros((), dtype)
    assert other.view(np.uint8).min() == 255
    assert not any(clip.tobytes())
    assert pool.stats().leased == 2


def test_whole_slot_for_larger_than_default():
    # 60 bytes are rounded up to a slot of 64, which a clip may use.
    assert ClipPool(2, (3, 5), "float32").acquire((4, 4)).nbytes == 64


@pytest.mark.parametrize(("shape", "dtype"), [((3, 6), "float32"), (65, "uint8"), ((3, 5), "float64"), (9**30, "u1")])
def test_larger_clips(shape, dtype):
    pool = ClipPool(2, (3, 5), "float32")
    with pytest.raises(ValueError) as caught:
        pool.acquire(shape, dtype)
    assert pool.stats() == PoolStats(2, 2, 0, 0, 64, 0)
    if shape != 9**30:
        dims = (shape,) if isinstance(shape, int) else shape
        assert isinstance(caught.value, PoolTooSmall)
        assert f"make the pool with shape={dims}, dtype='{np.dtype(dtype)}'" in str(caught.value)
        assert ClipPool(2, dims, str(np.dtype(dtype))).acquire().shape == dims


def test_more_shapes_than_are_remembered():
    pool = ClipPool(1, 300)
    for _ in range(2):
        for length in range(300):
            assert pool.acquire((length,)).shape == (length,)
            assert pool.acquire([length]).shape == (length,)
        with pytest.raises(PoolTooSmall, match=r"\(321,\)"):
            pool.acquire(321)


def test_leases_are_apart():
    pool = ClipPool(8, 100)
    clips = [pool.acquire() for _ in range(8)]
    starts = sorted(map(address, clips))
    assert all(b - a >= pool.slot_bytes for a, b in zip(starts, starts[1:]))
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(clips, 2))


def test_pools_are_apart():
    pools = [ClipPool(2, 4096) for _ in range(4)]
    clips = [pool.acquire() for pool in pools for _ in range(2)]
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(clips, 2))


def test_slots_are_used_again():
    pool = ClipPool(2, 100)
    assert {address(pool.acquire()) for _ in range(10)} == {address(pool.acquire()) for _ in range(2)}


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda lease: type(lease)(), again])
def test_leases_come_from_the_pool_alone(make):
    pool = ClipPool(2, 100)
    lease = pool.acquire().base
    with pytest.raises(TypeError):
        make(lease)
    del lease
    assert pool.stats().free == 2


def test_exhausted():
    pool = ClipPool(3, 100)
    clips = [pool.acquire() for _ in range(3)]
    with pytest.raises(PoolExhausted, match=r"all 3 slots of 128 bytes are leased; .*raise slots to at least 4"):
        pool.acquire()
    assert pool.stats() == PoolStats(slots=3, free=0, leased=3, peak_leased=3, slot_bytes=128, waits=0)
    clips.pop()
    assert pool.acquire().shape == (100,)


def test_exhausted_budget():
    pool = ClipPool.of_bytes(300, 100)
    clips = [pool.acquire() for _ in range(2)]
    with pytest.raises(PoolExhausted, match=r"all 2 slots.*raise the pool's size of 300 bytes to at least 384"):
        pool.acquire()
    assert ClipPool.of_bytes(384, 100).slots == len(clips) + 1


def test_exceptions_are_standard_types():
    assert clipx.PoolExhausted is PoolExhausted
    assert issubclass(PoolExhausted, BufferError)
    assert issubclass(PoolTooSmall, ValueError)


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("timeout", [0, 0.01, None])
def test_cycles_come_back(timeout):
    pool = ClipPool(2, 100)
    for _ in range(2):
        in_cycle(pool.acquire())
    assert pool.stats().free == 0
    clip = pool.acquire(timeout=timeout)
    assert clip.shape == (100,)
    assert pool.stats().leased == 1


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("timeout", [0, 0.01])
def test_one_collection_before_giving_up(timeout):
    pool = ClipPool(2, 100)
    clips = [pool.acquire()]
    full = []

    def count(phase, info):
        if phase == "start" and info["generation"] == 2:
            full.append(info)

    gc.callbacks.append(count)
    try:
        clips.append(pool.acquire())
        assert len(full) == 0
        with pytest.raises(PoolExhausted):
            pool.acquire(timeout=timeout)
    finally:
        gc.callbacks.remove(count)
    assert len(full) == 1


def test_timeout_passes():
    pool = ClipPool(1, 100)
    clip = pool.acquire(timeout=5)
    assert pool.stats().waits == 0
    began = time.monotonic()
    with pytest.raises(PoolExhausted, match=r"after 0\.1 s"):
        pool.acquire(timeout=0.1)
    assert time.monotonic() - began > 0.09
    assert pool.stats().waits == 1
    assert clip.shape == (100,)


@pytest.mark.parametrize("timeout", [60, None])
def test_wait_for_another_thread(timeout):
    pool = ClipPool(1, 100)
    held = [pool.acquire()]

    def drop():
        while not pool.stats().waits:
            time.sleep(0.001)
        held.clear()

    thread = threading.Thread(target=drop)
    thread.start()
    clip = pool.acquire(timeout=timeout)
    thread.join()
    assert clip.shape == (100,)
    assert pool.stats() == PoolStats(slots=1, free=0, leased=1, peak_leased=1, slot_bytes=128, waits=1)


def test_wait_for_ever_is_longer_than_the_collection():
    pool = ClipPool(1, 100)
    held = [pool.acquire()]
    collected = threading.Event()

    def note(phase, info):
        if phase == "stop" and info["generation"] == 2 and threading.current_thread() is waiter:
            collected.set()

    waiter = threading.current_thread()
    thread = threading.Thread(target=lambda: collected.wait(60) and held.clear())
    gc.callbacks.append(note)
    try:
        thread.start()
        clip = pool.acquire(timeout=None)
    finally:
        gc.callbacks.remove(note)
        collected.set()
        thread.join()
    assert clip.shape == (100,)
    assert not held


def test_a_slot_that_another_thread_drops_late_comes_back():
    """After the collection, when the one who waits sleeps; it made the array, which on some Pythons it must free."""
    pool = ClipPool(1, 100)
    held = [pool.acquire()]
    thread = threading.Timer(1.5, held.clear)
    thread.start()
    assert pool.acquire(timeout=60).shape == (100,)
    thread.join()


def test_negative_timeout_does_not_wait():
    pool = ClipPool(1, 100)
    clip = pool.acquire()
    with pytest.raises((ValueError, PoolExhausted)):
        pool.acquire(timeout=-1)
    assert pool.stats().leased == 1
    del clip
    assert pool.stats().leased == 0


def test_stats():
    pool = ClipPool(4, 100)
    clips = [pool.acquire() for _ in range(3)]
    assert pool.stats() == PoolStats(slots=4, free=1, leased=3, peak_leased=3, slot_bytes=128, waits=0)
    del clips[1:]
    assert pool.stats() == PoolStats(slots=4, free=3, leased=1, peak_leased=3, slot_bytes=128, waits=0)
    clips += [pool.acquire() for _ in range(3)]
    assert pool.stats() == PoolStats(slots=4, free=0, leased=4, peak_leased=4, slot_bytes=128, waits=0)
    clips.clear()
    assert pool.stats() == PoolStats(slots=4, free=4, leased=0, peak_leased=4, slot_bytes=128, waits=0)


def test_repr():
    pool = ClipPool(4, (2, 3), "int16")
    clip = pool.acquire()
    assert repr(pool) == "<ClipPool: 3 of 4 slots free, each int16 (2, 3), 256 bytes>"
    assert clip.shape == (2, 3)
    assert repr(ClipPool.of_bytes("1kb")) == "<ClipPool: 1 kB, slots not known before the first clip>"


def test_require():
    pool = ClipPool(3, (4, 4))
    assert pool.reserve == 0
    pool.require(2)
    assert pool.reserve == 2
    pool.require(3, (4, 4), "uint8")
    pool.require(1, (2, 2), "float32")
    assert pool.reserve == 3
    with pytest.raises(PoolTooSmall, match=r"has 3 slots.*up to 4 of them.*raise slots to at least 4"):
        pool.require(4)
    with pytest.raises(PoolTooSmall, match=r"shape=\(4, 5\), dtype='float32'"):
        pool.require(1, (4, 5), "float32")
    assert pool.reserve == 3
    assert pool.stats() == PoolStats(3, 3, 0, 0, 64, 0)


def test_require_of_a_budget():
    pool = ClipPool.of_bytes(400)
    pool.require(100)  # no shape yet, so nothing to say
    with pytest.raises(PoolTooSmall, match=r"has 3 slots.*up to 4.*size of 400 bytes to at least 512"):
        pool.require(4, (10, 10), "uint8")
    pool.require(3, (10, 10), "uint8")
    assert pool.stats() == PoolStats(3, 3, 0, 0, 128, 0)
