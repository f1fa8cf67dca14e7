"""shuffle: a permutation that repeats, inside its bytes and inside a pool."""

import functools
import gc
import logging
import random
import statistics
import weakref

import numpy as np
import pytest
import webdataset
from helpers.long import LONG
from helpers.shards import array_samples, blocks
from webdataset import filters

import clipx
from clipx import memory, wds
from clipx.wds.shuffling import ShuffleBuffer

WINDOW = clipx.WindowSpec(4, 2)


def keys(samples):
    return [sample["__key__"] for sample in samples]


@pytest.mark.parametrize("most", [1, 999, 1000, 1001, 5000, "10kB", "1GB"])
def test_shuffle_is_a_permutation(most):
    samples = blocks(50)
    out = list(wds.shuffle(most)(samples))
    assert sorted(map(id, out)) == sorted(map(id, samples))
    assert all(sample["x"][0] == int(sample["__key__"]) for sample in out)


@pytest.mark.parametrize("kind", ["tuple", "list", "array", "bytes", "text", "number", "none", "nested", "generator"])
def test_shuffle_of_other_samples(kind):
    make = {
        "tuple": lambda i: (i, np.full(100, i)),
        "list": lambda i: [i, np.full(100, i)],
        "array": lambda i: np.full(100, i),
        "bytes": lambda i: bytes([i]) * 100,
        "text": str,
        "number": int,
        "none": lambda i: None,
        "nested": lambda i: {"a": [{"b": (np.full(50, i), {"c": b"x" * 50})}]},
        "generator": lambda i: (each for each in range(i)),
    }[kind]
    samples = [make(i) for i in range(60)]
    for pool in (None, clipx.ClipPool(10, 100)):
        out = list(wds.shuffle(2000, pool=pool)(iter(samples)))
        assert sorted(map(id, out)) == sorted(map(id, samples))
    assert list(wds.shuffle(100)(iter([]))) == []


class Block(np.ndarray):
    """An array that counts the bytes of its kind that are alive."""

    alive = 0


def counted(count, sizes, seed=0):
    """Samples of owned memory, and a function that says how much of it is alive."""
    alive = {}
    rng = random.Random(seed)

    def make():
        for i in range(count):
            size = rng.choice(sizes)
            x = np.zeros(size, np.uint8).view(Block)
            alive[i] = size
            weakref.finalize(x, alive.pop, i)
            yield {"__key__": str(i), "x": x}
            del x

    return make(), lambda: sum(alive.values())


@pytest.mark.parametrize("sizes", [[1000], [10, 3000], [1, 10, 100, 1000, 9000], [20_000], [100, 30_000]])
def test_shuffle_holds_no_more_than_its_bytes(sizes):
    """What lives beside the buffer is the sample that came last, and the one that is handed out."""
    most = 10_000
    samples, alive = counted(400, sizes)
    peak = 0
    for _sample in wds.shuffle(most)(samples):
        handed_out = _sample["x"].nbytes
        peak = max(peak, alive() - handed_out)
    assert peak <= most + max(sizes)
    if max(sizes) <= most / 4:
        assert peak >= most - max(sizes)  # and it is used


def test_shuffle_counts_a_view_as_the_whole():
    """Views of ten large arrays: each large array counts, and once."""
    size = 10_000
    whole = [np.zeros(size, np.uint8) for _ in range(30)]
    views = [{"__key__": f"{i}_{j}", "x": x[j * 10 : j * 10 + 10]} for i, x in enumerate(whole) for j in range(20)]
    del whole
    held, peak, passed = {}, 0, 0
    stage = wds.shuffle(5 * size)

    def source():
        for view in views:
            held[view["__key__"]] = view
            yield view

    for sample in stage(source()):
        peak = max(peak, memory.retained_bytes(list(held.values())))
        del held[sample["__key__"]]
        passed += 1
    assert passed == 600
    assert 5 * size <= peak <= 6 * size


def test_shuffle_counts_shared_memory_once():
    """All samples share one array: it counts once, so that none has to leave before the end."""
    shared = np.zeros(5000, np.uint8)
    samples = [{"__key__": str(i), "x": shared, "y": np.zeros(10, np.uint8)} for i in range(200)]
    came = 0

    def source():
        nonlocal came
        for sample in samples:
            came += 1
            yield sample

    first = next(iter(wds.shuffle(5000 + 2010)(source())))
    assert first["x"] is shared
    assert came in (200, 201)
    came = 0
    next(iter(wds.shuffle(5000 + 100)(source())))
    assert came == 11


def test_buffer_counts():
    shared = np.zeros(100, np.uint8)
    buffer = ShuffleBuffer(random.Random(0))
    for _ in range(3):
        buffer.add({"x": shared[10:], "y": shared[:10]})
    assert (len(buffer), buffer.nbytes, buffer.slots) == (3, 100, 3)
    buffer.add({"x": np.zeros(7, np.uint8), "y": b"12345"})
    assert buffer.nbytes - 100 >= 12
    while len(buffer):
        buffer.pick()
    assert (len(buffer), buffer.nbytes, buffer.slots) == (0, 0, 0)


def test_buffer_counts_slots():
    pool = clipx.ClipPool(10, 64)
    buffer = ShuffleBuffer(random.Random(0))
    x = pool.acquire()
    buffer.add({"a": x[:3], "b": x[3:]})
    buffer.add({"a": pool.acquire(), "b": pool.acquire(), "c": "text"})
    buffer.add("no slot")
    assert (buffer.slots, len(buffer)) == (4, 3)
    while len(buffer):
        buffer.pick()
    del x
    assert buffer.slots == 0
    assert pool.stats().leased == 0


def test_a_sample_larger_than_all_passes():
    samples = blocks(5, 100) + blocks(5, 100_000)
    out = list(wds.shuffle(1000)(samples))
    assert sorted(map(id, out)) == sorted(map(id, samples))


def test_order_repeats_and_differs():
    samples = blocks(100, 10)

    def order(most=400, **changes):
        return keys(wds.shuffle(most, **changes)(samples))

    assert order() == order(seed=0) == order(epoch=0)
    assert len({tuple(order(seed=seed, epoch=epoch)) for seed in range(5) for epoch in range(5)}) == 25
    stage = wds.shuffle(400, seed=3)
    counted = [keys(stage(samples)) for _ in range(3)]
    assert counted == [order(seed=3, epoch=epoch) for epoch in range(3)]
    epochs = iter([2, 0])
    called = wds.shuffle(400, seed=3, epoch=lambda: next(epochs))
    assert [keys(called(samples)) for _ in range(2)] == [counted[2], counted[0]]
    random.seed(0)
    state = random.getstate()
    order()
    assert random.getstate() == state  # global state is neither read nor drawn from


def test_order_does_not_depend_on_addresses():
    """Orders of equal samples at other places are equal."""
    orders = [keys(wds.shuffle(5000)(blocks(100))) for _ in range(3)]
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.parametrize(("count", "most"), [(10, 10_000), (8, 8)])
def test_positions_are_uniform(count, most):
    """Chi-square over 2,000 seeded runs: each sample comes at each position as often."""
    runs = 2000
    seen = np.zeros((count, count))
    samples = [bytes([i]) for i in range(count)]
    for seed in range(runs):
        for position, sample in enumerate(wds.shuffle(most, seed=seed)(samples)):
            seen[sample[0], position] += 1
    each = runs / count
    chi = ((seen - each) ** 2 / each).sum()
    free = (count - 1) ** 2
    # Wilson and Hilferty's normal approximation of chi-square: three standard deviations.
    z = ((chi / free) ** (1 / 3) - (1 - 2 / (9 * free))) / (2 / (9 * free)) ** 0.5
    assert abs(z) < 3, (chi, free)


def test_positions_are_uniform_over_epochs():
    count, runs = 10, 2000
    seen = np.zeros((count, count))
    stage = wds.shuffle(1000, seed=7)
    for _ in range(runs):
        for position, sample in enumerate(stage([bytes([i]) for i in range(count)])):
            seen[sample[0], position] += 1
    each = runs / count
    chi, free = ((seen - each) ** 2 / each).sum(), (count - 1) ** 2
    assert abs(((chi / free) ** (1 / 3) - (1 - 2 / (9 * free))) / (2 / (9 * free)) ** 0.5) < 3


@pytest.mark.parametrize("held", [2, 5, 20, 100] if LONG else [5, 100])
def test_displacement_is_that_of_webdataset(held):
    """How far samples move from their places, in the mean, against webdataset's shuffle of as many."""
    count = 200
    samples = [{"__key__": str(i), "x": bytes(100)} for i in range(count)]

    def displacement(stage):
        return statistics.mean(abs(int(key) - i) for i, key in enumerate(keys(stage)))

    def distinct():
        return [{"__key__": str(i), "x": np.zeros(100, np.uint8)} for i in range(count)]

    data = distinct()
    ours = [displacement(wds.shuffle(100 * held, seed=seed)(data)) for seed in range(150)]
    theirs = [
        displacement(filters.shuffle(held, initial=held, rng=random.Random(seed))(iter(samples))) for seed in range(150)
    ]
    noise = 3 * (statistics.stdev(ours) + statistics.stdev(theirs)) / 150**0.5
    assert statistics.mean(ours) >= statistics.mean(theirs) - noise


@pytest.mark.parametrize(("most", "small"), [(10**6, True), (500, False)])
def test_a_source_too_small_is_logged(most, small, logged):
    list(wds.shuffle(most)(blocks(20, 100)))
    assert [("20 samples" in line and "2000 bytes" in line) for line in logged(logging.INFO)] == [True] * small


def test_an_empty_source_is_not_logged(logged):
    assert list(wds.shuffle(100)([])) == []
    assert not logged()


def extract_clips(pool, count=6, **changes):
    return wds.clips(WINDOW, pool=pool, **changes)(array_samples(count, 40))


def test_shuffle_within_a_pool():
    """The buffer holds the pool's slots less the reserve, never more, and fills up before it gives."""
    pool = clipx.ClipPool(20, (4, 5, 3))
    stage = wds.shuffle(pool=pool)(extract_clips(pool))
    found = []
    for sample in stage:
        found.append(sample["__key__"])
        assert pool.stats().leased <= 20
        if len(found) == 1:
            assert pool.reserve == 3
            assert pool.stats().leased >= 20 - 4
        del sample
    assert len(found) == len(set(found)) == 6 * 19
    assert found != sorted(found)
    assert pool.stats().leased == 0


@pytest.mark.parametrize("batch_size", [1, 2, 7, 16])
@pytest.mark.parametrize("spare", [0, 1, 5])
@pytest.mark.parametrize("own", [False, True])
def test_no_pipeline_exhausts_its_pool(batch_size, spare, own):
    """clips, shuffle, batched: a reserve of the slots of open clips and a batch is enough, however small the pool."""
    cutting = WINDOW.slots()
    pool = clipx.ClipPool(cutting + batch_size + 1 + spare, (4, 5, 3))
    batches = clipx.ClipPool(2, (batch_size, 4, 5, 3)) if own else None
    stages = [
        wds.clips(WINDOW, pool=pool),
        wds.shuffle(pool=pool, reserve=cutting + batch_size),
        wds.batched(batch_size, pool=batches),
    ]
    for _ in range(2):
        found = []
        for batch in functools.reduce(lambda samples, stage: stage(samples), stages, array_samples(6, 40)):
            found += batch["__key__"]
        assert len(found) == len(set(found)) == 6 * 19
    del batch
    assert pool.stats().leased == 0


def test_no_pipeline_of_webdataset_exhausts_its_pool(tmp_path, make_video):
    path = tmp_path / "a.tar"
    with webdataset.TarWriter(str(path)) as tar:
        for i in range(4):
            tar.write({"__key__": f"v{i}", "mp4": make_video(n=20 + i).read_bytes(), "cls": i})
    pool = clipx.ClipPool(3 + 5 + 4, (4, 48, 64, 3))
    dataset = webdataset.WebDataset(str(path), shardshuffle=False).compose(
        wds.clips(WINDOW, pool=pool), wds.shuffle(pool=pool, reserve=3 + 4), wds.watch(), wds.batched(4)
    )
    orders = []
    for _ in range(2):
        orders.append([key for batch in dataset for key in batch["__key__"]])
        assert len(set(orders[-1])) == len(orders[-1]) == 38
        assert pool.stats().leased == 0
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_shuffle_with_bytes_and_a_pool():
    pool = clipx.ClipPool(50, (4, 5, 3))
    most = 10 * pool.slot_bytes
    peak = 0
    for sample in wds.shuffle(most, pool=pool)(extract_clips(pool)):
        peak = max(peak, pool.stats().leased)
        del sample
    assert peak <= 10 + 1 + 3


def test_shuffle_in_a_pool_of_bytes():
    pool = clipx.ClipPool.of_bytes(20 * 64)
    found = keys(wds.shuffle(pool=pool)(extract_clips(pool)))
    assert len(found) == 6 * 19


@pytest.mark.parametrize("reserve", [1, 2, 3])
def test_reserve_too_small(reserve):
    pool = clipx.ClipPool(20, (4, 5, 3))
    with pytest.raises(ValueError, match=rf"reserve is {reserve}, but 3 slots .* at least 4"):
        list(wds.shuffle(pool=pool, reserve=reserve)(extract_clips(pool)))
    assert len(list(map(len, wds.shuffle(pool=pool, reserve=4)(extract_clips(pool))))) == 6 * 19


@pytest.mark.parametrize(("slots", "reserve"), [(3, None), (4, None), (10, 10), (10, 11)])
def test_pool_too_small(slots, reserve):
    pool = clipx.ClipPool(slots, (4, 5, 3))
    with pytest.raises(ValueError, match=rf"the pool has {slots} slots, but {reserve or 4} are kept free"):
        list(wds.shuffle(pool=pool, reserve=reserve)(extract_clips(pool)))


def test_smallest_pool():
    pool = clipx.ClipPool(5, (4, 5, 3))
    found = []
    for sample in wds.shuffle(pool=pool)(extract_clips(pool)):
        found.append(sample["__key__"])
    assert len(set(found)) == 6 * 19


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "max_bytes and pool are None"),
        ({"max_bytes": "much"}, "max_bytes"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_bytes": 1.5}, "max_bytes"),
        ({"max_bytes": True}, "max_bytes"),
        ({"pool": "2GB"}, "pool"),
        ({"max_bytes": 10, "reserve": 5}, "reserve"),
        ({"pool": 1, "reserve": 0}, "pool"),
        ({"max_bytes": 10, "seed": -1}, "seed"),
        ({"max_bytes": 10, "seed": None}, "seed"),
        ({"max_bytes": 10, "epoch": -1}, "epoch"),
        ({"max_bytes": 10, "epoch": "x"}, "epoch"),
    ],
)
def test_bad_arguments_of_shuffle(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        wds.shuffle(**arguments)


@pytest.mark.parametrize("reserve", [0, -1, 1.5, "x"])
def test_bad_reserve(reserve):
    with pytest.raises((TypeError, ValueError), match="reserve"):
        wds.shuffle(pool=clipx.ClipPool(9, 9), reserve=reserve)


def test_dropping_a_shuffle_gives_its_slots_back():
    pool = clipx.ClipPool(30, (4, 5, 3))
    gc.disable()
    try:
        stage = wds.shuffle(pool=pool)(extract_clips(pool))
        sample = next(stage)
        assert pool.stats().leased > 20
        del stage
        assert pool.stats().leased == 1
        del sample
        assert pool.stats().leased == 0
    finally:
        gc.enable()


def test_an_error_upstream_gives_slots_back():
    pool = clipx.ClipPool(30, (4, 5, 3))

    def source():
        yield from array_samples(1, 40)
        raise KeyError("upstream")

    with pytest.raises(KeyError, match="upstream") as caught:
        list(map(len, wds.shuffle(pool=pool)(wds.clips(WINDOW, pool=pool)(source()))))
    del caught
    gc.collect()
    assert pool.stats().leased == 0
