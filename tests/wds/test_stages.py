"""The stages after clips: shuffle, batched and watch; memory.check, and the kernel's collect."""

import functools
import gc
import logging
import operator
import random
import statistics
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import webdataset
from webdataset import filters

import clipx
from clipx import _kernel, memory, wds
from clipx.wds import watching
from clipx.wds.shuffling import ShuffleBuffer

pytestmark = pytest.mark.timeout(60)

WINDOW = clipx.WindowSpec(4, 2)


def array_samples(count, n=12, shape=(5, 3)):
    rng = np.random.default_rng(0)
    for i in range(count):
        yield {"__key__": f"s{i}", "npy": rng.integers(0, 256, (n, *shape), dtype=np.uint8), "cls": i}


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.INFO, "clipx")
    return lambda level=logging.INFO: [r.getMessage() for r in caplog.records if r.levelno >= level]


# shuffle


def blocks(count, size=1000):
    return [{"__key__": str(i), "x": np.full(size, i % 256, np.uint8)} for i in range(count)]


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


@pytest.mark.parametrize("held", [2, 5, 20, 100])
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
    assert [("20 samples" in line and "2000 bytes" in line) for line in logged()] == [True] * small


def test_an_empty_source_is_not_logged(logged):
    assert list(wds.shuffle(100)([])) == []
    assert not logged(logging.WARNING)


def cut(pool, count=6, **changes):
    return wds.clips(WINDOW, pool=pool, **changes)(array_samples(count, 40))


def test_shuffle_within_a_pool():
    """The buffer holds the pool's slots less the reserve, never more, and fills up before it gives."""
    pool = clipx.ClipPool(20, (4, 5, 3))
    stage = wds.shuffle(pool=pool)(cut(pool))
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
    """clips, shuffle, batched: a reserve of the cut's slots and a batch is enough, however small the pool."""
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
    for sample in wds.shuffle(most, pool=pool)(cut(pool)):
        peak = max(peak, pool.stats().leased)
        del sample
    assert peak <= 10 + 1 + 3


def test_shuffle_in_a_pool_of_bytes():
    pool = clipx.ClipPool.of_bytes(20 * 64)
    found = keys(wds.shuffle(pool=pool)(cut(pool)))
    assert len(found) == 6 * 19


@pytest.mark.parametrize("reserve", [1, 2, 3])
def test_reserve_too_small(reserve):
    pool = clipx.ClipPool(20, (4, 5, 3))
    with pytest.raises(ValueError, match=rf"reserve is {reserve}, but 3 slots .* at least 4"):
        list(wds.shuffle(pool=pool, reserve=reserve)(cut(pool)))
    assert len(list(map(len, wds.shuffle(pool=pool, reserve=4)(cut(pool))))) == 6 * 19


@pytest.mark.parametrize(("slots", "reserve"), [(3, None), (4, None), (10, 10), (10, 11)])
def test_pool_too_small(slots, reserve):
    pool = clipx.ClipPool(slots, (4, 5, 3))
    with pytest.raises(ValueError, match=rf"the pool has {slots} slots, but {reserve or 4} are kept free"):
        list(wds.shuffle(pool=pool, reserve=reserve)(cut(pool)))


def test_smallest_pool():
    pool = clipx.ClipPool(5, (4, 5, 3))
    found = []
    for sample in wds.shuffle(pool=pool)(cut(pool)):
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
        stage = wds.shuffle(pool=pool)(cut(pool))
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


# batched


def numbers(dtype, shape, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 100, shape).astype(dtype)


def same(ours, theirs):
    """Equal in kind, dtype, shape and every byte."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        if theirs.dtype.hasobject:
            assert all(map(operator.eq, ours.ravel(), theirs.ravel()))
        else:
            assert ours.tobytes() == theirs.tobytes()
    elif isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for name in theirs:
            same(ours[name], theirs[name])
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs):
            same(one, other)
    elif type(theirs).__module__ == "torch":
        assert ours.dtype == theirs.dtype
        assert bool((ours == theirs).all())
    else:
        assert ours == theirs


DTYPES = ["?", "u1", "i2", "i8", "f2", "f4", "f8", "c8", "c16", "g", "M8[s]", "m8[ms]", "U3", "S4", "V5"]


def make_array(dtype, shape, seed):
    if dtype == "object":
        out = np.empty(shape, object)
        out.ravel()[:] = [f"{seed} {i}" for i in range(out.size)]
        return out
    if dtype == "bfloat16":
        return numbers(pytest.importorskip("ml_dtypes").bfloat16, shape, seed)
    if dtype == "struct":
        return numbers("u1", (*shape, 12), seed).view([("a", "i4"), ("b", "f8")])[..., 0]
    if dtype[0] in "MVUS":
        return numbers("i8", shape, seed).astype("S" if dtype[0] == "V" else dtype).astype(dtype)
    return numbers(dtype, shape, seed)


LAYOUTS = {
    "contiguous": lambda x: x,
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, -1)[..., ::2] if x.ndim else x,
    "backwards": lambda x: np.flip(np.flip(x).copy()),
    "read only": lambda x: (x.setflags(write=False), x)[1],
    "broadcast": lambda x: np.broadcast_to(x, (2, *x.shape)),
}


@pytest.mark.parametrize("kind", [dict, tuple])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*DTYPES, "object", "bfloat16", "struct"])
def test_batched_equals_webdataset(dtype, layout, kind):
    samples = []
    for i in range(7):
        x = LAYOUTS[layout](make_array(dtype, (3, 4), i))
        samples.append({"__key__": f"k{i}", "x": x, "y": i} if kind is dict else (x, f"k{i}", i / 2))
    for size in (1, 3, 7, 10):
        for partial in (False, True):
            ours = list(wds.batched(size, partial=partial)(samples))
            same(ours, list(filters.batched(size, partial=partial)(samples)))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (1, 1, 1), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("dtype", ["u1", "f8", "object", "bfloat16"])
def test_batched_of_every_shape(shape, dtype):
    samples = [(make_array(dtype, shape, i),) for i in range(5)]
    same(list(wds.batched(2)(samples)), list(filters.batched(2)(samples)))


def test_batched_of_other_values():
    values = [3, 2.5, True, "text", b"bytes", None, [1, 2], {"a": 1}, np.float32(1), np.float64(2), np.int64(3), 1j]
    for value in values:
        samples = [{"__key__": str(i), "v": value} for i in range(3)]
        same(list(wds.batched(2)(samples)), list(filters.batched(2)(samples)))
    mixed = [{"v": 1}, {"v": 2.5}]
    same(list(wds.batched(2)(mixed)), list(filters.batched(2)(mixed)))


@pytest.mark.parametrize("swap", [">i4", "<i4", ">f8", ">u2"])
def test_batched_of_foreign_byte_order(swap):
    samples = [(numbers(swap, (3,), i),) for i in range(4)]
    ours, theirs = next(wds.batched(4)(samples))[0], next(iter(filters.batched(4)(samples)))[0]
    np.testing.assert_array_equal(ours, theirs)


def test_batched_of_tensors():
    torch = pytest.importorskip("torch")
    samples = [
        {"__key__": str(i), "t": torch.full((2, 3), i), "b": torch.zeros(2, dtype=torch.bfloat16)} for i in range(5)
    ]
    same(list(wds.batched(2)(samples)), list(filters.batched(2)(samples)))


def test_batched_of_lists_and_nothing():
    lists = [[1, "a"], [2, "b"]]
    same(list(wds.batched(2)(lists)), list(filters.batched(2)(lists)))
    assert list(wds.batched(2)([])) == []


def test_batched_keeps_the_order_of_fields():
    batch = next(wds.batched(2)([{"z": 1, "a": np.zeros(2), "m": "x"}] * 2))
    assert list(batch) == ["z", "a", "m"]


@pytest.mark.parametrize("size", [100, 4_000_000])
def test_batched_of_large_clips(size):
    """Also past the size from which stores stream past the cache, from places that are not aligned."""
    block = np.random.default_rng(0).integers(0, 256, 4 * size + 64, dtype=np.uint8)
    clips = [block[i * size + i + 1 : (i + 1) * size + i + 1] for i in range(4)]
    batch = next(wds.batched(4)([(clip,) for clip in clips]))[0]
    assert batch.flags.c_contiguous
    assert batch.flags.writeable
    assert not np.shares_memory(batch, block)
    assert (batch == np.stack(clips)).all()


def test_batched_gives_clips_back():
    """A batch keeps no clip, also before it is asked for the next."""
    pool = clipx.ClipPool(10, 64)

    def source():
        for i in range(20):
            clip = pool.acquire()
            clip[:] = i
            yield {"__key__": str(i), "x": clip, "first": i}
            del clip

    gc.disable()
    try:
        stage = wds.batched(4)(source())
        batch = next(stage)
        assert pool.stats().leased <= 1  # the one that the source's frame holds
        assert (batch["x"] == np.arange(4)[:, None]).all()
        list(stage)
        assert pool.stats().leased == 0
    finally:
        gc.enable()


def pool_batches(pool, count=40, size=4, **changes):
    samples = ({"__key__": str(i), "x": np.full((8, 8), i, np.uint8), "cls": i} for i in range(count))
    return wds.batched(size, pool=pool, **changes)(samples)


VIEWS = {
    "batch": lambda batch: batch,
    "field": lambda batch: batch["x"],
    "slice": lambda batch: batch["x"][1:2, ::2],
    "transpose": lambda batch: batch["x"].T,
    "memoryview": lambda batch: memoryview(batch["x"]),
    "tensor": lambda batch: pytest.importorskip("torch").from_numpy(batch["x"]),
    "view of a tensor": lambda batch: pytest.importorskip("torch").from_numpy(batch["x"])[2:, 1].t(),
}


@pytest.mark.parametrize("view", VIEWS)
def test_batches_of_a_pool(view):
    """A slot is not written again while anything sees it, and comes back then."""
    pool = clipx.ClipPool(3, (4, 8, 8))
    stage = pool_batches(pool)
    held = VIEWS[view](next(stage))

    def shown(held):
        if view == "batch":
            return held["x"].tobytes()
        return (held.numpy() if "tensor" in view else np.asarray(held)).tobytes()

    before, places = shown(held), set()
    for i, batch in enumerate(stage, 1):
        assert (batch["x"] == np.arange(4 * i, 4 * i + 4)[:, None, None]).all()
        assert (batch["cls"] == np.arange(4 * i, 4 * i + 4)).all()
        assert memory.leases(batch) == 1
        places.add(batch["x"].__array_interface__["data"][0])
        assert shown(held) == before
        del batch
    assert len(places) <= 2
    assert pool.stats().leased == 1
    del held
    assert pool.stats().leased == 0


def test_partial_batches_of_a_pool():
    pool = clipx.ClipPool(2, (4, 8, 8))
    assert [len(batch["x"]) for batch in pool_batches(pool, 10)] == [4, 4, 2]
    assert [len(batch["x"]) for batch in pool_batches(pool, 10, partial=False)] == [4, 4]


def test_several_fields_of_a_pool():
    pool = clipx.ClipPool(4, (2, 100))
    samples = [{"x": np.full(100, i, np.uint8), "y": np.full(5, i, np.float32), "z": i} for i in range(6)]
    for ours, theirs in zip(wds.batched(2, pool=pool)(samples), filters.batched(2)(samples)):
        same(ours, theirs)
        assert memory.leases(ours) == 2
    del ours
    assert pool.stats().leased == 0


def test_objects_beside_a_pool():
    """Arrays of Python objects cannot lie in a slot; beside clips that do, they are batched as ever."""
    pool = clipx.ClipPool(4, (2, 100))
    samples = [{"x": np.full(100, i, np.uint8), "o": make_array("object", (3,), i)} for i in range(4)]
    for ours, theirs in zip(wds.batched(2, pool=pool)(samples), filters.batched(2)(samples)):
        same(ours, theirs)
        del ours


def test_a_consumer_that_keeps_batches():
    pool = clipx.ClipPool(3, (4, 8, 8))
    stage, kept = pool_batches(pool), []
    with pytest.raises(clipx.PoolExhausted, match="all 3 slots"):
        kept.extend(next(stage) for _ in range(4))
    assert len(kept) == 3
    stage = pool_batches(pool, timeout=0.3)
    began = time.monotonic()
    with pytest.raises(clipx.PoolExhausted, match=r"after 0\.3 s"):
        next(stage)
    assert 0.25 < time.monotonic() - began < 3


@pytest.mark.parametrize("timeout", [None, 20])
def test_batched_waits(timeout):
    pool = clipx.ClipPool(2, (4, 8, 8))
    stage = pool_batches(pool, timeout=timeout)
    kept = [next(stage), next(stage)]
    timer = threading.Timer(0.2, kept.clear)
    timer.start()
    assert (next(stage)["x"] == np.arange(8, 12)[:, None, None]).all()
    timer.join()


def test_batch_larger_than_a_slot():
    with pytest.raises(ValueError, match=r"shape=\(4, 8, 8\)"):
        next(pool_batches(clipx.ClipPool(2, (3, 8, 8))))


def ragged(**other):
    one = {"__key__": "first", "x": np.zeros((2, 3), np.uint8), "y": 1}
    return [one, {**one, "__key__": "second"}, {**one, "__key__": "third", **other}]


@pytest.mark.parametrize("pool", [None, clipx.ClipPool(4, (3, 64))])
@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"x": np.zeros((2, 4), np.uint8)}, r"'x'.*\(2, 3\).*'first'.*\(2, 4\).*'third'"),
        ({"x": np.zeros((6,), np.uint8)}, r"'x'.*\(2, 3\).*'first'.*\(6,\).*'third'"),
        ({"x": None}, r"'x'.*\(2, 3\).*'first'.*NoneType.*'third'"),
        ({"more": 1}, r"'first'.*x, y.*'third'.*more"),
    ],
)
def test_ragged_samples(other, words, pool):
    with pytest.raises(ValueError, match=words):
        list(wds.batched(3, pool=pool)(ragged(**other)))


def test_missing_fields():
    samples = ragged()
    del samples[1]["y"]
    with pytest.raises(ValueError, match=r"'first'.*y.*'second'"):
        list(wds.batched(3)(samples))


def test_ragged_tuples():
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        list(wds.batched(2)([(np.zeros(2), 1), (np.zeros(3), 1)]))
    with pytest.raises(ValueError, match="fields"):
        list(wds.batched(2)([(1, 2), (1,)]))


def test_batched_of_other_dtypes():
    """webdataset promotes; it is said where clips differ, or they are promoted as well, but nothing is garbled."""
    samples = [(np.arange(3, dtype=np.int32),), (np.arange(3) / 2,)]
    with pytest.raises(ValueError, match=r"int32.*float64"):
        next(wds.batched(2)(samples))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"batch_size": None}, "batch_size"),
        ({"batch_size": 2, "partial": 1}, "partial"),
        ({"batch_size": 2, "pool": 1.5}, "pool"),
        ({"batch_size": 2, "pool": clipx.ClipPool(1, 1), "timeout": -1}, "timeout"),
        ({"batch_size": 2, "pool": clipx.ClipPool(1, 1), "timeout": "soon"}, "timeout"),
    ],
)
def test_bad_arguments_of_batched(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        wds.batched(**arguments)


# watch


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(watching, "LEAST_SECONDS", 0.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("every", [1, 3, 100])
def test_watch_passes_samples_through(every):
    samples = [{"__key__": "a", "x": np.zeros(3)}, (1, np.zeros(2)), "text", None, 5, [b"x"], {}, np.zeros(4)] * 5
    before = repr(samples)
    out = list(wds.watch(every)(iter(samples)))
    assert list(map(id, out)) == list(map(id, samples))
    assert repr(samples) == before
    assert list(wds.watch(every)([])) == []


@pytest.mark.usefixtures("quick")
def test_watch_logs_every_so_many(logged):
    list(wds.watch(10)(blocks(45)))
    lines = logged()
    assert len(lines) == 4
    for line in lines:
        assert all(word in line for word in ("samples/s", "MB resident", "shown", "retained", "10 samples")), line


def test_watch_logs_at_most_once_per_interval(logged, monkeypatch):
    monkeypatch.setattr(watching, "LEAST_SECONDS", 0.2)

    def slow():
        for sample in blocks(40):
            time.sleep(0.01)
            yield sample

    began = time.monotonic()
    list(wds.watch(1)(slow()))
    took = time.monotonic() - began
    assert 1 <= len(logged()) <= took / 0.2


def test_watch_is_silent_within_an_interval(logged):
    list(wds.watch(1)(blocks(100)))
    assert logged() == []


@pytest.mark.usefixtures("quick")
def test_watch_tells_the_pools(logged):
    pool = clipx.ClipPool(37, 64)
    held = [pool.acquire() for _ in range(5)]
    list(wds.watch(1)(blocks(1)))
    assert "5 of 37 slots leased" in logged()[0]
    del held


@pytest.mark.usefixtures("quick")
def test_watch_adds_up_bytes(logged):
    list(wds.watch(2)([{"x": np.zeros(6_000_000, np.uint8)[:4_000_000]}, {"x": np.zeros(1_000_000, np.uint8)}]))
    assert "5.0 MB shown and 7.0 MB retained by 2 samples" in logged()[-1]


def test_watch_warns_once(logged):
    whole = np.zeros((300, 100, 100), np.uint8)
    good = {"__key__": "good", "x": np.zeros(10, np.uint8), "y": 1}
    bad = [{"__key__": f"bad{i}", "ok": np.zeros(10), "mp4": whole[i : i + 2]} for i in range(5)]
    list(wds.watch(1000)([good, *bad, good, *bad]))
    assert len(logged(logging.WARNING)) == 1
    line = logged(logging.WARNING)[0]
    assert all(word in line for word in ("'mp4'", "20000", "3000000", "'bad0'")), line


def test_watch_holds_no_sample():
    pool = clipx.ClipPool(4, 64)
    stage = wds.watch(1)({"x": pool.acquire()} for _ in range(20))
    for _ in range(20):
        next(stage)
        assert pool.stats().leased <= 1
    stage.close()
    assert pool.stats().leased == 0


@pytest.mark.parametrize("every", [0, -1, 1.5, None, "x"])
def test_bad_arguments_of_watch(every):
    with pytest.raises((TypeError, ValueError), match="every"):
        wds.watch(every)


# memory.check


def test_check_passes():
    pool = clipx.ClipPool(2, 2_000_000)
    memory.check({})
    memory.check({"__key__": "a", "x": np.zeros(5_000_000, np.uint8), "y": b"bytes", "z": None})
    memory.check({"small": np.zeros(1_000_000, np.uint8)[:10]})  # a megabyte is within the slack
    memory.check({"half": np.zeros(8_000_000, np.uint8)[:4_000_000]})
    memory.check({"clip": pool.acquire((1_500_000,))})
    for sample in wds.clips(WINDOW)(array_samples(1, 400, (100, 100))):
        memory.check(sample)


@pytest.mark.parametrize("kind", ["slice", "step", "memoryview", "nested", "tensor"])
def test_check_raises(kind):
    whole = np.zeros(8_000_000, np.uint8)
    make = {
        "slice": lambda: whole[100:300],
        "step": lambda: whole[::40_000],
        "memoryview": lambda: memoryview(whole)[:200],
        "nested": lambda: {"deep": [whole[:200]]},
        "tensor": lambda: pytest.importorskip("torch").from_numpy(whole)[:200].clone()[:0].new_zeros(8_000_000)[:200],
    }
    value = make[kind]()
    if kind == "tensor":
        value = value.to(dtype=value.dtype)
        assert memory.payload_bytes(value) == 200
    with pytest.raises(ValueError, match=r"'view' shows 200 bytes but keeps 8000000 alive"):
        memory.check({"__key__": "a", "good": np.zeros(3), "view": value})


@pytest.mark.parametrize(("size", "shown", "raises"), [(3_000_000, 1_000_000, True), (2_000_000, 1_000_000, False)])
def test_check_limits(size, shown, raises):
    sample = {"x": np.zeros(size, np.uint8)[:shown]}
    if raises:
        with pytest.raises(ValueError, match="'x'"):
            memory.check(sample)
    else:
        memory.check(sample)


# collect


def raw(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


@pytest.mark.parametrize("size", [0, 1, 15, 63, 64, 65, 4095, 4097, 100_003])
@pytest.mark.parametrize("count", [1, 2, 17])
@pytest.mark.parametrize("footprint", [0, 1 << 40])
@pytest.mark.parametrize("offset", [0, 1, 13])
def test_collect(size, count, footprint, offset):
    block = raw(count * (size + offset) + 1, size)
    arrays = [block[i * (size + offset) + 1 :][:size] for i in range(count)]
    guard = raw(count * size + offset + 64, 1)
    out, before = guard[offset : offset + count * size], guard.copy()
    _kernel.collect(arrays, out, footprint)
    np.testing.assert_array_equal(out, np.concatenate(arrays))
    np.testing.assert_array_equal(guard[:offset], before[:offset])
    np.testing.assert_array_equal(guard[offset + count * size :], before[offset + count * size :])


def test_collect_takes_one_array_many_times():
    x = raw(100)
    out = np.empty((5, 100), np.uint8)
    _kernel.collect([x] * 5, out)
    assert (out == x).all()
    _kernel.collect([bytes(x), memoryview(x), bytearray(x), x, x], out)
    assert (out == x).all()


@pytest.mark.parametrize(
    ("arrays", "out", "error"),
    [
        ([], np.zeros(4, np.uint8), ValueError),
        ([raw(4)], np.zeros(5, np.uint8), ValueError),
        ([raw(4)], np.zeros(3, np.uint8), ValueError),
        ([raw(4)] * 2, np.zeros(7, np.uint8), ValueError),
        ([raw(4), raw(3)], np.zeros(8, np.uint8), ValueError),
        ([raw(3), raw(5)], np.zeros(8, np.uint8), ValueError),
        ([raw(8)[::2]] * 2, np.zeros(8, np.uint8), (ValueError, BufferError)),
        ([raw(4)] * 2, np.zeros(16, np.uint8)[::2], (ValueError, BufferError)),
        ([raw(4)] * 2, bytes(8), (ValueError, BufferError, TypeError)),
        ([None, None], np.zeros(8, np.uint8), TypeError),
        ([raw(4), "text"], np.zeros(8, np.uint8), TypeError),
        ((raw(4),), np.zeros(4, np.uint8), TypeError),
        (None, np.zeros(4, np.uint8), TypeError),
    ],
)
def test_collect_refuses(arrays, out, error):
    with pytest.raises(error):
        _kernel.collect(arrays, out)
    assert not np.asarray(out).any()


@pytest.mark.parametrize("shift", [0, 1, 50, -30])
def test_collect_refuses_overlap(shift):
    """Contract 6: memory that overlaps is an error."""
    block = raw(400)
    before = block.copy()
    with pytest.raises(ValueError, match="overlap"):
        _kernel.collect([block[100 + shift : 200 + shift], raw(100)], block[100:300])
    np.testing.assert_array_equal(block, before)


def test_collect_lets_go_of_buffers():
    arrays = [bytearray(100) for _ in range(3)]
    out = bytearray(300)
    _kernel.collect(arrays, out)
    with pytest.raises(ValueError, match="bytes"):
        _kernel.collect([*arrays, bytearray(7)], bytearray(400))
    for each in (*arrays, out):
        each.append(1)  # a buffer that is still seen cannot be resized
    assert sys.getrefcount(out) <= 3


def test_collect_leaves_the_gil():
    """Another thread runs while a large batch is copied."""
    arrays, out = [np.zeros(100_000_000, np.uint8)] * 4, np.zeros(400_000_000, np.uint8)
    _kernel.collect(arrays, out)
    stamps, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            stamps.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    time.sleep(0.02)
    began = time.perf_counter()
    _kernel.collect(arrays, out)
    ended = time.perf_counter()
    stop.set()
    thread.join()
    inside = [stamp for stamp in stamps if began + 0.002 < stamp < ended - 0.002]
    assert len(inside) >= min(3, (ended - began) / 0.02)
