"""Sizes and dtypes of a ClipPool, its budget, and what it refuses."""

import sys

import numpy as np
import pytest
from helpers.pools import again

from clipx import ClipPool, PoolStats
from clipx.errors import PoolTooSmall


@pytest.mark.parametrize(
    ("size", "nbytes"),
    [
        (640, 640),
        (np.int64(640), 640),
        ("640b", 640),
        ("640B", 640),
        (" 64 mb ", 64 * 10**6),
        ("64MB", 64 * 10**6),
        ("1kb", 1000),
        ("1KiB", 1024),
        ("1.5MiB", 3 * 2**19),
        ("1.001kb", 1001),
        ("1.5GiB", 3 * 2**29),
        ("2GB", 2 * 10**9),
        ("0.001TB", 10**9),
    ],
)
def test_budget_texts(size, nbytes):
    assert ClipPool.of_bytes(size, nbytes // 10).slots == nbytes // (-(-(nbytes // 10) // 64) * 64)
    with pytest.raises(PoolTooSmall, match=f"size is {nbytes} bytes"):
        ClipPool.of_bytes(size, nbytes + 1)


@pytest.mark.parametrize("size", ["", "2", "2 G B", "GB", "-2GB", "2,5GB", "1e9b", "2GBs", "2PB", "twoGB", "2GiB 1MB"])
def test_budget_bad_texts(size):
    with pytest.raises(ValueError, match="size is ") as caught:
        ClipPool.of_bytes(size)
    assert repr(size) in str(caught.value)


@pytest.mark.parametrize(
    ("size", "error"),
    [(0, ValueError), (-1, ValueError), ("0GB", ValueError), ("0.1b", ValueError)]
    + [(bad, TypeError) for bad in (True, np.True_, 1.5, 1e9, None, b"2GB", [2])],
)
def test_budget_bad_values(size, error):
    value = 0 if isinstance(size, str) else size
    with pytest.raises(error, match="size is ") as caught:
        ClipPool.of_bytes(size, 4)
    assert repr(value) in str(caught.value)


def test_budget_beyond_any_number():
    with pytest.raises((ValueError, MemoryError)):
        ClipPool.of_bytes("9" * 400 + "GB", 64)


@pytest.mark.parametrize("argument", ["slots", "shape"])
@pytest.mark.parametrize("value", [-1, True, 2.0, "3", None])
def test_bad_numbers(argument, value):
    error = ValueError if value == -1 else TypeError
    with pytest.raises(error, match=f"{argument} is ") as caught:
        ClipPool(**{"slots": 2, "shape": 4, argument: value})
    assert repr(value) in str(caught.value)


def test_no_slots():
    with pytest.raises(ValueError, match="slots is 0"):
        ClipPool(0, 4)


@pytest.mark.parametrize("shape", [(2, -1), (2, 1.0), (2, True), ((2,),)])
def test_bad_dimension(shape):
    with pytest.raises((TypeError, ValueError), match="shape is "):
        ClipPool(2, shape)
    pool = ClipPool(2, 4)
    with pytest.raises((TypeError, ValueError), match="shape is "):
        pool.acquire(shape)
    assert pool.stats().leased == 0


@pytest.mark.parametrize("dtype", ["nonsense", object, [("a", object)]])
def test_bad_dtype(dtype):
    with pytest.raises(TypeError):
        ClipPool(2, 4, dtype)
    pool = ClipPool(2, 4)
    with pytest.raises(TypeError):
        pool.acquire(4, dtype)
    assert pool.stats().leased == 0


@pytest.mark.parametrize(("nbytes", "slot_bytes"), [(0, 64), (1, 64), (63, 64), (64, 64), (65, 128), (1000, 1024)])
def test_slot_bytes(nbytes, slot_bytes):
    pool = ClipPool(3, nbytes)
    assert pool.slot_bytes == pool.stats().slot_bytes == slot_bytes
    assert pool.nbytes == 3 * slot_bytes
    assert ClipPool.of_bytes(5 * slot_bytes, nbytes).slots == 5
    assert ClipPool.of_bytes(6 * slot_bytes - 1, nbytes).slots == 5


def test_budget_below_one_clip():
    with pytest.raises(PoolTooSmall, match=r"size is 63 bytes.*\(8, 2\).*64"):
        ClipPool.of_bytes(63, (8, 2))


def test_budget_takes_first_clip():
    pool = ClipPool.of_bytes("1kb")
    assert pool.stats() == PoolStats(slots=0, free=0, leased=0, peak_leased=0, slot_bytes=0, waits=0)
    assert (pool.slots, pool.slot_bytes, pool.nbytes) == (0, 0, 0)
    clip = pool.acquire((5, 10), "int16")
    assert clip.shape == (5, 10)
    assert clip.dtype == "int16"
    assert pool.stats() == PoolStats(slots=7, free=6, leased=1, peak_leased=1, slot_bytes=128, waits=0)
    again = pool.acquire()
    assert again.shape == (5, 10)
    assert again.dtype == "int16"
    with pytest.raises(PoolTooSmall, match=r"shape=\(5, 13\), dtype='int16'"):
        pool.acquire((5, 13), "int16")


def test_budget_needs_a_first_clip():
    with pytest.raises(ValueError, match="shape is None"):
        ClipPool.of_bytes("1kb").acquire()


def test_budget_keeps_its_dtype():
    pool = ClipPool.of_bytes("1kb", dtype="float32")
    assert again(pool).acquire((2, 3)).dtype == "float32"
    assert pool.acquire((2, 3)).dtype == "float32"
    assert pool.acquire((2, 3), "int16").dtype == "int16"


def test_budget_below_the_first_clip():
    pool = ClipPool.of_bytes(100)
    with pytest.raises(PoolTooSmall, match=r"size is 100 bytes.*\(101,\).*128"):
        pool.acquire(101)
    assert pool.acquire(10).shape == (10,)  # it took nothing from the clip that did not fit


@pytest.mark.parametrize(
    ("slots", "shape"),
    [(1, 2**60), (2**20, 2**40), (4, 2**62), (1, sys.maxsize), (2**70, 64), (1, (2**40, 2**40))],
)
def test_impossible_sizes(slots, shape):
    with pytest.raises((MemoryError, ValueError)):
        ClipPool(slots, shape)


def test_no_room_is_memory_error():
    with pytest.raises(MemoryError, match=str(2**60)):
        ClipPool(1, 2**60)
    with pytest.raises(MemoryError, match=str(2**60)):
        ClipPool.of_bytes(2**60, 2**40)
    with pytest.raises(MemoryError, match=str(2**60)):
        ClipPool.of_bytes(2**60).acquire(2**40)


@pytest.mark.parametrize("shape", [2**50, None])
def test_impossible_budget(shape):
    with pytest.raises((MemoryError, ValueError)):
        ClipPool.of_bytes(2**70, shape).acquire(2**50)
