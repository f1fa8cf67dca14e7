"""The Loader: batches that depend on nothing but the data, bytes that hold, and threads that end."""

import _thread
import gc
import gzip
import itertools
import logging
import os
import pickle
import random
import signal
import tarfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import webdataset
from helpers.arrays import array, npy
from helpers.loaders import (
    CROP,
    EACH,
    SHARDS,
    WINDOW,
    check_ended,
    clips_of,
    digest,
    everything,
    expected,
    leased,
    of_arrays,
    of_videos,
)
from helpers.shards import array_sample, write_shard
from helpers.threads import clipx_threads, wait_until

import clipx
from clipx import wds
from clipx.loader import budget

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("small_decoders", "no_threads_left")]


# What comes


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_clip_once(videos, shuffle):
    urls, samples = videos
    loader = of_videos(urls, shuffle=shuffle, drop_last=False)
    wanted = expected(samples, "mp4", format=CROP)
    orders = []
    for _ in range(3):
        found = clips_of(loader, "mp4")
        assert len(found) == len(wanted)
        assert dict(found) == wanted
        orders.append([key for key, _ in found])
    check_ended(loader)
    if shuffle:
        assert orders[0] != orders[1] != orders[2] != orders[0]
        assert orders[0] != sorted(orders[0])
    else:
        assert orders[0] == orders[1] == orders[2] == sorted(wanted)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("memory", ["100kB", "10MB"])
def test_every_clip_of_arrays_once(arrays, shuffle, memory):
    urls, samples = arrays
    loader = of_arrays(urls, shuffle=shuffle, drop_last=False, memory=memory)
    found = clips_of(loader)
    assert len(found) == len(dict(found))
    assert dict(found) == expected(samples)
    check_ended(loader)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_threads_and_consumers_change_nothing(videos, shuffle, drop_last):
    urls, _ = videos
    runs = {}
    for threads, slow in [(1, False), (2, False), (8, False), (2, True), (8, True)]:
        rng = random.Random(threads)
        loader = of_videos(urls, shuffle=shuffle, drop_last=drop_last, threads=threads)
        runs[threads, slow] = [
            everything(batch for batch in loader if not slow or time.sleep(0.01 * rng.random()) is None)
            for _ in range(2)
        ]
    first = runs.pop((1, False))
    assert len(first[0]) > 4
    assert (first[0] != first[1]) == shuffle
    for each in runs.values():
        assert each == first


@pytest.mark.parametrize("shuffle", [False, True])
def test_slow_and_broken_sources_change_nothing(tmp_path, shuffle):
    rng = np.random.default_rng(1)
    samples = [array_sample(f"s{i:02d}", int(rng.integers(1, 60))) for i in range(40)]
    for i in (0, 7, 8, 39):
        samples[i]["npy"] = samples[i]["npy"][: 60 + i]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[8 * i : 8 * i + 8]) for i in range(5)]

    def jitter(seed):
        rng = random.Random(seed)

        def wait(sample):
            time.sleep(rng.random() * 0.002)
            return sample

        return wait

    runs = [
        everything(
            of_arrays(urls, shuffle=shuffle, threads=threads, handler=lambda exn: True, map=jitter(threads), epoch=3)
        )
        for threads in (1, 3, 8)
    ]
    assert len(runs[0]) > 40
    assert runs[0] == runs[1] == runs[2]


def test_random_windows_and_formats_repeat(videos):
    urls, _ = videos
    window = clipx.WindowSpec(4, num_clips=3, sampling="random")
    format = clipx.ClipFormat(crop=("random", (16, 16)), flip=0.5, scale=1 / 255, order="CTHW")

    def load(threads, epoch=None, seed=0):
        return clipx.Loader(
            urls, window, format, batch_size=4, memory="1MB", threads=threads, epoch=epoch, seed=seed, drop_last=False
        )

    loader = load(1)
    runs = [everything(loader) for _ in range(2)]
    assert runs == [everything(load(8, epoch)) for epoch in (0, 1)]
    clips = [sorted(clips_of(load(2, *each), "mp4")) for each in [(0,), (1,), (0, 1)]]
    assert [len(each) for each in clips] == [3 * SHARDS * EACH] * 3
    assert len({tuple(each) for each in clips}) == 3  # other crops, not just another order
    for batch in load(2):
        assert batch["mp4"].shape[1:] == (3, 4, 16, 16)
        assert batch["mp4"].dtype == np.float32
        del batch


def test_other_fields_are_decoded(arrays):
    urls, samples = arrays
    sources = {sample["__key__"]: sample for sample in samples}
    loader = of_arrays(urls, drop_last=False)
    batches = list(itertools.islice(loader, 2))
    for batch in batches:
        assert isinstance(batch["cls"], np.ndarray)
        for i, key in enumerate(batch["__key__"]):
            source = sources[key[:-7]]
            assert batch["cls"][i] == source["cls"]
            assert batch["json"][i] == source["json"]
            assert batch["txt"][i] == source["txt"]
        assert batch["npy"].flags.c_contiguous
        assert batch["npy"].flags.writeable
    del batches, batch
    check_ended(loader)


def test_batches_are_slots_that_torch_sees(arrays):
    torch = pytest.importorskip("torch")
    loader = of_arrays(arrays[0])
    iterator = iter(loader)
    tensor = torch.from_numpy(next(iterator)["npy"])
    before = tensor.clone()
    for _ in range(10):
        next(iterator)
        assert torch.equal(tensor, before)
    iterator.close()
    assert wait_until(lambda: leased(loader) == 1)
    del tensor
    check_ended(loader)


@pytest.mark.parametrize("kind", ["slice", "transpose", "memoryview"])
def test_what_is_held_is_not_written(arrays, kind):
    loader = of_arrays(arrays[0], shuffle=False)
    iterator = iter(loader)
    batch = next(iterator)["npy"]
    views = {"slice": lambda x: x[1:2, ::2], "transpose": lambda x: x.T, "memoryview": memoryview}
    held = views[kind](batch)
    del batch
    before = np.array(held)
    for _ in range(10):
        next(iterator)
    np.testing.assert_array_equal(np.asarray(held), before)


@pytest.mark.parametrize("shuffle", [False, True])
def test_map(arrays, shuffle):
    urls, samples = arrays
    seen = set()

    def change(sample):
        seen.add(threading.current_thread().name)
        assert sample["json"]["n"]
        return {"__key__": sample["__key__"], "x": sample["npy"].astype(np.float32) / 2, "y": sample["cls"] + 1}

    out = {}
    loader = of_arrays(urls, map=change, drop_last=False, shuffle=shuffle)
    for batch in loader:
        assert set(batch) == {"__key__", "x", "y"}
        assert batch["x"].dtype == np.float32
        out |= {key: digest((x * 2).astype(np.uint8)) for key, x in zip(batch["__key__"], batch["x"])}
        del batch
    assert out == expected(samples)
    assert all(name.startswith("clipx-cut-") for name in seen)
    check_ended(loader)


def test_map_that_changes_the_clip_in_place(arrays):
    urls, samples = arrays

    def change(sample):
        sample["npy"] ^= 255
        return sample

    out = {}
    for batch in of_arrays(urls, map=change, drop_last=False):
        out |= dict(zip(batch["__key__"], [digest(clip ^ 255) for clip in batch["npy"]]))
        del batch
    assert out == expected(samples)


def test_map_that_gives_a_part_of_the_clip(arrays):
    urls, samples = arrays
    loader = of_arrays(urls, map=lambda sample: {**sample, "npy": sample["npy"][::2, :, :, 1]}, drop_last=False)
    found = clips_of(loader)
    wanted = {}
    for sample in samples:
        for clip in wds.clips(WINDOW)([{"__key__": sample["__key__"], "npy": sample["npy"]}]):
            wanted[clip["__key__"]] = digest(clip["npy"][::2, :, :, 1])
    assert dict(found) == wanted
    check_ended(loader)


def test_map_that_adds_views_of_the_clip(arrays):
    """Two fields that are views of one slot leave no consumer without batches that holds only one."""
    urls, samples = arrays
    loader = of_arrays(urls, map=lambda sample: {**sample, "first": sample["npy"][0]}, drop_last=False)
    found = {}
    for batch in loader:
        np.testing.assert_array_equal(batch["first"], batch["npy"][:, 0])
        found |= {key: digest(clip) for key, clip in zip(batch["__key__"], list(batch["npy"]))}
    assert found == expected(samples)


@pytest.mark.parametrize("made", [None, ("a", "tuple"), 5])
def test_map_that_gives_no_sample(arrays, made):
    """Neither a silent end of each source nor an error from deep inside."""
    loader = of_arrays(arrays[0], map=lambda sample: made)
    with pytest.raises((TypeError, ValueError), match="map"):
        everything(loader)
    check_ended(loader)


def test_several_keys(tmp_path):
    samples = []
    for i in range(6):
        x, y = array(9 + i, 1), array(9 + i, 2, (3,), "float64")
        samples.append({"__key__": f"s{i}", "x.npy": npy(x), "y.npy": npy(y), "cls": i})
    url = write_shard(tmp_path / "two.tar", samples)
    loader = of_arrays(url, keys=["x.npy", "y.npy"], drop_last=False)
    wanted = list(wds.clips(WINDOW, keys=["x.npy", "y.npy"])(samples))
    for _ in range(2):
        found = {}
        for batch in loader:
            assert isinstance(batch["y.npy"], np.ndarray)
            assert batch["y.npy"].dtype == np.float64
            for i, key in enumerate(batch["__key__"]):
                found[key] = digest(batch["x.npy"][i]), digest(batch["y.npy"][i])
            del batch
        assert found == {each["__key__"]: (digest(each["x.npy"]), digest(each["y.npy"])) for each in wanted}
    check_ended(loader)


def test_one_key_as_a_text(tmp_path):
    url = write_shard(tmp_path / "a.tar", [{"__key__": "s", "x.npy": npy(array(9)), "y.npy": npy(array(9))}])
    batch = next(iter(of_arrays(url, keys="x.npy", batch_size=2)))
    assert batch["x.npy"].shape == (2, 4, 8, 8, 3)


# Epochs


def test_epochs(arrays):
    urls, _ = arrays
    counted = of_arrays(urls)
    runs = [everything(counted) for _ in range(3)]
    assert runs[0] != runs[1] != runs[2] != runs[0]
    assert runs == [everything(of_arrays(urls, epoch=i)) for i in range(3)]
    counted.set_epoch(1)
    assert [everything(counted) for _ in range(2)] == runs[1:]
    fixed = of_arrays(urls, epoch=2)
    assert [everything(fixed) for _ in range(2)] == [runs[2]] * 2
    numbers = iter([2, 0, 1])
    called = of_arrays(urls, epoch=lambda: next(numbers))
    assert [everything(called) for _ in range(3)] == [runs[2], runs[0], runs[1]]
    called.set_epoch(1)
    assert everything(called) == runs[1]
    assert everything(of_arrays(urls, seed=1)) != runs[0]


@pytest.mark.parametrize("first", ["short", "broken"])
def test_an_epoch_does_not_depend_on_the_one_before(tmp_path, first):
    """Also where the first samples give no clip, the epoch is the same for a fresh loader and a used one."""
    samples = [array_sample(f"s{i}", 9 + i) for i in range(8)]
    for i in (0, 1):
        samples[i]["npy"] = npy(array(2)) if first == "short" else b"no array"
    url = write_shard(tmp_path / "a.tar", samples)
    loader = of_arrays(url, handler=lambda exn: True, epoch=0)
    runs = [everything(loader) for _ in range(3)]
    assert len(runs[0]) > 4
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("epoch", [-1, 1.5, "two"])
def test_bad_epochs(arrays, epoch):
    loader = of_arrays(arrays[0])
    with pytest.raises((TypeError, ValueError), match="epoch"):
        loader.set_epoch(epoch)
    with pytest.raises((TypeError, ValueError), match="epoch"):
        of_arrays(arrays[0], epoch=epoch)


@pytest.mark.parametrize("drop_last", [False, True])
def test_len(arrays, drop_last):
    urls, samples = arrays
    loader = of_arrays(urls, drop_last=drop_last, batch_size=5)
    with pytest.raises(TypeError, match="not known"):
        len(loader)
    iterator = iter(loader)
    next(iterator)
    del iterator
    with pytest.raises(TypeError, match="not known"):
        len(loader)
    count = len(everything(loader))
    clips = len(expected(samples))
    assert clips % 5
    assert len(loader) == count == clips // 5 + (not drop_last)
    next(iter(loader))
    assert len(loader) == count


# Bytes


DIVISIONS = [
    dict(zip(("slot_bytes", "held", "fields", "batch_size", "batches", "shuffle"), each))
    for each in itertools.product((64, 4096, 602_112), (2, 9), (1, 3), (1, 16), (2, 5), (False, True))
]


def taken(found, slot_bytes, fields, batch_size, batches, **_):
    return (
        found.slots * slot_bytes
        + batches * batch_size * fields * slot_bytes
        + found.sources * budget.DECODER_BYTES
        + found.encoded_bytes
    )


def check_division(how):
    with pytest.raises(ValueError, match="at least") as caught:
        budget.divide(1, **how)
    least = int(str(caught.value).rpartition(" ")[2])
    with pytest.raises(ValueError, match=f"at least {least}"):
        budget.divide(least - 1, **how)
    for memory in [least, least + 1, least + 63, 2 * least, 3 * least + 1, 30 * least, 10**12]:
        found = budget.divide(memory, **how)
        assert taken(found, **how) <= memory
        assert found.sources >= found.active >= 1
        assert found.ready >= 2
        assert found.encoded_bytes >= memory // 10
        # Clips that are open or wait, those that are shuffled and the one that comes, and one that is copied.
        waiting = found.sources * (how["held"] + found.ready)
        assert found.slots >= (waiting + found.shuffled + 2) * how["fields"]
        assert (found.shuffled >= 1) == how["shuffle"]
        # What is left over is less than there are sources.
        assert memory - taken(found, **how) < (found.sources + 1) * how["fields"] * how["slot_bytes"] + 8


@pytest.mark.parametrize("decoder", [10_000, 24_000_000])
def test_divide(decoder, monkeypatch):
    monkeypatch.setattr(budget, "DECODER_BYTES", decoder)
    for how in DIVISIONS:
        check_division(how)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("changes", [{}, {"batches": 2, "batch_size": 1}, {"batch_size": 30, "batches": 5}])
def test_least_memory_works(videos, changes, shuffle):
    urls, samples = videos
    with pytest.raises(ValueError, match="memory is 1000 bytes") as caught:
        of_videos(urls, memory=1000, **changes)
    least = int(str(caught.value).rpartition(" ")[2])
    with pytest.raises(ValueError, match=f"memory is {least - 1} bytes"):
        of_videos(urls, memory=least - 1, **changes)
    loader = of_videos(urls, memory=least, shuffle=shuffle, drop_last=False, threads=8, **changes)
    assert dict(clips_of(loader, "mp4")) == expected(samples, "mp4", format=CROP)
    pools = loader._pools
    assert pools.clips.nbytes + pools.batches.nbytes + pools.budget.encoded_bytes <= least


@pytest.mark.parametrize("window", [WINDOW, clipx.WindowSpec(4, num_clips=5), clipx.WindowSpec(3, 1, 2)])
def test_least_memory_that_is_known_later(arrays, window):
    """The size of arrays is known only when the first comes: then the error says the figure that works."""
    urls, samples = arrays
    loader = clipx.Loader(urls, window, batch_size=3, memory=1000, threads=2)
    with pytest.raises(ValueError, match="memory is 1000 bytes") as caught:
        next(iter(loader))
    least = int(str(caught.value).rpartition(" ")[2])
    caught.value.__traceback__ = None
    with pytest.raises(ValueError, match=f"at least {least}"):
        next(iter(clipx.Loader(urls, window, batch_size=3, memory=least - 1)))
    loader = clipx.Loader(urls, window, batch_size=3, memory=least, threads=4, drop_last=False)
    assert dict(clips_of(loader)) == expected(samples, window=window)
    check_ended(loader)


def test_memory_of_pools(videos):
    for memory in ("200kB", "1MB", "5MB", "50MB"):
        loader = of_videos(videos[0], memory=memory)
        everything(loader)
        pools, least = loader._pools, loader._memory
        assert pools.clips.nbytes + pools.batches.nbytes + pools.budget.encoded_bytes <= least
        assert pools.clips.stats().peak_leased <= pools.clips.slots
        first = pools
        everything(loader)
        assert loader._pools is first  # an epoch uses the memory of the one before


def test_encoded_bytes_hold(tmp_path, monkeypatch):
    """Samples that are read and not yet cut are not more than their part of the budget."""
    samples = [array_sample(f"s{i:02d}", 100) for i in range(30)]
    url = write_shard(tmp_path / "a.tar", samples)
    loader = of_arrays(url, memory="1MB", map=lambda sample: time.sleep(0.0001) or sample)
    iterator = iter(loader)
    next(iterator)
    most = 0
    for _ in iterator:
        most = max(most, iterator._run._order._interleave._held_bytes)
    encoded = loader._pools.budget.encoded_bytes
    assert len(samples[0]["npy"]) < encoded / 4
    assert most <= encoded


def test_a_slow_consumer_makes_memory_wait(tmp_path):
    samples = [array_sample(f"s{i:02d}", 40) for i in range(60)]
    urls = [write_shard(tmp_path / f"{i:02d}.tar", samples[2 * i : 2 * i + 2]) for i in range(30)]
    loader = of_arrays(urls, memory="120kB", threads=8)
    opened = set()

    def note(sample):
        opened.add(sample["__key__"][:3])
        return sample

    loader._map = note
    iterator = iter(loader)
    next(iterator)
    wait_until(lambda: False, 0.5)  # time to read ahead, had it been allowed
    count = len(opened)
    pools = loader._pools
    assert pools.clips.stats().leased <= pools.clips.slots
    assert count < 30, "half of the data was cut for one batch"
    assert len([each for each in psutil.Process().open_files() if each.path.startswith(str(tmp_path))]) <= 1
    wait_until(lambda: False, 0.3)
    assert len(opened) == count
    rest = clips_of(iterator)
    assert len(opened) == 60
    assert len(rest) > 1000
    assert pools.clips.stats().peak_leased <= pools.clips.slots
    assert pools.batches.stats().peak_leased <= 3


def test_no_growth(videos):
    """Five epochs hold what the first held."""
    loader = of_videos(videos[0], memory="300kB", threads=8)
    process = psutil.Process()
    rss = []
    for _ in range(8):
        for _batch in loader:
            pass
        del _batch
        gc.collect()
        rss.append(process.memory_info().rss)
    assert rss[-1] - rss[2] < 3e6, rss


# A consumer that keeps


def test_a_consumer_that_keeps_every_batch(arrays):
    urls, samples = arrays
    loader = of_arrays(urls, drop_last=False)
    kept, found, iterator = [], [], iter(loader)
    refused = []
    while True:
        try:
            kept.append(next(iterator))
        except clipx.PoolExhausted as exn:
            refused.append(str(exn))
            assert len(kept) == 3
            found += clips_of(kept)
            kept.clear()
        except StopIteration:
            break
    found += clips_of(kept)
    kept.clear()
    assert len(refused) > 3
    assert all("all 3 batches" in each and "let go" in each and "raise batches" in each for each in refused)
    assert len(found) == len(dict(found))
    assert dict(found) == expected(samples)
    del iterator
    check_ended(loader)


def test_refused_again_and_again(arrays):
    iterator = iter(of_arrays(arrays[0], shuffle=False))
    kept = list(itertools.islice(iterator, 3))
    for _ in range(3):
        with pytest.raises(clipx.PoolExhausted, match="all 3 batches"):
            next(iterator)
    keys = [key for batch in kept for key in batch["__key__"]]
    before = [batch["npy"].copy() for batch in kept]
    kept.pop()
    keys += next(iterator)["__key__"]
    for i, was in enumerate(before[:2]):
        np.testing.assert_array_equal(kept[i]["npy"], was)
    kept.pop()
    rest = [key for batch in iterator for key in batch["__key__"]]
    assert keys + rest == sorted(keys + rest)


@pytest.mark.parametrize("batches", [2, 5])
def test_more_batches(arrays, batches):
    loader = of_arrays(arrays[0], batches=batches)
    iterator = iter(loader)
    kept = [next(iterator) for _ in range(batches)]
    with pytest.raises(clipx.PoolExhausted, match=f"all {batches} batches"):
        next(iterator)
    assert len({batch["npy"].__array_interface__["data"] for batch in kept}) == batches
    kept.clear()
    assert next(iterator)["npy"].shape[0] == 4


def test_two_batches_are_enough(arrays):
    """A loop holds the batch before while it asks for the next."""
    urls, samples = arrays
    loader = of_arrays(urls, batches=2, drop_last=False)
    found = {}
    for batch in loader:  # and it never lets go by itself
        found |= {key: digest(clip) for key, clip in zip(batch["__key__"], list(batch["npy"]))}
    assert found == expected(samples)


def test_timeout_passes(arrays):
    iterator = iter(of_arrays(arrays[0], timeout=0.5))
    kept = [next(iterator) for _ in range(3)]
    began = time.monotonic()
    with pytest.raises(clipx.PoolExhausted):
        next(iterator)
    assert 0.4 < time.monotonic() - began < 3
    kept.clear()
    next(iterator)


@pytest.mark.parametrize("timeout", [None, 20])
def test_timeout_waits_for_another_thread(arrays, timeout):
    iterator = iter(of_arrays(arrays[0], timeout=timeout))
    kept = [next(iterator) for _ in range(3)]
    timer = threading.Timer(0.4, kept.clear)
    began = time.monotonic()
    timer.start()
    assert next(iterator)["npy"].shape[0] == 4
    assert 0.2 < time.monotonic() - began < 5
    timer.join()


def test_slots_held_in_cycles_come_back(arrays):
    urls, samples = arrays
    found = []
    gc.disable()
    try:
        for batch in of_arrays(urls, drop_last=False):
            found += clips_of([batch])
            batch["me"] = batch
    finally:
        gc.enable()
    assert dict(found) == expected(samples)


def test_a_map_that_keeps_every_clip(arrays):
    """It says so, more than once if asked, and ends its threads."""
    kept = []
    loader = of_arrays(arrays[0], map=lambda sample: kept.append(sample["npy"]) or sample, memory="60kB")
    iterator = iter(loader)
    with pytest.raises(clipx.PoolExhausted):
        everything(iterator)
    assert wait_until(lambda: not clipx_threads()), clipx_threads()
    kept.clear()
    del iterator
    check_ended(loader)


# Endings


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


class Broken(Exception):
    pass


def broken_map(after):
    counter = itertools.count()

    def work(sample):
        if next(counter) == after:
            raise Broken("in map")
        return sample

    return work


@pytest.mark.parametrize("after", [0, 1, 40])
def test_exception_in_map(arrays, after):
    loader = of_arrays(arrays[0], map=broken_map(after))
    with pytest.raises(Broken, match="in map") as caught:
        everything(loader)
    assert wait_until(lambda: not clipx_threads())
    del caught
    check_ended(loader)
    loader._map = None
    assert len(everything(loader)) > 4


def test_exception_in_map_goes_to_the_handler(arrays):
    urls, samples = arrays

    def refuse(sample):
        if sample["__key__"].startswith("s1_2"):
            raise Broken(sample["__key__"])
        return sample

    loader = of_arrays(urls, map=refuse, handler=wds.log_and_continue, drop_last=False)
    assert dict(clips_of(loader)) == expected(each for each in samples if each["__key__"] != "s1_2")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError])
def test_grave_exceptions_in_map(arrays, kind):
    def refuse(sample):
        raise kind("no")

    loader = of_arrays(arrays[0], map=refuse, handler=lambda exn: True)
    with pytest.raises(kind):
        everything(loader)
    check_ended(loader)


def test_no_slot_is_left_in_an_error(arrays):
    """An error that has been dealt with leaves no cycle behind that holds slots."""
    loader = of_arrays(arrays[0], map=broken_map(20))
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Broken) as caught:
            everything(loader)
        del caught
        assert wait_until(lambda: not clipx_threads())
        assert leased(loader) == 0
    finally:
        gc.enable()


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
        # Threads start others in the same way.
        patch.setattr(threading, "_start_new_thread", start)
        with pytest.raises(KeyboardInterrupt) as caught:
            iter(loader)
    del caught
    check_ended(loader)


@pytest.mark.parametrize("where", ["clipx-loader", "clipx-batches", "clipx-read", "clipx-cut-1"])
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
    from clipx.loader import interleave
    from clipx.loader import pipeline as running

    for module in (interleave, running):
        monkeypatch.setattr(module, "STOP_SECONDS", 0.5)
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


# Bad input


def good(samples, *broken):
    return expected(sample for sample in samples if sample["__key__"] not in broken)


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.INFO, "clipx")
    return lambda level=logging.WARNING: [r.getMessage() for r in caplog.records if r.levelno >= level]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_missing_shard(arrays, place, shuffle, tmp_path, logged):
    urls, samples = arrays
    missing = str(tmp_path / "missing.tar")
    urls.insert(place, missing)
    loader = of_arrays(urls, handler=wds.log_and_continue, drop_last=False, shuffle=shuffle)
    for _ in range(2):
        assert dict(clips_of(loader)) == expected(samples)
    assert sum("missing.tar" in line for line in logged()) == 2
    loader = of_arrays(urls, shuffle=shuffle)
    with pytest.raises(FileNotFoundError, match=r"missing\.tar"):
        everything(loader)
    check_ended(loader)


def test_missing_shard_after_good_ones(arrays):
    """What comes before a shard that cannot be read is not lost to it."""
    urls, samples = arrays
    loader = of_arrays([urls[0], "missing.tar"], shuffle=False, batch_size=1)
    found = []

    def consume():
        for batch in loader:
            found.extend(clips_of([batch]))

    with pytest.raises(FileNotFoundError):
        consume()
    assert dict(found) == expected(samples[:EACH])


def members(url):
    with tarfile.open(url) as tar:
        return [(each.name, each.offset, each.offset_data, each.size) for each in tar]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("inside", ["npy", "json", "txt", "header"])
def test_shard_cut_in_half(arrays, shuffle, inside, logged):
    """The sample that is cut through is lost, and named, and nothing else is."""
    urls, samples = arrays
    found = {name: (offset, at, size) for name, offset, at, size in members(urls[1])}
    offset, at, size = found["s1_2.npy" if inside == "header" else f"s1_2.{inside}"]
    whole = Path(urls[1]).read_bytes()
    Path(urls[1]).write_bytes(whole[: offset + 100] if inside == "header" else whole[: at + max(size // 2, 1)])
    loader = of_arrays(urls, shuffle=shuffle, handler=wds.log_and_continue, drop_last=False)
    assert dict(clips_of(loader)) == good(samples, "s1_2", "s1_3")
    # A header that is cut through is the end of the shard for tarfile; what it leaves of a sample is named.
    assert any(("s1_2" if inside == "header" else "arrays-1.tar") in line for line in logged()), logged()
    with pytest.raises((tarfile.ReadError, ValueError)):
        everything(of_arrays(urls, shuffle=shuffle))


@pytest.mark.parametrize("cut", range(0, 20000, 997))
def test_shard_cut_anywhere(tmp_path, cut):
    """Samples of other shards, and those before the cut, come whole wherever a shard is cut."""
    samples = [array_sample(f"s{i}", 9 + i, json={"n": i}, txt="words", cls=i) for i in range(8)]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[2 * i : 2 * i + 2]) for i in range(4)]
    whole = Path(urls[1]).read_bytes()
    ends = [at + size for name, _, at, size in members(urls[1]) if name.endswith(".txt")]
    Path(urls[1]).write_bytes(whole[:cut])
    lost = [key for key, end in zip(("s2", "s3"), ends) if end > cut]
    found = dict(clips_of(of_arrays(urls, handler=lambda exn: True, drop_last=False)))
    assert {key: found.get(key) for key in good(samples, *lost)} == good(samples, *lost)
    assert set(found) <= set(expected(samples))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 3)])
def test_corrupt_video(videos, shuffle, place, logged):
    urls, samples = videos
    i, j = place
    samples[EACH * i + j] = {**samples[EACH * i + j], "mp4": b"no video at all" * 50}
    write_shard(urls[i], samples[EACH * i : EACH * (i + 1)])
    key = f"v{i}_{j}"
    loader = of_videos(urls, shuffle=shuffle, handler=wds.log_and_continue, drop_last=False)
    wanted = expected((each for each in samples if each["__key__"] != key), "mp4", format=CROP)
    for _ in range(2):
        found = clips_of(loader, "mp4")
        assert len(found) == len(dict(found))
        assert dict(found) == wanted
    assert sum(key in line for line in logged()) == 2
    loader = of_videos(urls, shuffle=shuffle)
    with pytest.raises(clipx.MediaError, match=key) as caught:
        everything(loader)
    del caught
    check_ended(loader)


def test_video_that_breaks_in_its_middle(videos, logged):
    """Its clips before the damage come, once each; all of the others' come."""
    urls, samples = videos
    video = bytearray(samples[5]["mp4"])
    at = video.index(b"mdat")
    video[at + 400 : at + 2500] = bytes(2100)
    samples[5] = {**samples[5], "mp4": bytes(video)}
    write_shard(urls[1], samples[4:8])
    found = clips_of(of_videos(urls, handler=wds.log_and_continue, drop_last=False), "mp4")
    assert len(found) == len(dict(found))
    others = {key: clip for key, clip in found if not key.startswith("v1_1")}
    assert others == expected(samples[:5] + samples[6:], "mp4", format=CROP)


def test_many_broken_samples_that_a_handler_keeps(tmp_path, videos):
    """A handler may keep every error; no slot stays in one."""
    _, samples = videos
    broken = []
    for i in range(40):
        video = bytearray(samples[i % 12]["mp4"])
        at = video.index(b"mdat")
        video[at + 300 :] = bytes(len(video) - at - 300)
        broken.append({**samples[0], "__key__": f"b{i}", "mp4": bytes(video[: len(video) // 2] if i % 2 else video)})
    url = write_shard(tmp_path / "a.tar", [each for pair in zip(broken, samples * 4) for each in pair][:80])
    # The same key comes again far from its first: another sample for webdataset.
    errors = []
    loader = of_videos(url, handler=lambda exn: errors.append(exn) or True, memory="150kB", drop_last=False)
    found = clips_of(loader, "mp4")
    wanted = expected(samples, "mp4", format=CROP)
    assert errors
    assert {key: clip for key, clip in found if key in wanted} == wanted
    assert wait_until(lambda: not clipx_threads())
    assert leased(loader) == 0


def test_map_errors_that_a_handler_keeps(arrays):
    """The frames of a kept error hold the clip that it was about; the pool must not run out of them."""
    urls, samples = arrays
    errors = []

    def refuse(sample):
        if sample["cls"] % 2:
            raise Broken(sample["__key__"])
        return sample

    loader = of_arrays(
        urls * 5, map=refuse, handler=lambda exn: errors.append(exn) or True, memory="60kB", drop_last=False
    )
    found = clips_of(loader)
    assert len(errors) == 30
    assert dict(found) == expected(sample for sample in samples if sample["cls"] % 2 == 0)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("place", [0, 2, 3])
@pytest.mark.parametrize("kind", ["bytes", "members", "tail"])
def test_empty_shard(arrays, place, kind, shuffle, tmp_path, logged):
    urls, samples = arrays
    empty = tmp_path / "empty.tar"
    if kind == "bytes":
        empty.touch()
    elif kind == "members":
        write_shard(empty, [])
    else:
        empty.write_bytes(bytes(10240))
    urls.insert(place, str(empty))
    loader = of_arrays(urls, handler=wds.log_and_continue, drop_last=False, shuffle=shuffle)
    assert dict(clips_of(loader)) == expected(samples)
    if kind == "bytes":
        assert any("empty.tar" in line for line in logged()), logged()


def test_nothing_but_empty_shards(tmp_path, logged):
    """No batch at all is said."""
    loader = of_arrays(write_shard(tmp_path / "empty.tar", []))
    assert list(loader) == []
    assert len(loader) == 0
    check_ended(loader)
    assert logged(), "an epoch without a single clip passed in silence"


def test_videos_too_short_for_a_clip(tmp_path):
    url = write_shard(tmp_path / "a.tar", [array_sample(f"s{i}", 2) for i in range(3)])
    loader = of_arrays(url)
    assert list(loader) == []
    assert len(loader) == 0


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_sample_without_anything_to_cut(arrays, tmp_path, shuffle, logged):
    urls, samples = arrays
    urls.insert(1, write_shard(tmp_path / "other.tar", [{"__key__": "odd", "txt": "words"}]))
    loader = of_arrays(urls, handler=wds.log_and_continue, drop_last=False, shuffle=shuffle)
    for _ in range(2):
        assert dict(clips_of(loader)) == expected(samples)
    assert sum("odd" in line for line in logged()) == 2, logged()


def test_undecodable_json(arrays, logged):
    urls, samples = arrays
    rest = [{**each, "json": b"{broken"} if each["__key__"] == "s0_1" else each for each in samples]
    write_shard(urls[0], rest[:EACH])
    loader = of_arrays(urls, handler=wds.log_and_continue, drop_last=False)
    assert dict(clips_of(loader)) == good(samples, "s0_1")
    assert any("s0_1" in line for line in logged()), logged()


def test_samples_of_other_fields(tmp_path):
    """A field that a sample lacks is None in its batch, of whatever kind it is where there is one."""
    samples = [array_sample("a", 9, txt="words"), array_sample("b", 9, cls=3), array_sample("c", 9, txt="more")]
    loader = of_arrays(write_shard(tmp_path / "a.tar", samples), shuffle=False, batch_size=9)
    (batch,) = loader
    assert batch["txt"] == ["words"] * 3 + [None] * 3 + ["more"] * 3
    assert batch["cls"] == [None] * 3 + [3] * 3 + [None] * 3
    assert batch["npy"].shape == (9, 4, 8, 8, 3)
    del batch
    check_ended(loader)


def test_ragged_clips(tmp_path):
    samples = [{"__key__": "a", "npy": npy(array(9))}, {"__key__": "b", "npy": npy(array(9, shape=(6, 6, 3)))}]
    loader = of_arrays(write_shard(tmp_path / "a.tar", samples), shuffle=False, batch_size=8)
    with pytest.raises(ValueError, match=r"\(4, 8, 8, 3\).*'a_0+'.*\(4, 6, 6, 3\).*'b_0+'"):
        everything(loader)
    check_ended(loader)


def test_a_clip_larger_than_the_first(tmp_path):
    samples = [{"__key__": "a", "npy": npy(array(9))}, {"__key__": "b", "npy": npy(array(9, shape=(9, 9, 3)))}]
    loader = of_arrays(write_shard(tmp_path / "a.tar", samples), shuffle=False, handler=lambda exn: True)
    with pytest.raises(ValueError, match="shape"):
        everything(loader)
    check_ended(loader)


@pytest.mark.parametrize("shuffle", [False, True])
def test_handler_that_raises(arrays, shuffle):
    urls, _ = arrays
    Path(urls[1]).write_bytes(b"")

    def handler(exn):
        raise Broken("handler") from exn

    loader = of_arrays(urls, handler=handler, shuffle=shuffle)
    with pytest.raises(Broken, match="handler") as caught:
        everything(loader)
    del caught
    check_ended(loader)


def test_handler_that_raises_at_a_sample(arrays):
    urls, samples = arrays
    for first in (0, 1):
        rest = [{**each, "npy": b"broken"} if each["__key__"] == f"s0_{first}" else each for each in samples]
        write_shard(urls[0], rest[:EACH])

        def handler(exn):
            raise Broken("handler") from exn

        loader = of_arrays(urls, handler=handler, shuffle=False)
        with pytest.raises(Broken, match="handler") as caught:
            everything(loader)
        del caught
        check_ended(loader)


def test_handler_that_ends(arrays):
    urls, samples = arrays
    rest = [{**each, "npy": b"broken"} if each["__key__"] == "s1_0" else each for each in samples]
    write_shard(urls[1], rest[EACH : 2 * EACH])
    loader = of_arrays(urls, handler=lambda exn: False, shuffle=False, drop_last=False)
    assert dict(clips_of(loader)) == expected(samples[:EACH])
    check_ended(loader)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("memory", "2 gigs"),
        ("memory", 0),
        ("threads", 0),
        ("threads", "all"),
        ("map", 3),
        ("shuffle", 1),
        ("drop_last", None),
        ("seed", -1),
        ("seed", "x"),
        ("keys", []),
        ("keys", [3]),
        ("handler", None),
        ("batches", 1),
        ("timeout", -1),
        ("timeout", float("nan")),
        ("timeout", "soon"),
        ("options", {}),
        ("dataset", ""),
        ("dataset", []),
        ("dataset", 5),
        ("dataset", [5]),
        ("dataset", None),
        ("dataset", [""]),
        ("spec", 16),
        ("format", "CTHW"),
    ],
)
def test_bad_arguments(argument, value):
    """An error names the argument."""
    arguments = {"dataset": "a.tar", "spec": WINDOW, "format": CROP, "batch_size": 4, "memory": "10MB", argument: value}
    with pytest.raises((TypeError, ValueError), match=rf"\b{argument}\b"):
        clipx.Loader(**arguments)
    assert not clipx_threads()


# Where shards are


def test_kinds_of_urls(arrays, tmp_path):
    urls, _ = arrays
    wanted = everything(of_arrays(urls, shuffle=False))
    assert len(wanted) > 4

    def check(urls):
        out = everything(of_arrays(urls, shuffle=False))
        for batch in (*out, *wanted):
            batch.pop("__url__", None)
            batch.pop("__local_path__", None)
        assert out == wanted

    packed = [f"{url}.gz" for url in urls]
    for url, to in zip(urls, packed):
        Path(to).write_bytes(gzip.compress(Path(url).read_bytes()))
    check([Path(url) for url in urls])
    check(tuple(urls))
    check(url for url in urls)
    check(str(tmp_path / "arrays-{0..2}.tar"))
    check(tmp_path / "arrays-{0..2}.tar")
    check("::".join(urls))
    check([f"pipe:cat {url}" for url in urls])
    check(f"pipe:cat {tmp_path}/arrays-{{0..2}}.tar")
    check([f"file:{url}" for url in urls])
    check(packed)
    check([f"pipe:gzip -dc {url}" for url in packed])


def test_one_path(arrays):
    urls, samples = arrays
    assert dict(clips_of(of_arrays(Path(urls[0]), drop_last=False))) == expected(samples[:EACH])


def test_failing_pipe(arrays, logged):
    urls, samples = arrays
    loader = of_arrays([*urls, "pipe:exit 3"], drop_last=False, handler=wds.log_and_continue)
    assert dict(clips_of(loader)) == expected(samples)
    assert logged()


def test_same_shard_twice(arrays):
    urls, samples = arrays
    found = clips_of(of_arrays([urls[0], urls[0]], drop_last=False))
    assert len(found) == 2 * len(expected(samples[:EACH]))
    assert dict(found) == expected(samples[:EACH])


# Other processes


def test_pickle(arrays):
    urls, _ = arrays
    loader = of_arrays(urls, epoch=1)
    fresh = pickle.loads(pickle.dumps(loader))
    wanted = everything(loader)
    assert everything(fresh) == wanted
    iterator = iter(loader)
    next(iterator)
    other = pickle.loads(pickle.dumps(loader))
    assert len(other) == len(loader)
    assert everything(other) == wanted
    assert len(everything(iterator)) == len(wanted) - 1


def summary(batch):
    """What a worker sends: no slot, but values."""
    return {"keys": batch["__key__"], "clips": [digest(clip) for clip in batch["npy"]], "pid": os.getpid()}


class Summaries:
    """A loader as a torch dataset that sends what is in each batch, and what the worker set aside."""

    def __new__(cls, loader):
        import torch

        class Dataset(torch.utils.data.IterableDataset):
            def __iter__(self):
                for batch in loader:
                    pools = loader._pools
                    nbytes = pools.clips.nbytes + pools.batches.nbytes + pools.budget.encoded_bytes
                    yield {**summary(batch), "nbytes": nbytes}
                    del batch

        return Dataset()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_torch_workers(arrays, workers, shuffle):
    torch = pytest.importorskip("torch")
    urls, samples = arrays
    loader = of_arrays(urls, drop_last=False, memory="200kB", shuffle=shuffle)
    data = torch.utils.data.DataLoader(Summaries(loader), batch_size=None, num_workers=workers)
    batches = list(data)
    found = [pair for batch in batches for pair in zip(batch["keys"], batch["clips"])]
    assert len(found) == len(dict(found))
    assert dict(found) == expected(samples)
    assert len({batch["pid"] for batch in batches}) == max(workers, 1)
    assert max(batch["nbytes"] for batch in batches) <= 200_000 // max(workers, 1)


def test_torch_workers_after_an_epoch_here(arrays):
    """Workers that are forked from a process that has iterated divide the memory all the same."""
    torch = pytest.importorskip("torch")
    urls, _ = arrays
    loader = of_arrays(urls, drop_last=False, memory="200kB", epoch=0)
    everything(loader)
    batches = list(torch.utils.data.DataLoader(Summaries(loader), batch_size=None, num_workers=2))
    assert max(batch["nbytes"] for batch in batches) <= 100_000
    fresh = of_arrays(urls, drop_last=False, memory="200kB", epoch=0)
    again = list(torch.utils.data.DataLoader(Summaries(fresh), batch_size=None, num_workers=2))
    assert [batch["keys"] for batch in batches] == [batch["keys"] for batch in again]


@pytest.mark.parametrize("workers", [0, 2])
def test_torch_takes_the_loader_itself(arrays, workers):
    torch = pytest.importorskip("torch")
    urls, samples = arrays
    loader = of_arrays(urls, drop_last=False, memory="200kB")
    data = torch.utils.data.DataLoader(loader, batch_size=None, num_workers=workers)
    for _ in range(2):
        found = []
        for batch in data:
            assert isinstance(batch["npy"], torch.Tensor)
            found += zip(batch["__key__"], [digest(clip.numpy()) for clip in batch["npy"]])
            del batch
        assert dict(found) == expected(samples)


def test_fewer_shards_than_workers(arrays):
    torch = pytest.importorskip("torch")
    urls, samples = arrays
    loader = of_arrays(urls[:2], drop_last=False, memory="400kB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # more workers than processors
        batches = list(torch.utils.data.DataLoader(Summaries(loader), batch_size=None, num_workers=3))
    found = [pair for batch in batches for pair in zip(batch["keys"], batch["clips"])]
    assert len(found) == len(dict(found))
    assert dict(found) == expected(samples[: 2 * EACH])


@pytest.mark.parametrize("shuffle", [False, True])
def test_nodes_and_workers_share_the_data(arrays, monkeypatch, shuffle, logged):
    """Every clip once over all of them; those that have too few shards share samples, and say so."""
    urls, samples = arrays
    for ranks, workers in [(1, 2), (2, 1), (2, 2), (3, 1), (1, 4), (5, 1), (4, 2), (2, 5)]:
        found = []
        for rank, worker in itertools.product(range(ranks), range(workers)):
            info = rank, ranks, worker, workers
            monkeypatch.setattr(webdataset.utils, "pytorch_worker_info", lambda info=info: info)
            found += clips_of(of_arrays(urls, drop_last=False, shuffle=shuffle, memory="400kB"))
        assert len(found) == len(dict(found))
        assert dict(found) == expected(samples)
        lines = [line for line in logged() if f"{ranks} ranks of {workers} workers" in line]
        assert len(lines) == {(2, 2): 2, (1, 4): 4}.get(
            (ranks, workers), {5: 5, 8: 8, 10: 10}.get(ranks * workers, 0)
        ), (ranks, workers, lines)


def test_too_little_memory_for_each_worker(arrays, monkeypatch):
    """The figure that a worker's error names is the one to set."""
    urls, _ = arrays
    with pytest.raises(ValueError, match="memory is 1000 bytes") as caught:
        everything(of_arrays(urls, memory=1000))
    least = int(str(caught.value).rpartition(" ")[2])
    monkeypatch.setattr(webdataset.utils, "pytorch_worker_info", lambda: (0, 1, 0, 2))
    assert everything(of_arrays(urls, memory=2 * least))
    with pytest.raises(ValueError, match="memory") as caught:
        everything(of_arrays(urls, memory=2 * least - 2))
    # 2 * least - 2 bytes were given; that is the number that the user can change.
    assert str(2 * least) in str(caught.value) or "worker" in str(caught.value)


# Lifetimes


@pytest.mark.timeout(900)  # of a million clips, where CLIPX_LONG asks for them
def test_clips_of_random_lifetimes(tmp_path):
    """Many small clips on 8 threads, held for random times: no slot is lost, and none is written while it is seen."""
    clips = 1_000_000 if os.environ.get("CLIPX_LONG") == "1" else 60_000
    length, each = 2, clips // 24
    window = clipx.WindowSpec(length, 1)
    samples = []
    for i in range(24):
        numbers = np.arange(each + 1, dtype=np.uint64) + (i << 32)
        samples.append({"__key__": f"s{i:02d}", "npy": npy(numbers[:, None].repeat(4, 1))})
    urls = [write_shard(tmp_path / f"{i}.tar", samples[4 * i : 4 * i + 4]) for i in range(6)]
    loader = clipx.Loader(urls, window, batch_size=64, memory="40MB", threads=8, batches=12)
    rng = random.Random(0)
    held, seen, rss = [], 0, []
    process = psutil.Process()

    def check(batch, keys):
        wanted = np.array([(int(key[1:3]) << 32) + int(key[-6:]) for key in keys], dtype=np.uint64)
        assert (batch[:, :, 0] == wanted[:, None] + np.arange(length, dtype=np.uint64)).all()
        assert (batch == batch[:, :, :1]).all()

    for count, batch in enumerate(loader):
        assert batch["npy"].shape == (64, length, 4)
        seen += 64
        held.append((batch["npy"], batch["__key__"]))
        del batch
        while len(held) > 9 or (held and rng.random() < 0.5):
            check(*held.pop(rng.randrange(len(held))))
        if count % 200 == 50:
            rss.append(process.memory_info().rss)
    for pair in held:
        check(*pair)
    held.clear()
    del pair
    assert seen == 24 * each // 64 * 64
    assert rss[-1] - rss[len(rss) // 2] < 5e6, rss
    check_ended(loader)


def test_a_slow_consumer_causes_no_collections(arrays):
    """A loader that waits for its consumer does not collect garbage again and again."""
    loader = of_arrays(arrays[0])
    everything(loader)
    collections = []

    def note(phase, info):
        if phase == "stop" and info["generation"] == 2:
            collections.append(info)

    gc.collect()
    gc.callbacks.append(note)
    try:
        for _batch in loader:
            time.sleep(0.05)
    finally:
        gc.callbacks.remove(note)
    assert len(collections) <= 3, f"{len(collections)} full collections in {len(loader)} batches"
