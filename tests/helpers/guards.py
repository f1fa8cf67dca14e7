"""Memory in which every byte that is written beside its target is seen, and memory that nobody may touch."""

import ctypes
import mmap

import numpy as np

CACHED, STREAMING = 1, 1 << 50  # bytes written in all: rows go through the caches, or past them
GUARD = 192
LEFT_ALONE = 0xA5


def guarded(size, offset):
    """Writable bytes inside more bytes, at any address, and a check that those are left alone."""
    around = np.full(size + 2 * GUARD, LEFT_ALONE, np.uint8)
    start = GUARD // 2 + offset
    inside = around[start : start + size]

    def check():
        assert (around[:start] == LEFT_ALONE).all()
        assert (around[start + size :] == LEFT_ALONE).all()

    return inside, check


def fenced(size):
    """Bytes that end where a page begins that nobody may touch, for as long as the process runs."""
    page = mmap.PAGESIZE
    room = -(-size // page) * page
    mapped = mmap.mmap(-1, room + page)
    libc, start = ctypes.CDLL(None, use_errno=True), ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    assert libc.mprotect(ctypes.c_void_p(start + room), ctypes.c_size_t(page), 0) == 0, ctypes.get_errno()
    return np.frombuffer(mapped, np.uint8, room)[room - size :]
