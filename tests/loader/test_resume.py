"""States of a Loader: the batches that follow one are the batches that would have come, byte for byte."""

import gc
import itertools
import json
import multiprocessing
import os
import pickle
import random
import re
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
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
    of_arrays,
    of_videos,
)
from helpers.shards import array_sample, write_shard
from helpers.threads import wait_until

import clipx
from clipx.video.decoder import VideoDecoder

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("small_decoders", "no_threads_left")]

THREADS = (1, 2, 3, 8)


def through_json(state):
    return json.loads(json.dumps(state))


def run(loader, epochs=1):
    """Every batch of some epochs as a value, and the state behind each; the first is that before any."""
    values, states = [], [through_json(loader.state_dict())]
    for _ in range(epochs):
        for batch in loader:
            values += everything([batch])
            del batch
            states.append(through_json(loader.state_dict()))
    return values, states


def check_every(make, epochs=1, every=1, seed=0):
    """From every state, or one of `every`, the batches of that epoch that follow it, on other numbers of threads."""
    rng = random.Random(seed)
    values, states = [], []
    loader = make(threads=2)
    for _ in range(epochs):
        found, told = run(loader)
        values.append(found)
        states.append(told)
        check_ended(loader)
    for epoch, (found, told) in enumerate(zip(values, states)):
        assert len(told) == len(found) + 1
        for at in range(rng.randrange(every), len(told), every):
            other = make(threads=rng.choice(THREADS))
            other.load_state_dict(told[at])
            assert everything(other) == found[at:], (epoch, at)
            if epoch + 1 < epochs and rng.random() < 0.3:
                assert everything(other) == values[epoch + 1], (epoch, at)
            check_ended(other)
    return values, states


# Every state, of every kind of loader


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("kind", [of_arrays, of_videos])
def test_every_batch(arrays, videos, kind, shuffle, drop_last):
    urls = (arrays if kind is of_arrays else videos)[0]
    values, _ = check_every(lambda **rest: kind(urls, shuffle=shuffle, drop_last=drop_last, **rest), epochs=2)
    assert (values[0] != values[1]) == shuffle


@pytest.mark.parametrize("memory", ["70kB", "10MB"])
def test_small_and_large_shuffles(arrays, memory):
    check_every(lambda **rest: of_arrays(arrays[0], memory=memory, **rest))


def test_random_windows_and_formats(videos):
    window = clipx.WindowSpec(4, num_clips=5, sampling="random", policy="repeat_last")
    format = clipx.ClipFormat(crop=("random", (16, 16)), flip=0.5, mean="imagenet", order="CTHW")
    check_every(lambda **rest: clipx.Loader(videos[0], window, format, batch_size=4, memory="1MB", **rest), 2)


@pytest.mark.parametrize("policy", ["repeat_last", "wrap", "reflect", "backpad"])
@pytest.mark.parametrize("stride", [2, 6])
def test_policies(videos, policy, stride):
    window = clipx.WindowSpec(4, stride, policy=policy)
    check_every(lambda **rest: clipx.Loader(videos[0], window, CROP, batch_size=4, memory="300kB", **rest), every=2)


def test_long_videos_with_many_key_frames(tmp_path, make_video):
    samples = [
        {"__key__": f"v{i}", "mp4": make_video(n=90 + i, g=str(7 + i), bf=str(i % 3)).read_bytes()} for i in range(4)
    ]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[2 * i : 2 * i + 2]) for i in range(2)]
    check_every(lambda **rest: of_videos(urls, **rest), every=5)


def test_video_with_sound_and_other_fields(tmp_path, real_video):
    data = real_video("bigbuckbunny.mp4").read_bytes()
    samples = [{"__key__": f"v{i}", "mp4": data, "json": {"n": i}, "txt": "x" * i} for i in range(3)]
    url = write_shard(tmp_path / "a.tar", samples)
    audio = clipx.AudioFormat(sample_rate=8000, mono=True)
    window = clipx.WindowSpec(4, 11)

    def make(**rest):
        return clipx.Loader(url, window, CROP, batch_size=4, memory="2MB", audio=audio, **rest)

    values, _ = check_every(make, every=4)
    assert "audio" in values[0][0]


def test_fields_in_step_and_map(tmp_path):
    samples = [
        {"__key__": f"s{i}", "a.npy": npy(array(9 + i, i)), "b.npy": npy(array(9 + i, i, (5,))), "cls": i}
        for i in range(12)
    ]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[4 * i : 4 * i + 4]) for i in range(3)]

    def change(sample):
        sample["sum"] = np.array([int(sample["a.npy"].sum())], dtype=">i8")
        sample["text"] = np.array(sample["__key__"], dtype="<U20")
        return sample

    def make(**rest):
        return clipx.Loader(
            urls, WINDOW, batch_size=3, memory="150kB", keys=["a.npy", "b.npy"], map=change, drop_last=False, **rest
        )

    values, _ = check_every(make, epochs=2)
    assert "sum" in values[0][0]


@pytest.mark.parametrize("shuffle", [False, True])
def test_broken_samples_and_unlike_clips(tmp_path, shuffle):
    rng = np.random.default_rng(1)
    samples = [array_sample(f"s{i:02d}", int(rng.integers(1, 40))) for i in range(30)]
    for i in (0, 7, 8, 29):
        samples[i]["npy"] = samples[i]["npy"][: 60 + i]
    samples[12]["npy"] = npy(array(9, 1, (4, 4, 3)))  # smaller clips than the others
    samples[13]["extra"] = b"a field that others lack"
    urls = [write_shard(tmp_path / f"{i}.tar", samples[6 * i : 6 * i + 6]) for i in range(5)]
    Path(urls[2]).write_bytes(Path(urls[2]).read_bytes()[:-15_000])

    check_every(lambda **rest: of_arrays(urls, shuffle=shuffle, handler=lambda exn: True, **rest), every=3, epochs=2)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("broken", ["sample", "shard", "pipe"])
def test_a_handler_that_stops(tmp_path, shuffle, drop_last, broken):
    """What a handler has ended stays ended."""
    samples = [array_sample(f"s{i:02d}", 20) for i in range(12)]
    if broken == "sample":
        samples[5]["npy"] = samples[5]["npy"][:100]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[4 * i : 4 * i + 4]) for i in range(3)]
    if broken != "sample":
        Path(urls[1]).write_bytes(Path(urls[1]).read_bytes()[:9000])
    if broken == "pipe":
        urls = [f"pipe:cat {url}" for url in urls]

    def make(**rest):
        return of_arrays(urls, shuffle=shuffle, drop_last=drop_last, batch_size=2, handler=lambda exn: False, **rest)

    check_every(make)


def test_damaged_videos(tmp_path, make_video):
    rng = np.random.default_rng(1)
    samples = []
    for i in range(6):
        data = bytearray(make_video(n=40 + i, g="10", bf="0").read_bytes())
        if i % 2:
            data[int(rng.integers(len(data) // 2, len(data) - 3000)) :] = b""
        samples.append({"__key__": f"v{i}", "mp4": bytes(data)})
    samples[5]["mp4"] = b"no video"
    urls = [write_shard(tmp_path / f"{i}.tar", samples[3 * i : 3 * i + 3]) for i in range(2)]
    check_every(lambda **rest: of_videos(urls, handler=lambda exn: True, **rest), every=2)


def test_one_sample_of_many_clips(tmp_path):
    url = write_shard(tmp_path / "a.tar", [array_sample("a", 200)])
    check_every(lambda **rest: of_arrays(url, **rest), every=7)


def test_kinds_of_shards(arrays, tmp_path):
    """Compressed shards and commands are read from their start, and give the same."""
    urls, _ = arrays
    import gzip

    packed = []
    for url in urls:
        packed.append(str(tmp_path / Path(url).name) + ".gz")
        Path(packed[-1]).write_bytes(gzip.compress(Path(url).read_bytes()))

    def but_urls(values):
        return [{**value, "__url__": None} for value in values]

    wanted, _ = run(of_arrays(urls))
    for shards in (packed, [f"pipe:cat {url}" for url in urls], [f"file:{url}" for url in urls]):
        values, _ = check_every(lambda shards=shards, **rest: of_arrays(shards, **rest), every=6)
        assert but_urls(values[0]) == but_urls(wanted)


def test_a_shard_that_is_named_twice(arrays):
    urls = [arrays[0][0], arrays[0][1], arrays[0][0]]
    check_every(lambda **rest: of_arrays(urls, **rest), every=4)


def test_structured_and_big_endian_arrays(tmp_path):
    dtype = np.dtype([("a", ">i2"), ("b", [("c", "u1"), ("d", "<f4", (2, 3))])])
    samples = [{"__key__": f"s{i}", "npy": npy(np.frombuffer(os.urandom(27 * 90), dtype)[: 20 + i])} for i in range(5)]
    url = write_shard(tmp_path / "a.tar", samples)
    check_every(lambda **rest: of_arrays(url, **rest), every=4)


def test_bfloat16(videos):
    pytest.importorskip("ml_dtypes")
    format = clipx.ClipFormat(crop=(16, 16), dtype="bfloat16", order="CTHW")
    check_every(lambda **rest: clipx.Loader(videos[0], WINDOW, format, batch_size=4, memory="600kB", **rest), every=5)


# Killed


def child(make, threads, state, log, saved):
    """Iterate, write a line of each batch, and keep the state in a file."""
    loader = make(threads=threads)
    if state is not None:
        loader.load_state_dict(state)
    with Path(log).open("a") as lines:
        for batch in loader:
            lines.write(f"{everything([batch])[0]}\n")
            lines.flush()
            Path(f"{saved}.new").write_text(json.dumps(loader.state_dict()))
            os.replace(f"{saved}.new", saved)
            del batch


def test_killed_at_random_batches(videos, tmp_path):
    """SIGKILL at 20 random batches, and the rest on another number of threads."""

    def make(**rest):
        return of_videos(videos[0], drop_last=False, epoch=3, **rest)

    wanted = everything(make(threads=2))
    rng = random.Random(4)
    log, saved = tmp_path / "log", tmp_path / "state"
    points = set()
    for _ in range(20):
        log.write_text("")
        saved.unlink(missing_ok=True)
        kill_at = rng.randrange(1, len(wanted))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
            process = multiprocessing.get_context("fork").Process(target=child, args=(make, 2, None, log, saved))
            process.start()
        try:
            assert wait_until(lambda at=kill_at: log.read_text().count("\n") >= at and saved.exists(), 30)
            os.kill(process.pid, signal.SIGKILL)
        finally:
            process.join(30)
        state = json.loads(saved.read_text())
        lines = log.read_text().splitlines()
        points.add(state["batch"]["count"])
        assert lines[: state["batch"]["count"]] == [str(each) for each in wanted[: state["batch"]["count"]]]
        other = make(threads=rng.choice([1, 3, 8]))
        other.load_state_dict(state)
        assert everything(other) == wanted[state["batch"]["count"] :]
    assert len(points) > 5, points


def test_state_after_state(videos):
    """A run that is given up again and again, in two epochs, has the batches of one that never was."""

    def make(**rest):
        return of_videos(videos[0], **rest)

    wanted = [everything(loader) for loader in [make(threads=2)] for _ in range(2)]
    rng, state, found = random.Random(0), None, [[], []]
    for _ in range(200):
        loader = make(threads=rng.choice(THREADS))
        if state is not None:
            loader.load_state_dict(state)
        epoch = loader.state_dict()["epoch"]
        if epoch == 2:
            break
        for batch in itertools.islice(loader, rng.randrange(4)):
            found[epoch] += everything([batch])
            del batch
        state = through_json(loader.state_dict())
        loader.close()
        if state["batch"]["count"] == len(wanted[epoch]) and not state["finished"]:
            last = make(threads=1)
            last.load_state_dict(state)
            assert everything(last) == []
            state = through_json(last.state_dict())
    assert found == wanted


# What a state costs


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
    wanted, states = run(loader)
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


# Epochs


def test_epochs(arrays):
    urls, _ = arrays
    loader = of_arrays(urls)
    values = [everything(loader) for _ in range(3)]
    state = loader.state_dict()
    assert (state["epoch"], state["finished"]) == (2, True)
    other = of_arrays(urls)
    other.load_state_dict(state)
    assert other.state_dict()["epoch"] == 3
    assert everything(other) == everything(loader)

    # A state of the middle of an epoch: the rest of it, then the next.
    fresh = of_arrays(urls)
    fresh.set_epoch(1)
    iterator = iter(fresh)
    next(iterator)
    other = of_arrays(urls)
    other.load_state_dict(fresh.state_dict())
    assert everything(other) == values[1][1:]
    assert everything(other) == values[2]
    assert len(other) == len(values[0])

    # set_epoch: the same epoch goes on, another one begins.
    for epoch, wanted in [(1, values[1][1:]), (2, values[2]), (0, values[0])]:
        other = of_arrays(urls)
        other.load_state_dict(fresh.state_dict())
        other.set_epoch(epoch)
        assert everything(other) == wanted
    iterator.close()


def test_epoch_that_the_loader_is_told(arrays):
    urls, _ = arrays
    for epoch in (2, lambda: 2):
        loader = of_arrays(urls, epoch=epoch)
        iterator = iter(loader)
        next(iterator)
        state = loader.state_dict()
        wanted = everything(iterator)
        other = of_arrays(urls, epoch=epoch)
        other.load_state_dict(state)
        assert everything(other) == wanted
        assert len(everything(other)) == len(wanted) + 1
        with pytest.raises(ValueError, match="state is of epoch 2, but epoch of the loader says 5"):
            of_arrays(urls, epoch=5).load_state_dict(state)
        # Of an epoch that is over: from its beginning, as every iteration of this loader.
        other = of_arrays(urls, epoch=epoch)
        other.load_state_dict(loader.state_dict())
        assert len(everything(other)) == len(wanted) + 1


def test_a_state_is_used_up_by_the_first_batch(arrays):
    loader = of_arrays(arrays[0])
    iterator = iter(loader)
    next(iterator)
    state, wanted = loader.state_dict(), everything(iterator)
    other = of_arrays(arrays[0])
    other.load_state_dict(state)
    assert other.state_dict() == state
    for _ in range(3):
        iter(other).close()
    assert other.state_dict() == state
    assert everything(other) == wanted
    assert everything(other) == everything(loader)


def test_a_state_that_waits(arrays):
    """It is not used up by an iterator that is closed before it is asked, and another epoch takes its place."""
    loader = of_arrays(arrays[0])
    iterator = iter(loader)
    next(iterator)
    state, wanted = loader.state_dict(), everything(iterator)
    other = of_arrays(arrays[0])
    other.load_state_dict(state)
    iterator = iter(other)
    other.close()
    assert list(iterator) == []
    assert everything(other) == wanted
    other.load_state_dict(state)
    iterator = iter(other)
    other.set_epoch(5)
    assert other.state_dict()["epoch"] == 5
    fifth = of_arrays(arrays[0], epoch=lambda: np.int64(5))
    assert everything(other) == everything(fifth)
    json.dumps(fifth.state_dict())


def test_a_state_that_is_loaded_while_batches_come(arrays):
    loader = of_arrays(arrays[0])
    first = iter(loader)
    next(first)
    state, wanted = loader.state_dict(), everything(first)
    second = iter(loader)
    next(second)
    loader.load_state_dict(state)
    assert everything(second) == []
    assert everything(loader) == wanted


def test_state_of_an_iteration_that_was_given_up(arrays):
    loader = of_arrays(arrays[0])
    next(iter(loader))
    state = loader.state_dict()
    loader.close()
    gc.collect()
    assert loader.state_dict() == state
    assert state["batch"]["count"] == 1
    wanted = everything(of_arrays(arrays[0]))
    loader.load_state_dict(state)
    assert everything(loader) == wanted[1:]


def test_state_behind_an_error(arrays, tmp_path):
    """A broken sample raises where it raised before, and again after each load."""
    samples = [array_sample(f"s{i}", 20) for i in range(8)]
    samples[5]["npy"] = b"broken"
    url = write_shard(tmp_path / "a.tar", samples)

    def until_error(loader):
        values = []
        iterator = (everything([batch])[0] for batch in loader)
        with pytest.raises(ValueError, match="s5"):
            values.extend(iterator)
        return values

    loader = of_arrays(url, shuffle=False)
    values = until_error(loader)
    assert len(values) > 5
    other = of_arrays(url, shuffle=False)
    other.load_state_dict(loader.state_dict())
    assert until_error(other) == []


# What is refused

OTHERS = {
    "spec.length": {"spec": clipx.WindowSpec(5, 2)},
    "spec.stride": {"spec": clipx.WindowSpec(4, 3)},
    "spec.policy": {"spec": clipx.WindowSpec(4, 2, policy="wrap")},
    "format.crop": {"format": clipx.ClipFormat(crop=(8, 8))},
    "format.flip": {"format": clipx.ClipFormat(crop=(16, 16), flip=0.5)},
    "options.fps": {"options": clipx.VideoOptions(fps=10)},
    "audio": {"audio": clipx.AudioFormat(mono=True)},
    "seed": {"seed": 1},
    "batch_size": {"batch_size": 5},
    "batches": {"batches": 4},
    "memory": {"memory": "301kB"},
    "shuffle": {"shuffle": False},
    "drop_last": {"drop_last": False},
    "equal_batches": {"equal_batches": True},
    "keys": {"keys": ["mp4"]},
}


@pytest.fixture
def state(videos):
    """A state of the middle of an epoch."""
    loader = of_videos(videos[0])
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    iterator.close()
    return through_json(loader.state_dict())


def other_loader(urls, **changes):
    window, format = changes.pop("spec", WINDOW), changes.pop("format", CROP)
    return clipx.Loader(urls, window, format, **{"batch_size": 4, "memory": "300kB", **changes})


@pytest.mark.parametrize("name", OTHERS)
def test_of_another_loader(videos, state, name):
    with pytest.raises(ValueError, match=f"saved with {re.escape(name)} .* but the loader has {re.escape(name)} "):
        other_loader(videos[0], **OTHERS[name]).load_state_dict(state)


def test_what_may_differ(videos, state):
    wanted = everything(of_videos(videos[0]))[3:]
    other = other_loader(
        videos[0],
        threads=5,
        timeout=3,
        handler=lambda exn: True,
        map=lambda sample: sample,
        options=clipx.VideoOptions(num_threads=2),
    )
    other.load_state_dict(state)
    assert everything(other) == wanted


@pytest.mark.parametrize("bad", [None, [], "state", 3, b""])
def test_no_state(videos, bad):
    with pytest.raises(TypeError, match="state is a"):
        of_videos(videos[0]).load_state_dict(bad)


def test_edited_and_cut_short(videos, state):
    loader = of_videos(videos[0])
    rng = random.Random(0)
    for name in state:
        cut = {key: value for key, value in state.items() if key != name}
        with pytest.raises(ValueError, match="state"):
            loader.load_state_dict(cut)

    def edit(value):
        """Something else of the same kind."""
        if isinstance(value, dict):
            key = rng.choice(list(value))
            return {**value, key: edit(value[key])}
        if isinstance(value, list) and value:
            at = rng.randrange(len(value))
            return [*value[:at], edit(value[at]), *value[at + 1 :]] if rng.random() < 0.7 else value[:-1]
        if isinstance(value, bool) or value is None:
            return not value
        return value + 1 if isinstance(value, int) else f"{value}x"

    for _ in range(200):
        with pytest.raises(ValueError, match="state"):
            loader.load_state_dict(edit(state))
    with pytest.raises(ValueError, match="version 2, but this clipx reads version 3"):
        loader.load_state_dict({**state, "version": 2})
    with pytest.raises(ValueError, match="not as state_dict gave it"):
        loader.load_state_dict({**state, "more": object()})
    with pytest.raises(ValueError, match="cut short"):
        loader.load_state_dict({})
    loader.load_state_dict(state)  # none of them has left anything behind
    assert loader.state_dict() == state


def test_shards_that_have_changed(videos, state):
    urls, _ = videos
    loader = of_videos(urls)
    path = Path(urls[1])
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(512))
    with pytest.raises(
        ValueError, match=f"shard 1, .*videos-1.tar.* has {len(whole) + 512} bytes, but had {len(whole)}"
    ):
        loader.load_state_dict(state)
    path.unlink()
    with pytest.raises(ValueError, match=r"shard 1, .*videos-1.tar.* is missing"):
        loader.load_state_dict(state)
    path.write_bytes(whole)
    loader.load_state_dict(state)
    renamed = path.rename(path.with_name("renamed.tar"))
    with pytest.raises(ValueError, match=r"shard 1 of dataset is .*renamed.tar.*, but was called otherwise"):
        of_videos([urls[0], str(renamed), urls[2]]).load_state_dict(state)
    with pytest.raises(ValueError, match="state is of 3 shards, but dataset names 2"):
        of_videos(urls[:2]).load_state_dict(state)
    with pytest.raises(ValueError, match="shard 0 of dataset"):
        of_videos([urls[1], urls[0], urls[2]]).load_state_dict(state)


@pytest.mark.parametrize("shuffle", [False, True])
def test_shards_of_the_same_size_with_other_samples(tmp_path, shuffle):
    """What cannot be seen from outside shows when the sample is read again."""
    samples = [array_sample(f"s{i}", 30) for i in range(6)]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[2 * i : 2 * i + 2]) for i in range(3)]
    loader = of_arrays(urls, shuffle=shuffle)
    iterator = iter(loader)
    for _ in range(4):
        next(iterator)
    state = loader.state_dict()
    iterator.close()
    for i in range(3):
        others = [{**sample, "npy": npy(array(30, 99))} for sample in samples[2 * i : 2 * i + 2]]
        write_shard(tmp_path / f"{i}.tar", others)
    other = of_arrays(urls, shuffle=shuffle)
    other.load_state_dict(state)
    with pytest.raises(ValueError, match=r"shard \d, .* has changed: its sample \d is not the one that was read"):
        everything(other)
    check_ended(other)


# Ranks and workers


def as_rank(monkeypatch, rank, ranks):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(ranks))


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("shards", [1, SHARDS])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks(arrays, monkeypatch, ranks, shards, drop_last):
    """Every clip once, the same number of batches, and the same again behind every state."""
    urls, samples = arrays
    found, counts, wanted = [], [], expected(samples[: shards * EACH])

    def make(**rest):
        return of_arrays(urls[:shards], drop_last=drop_last, equal_batches=True, batch_size=2, **rest)

    for rank in range(ranks):
        as_rank(monkeypatch, rank, ranks)
        loader = make()
        counts.append((len(loader), len(everything(loader))))
        found += [
            (key, clip)
            for batch in make()
            for (key, clip), fact in zip(clips_of([batch]), batch["clip.json"])
            if not fact.get("repeated")
        ]
        check_every(make, every=3)
    assert len({*counts}) == 1
    assert counts[0][0] == counts[0][1] > 0
    assert len(found) == len(dict(found))
    assert dict(found).items() <= wanted.items() if drop_last else dict(found) == wanted


def test_equal_batches_of_damaged_files(tmp_path, make_video, monkeypatch, caplog):
    """A rank whose files give fewer clips than their headers list gives some again."""
    whole = make_video(n=60, g="10", bf="0").read_bytes()
    middle = whole.index(b"mdat") + (len(whole) - whole.index(b"mdat")) // 2
    damaged = whole[: middle - 300] + bytes(300) + whole[middle:]
    url = write_shard(tmp_path / "0.tar", [{"__key__": f"a{i}", "mp4": damaged} for i in range(2)])
    good = write_shard(tmp_path / "1.tar", [{"__key__": f"b{i}", "mp4": whole} for i in range(2)])
    counts = []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        loader = of_videos([url, good], shuffle=False, equal_batches=True, handler=lambda exn: True)
        batches = everything(loader)
        counts.append(len(batches))
        assert ("repeated" in batches[-1]["clip.json"]) == (rank == 0)
    assert counts[0] == counts[1] > 10
    assert "given again" in caplog.text


def test_map_sees_which_clips_are_repeated(tmp_path, monkeypatch):
    urls = [
        write_shard(tmp_path / "0.tar", [array_sample("a", 30)]),
        write_shard(tmp_path / "1.tar", [array_sample("b", 6)]),
    ]

    def note(sample):
        return {"__key__": sample["__key__"], "npy": sample["npy"], "again": "repeated" in sample["clip.json"]}

    as_rank(monkeypatch, 1, 2)
    loader = of_arrays(urls, equal_batches=True, shuffle=False, drop_last=False, map=note)
    assert [again for batch in loader for again in list(batch["again"])] == [False] * 2 + [True] * 12


def test_a_rank_without_clips(tmp_path, monkeypatch, caplog):
    urls = [
        write_shard(tmp_path / "0.tar", [array_sample("a", 30)]),
        write_shard(tmp_path / "1.tar", [array_sample("b", 1)]),
    ]
    for rank in (0, 1):
        as_rank(monkeypatch, rank, 2)
        with pytest.raises(ValueError, match="rank 1 of 2 has no clips to fill its batches with in epoch 0"):
            everything(of_arrays(urls, equal_batches=True, shuffle=False, drop_last=False))
        assert everything(of_arrays(urls, equal_batches=True, shuffle=False)) == []
    assert "rank 1 of 2 has 0 clips, fewer than a batch" in caplog.text


def test_a_rank_outside_the_world(arrays, monkeypatch):
    loader = of_arrays(arrays[0])
    for rank in ("2", "-1"):
        as_rank(monkeypatch, rank, "2")
        for call in (loader.state_dict, lambda: iter(loader), lambda: loader.load_state_dict({})):
            with pytest.raises(ValueError, match=f"rank is {rank}, but must lie from 0 to 1"):
                call()
    as_rank(monkeypatch, "one", "2")
    with pytest.raises(ValueError, match="'RANK': 'one'"):
        iter(loader)


def test_of_another_world(arrays, monkeypatch):
    as_rank(monkeypatch, 0, 2)
    loader = of_arrays(arrays[0])
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    iterator.close()
    as_rank(monkeypatch, 0, 3)
    with pytest.raises(ValueError, match="saved with a world size of 2, but it is 3 now"):
        loader.load_state_dict(state)
    as_rank(monkeypatch, 1, 2)
    with pytest.raises(ValueError, match="state is that of rank 0 of 2, but this is rank 1 of 2"):
        loader.load_state_dict(state)
    as_rank(monkeypatch, 0, 2)
    loader.load_state_dict(state)
    as_rank(monkeypatch, 1, 2)  # it changes between
    with pytest.raises(ValueError, match="state is that of rank 0 of 2"):
        iter(loader)


def test_torch_distributed_goes_before_the_environment(arrays, monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        as_rank(monkeypatch, 1, 3)
        loader = of_arrays(arrays[0], drop_last=False)
        assert loader.state_dict()["world"] == {"rank": 0, "ranks": 1, "worker": 0, "workers": 1}
        assert dict(clips_of(loader)) == expected(arrays[1])
        copy = pickle.loads(pickle.dumps(loader))
    finally:
        torch.distributed.destroy_process_group()
    # A worker that is started has the environment, but no process group.
    assert copy.state_dict()["world"] == {"rank": 0, "ranks": 1, "worker": 0, "workers": 1}
    assert of_arrays(arrays[0]).state_dict()["world"] == {"rank": 1, "ranks": 3, "worker": 0, "workers": 1}


def refuses(loader):
    """The exit status 7 where a loader says that its state was loaded elsewhere."""
    try:
        iter(loader)
    except ValueError as exn:
        os._exit(7 if "StatefulDataLoader" in str(exn) else 1)


def test_a_state_that_was_loaded_before_this_process_was_started(arrays):
    """As it would be in the worker of a DataLoader, in each epoch again."""
    loader = of_arrays(arrays[0])
    next(iter(loader))
    loader.load_state_dict(loader.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
        process = multiprocessing.get_context("fork").Process(target=refuses, args=(loader,))
        process.start()
    process.join(30)
    assert process.exitcode == 7
    copy = pickle.loads(pickle.dumps(loader))
    copy._loaded_in = -1
    with pytest.raises(ValueError, match="StatefulDataLoader"):
        iter(copy)


def tensors(batch):
    """A batch that came through a torch DataLoader, as a value."""
    return {
        name: digest(np.asarray(value)) if hasattr(value, "shape") else repr(value) for name, value in batch.items()
    }


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (1, False), (2, False), (2, True)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_torchdata(arrays, workers, persistent, shuffle):
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    urls, samples = arrays

    def make(epoch):
        loader = of_arrays(urls, memory="200kB", drop_last=False, threads=2, shuffle=shuffle)
        loader.set_epoch(epoch)
        return stateful.StatefulDataLoader(loader, batch_size=None, num_workers=workers, persistent_workers=persistent)

    data, values, states = make(1), [], []
    states.append(data.state_dict())
    for batch in data:
        values.append(tensors(batch))
        states.append(data.state_dict())
        del batch
    assert len(values) > 10
    keys = [key for value in values for key in re.findall(r"'(s\d_\d_\d+)'", value["__key__"])]
    assert sorted(keys) == sorted(expected(samples))
    if persistent or not workers:
        following = [tensors(batch) for batch in data]
        assert (following != values) == shuffle
    for at in range(0, len(states), 7):
        other = make(1)
        other.load_state_dict(pickle.loads(pickle.dumps(states[at])))
        assert [tensors(batch) for batch in other] == values[at:], at
        if persistent or not workers:
            assert [tensors(batch) for batch in other] == following
