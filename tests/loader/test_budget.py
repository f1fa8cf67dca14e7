"""The budget of a Loader: how it is divided, and that it holds whatever a consumer keeps."""

import gc
import itertools
import random
import threading
import time

import numpy as np
import psutil
import pytest
from helpers.arrays import npy
from helpers.loaders import CROP, WINDOW, check_ended, clips_of, digest, everything, expected, of_arrays, of_videos
from helpers.long import LONG
from helpers.shards import array_sample, write_shard
from helpers.threads import wait_until

import clipx
from clipx.loader import budget

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


DIVISIONS = [
    dict(zip(("slot_bytes", "held", "fields", "batch_size", "batches", "shuffle", "buckets"), each))
    for each in itertools.product((64, 4096, 602_112), (2, 9), (1, 3), (1, 16), (2, 5), (False, True), (False, True))
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
        assert found.slots >= (waiting + found.shuffled + found.bucketed + 2) * how["fields"]
        assert (found.bucketed >= how["batch_size"]) if how["buckets"] else (found.bucketed == 0)
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


@pytest.mark.parametrize(
    "format",
    [
        clipx.ClipFormat(crop=16),
        clipx.ClipFormat(crop=clipx.RandomResizedCrop(16)),
        clipx.ClipFormat(resize=(16, 16)),
        clipx.ClipFormat(resize=("fit", 16, 16, 0)),
        clipx.ClipFormat(resize=("pixels", 784, 7840, 28), crop=("random", 16)),
        clipx.ClipFormat(resize=("pixels", 16, 256, 4)),
    ],
)
def test_formats_that_say_the_size_of_clips(format):
    """Too little memory is refused before a shard is opened, and all formats of one size need as much."""
    with pytest.raises(ValueError, match="memory is 20000 bytes") as caught:
        clipx.Loader("none.tar", WINDOW, format, batch_size=4, memory=20_000)
    with pytest.raises(ValueError) as same:
        clipx.Loader("none.tar", WINDOW, clipx.ClipFormat(crop=(0, 0, 16, 16)), batch_size=4, memory=20_000)
    assert str(caught.value) == str(same.value)


def test_clips_larger_than_the_memory_are_refused_before_they_are_made(videos):
    window = clipx.WindowSpec(4_000_000, policy="repeat_last")
    loader = clipx.Loader(videos[0], window, batch_size=2, memory="100MB")
    with pytest.raises(ValueError, match=r"memory is 100000000 bytes, but .* take at least \d+"):
        next(iter(loader))


def test_formats_that_leave_the_size_of_clips_to_pictures():
    for resize in (None, 16, ("longer", 16)):
        clipx.Loader("none.tar", WINDOW, clipx.ClipFormat(resize=resize), batch_size=4, memory=20_000)
    with pytest.raises(ValueError, match=r"crop is \(17, 17\), but the picture is 16 by 16"):
        clipx.Loader("none.tar", WINDOW, clipx.ClipFormat(resize=(16, 16), crop=17), batch_size=4, memory=20_000)


def test_memory_of_pools(videos):
    for memory in ("200kB", "1MB", "5MB", "50MB"):
        loader = of_videos(videos[0], memory=memory)
        everything(loader)
        pools, least = loader._pools, loader._config.memory
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
        most = max(most, iterator._epoch._steps._interleave.held_bytes)
    encoded = loader._pools.budget.encoded_bytes
    assert len(samples[0]["npy"]) < encoded / 4
    assert most <= encoded


def test_a_slow_consumer_makes_memory_wait(tmp_path):
    samples = [array_sample(f"s{i:02d}", 40) for i in range(60)]
    urls = [write_shard(tmp_path / f"{i:02d}.tar", samples[2 * i : 2 * i + 2]) for i in range(30)]
    opened = set()

    def note(sample):
        opened.add(sample["__key__"][:3])
        return sample

    loader = of_arrays(urls, memory="120kB", threads=8, map=note)
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


@pytest.mark.timeout(900)  # of a million clips, where CLIPX_LONG asks for them
def test_clips_of_random_lifetimes(tmp_path):
    """Many small clips on 8 threads, held for random times: no slot is lost, and none is written while it is seen."""
    clips = 1_000_000 if LONG else 20_000
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
