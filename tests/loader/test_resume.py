"""States of a Loader after any batch: the batches that follow are the very ones, with any number of threads."""

import itertools
import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.killed import iterate_until_killed
from helpers.loaders import CROP, WINDOW, everything, of_arrays, of_videos
from helpers.long import LONG
from helpers.shards import array_sample, write_shard
from helpers.states import THREADS, batches_and_states, check_every, through_json

import clipx

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("kind", [of_arrays, of_videos])
def test_every_batch(arrays, videos, kind, shuffle, drop_last):
    urls = (arrays if kind is of_arrays else videos)[0]
    values, _ = check_every(
        lambda **rest: kind(urls, shuffle=shuffle, drop_last=drop_last, **rest), epochs=2, every=1 if LONG else 3
    )
    assert (values[0] != values[1]) == shuffle


@pytest.mark.parametrize("memory", ["70kB", "10MB"])
def test_small_and_large_shuffles(arrays, memory):
    check_every(lambda **rest: of_arrays(arrays[0], memory=memory, **rest))


@pytest.mark.parametrize("crop", ["random", "three"])
def test_random_windows_and_formats(videos, crop):
    window = clipx.WindowSpec(4, num_clips=5, sampling="random", policy="repeat_last")
    format = clipx.ClipFormat(crop=(crop, (16, 16)), flip=0.5, mean="imagenet", order="CTHW")
    check_every(lambda **rest: clipx.Loader(videos[0], window, format, batch_size=4, memory="1MB", **rest), 2)


@pytest.mark.parametrize("kind", ["arrays", "videos"])
def test_random_resized_crops(request, kind):
    window = clipx.WindowSpec(4, num_clips=3, sampling="random", policy="wrap")
    format = clipx.ClipFormat(crop=clipx.RandomResizedCrop((5, 6)), flip=0.5, mean="imagenet", order="CTHW")
    urls = request.getfixturevalue(kind)[0]
    values, _ = check_every(
        lambda **rest: clipx.Loader(urls, window, format, batch_size=4, memory="200kB", **rest), 2, every=3
    )
    assert "'crop': [" in values[0][0]["clip.json"]
    assert values[0] != values[1]


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
        return [
            {**value, "__url__": None, "clip.json": re.sub("'url': '[^']*'", "", value["clip.json"])}
            for value in values
        ]

    wanted, _ = batches_and_states(of_arrays(urls))
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


def test_killed_at_random_batches(videos, tmp_path):
    """SIGKILL at 20 random batches, and the rest on another number of threads."""

    def make(**rest):
        return of_videos(videos[0], drop_last=False, epoch=3, **rest)

    wanted = everything(make(threads=2))
    rng = random.Random(4)
    points = set()
    for _ in range(20):
        lines, state = iterate_until_killed(lambda: make(threads=2), tmp_path, rng.randrange(1, len(wanted)), 30)
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
