"""Counters of a Loader while it runs, and what they say of it."""

import dataclasses
import json
import pickle
import threading
import time

import av
import pytest
from helpers.loaders import EACH, SHARDS, of_arrays, of_videos
from helpers.processes import in_child

import clipx
from clipx.loader import counters as counting
from clipx.loader.counters import Counters, Stopwatch
from clipx.loader.stats import LoaderStats

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")


def test_before_the_first_epoch(arrays):
    loader = of_arrays(arrays[0])
    stats = loader.stats()
    assert stats == LoaderStats(memory_bytes=100_000, errors={})
    assert repr(stats) == "<LoaderStats: before the first epoch>"
    assert stats.bound is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.clips = 3


def test_arrays(arrays):
    """While it runs, clips and batches are those that were handed out; in the end all have been."""
    urls, samples = arrays
    loader = of_arrays(urls, drop_last=False)
    clips = batches = waited = most = 0
    for batch in loader:
        clips, batches = clips + len(batch["__key__"]), batches + 1
        stats = loader.stats()
        assert (stats.epoch, stats.batches, stats.clips) == (0, batches, clips)
        most = max(most, stats.slots_taken)
        assert stats.slots_taken <= stats.slots
        assert 1 <= stats.batches_out <= stats.batch_slots == 3
        assert 0 < stats.held_bytes <= stats.memory_bytes == 100_000
        assert waited <= (waited := stats.waited_seconds) <= stats.seconds
        assert stats.shuffled <= loader._kept.pools.budget.shuffled
        del batch
    assert most > 0
    stats = loader.stats()
    assert (stats.clips, stats.batches) == (clips, batches)
    assert stats.samples == len(samples)
    assert stats.bytes_read > sum(len(sample["npy"]) for sample in samples)
    assert stats.clips_per_second == pytest.approx(clips / stats.seconds)
    assert stats.recent_clips_per_second == pytest.approx(stats.clips_per_second)
    assert min(stats.reading_seconds, stats.opening_seconds, stats.converting_seconds, stats.batching_seconds) > 0
    assert stats.decoding_seconds == stats.mapping_seconds == stats.shuffled == stats.slots_taken == 0
    assert loader.stats() == stats  # the end is the end
    assert f"{batches} batches, {clips} clips" in repr(stats)
    assert json.loads(json.dumps(stats.as_json()))["clips"] == clips


def test_videos(videos):
    """Work on videos is opening, decoding and converting, and with `map` mapping; the next epoch counts anew."""
    urls, samples = videos
    began = time.perf_counter()

    def slow(sample):
        time.sleep(0.01)
        return sample

    loader = of_videos(urls, map=slow, drop_last=False)
    for epoch in range(2):
        clips = sum(len(batch["__key__"]) for batch in loader)
        stats = loader.stats()
        assert (stats.epoch, stats.clips, stats.samples) == (epoch, clips, SHARDS * EACH)
        assert min(stats.opening_seconds, stats.decoding_seconds, stats.converting_seconds) > 0
        assert stats.mapping_seconds > 0.01 * clips
        assert sum(stats.work_seconds.values()) < stats.threads * (time.perf_counter() - began)
    assert stats.bytes_read == pytest.approx(sum(len(sample["mp4"]) for sample in samples), rel=0.01)


def test_errors_and_a_handler(arrays, tmp_path):
    loader = of_arrays(arrays[0], keys="jpg;npy;mp4", handler=lambda exn: True)
    loader.errors.record(ValueError("a"))
    assert dict(loader.stats().errors) == {"error": 1}


def test_an_iterator_that_is_dropped(arrays):
    """Its epoch ended with its last batch, however much later one asks; a closed one when it was closed."""
    loader = of_arrays(arrays[0])
    batches = iter(loader)
    del next(batches)["npy"]
    del batches
    before = loader.stats()
    time.sleep(0.02)
    assert loader.stats().seconds == before.seconds > 0
    assert before.batches == 1
    with loader:
        next(iter(loader))
    assert loader.stats().epoch == 1


def test_from_any_thread(videos):
    """A thread that asks all the time gets stats that only grow."""
    loader, found, ended = of_videos(videos[0]), [], threading.Event()

    def ask():
        while not ended.is_set():
            found.append(loader.stats())

    thread = threading.Thread(target=ask)
    thread.start()
    batches = sum(1 for _ in loader)
    ended.set()
    thread.join()
    numbers = [stats.batches for stats in found if stats.epoch == 0]
    assert numbers == sorted(numbers)
    assert loader.stats().batches == batches


def test_other_processes(arrays):
    """A copy, and a forked child, have done nothing yet."""
    loader = of_arrays(arrays[0])
    assert sum(1 for _ in loader) == loader.stats().batches
    assert pickle.loads(pickle.dumps(loader)).stats().epoch is None
    assert in_child(lambda: loader.stats().epoch) is None


def test_a_resumed_epoch_counts_what_is_handed_out(arrays):
    loader = of_arrays(arrays[0], shuffle=False)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    state = loader.state_dict()
    left = sum(1 for _ in batches)
    loader.load_state_dict(state)
    assert sum(1 for _ in loader) == left == loader.stats().batches
    assert loader.stats().clips == 4 * left


def test_the_recent_rate(monkeypatch):
    """Clips of the last ten seconds, to half a second; of the whole while that is shorter."""
    now = 100.0
    monkeypatch.setattr(counting.time, "perf_counter", lambda: now)
    counters = Counters(0)
    assert counters.recent_rate() == 0
    counters.begin()
    for step in range(1, 401):
        now = 100 + step / 10
        counters.hand_out(2 if step <= 200 else 5)
        if step in (40, 400):
            rate = {40: 20, 400: 50}[step]
            assert counters.recent_rate() == pytest.approx(rate, rel=0.06)
            assert counters.seconds() == pytest.approx(step / 10)
    now += 30  # nothing comes
    assert counters.recent_rate() == 0
    counters.drop()
    assert counters.seconds() == pytest.approx(40)
    assert counters.recent_rate() == pytest.approx(50, rel=0.06)


def test_work_is_told_apart(monkeypatch):
    """Seconds between `run` and `pause` count, and nothing that lies between these and the next `run`."""
    now = 0.0
    monkeypatch.setattr(counting.time, "perf_counter", lambda: now)

    def work(counters, decodes):
        nonlocal now
        watch = Stopwatch(counters)
        watch.timings.decodes = decodes
        now += 100
        for _ in range(2):
            watch.run()
            now += 5
            watch.timings.converting += 2
            watch.timings.mapping += 0.5
            watch.pause()
            now += 100
        watch.run()
        now += 1
        watch.timings.opening += 1
        watch.stop()

    counters = Counters(0)
    work(counters, decodes=True)
    assert (counters.opening, counters.converting, counters.mapping, counters.decoding) == (1, 4, 1, 5)
    work(counters, decodes=False)
    assert (counters.opening, counters.converting, counters.mapping, counters.decoding) == (2, 4 + 9, 2, 5)


SECONDS = {"clips": 1, "seconds": 10.0, "threads": 2, "waited_seconds": 5.0}


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({"waited_seconds": 0.4}, "consumer"),
        ({"batching_seconds": 9.0}, "batching"),
        ({"decoding_seconds": 10.0, "converting_seconds": 8.0}, "decoding"),
        ({"decoding_seconds": 3.0, "converting_seconds": 15.0}, "converting"),
        ({"opening_seconds": 19.0, "reading_seconds": 8.0}, "opening"),
        ({"decoding_seconds": 8.0, "reading_seconds": 8.0}, "reading"),
        ({"decoding_seconds": 8.0}, "sources"),
    ],
)
def test_what_bounds_it(changes, bound):
    assert LoaderStats(**SECONDS | changes).bound == bound


def test_bytes_of_files(make_video):
    """Of a video that is opened where it lies, the packets that were decoded, however often it was read."""
    path = make_video(n=40)
    loader = of_videos(clipx.Files([path]), drop_last=False)
    assert sum(1 for _ in loader)
    with av.open(str(path)) as container:
        size = sum(packet.size for packet in container.demux(video=0))
    assert loader.stats().bytes_read == size
