"""Batches of a Loader: they depend on nothing but the data, and hold every clip and all fields."""

import itertools
import random
import time

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
    leased,
    of_arrays,
    of_videos,
)
from helpers.shards import array_sample, write_shard
from helpers.threads import wait_until

import clipx
from clipx import wds

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


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
