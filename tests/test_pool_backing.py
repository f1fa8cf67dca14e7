"""A ClipPool over memory of others."""

import contextlib
import ctypes
import gc
import mmap
from multiprocessing import shared_memory

import numpy as np
import pytest
from helpers.arrays import address, random_bytes
from helpers.pools import check_array

from clipx import ClipPool, PoolExhausted


def of_bytearray(count):
    return bytearray(count)


def of_mmap(count):
    return mmap.mmap(-1, count)


def of_ctypes(count):
    return (ctypes.c_char * count)()


def of_matrix(count):
    return np.zeros((count // 8, 4), "float16")


def of_torch(count):
    torch = pytest.importorskip("torch")
    return torch.zeros(count // 4, 2, dtype=torch.int16)


@pytest.mark.parametrize("make", [of_bytearray, of_mmap, of_ctypes, of_matrix, of_torch])
def test_backing(make):
    backing = make(3 * 128 + 64)
    pool = ClipPool(3, 100, backing=backing)
    clips = [pool.acquire() for _ in range(3)]
    for seed, clip in enumerate(clips):
        check_array(clip, (100,), "uint8")
        clip[:] = random_bytes(100, seed)
    with pytest.raises(PoolExhausted):
        pool.acquire()
    inside = bytes(memoryview(np.asarray(backing)).cast("B"))
    for seed in range(3):
        assert random_bytes(100, seed).tobytes() in inside
    del clip, clips
    assert pool.stats().free == 3


def test_backing_of_shared_memory():
    shared = shared_memory.SharedMemory(create=True, size=3 * 128)
    try:
        pool = ClipPool(3, 100, backing=shared.buf)
        clip = pool.acquire()
        clip[:] = random_bytes(100)
        with contextlib.closing(shared_memory.SharedMemory(shared.name)) as other:
            assert random_bytes(100).tobytes() in bytes(other.buf)
        del pool
        with pytest.raises(BufferError):  # the clip alone holds it
            shared.close()
        assert clip.tobytes() == random_bytes(100).tobytes()
        del clip
    finally:
        shared.close()
        shared.unlink()


@pytest.mark.parametrize("offset", range(0, 130, 13))
def test_unaligned_backing(offset):
    raw = np.zeros(4 * 128 + 256, np.uint8)
    skip = -address(raw) % 64 + offset
    needed = 3 * 128 + -offset % 64
    raw[: skip + needed] = 77
    backing = raw[skip : skip + needed]
    pool = ClipPool(3, 128, backing=backing)
    clips = [pool.acquire() for _ in range(3)]
    for clip in clips:
        assert address(clip) % 64 == 0
        assert np.shares_memory(clip, backing)
        clip[:] = 5
    assert np.count_nonzero(backing == 5) == 3 * 128
    assert np.count_nonzero(raw == 5) == 3 * 128
    with pytest.raises(ValueError, match=f"backing has {needed - 1} bytes, but 3 slots of 128 bytes.*take {needed}"):
        ClipPool(3, 128, backing=backing[:-1])


def test_backing_too_small():
    with pytest.raises(ValueError, match="backing has 0 bytes, but 2 slots of 128 bytes"):
        ClipPool(2, 128, backing=bytearray())
    with pytest.raises(ValueError, match="backing has 255 bytes"):
        ClipPool(2, 128, backing=bytearray(255))


@pytest.mark.parametrize(
    "backing",
    [bytes(1000), memoryview(bytes(1000)), np.zeros(2000, np.uint8)[::2], np.zeros((40, 40), np.uint8).T[1:]],
    ids=["bytes", "read-only view", "steps", "transposed"],
)
def test_backing_that_cannot_be_written_through(backing):
    with pytest.raises(ValueError, match=r"backing (is read-only|has strides .*, but must be C-contiguous)"):
        ClipPool(2, 128, backing=backing)


@pytest.mark.parametrize("backing", [[0] * 1000, 1000, "x" * 1000, np.zeros(1000, object)], ids=type)
def test_backing_of_another_kind(backing):
    with pytest.raises(TypeError, match="backing"):
        ClipPool(2, 128, backing=backing)


def test_backing_is_kept_alive():
    pool = ClipPool(2, 100, backing=bytearray(random_bytes(2 * 128 + 64)))
    clip = pool.acquire()
    clip[:] = random_bytes(100)
    del pool
    gc.collect()
    junk = [bytearray(b"\xff") * (2 * 128 + 64) for _ in range(100)]
    assert clip.tobytes() == random_bytes(100).tobytes()
    assert len(junk) == 100
