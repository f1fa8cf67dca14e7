"""The cost of a state: its bytes, frames decoded again, slots, and threads that end."""

import itertools
import json
import threading
import time

import pytest
from helpers.loaders import (
    CROP,
    check_ended,
    everything,
    of_arrays,
    of_videos,
)
from helpers.shards import array_sample, write_shard
from helpers.states import THREADS, batches_and_states, through_json

import clipx
from clipx.video.decoder import VideoDecoder

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


def test_a_state_is_small(tmp_path):
    """Of a shuffle of a thousand clips from as many samples, and a hundred shards."""
    samples = [array_sample(f"some/where/sample-{i:06d}", 8) for i in range(4000)]
    urls = [
        write_shard(tmp_path / f"a-rather-long-name-of-a-shard-{i:06d}.tar", samples[40 * i : 40 * i + 40])
        for i in range(100)
    ]
    window = clipx.WindowSpec(4, 4)
    loader = clipx.Loader(urls, window, batch_size=16, memory="1.1MB", threads=2)
    iterator = iter(loader)
    for _ in range(100):
        next(iterator)
    state = loader.state_dict()
    held = state["shuffle"]["held"][0]
    assert len(held) >= 1000
    assert len(set(held)) > 800
    text = json.dumps(state)
    assert len(text) < 100_000, len(text)
    assert json.loads(text) == state
    wanted = everything(iterator)
    loader = clipx.Loader(urls, window, batch_size=16, memory="1.1MB", threads=1)
    loader.load_state_dict(json.loads(text))
    assert everything(loader) == wanted


def test_what_was_consumed_is_not_decoded(tmp_path, make_video, monkeypatch):
    """Late in an epoch, the clips of the shuffle are decoded again from their key frames on, and no more."""
    samples = [{"__key__": f"v{i:02d}", "mp4": make_video(n=120, g="12", bf="0").read_bytes()} for i in range(20)]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[5 * i : 5 * i + 5]) for i in range(4)]
    decoded = []
    count = VideoDecoder._receive
    monkeypatch.setattr(VideoDecoder, "_receive", lambda self, image: (decoded.append(1), count(self, image))[1])

    def make(**rest):
        return clipx.Loader(urls, clipx.WindowSpec(4), CROP, batch_size=4, memory="300kB", **rest)

    loader = make(threads=2)
    batches = 20 * 30 // 4
    iterator = iter(loader)
    for _ in range(batches * 9 // 10):
        next(iterator)
    so_far = len(decoded)
    state = loader.state_dict()
    held = len(state["shuffle"]["held"][0])
    assert held > 20
    iterator.close()
    decoded.clear()
    other = make(threads=2)
    other.load_state_dict(state)
    next(iter(other))
    assert len(decoded) < so_far / 2
    # A clip has at most 15 frames from its key frame on, what is cut further at most a tenth of all and two key frames.
    assert len(decoded) < 15 * held + 20 * 120 // 10 + 24 * 10
    other.close()


def test_a_resumed_loader_stays_in_its_pools(videos):
    loader = of_videos(videos[0], threads=2)
    iterator = iter(loader)
    for _ in range(4):
        next(iterator)
    state, slots = loader.state_dict(), (loader._pools.clips.slots, loader._pools.batches.slots)
    iterator.close()
    other = of_videos(videos[0], threads=8)
    other.load_state_dict(state)
    everything(other)
    assert (other._pools.clips.slots, other._pools.batches.slots) == slots
    check_ended(other)


def test_closed_while_it_is_rebuilt(videos):
    loader = of_videos(videos[0], threads=2, memory="1MB")
    wanted, states = batches_and_states(loader)
    assert max(len(state["shuffle"]["held"][0]) for state in states) > 10
    for i in range(30):
        other = of_videos(videos[0], threads=THREADS[i % 4], memory="1MB")
        other.load_state_dict(states[len(states) // 2])
        iterator = iter(other)
        time.sleep(0.001 * i)
        if i % 3 == 0:
            iterator.close()
        elif i % 3 == 1:
            del iterator
        else:
            other.close()
        check_ended(other)
        # It has not begun, so that the state is still there.
        if i % 10 == 9:
            assert everything(other) == wanted[len(states) // 2 :]


def test_a_state_from_another_thread(videos):
    """States that are asked for at any moment are those behind one batch or the next."""
    loader = of_videos(videos[0], threads=2, drop_last=False)
    wanted = everything(of_videos(videos[0], drop_last=False))
    states, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            states.append(loader.state_dict())

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        assert everything(loader) == wanted
    finally:
        ended.set()
        thread.join()
    points = {state["batch"]["count"]: state for state in states if not state["finished"]}
    for at, state in list(points.items())[::4]:
        other = of_videos(videos[0], drop_last=False)
        other.load_state_dict(through_json(state))
        assert everything(other) == wanted[at:]


def test_closed_while_one_long_sample_is_cut_again(tmp_path):
    url = write_shard(tmp_path / "a.tar", [array_sample("a", 400)])
    wait = threading.Event()

    def slow(sample):
        if wait.is_set():
            time.sleep(0.1)
        return sample

    loader = of_arrays(url, memory="300kB", map=slow)
    next(iter(loader))
    loader.close()
    state = loader.state_dict()
    assert len(state["shuffle"]["held"][0]) > 100
    wait.set()
    other = of_arrays(url, memory="300kB", map=slow)
    other.load_state_dict(state)
    iterator = iter(other)
    time.sleep(0.3)
    began = time.monotonic()
    iterator.close()
    assert time.monotonic() - began < 3
    check_ended(other)


def test_an_error_of_what_is_cut_again_keeps_no_slot(arrays):
    loader = of_arrays(arrays[0])
    next(iter(loader))
    loader.close()
    calls = itertools.count()

    def fails(sample):
        if next(calls) > 5:
            raise ValueError("map fails")
        return sample

    other = of_arrays(arrays[0], map=fails)
    other.load_state_dict(loader.state_dict())
    with pytest.raises(ValueError, match=r"sample 's.*' gives \d+ of the \d+ clips") as caught:
        next(iter(other))
    assert "map fails" in str(caught.value.__cause__)
    check_ended(other)
