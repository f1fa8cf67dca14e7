"""batched: equal to webdataset's, in arrays of their own and in a pool's."""

import gc
import operator
import threading
import time

import numpy as np
import pytest
from webdataset import filters

import clipx
from clipx import memory, wds


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

    before, positions = shown(held), set()
    for i, batch in enumerate(stage, 1):
        assert (batch["x"] == np.arange(4 * i, 4 * i + 4)[:, None, None]).all()
        assert (batch["cls"] == np.arange(4 * i, 4 * i + 4)).all()
        assert memory.leases(batch) == 1
        positions.add(batch["x"].__array_interface__["data"][0])
        assert shown(held) == before
        del batch
    assert len(positions) <= 2
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
