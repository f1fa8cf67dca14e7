"""Arrays collected into one by the kernel."""

import sys
import threading
import time

import numpy as np
import pytest
from helpers.arrays import random_bytes

from clipx import _kernel


@pytest.mark.parametrize("size", [0, 1, 15, 63, 64, 65, 4095, 4097, 100_003])
@pytest.mark.parametrize("count", [1, 2, 17])
@pytest.mark.parametrize("footprint", [0, 1 << 40])
@pytest.mark.parametrize("offset", [0, 1, 13])
def test_collect(size, count, footprint, offset):
    block = random_bytes(count * (size + offset) + 1, size)
    arrays = [block[i * (size + offset) + 1 :][:size] for i in range(count)]
    guard = random_bytes(count * size + offset + 64, 1)
    out, before = guard[offset : offset + count * size], guard.copy()
    _kernel.collect(arrays, out, footprint)
    np.testing.assert_array_equal(out, np.concatenate(arrays))
    np.testing.assert_array_equal(guard[:offset], before[:offset])
    np.testing.assert_array_equal(guard[offset + count * size :], before[offset + count * size :])


def test_collect_takes_one_array_many_times():
    x = random_bytes(100)
    out = np.empty((5, 100), np.uint8)
    _kernel.collect([x] * 5, out)
    assert (out == x).all()
    _kernel.collect([bytes(x), memoryview(x), bytearray(x), x, x], out)
    assert (out == x).all()


@pytest.mark.parametrize(
    ("arrays", "out", "error"),
    [
        ([], np.zeros(4, np.uint8), ValueError),
        ([random_bytes(4)], np.zeros(5, np.uint8), ValueError),
        ([random_bytes(4)], np.zeros(3, np.uint8), ValueError),
        ([random_bytes(4)] * 2, np.zeros(7, np.uint8), ValueError),
        ([random_bytes(4), random_bytes(3)], np.zeros(8, np.uint8), ValueError),
        ([random_bytes(3), random_bytes(5)], np.zeros(8, np.uint8), ValueError),
        ([random_bytes(8)[::2]] * 2, np.zeros(8, np.uint8), (ValueError, BufferError)),
        ([random_bytes(4)] * 2, np.zeros(16, np.uint8)[::2], (ValueError, BufferError)),
        ([random_bytes(4)] * 2, bytes(8), (ValueError, BufferError, TypeError)),
        ([None, None], np.zeros(8, np.uint8), TypeError),
        ([random_bytes(4), "text"], np.zeros(8, np.uint8), TypeError),
        ((random_bytes(4),), np.zeros(4, np.uint8), TypeError),
        (None, np.zeros(4, np.uint8), TypeError),
    ],
)
def test_collect_refuses(arrays, out, error):
    with pytest.raises(error):
        _kernel.collect(arrays, out)
    np.testing.assert_array_equal(out, np.zeros_like(np.asarray(out)))


@pytest.mark.parametrize("shift", [0, 1, 50, -30])
def test_collect_refuses_overlap(shift):
    """Contract 6: memory that overlaps is an error."""
    block = random_bytes(400)
    before = block.copy()
    with pytest.raises(ValueError, match="overlap"):
        _kernel.collect([block[100 + shift : 200 + shift], random_bytes(100)], block[100:300])
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
