"""A ClipPool among threads and garbage collections."""

import gc
import mmap
import queue
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.arrays import address
from helpers.pools import in_cycle

from clipx import ClipPool


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
