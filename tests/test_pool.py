"""ClipPool: sizes, dtypes, limits, threads, foreign memory, fork and pickle."""

import contextlib
import copy
import ctypes
import gc
import itertools
import mmap
import multiprocessing
import os
import pickle
import queue
import random
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import shared_memory
from operator import methodcaller

import numpy as np
import pytest

import clipx
from clipx import ClipPool, PoolExhausted, PoolStats, windows
from clipx.errors import PoolTooSmall

PAIR = np.dtype([("key", "<u4"), ("at", ">f8")])
PADDED = np.dtype([("key", "u1"), ("at", "<f8")], align=True)
NAMED = ["uint8", "bool", "int16", "float16", ">i4", ">f8", "complex64", "M8[ns]", "m8[s]", "S5", "U3", "V7"]
DTYPES = [*NAMED, PAIR, PADDED]


def address(array):
    return array.__array_interface__["data"][0]


def random_bytes(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, count, dtype=np.uint8)


def again(value):
    return pickle.loads(pickle.dumps(value))


@pytest.fixture
def no_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def busy_gc():
    """Collections after every few allocations, made short by keeping what exists already out of them."""
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50, 2, 2)
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)
    gc.unfreeze()
    gc.collect()


def in_child(work):
    """What `work()` returns or raises in a forked child."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # NumPy and torch have native threads, of which the child needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            try:
                answer = work()
            except Exception as exn:
                answer = exn
            os.write(writer, pickle.dumps(answer))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    answer = pickle.loads(answer)
    if isinstance(answer, Exception):
        raise answer
    return answer


# Sizes


@pytest.mark.parametrize(
    ("size", "nbytes"),
    [
        (640, 640),
        (np.int64(640), 640),
        ("640b", 640),
        ("640B", 640),
        (" 64 mb ", 64 * 10**6),
        ("64MB", 64 * 10**6),
        ("1kb", 1000),
        ("1KiB", 1024),
        ("1.5MiB", 3 * 2**19),
        ("1.001kb", 1001),
        ("1.5GiB", 3 * 2**29),
        ("2GB", 2 * 10**9),
        ("0.001TB", 10**9),
    ],
)
def test_budget_texts(size, nbytes):
    assert ClipPool.of_bytes(size, nbytes // 10).slots == nbytes // (-(-(nbytes // 10) // 64) * 64)
    with pytest.raises(PoolTooSmall, match=f"size is {nbytes} bytes"):
        ClipPool.of_bytes(size, nbytes + 1)


@pytest.mark.parametrize("size", ["", "2", "2 G B", "GB", "-2GB", "2,5GB", "1e9b", "2GBs", "2PB", "twoGB", "2GiB 1MB"])
def test_budget_bad_texts(size):
    with pytest.raises(ValueError, match="size is ") as caught:
        ClipPool.of_bytes(size)
    assert repr(size) in str(caught.value)


@pytest.mark.parametrize(
    ("size", "error"),
    [(0, ValueError), (-1, ValueError), ("0GB", ValueError), ("0.1b", ValueError)]
    + [(bad, TypeError) for bad in (True, np.True_, 1.5, 1e9, None, b"2GB", [2])],
)
def test_budget_bad_values(size, error):
    value = 0 if isinstance(size, str) else size
    with pytest.raises(error, match="size is ") as caught:
        ClipPool.of_bytes(size, 4)
    assert repr(value) in str(caught.value)


def test_budget_beyond_any_number():
    with pytest.raises((ValueError, MemoryError)):
        ClipPool.of_bytes("9" * 400 + "GB", 64)


@pytest.mark.parametrize("argument", ["slots", "shape"])
@pytest.mark.parametrize("value", [-1, True, 2.0, "3", None])
def test_bad_numbers(argument, value):
    error = ValueError if value == -1 else TypeError
    with pytest.raises(error, match=f"{argument} is ") as caught:
        ClipPool(**{"slots": 2, "shape": 4, argument: value})
    assert repr(value) in str(caught.value)


def test_no_slots():
    with pytest.raises(ValueError, match="slots is 0"):
        ClipPool(0, 4)


@pytest.mark.parametrize("shape", [(2, -1), (2, 1.0), (2, True), ((2,),)])
def test_bad_dimension(shape):
    with pytest.raises((TypeError, ValueError), match="shape is "):
        ClipPool(2, shape)
    pool = ClipPool(2, 4)
    with pytest.raises((TypeError, ValueError), match="shape is "):
        pool.acquire(shape)
    assert pool.stats().leased == 0


@pytest.mark.parametrize("dtype", ["nonsense", object, [("a", object)]])
def test_bad_dtype(dtype):
    with pytest.raises(TypeError):
        ClipPool(2, 4, dtype)
    pool = ClipPool(2, 4)
    with pytest.raises(TypeError):
        pool.acquire(4, dtype)
    assert pool.stats().leased == 0


@pytest.mark.parametrize(("nbytes", "slot_bytes"), [(0, 64), (1, 64), (63, 64), (64, 64), (65, 128), (1000, 1024)])
def test_slot_bytes(nbytes, slot_bytes):
    pool = ClipPool(3, nbytes)
    assert pool.slot_bytes == pool.stats().slot_bytes == slot_bytes
    assert pool.nbytes == 3 * slot_bytes
    assert ClipPool.of_bytes(5 * slot_bytes, nbytes).slots == 5
    assert ClipPool.of_bytes(6 * slot_bytes - 1, nbytes).slots == 5


def test_budget_below_one_clip():
    with pytest.raises(PoolTooSmall, match=r"size is 63 bytes.*\(8, 2\).*64"):
        ClipPool.of_bytes(63, (8, 2))


def test_budget_takes_first_clip():
    pool = ClipPool.of_bytes("1kb")
    assert pool.stats() == PoolStats(slots=0, free=0, leased=0, peak_leased=0, slot_bytes=0, waits=0)
    assert (pool.slots, pool.slot_bytes, pool.nbytes) == (0, 0, 0)
    clip = pool.acquire((5, 10), "int16")
    assert clip.shape == (5, 10)
    assert clip.dtype == "int16"
    assert pool.stats() == PoolStats(slots=7, free=6, leased=1, peak_leased=1, slot_bytes=128, waits=0)
    again = pool.acquire()
    assert again.shape == (5, 10)
    assert again.dtype == "int16"
    with pytest.raises(PoolTooSmall, match=r"shape=\(5, 13\), dtype='int16'"):
        pool.acquire((5, 13), "int16")


def test_budget_needs_a_first_clip():
    with pytest.raises(ValueError, match="shape is None"):
        ClipPool.of_bytes("1kb").acquire()


def test_budget_keeps_its_dtype():
    pool = ClipPool.of_bytes("1kb", dtype="float32")
    assert again(pool).acquire((2, 3)).dtype == "float32"
    assert pool.acquire((2, 3)).dtype == "float32"
    assert pool.acquire((2, 3), "int16").dtype == "int16"


def test_budget_below_the_first_clip():
    pool = ClipPool.of_bytes(100)
    with pytest.raises(PoolTooSmall, match=r"size is 100 bytes.*\(101,\).*128"):
        pool.acquire(101)
    assert pool.acquire(10).shape == (10,)  # it took nothing from the clip that did not fit


@pytest.mark.parametrize(
    ("slots", "shape"),
    [(1, 2**60), (2**20, 2**40), (4, 2**62), (1, sys.maxsize), (2**70, 64), (1, (2**40, 2**40))],
)
def test_impossible_sizes(slots, shape):
    with pytest.raises((MemoryError, ValueError)):
        ClipPool(slots, shape)


def test_no_room_is_memory_error():
    with pytest.raises(MemoryError, match=str(2**60)):
        ClipPool(1, 2**60)
    with pytest.raises(MemoryError, match=str(2**60)):
        ClipPool.of_bytes(2**60, 2**40)
    with pytest.raises(MemoryError, match=str(2**60)):
        ClipPool.of_bytes(2**60).acquire(2**40)


@pytest.mark.parametrize("shape", [2**50, None])
def test_impossible_budget(shape):
    with pytest.raises((MemoryError, ValueError)):
        ClipPool.of_bytes(2**70, shape).acquire(2**50)


# Arrays


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


def check_array(clip, dims, dtype):
    assert type(clip) is np.ndarray
    assert clip.shape == dims
    assert clip.dtype == np.dtype(dtype)
    assert clip.flags.c_contiguous
    assert clip.flags.writeable
    assert clip.flags.aligned
    assert not clip.flags.owndata
    assert address(clip) % 64 == 0


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


# Exhaustion and waiting


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


def in_cycle(clip):
    cell = [clip]
    cell.append(cell)


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
    assert repr(pool) == "<ClipPool: 4 slots of (2, 3) int16, 1 leased>"
    assert clip.shape == (2, 3)
    assert repr(ClipPool.of_bytes("1kb")) == "ClipPool.of_bytes(1000)"


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


# Threads


def check_tag(clip, tag):
    assert (clip == tag).all(), f"the slot of {tag} was written while it was held: {clip}"


@pytest.mark.usefixtures("busy_gc")
def test_threads():
    threads, acquires, most = 8, 25_000, 8
    pool = ClipPool(threads * most, 128, "uint64")  # all may be held at once, and a slot that gets lost is missed soon
    passed_on = queue.SimpleQueue()

    def take(tag):
        clip = pool.acquire()
        clip.fill(tag)
        return clip, tag

    def work(thread):
        rng = random.Random(thread)
        held = []
        for i in range(acquires):
            if len(held) == most or (held and rng.random() < 0.3):
                check_tag(*held.pop(rng.randrange(len(held))))
            if held and i % 10 == 0:  # a clip of another thread for one of ours, to be dropped there
                passed_on.put(held.pop())
                held.append(passed_on.get())
            held.append(take(thread * acquires + i + 1))
        for pair in held:
            check_tag(*pair)

    with ThreadPoolExecutor(threads) as executor:
        for done in [executor.submit(work, thread) for thread in range(threads)]:
            done.result()
    stats = pool.stats()
    assert stats.free == stats.slots
    assert most <= stats.peak_leased <= stats.slots
    assert len({address(clip) for clip in [pool.acquire() for _ in range(stats.slots)]}) == stats.slots


class Knot:
    """A clip in a reference cycle, whose finalizer looks at the clip and says on which thread."""

    def __init__(self, clip, tag, seen):
        self.clip, self.tag, self.seen, self.me = clip, tag, seen, self

    def __del__(self):
        self.seen.append((bool((self.clip == self.tag).all()), threading.get_ident()))


@pytest.mark.usefixtures("busy_gc")
def test_release_inside_collections():
    threads, acquires = 8, 5_000
    pool = ClipPool(threads * acquires // 4 + threads, 8, "uint64")  # enough if nothing were collected before the end
    seen = []

    def work(thread):
        for i in range(acquires):
            tag = thread * acquires + i + 1
            clip = pool.acquire()
            clip.fill(tag)
            if i % 4 == 0:
                Knot(clip, tag, seen)
            check_tag(clip, tag)
            del clip

    with ThreadPoolExecutor(threads) as executor:
        for done in [executor.submit(work, thread) for thread in range(threads)]:
            done.result()
    gc.collect()
    assert pool.stats().free == pool.slots
    assert len(seen) == threads * acquires // 4
    assert all(whole for whole, _ in seen)
    assert pool.stats().peak_leased < pool.slots


@pytest.mark.usefixtures("no_gc")
def test_release_on_the_thread_that_collects():
    pool, seen = ClipPool(4, 8, "uint64"), []

    def work():
        for tag in range(4):
            clip = pool.acquire()
            clip.fill(tag)
            Knot(clip, tag, seen)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert pool.stats().free == 0
    gc.collect()
    assert pool.stats().free == 4
    assert seen == [(True, threading.get_ident())] * 4


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("full", [False, True])
def test_release_at_every_line_of_acquire(full):
    pool = ClipPool(200, 100)
    spare = [pool.acquire() for _ in range(200 if full else 150)]
    lines = []

    def trace(frame, event, arg):
        if spare:
            lines.append(frame.f_lineno)
            in_cycle(spare.pop())
            gc.collect(0)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        clip = pool.acquire(timeout=60)
        spare.append(pool.acquire((10, 10)))
    finally:
        sys.settrace(before)
    assert len(lines) > 5
    assert clip.shape == (100,)
    spare.clear()
    del clip
    assert pool.stats().free == 200


def test_threads_that_wait():
    threads, acquires = 8, 2_000
    pool = ClipPool(3, 8, "uint64")

    def work(thread):
        for i in range(acquires):
            clip = pool.acquire(timeout=100)  # a slot that comes back unnoticed would be missed for so long
            clip.fill(thread * acquires + i)
            if i % 8 == 0:
                time.sleep(0)  # to others, who now have to wait
            check_tag(clip, thread * acquires + i)
            del clip

    with ThreadPoolExecutor(threads) as executor:
        for done in [executor.submit(work, thread) for thread in range(threads)]:
            done.result()
    assert pool.stats()[:4] == (3, 3, 0, 3)


def test_first_clips_of_many_threads(monkeypatch):
    threads, made, mapping = 8, [], mmap.mmap

    def slow(*args, **options):
        made.append(args)
        time.sleep(0.05)  # all the others come meanwhile
        return mapping(*args, **options)

    pool = ClipPool.of_bytes(threads * 128)
    barrier = threading.Barrier(threads)

    def work():
        barrier.wait()
        return pool.acquire((10, 10))

    monkeypatch.setattr(mmap, "mmap", slow)
    with ThreadPoolExecutor(threads) as executor:
        clips = [each.result() for each in [executor.submit(work) for _ in range(threads)]]
    assert len(made) == 1
    assert len({address(clip) for clip in clips}) == threads
    assert pool.stats().free == 0


# Backing


def of_bytearray(count):
    return bytearray(count)


def of_mmap(count):
    return mmap.mmap(-1, count)


def of_ctypes(count):
    return (ctypes.c_char * count)()


def of_matrix(count):
    return np.zeros((count // 8, 4), "float16")


def of_torch(count):
    torch = pytest.importorskip("torch")
    return torch.zeros(count // 4, 2, dtype=torch.int16)


@pytest.mark.parametrize("make", [of_bytearray, of_mmap, of_ctypes, of_matrix, of_torch])
def test_backing(make):
    backing = make(3 * 128 + 64)
    pool = ClipPool(3, 100, backing=backing)
    clips = [pool.acquire() for _ in range(3)]
    for seed, clip in enumerate(clips):
        check_array(clip, (100,), "uint8")
        clip[:] = random_bytes(100, seed)
    with pytest.raises(PoolExhausted):
        pool.acquire()
    inside = bytes(memoryview(np.asarray(backing)).cast("B"))
    for seed in range(3):
        assert random_bytes(100, seed).tobytes() in inside
    del clip, clips
    assert pool.stats().free == 3


def test_backing_of_shared_memory():
    shared = shared_memory.SharedMemory(create=True, size=3 * 128)
    try:
        pool = ClipPool(3, 100, backing=shared.buf)
        clip = pool.acquire()
        clip[:] = random_bytes(100)
        with contextlib.closing(shared_memory.SharedMemory(shared.name)) as other:
            assert random_bytes(100).tobytes() in bytes(other.buf)
        del pool
        with pytest.raises(BufferError):  # the clip alone holds it
            shared.close()
        assert clip.tobytes() == random_bytes(100).tobytes()
        del clip
    finally:
        shared.close()
        shared.unlink()


@pytest.mark.parametrize("offset", range(0, 130, 13))
def test_unaligned_backing(offset):
    raw = np.zeros(4 * 128 + 256, np.uint8)
    skip = -address(raw) % 64 + offset
    needed = 3 * 128 + -offset % 64
    raw[: skip + needed] = 77
    backing = raw[skip : skip + needed]
    pool = ClipPool(3, 128, backing=backing)
    clips = [pool.acquire() for _ in range(3)]
    for clip in clips:
        assert address(clip) % 64 == 0
        assert np.shares_memory(clip, backing)
        clip[:] = 5
    assert np.count_nonzero(backing == 5) == 3 * 128
    assert np.count_nonzero(raw == 5) == 3 * 128
    with pytest.raises(ValueError, match=f"backing has {needed - 1} bytes, but 3 slots of 128 bytes.*take {needed}"):
        ClipPool(3, 128, backing=backing[:-1])


def test_backing_too_small():
    with pytest.raises(ValueError, match="backing has 0 bytes, but 2 slots of 128 bytes"):
        ClipPool(2, 128, backing=bytearray())
    with pytest.raises(ValueError, match="backing has 255 bytes"):
        ClipPool(2, 128, backing=bytearray(255))


@pytest.mark.parametrize(
    "backing",
    [bytes(1000), memoryview(bytes(1000)), np.zeros(2000, np.uint8)[::2], np.zeros((40, 40), np.uint8).T[1:]],
    ids=["bytes", "read-only view", "steps", "transposed"],
)
def test_backing_that_cannot_be_written_through(backing):
    with pytest.raises(ValueError, match="backing must be writable and C-contiguous"):
        ClipPool(2, 128, backing=backing)


@pytest.mark.parametrize("backing", [[0] * 1000, 1000, "x" * 1000, np.zeros(1000, object)], ids=type)
def test_backing_of_another_kind(backing):
    with pytest.raises(TypeError, match="backing"):
        ClipPool(2, 128, backing=backing)


def test_backing_is_kept_alive():
    pool = ClipPool(2, 100, backing=bytearray(random_bytes(2 * 128 + 64)))
    clip = pool.acquire()
    clip[:] = random_bytes(100)
    del pool
    gc.collect()
    junk = [bytearray(b"\xff") * (2 * 128 + 64) for _ in range(100)]
    assert clip.tobytes() == random_bytes(100).tobytes()
    assert len(junk) == 100


# Fork


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


# Pickle


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
