"""The block of memory that a pool's slots lie on: private and anonymous, or a buffer that its user gives."""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np

from clipx._checks import as_array, check_writable

__all__ = ["check_backing", "private_mapping", "slot_size"]

ALIGNMENT = 64  # a cache line, and the widest vector


def slot_size(nbytes: int) -> int:
    """Bytes of a slot for clips of at most `nbytes`: a multiple of ALIGNMENT."""
    return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT


def private_mapping(size: int) -> mmap.mmap:
    """Anonymous memory of which a forked child gets a copy, in huge pages where the system has them.

    Raises MemoryError where the system has no room.
    """
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size)
    try:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as exn:
        raise MemoryError(f"the system gives no {size} bytes for the pool: {exn}") from exn
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel built without them
            block.madvise(mmap.MADV_HUGEPAGE)
    return block


def check_backing(backing: Any, slots: int, slot_bytes: int) -> np.ndarray:
    """The bytes of a buffer that is to be a pool's block, as an array (n,) that sees them.

    Raises TypeError for what is not a buffer, ValueError for one that cannot be written or is too small.
    """
    block = as_array("backing", backing)
    check_writable("backing", block)
    block = block.reshape(-1).view(np.uint8)
    needed = slots * slot_bytes + -block.__array_interface__["data"][0] % ALIGNMENT
    if block.nbytes < needed:
        raise ValueError(
            f"backing has {block.nbytes} bytes, but {slots} slots of {slot_bytes} bytes, aligned to {ALIGNMENT}, take "
            f"{needed}"
        )
    return block
