"""The end of an epoch, early or late: threads end, slots come back, and shards are closed."""

import _thread
import gc
import itertools
import os
import random
import signal
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from helpers.loaders import (
    check_ended,
    clips_of,
    everything,
    expected,
    leased,
    of_arrays,
)
from helpers.shards import array_sample, write_shard
from helpers.threads import clipx_threads, wait_until

from clipx.loader import epoch

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


def test_close(arrays):
    loader = of_arrays(arrays[0])
    iterator = iter(loader)
    next(iterator)
    assert clipx_threads()
    loader.close()
    assert not clipx_threads()
    assert list(iterator) == []
    loader.close()
    check_ended(loader)
    assert len(everything(loader)) > 4


def test_close_before_the_first_batch(arrays):
    for _ in range(20):
        loader = of_arrays(arrays[0])
        iterator = iter(loader)
        loader.close()
        assert not clipx_threads()
        assert list(iterator) == []
        del iterator
        check_ended(loader)


def test_close_at_any_moment(arrays):
    urls, samples = arrays
    loader = of_arrays(urls, threads=8, drop_last=False)
    rng = random.Random(0)
    for _ in range(60):
        iterator = iter(loader)
        list(map(len, itertools.islice(iterator, rng.randrange(6))))
        time.sleep(rng.random() * 0.004)
        began = time.monotonic()
        iterator.close()
        assert time.monotonic() - began < 3
        assert not clipx_threads()
        assert leased(loader) == 0
    assert dict(clips_of(loader)) == expected(samples)


def test_context_manager(arrays):
    with of_arrays(arrays[0]) as loader:
        iterator = iter(loader)
        next(iterator)
    assert not clipx_threads()
    check_ended(loader)

    def fail():
        with loader:
            iterator = iter(loader)
            raise KeyError(next(iterator)["__key__"][0])

    with pytest.raises(KeyError):
        fail()
    assert not clipx_threads()


def test_dropped_midway(arrays):
    loader = of_arrays(arrays[0])
    iterator = iter(loader)
    next(iterator)
    del iterator
    assert wait_until(lambda: not clipx_threads())
    assert leased(loader) == 0
    batch = next(iter(loader))
    assert wait_until(lambda: not clipx_threads())
    assert leased(loader) == 1
    del batch
    assert leased(loader) == 0


def test_dropped_with_its_loader(arrays):
    iterator = iter(of_arrays(arrays[0]))  # no loader is left, but the iterator goes on
    gc.collect()
    assert len(everything(iterator)) > 4
    iterator = iter(of_arrays(arrays[0]))
    next(iterator)
    del iterator
    assert wait_until(lambda: not clipx_threads())


def test_dropped_in_a_cycle(arrays):
    loader = of_arrays(arrays[0], threads=8)
    for _ in range(10):
        iterator = iter(loader)
        next(iterator)
        cycle = [iterator]
        cycle.append(cycle)
        del iterator, cycle
        began = time.monotonic()
        gc.collect()
        assert wait_until(lambda: not clipx_threads())
        assert time.monotonic() - began < 5
        assert leased(loader) == 0


def test_dropped_in_a_cycle_that_another_thread_collects(arrays):
    """The collection that ends an epoch may run on that epoch's threads, whatever lock they hold."""
    loader = of_arrays(arrays[0], threads=4)
    threshold = gc.get_threshold()
    gc.collect()
    gc.freeze()
    try:
        for i in range(25):
            iterator = iter(loader)
            if i % 2:
                next(iterator)
            cycle = [iterator]
            cycle.append(cycle)
            began = time.monotonic()
            gc.set_threshold(5, 1, 1)
            del iterator, cycle
            if sysconfig.get_config_var("Py_GIL_DISABLED"):  # which collects by other rules, and later
                threading.Thread(target=gc.collect, name="collects").start()
            ended = wait_until(lambda: not clipx_threads(), 8)
            gc.set_threshold(*threshold)
            gc.collect()
            assert ended, clipx_threads()
            assert time.monotonic() - began < 5
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
    check_ended(loader)


def test_iterating_again_ends_the_former(arrays):
    urls, samples = arrays
    loader = of_arrays(urls, drop_last=False)
    former = iter(loader)
    next(former)
    found = clips_of(loader)
    assert dict(found) == expected(samples)
    assert list(former) == []
    check_ended(loader)


def test_two_loaders_at_once(arrays):
    urls, samples = arrays
    loaders = [of_arrays(urls, drop_last=False, seed=i) for i in range(3)]
    with ThreadPoolExecutor(3) as executor:
        for found in executor.map(clips_of, loaders):
            assert dict(found) == expected(samples)


def test_exception_in_the_consumer(arrays):
    loader = of_arrays(arrays[0])

    def consume():
        for batch in loader:
            raise KeyError(batch["__key__"][0])

    with pytest.raises(KeyError) as caught:
        consume()
    del caught
    check_ended(loader)


@pytest.mark.parametrize("how", ["kill", "interrupt_main", "raise_signal"])
def test_keyboard_interrupt_while_waiting(arrays, how):
    loader = of_arrays(arrays[0], map=lambda sample: time.sleep(0.1) or sample, threads=8)
    iterator = iter(loader)
    send = {
        "kill": lambda: os.kill(os.getpid(), signal.SIGINT),
        "interrupt_main": _thread.interrupt_main,
        "raise_signal": lambda: signal.raise_signal(signal.SIGINT),
    }[how]
    timer = threading.Timer(0.3, send)
    began = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        everything(iterator)
    timer.join()
    if how == "kill":
        assert time.monotonic() - began < 5
    del caught
    assert wait_until(lambda: not clipx_threads()), clipx_threads()
    assert list(iterator) == []
    del iterator
    check_ended(loader)


def test_keyboard_interrupt_while_the_consumer_holds_all(arrays):
    loader = of_arrays(arrays[0], timeout=None)
    iterator = iter(loader)
    kept = [next(iterator) for _ in range(3)]
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        next(iterator)
    timer.join()
    del caught
    assert wait_until(lambda: not clipx_threads())
    kept.clear()
    check_ended(loader)


def test_keyboard_interrupt_while_threads_start(arrays, monkeypatch):
    """Ctrl-C that comes once the first thread runs comes before there is an iterator to close."""
    start = _thread.start_new_thread

    def interrupted(work, args):
        start(work, args)
        raise KeyboardInterrupt

    loader = of_arrays(arrays[0])
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", interrupted)
        # Threads start others in the same way, up to Python 3.12.
        patch.setattr(threading, "_start_new_thread", start, raising=False)
        with pytest.raises(KeyboardInterrupt) as caught:
            iter(loader)
    del caught
    check_ended(loader)


@pytest.mark.parametrize("where", ["clipx-loader", "clipx-batches", "clipx-read", "clipx-extract-1"])
def test_threads_that_cannot_be_started(arrays, monkeypatch, where):
    """The error of a system that has no more threads comes with the first batch."""
    start = threading.Thread.start

    def refused(thread):
        if thread.name == where:
            raise RuntimeError("can't start new thread")
        start(thread)

    loader = of_arrays(arrays[0])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        with pytest.raises(RuntimeError, match="can't start new thread") as caught:
            next(iter(loader))
    del caught
    check_ended(loader)
    assert clips_of(loader)
    check_ended(loader)


def open_shards(folder):
    process = psutil.Process()
    files = [each.path for each in process.open_files() if each.path.startswith(str(folder))]
    return files + [child for child in process.children(recursive=True) if str(folder) in " ".join(child.cmdline())]


@pytest.mark.parametrize("kind", ["", "pipe:cat "])
def test_an_ended_epoch_leaves_nothing_open(tmp_path, kind):
    """Neither files nor processes of shards, though the iterator is still held."""
    samples = [array_sample(f"s{i:02d}", 200) for i in range(40)]
    urls = [kind + write_shard(tmp_path / f"{i}.tar", samples[20 * i : 20 * i + 20]) for i in range(2)]
    loader = of_arrays(urls)
    iterator = iter(loader)
    next(iterator)
    assert open_shards(tmp_path)
    iterator.close()
    assert wait_until(lambda: not open_shards(tmp_path), 2), open_shards(tmp_path)
    del iterator
    check_ended(loader)


def test_a_shard_that_never_ends(arrays, monkeypatch):
    """A thread that reads from a dead connection is waited for no longer than is said, and ends with it."""
    monkeypatch.setattr(epoch, "STOP_SECONDS", 0.5)
    loader = of_arrays(f"pipe:cat {arrays[0][0]} && exec sleep 100", shuffle=False, batch_size=1)
    iterator = iter(loader)
    next(iterator)
    time.sleep(0.2)
    began = time.monotonic()
    iterator.close()
    took = time.monotonic() - began
    # Not Python's own helpers: multiprocessing has a tracker of what it shares.
    children = [each for each in psutil.Process().children(recursive=True) if each.name() in ("sh", "cat", "sleep")]
    for child in children:
        child.kill()
    assert wait_until(lambda: not clipx_threads())
    assert took < 3
    assert children
    del iterator
    check_ended(loader)
