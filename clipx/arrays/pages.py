"""The pages of arrays that are mapped from files: which come next, which are done with, and whether they are there."""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Any

import numpy as np

__all__ = ["Pages", "check_mapped"]

POPULATE_READ = 22  # MADV_POPULATE_READ (Linux 5.14): maps pages at once, not one fault after the other


class Pages:
    """Tells the system which frames of a mapped array come next, and which are done with.

    Only of arrays that were mapped read-only: of others pages may hold what is not in the file. Raises ValueError where
    the file has become shorter than the mapping.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._map: mmap.mmap | None = None
        self._dropped = 0
        behind = check_mapped(array)
        if behind is None or not array.size or array.strides[0] <= 0 or not hasattr(mmap, "MADV_DONTNEED"):
            return
        found: mmap.mmap = behind.base if isinstance(behind.base, mmap.mmap) else behind._mmap  # type: ignore[attr-defined]
        base = np.frombuffer(found, np.uint8).__array_interface__["data"][0]
        # Where its first frame's lowest byte lies: strides of dimensions other than time may be negative.
        low = array.__array_interface__["data"][0] + sum(
            min((n - 1) * stride, 0) for n, stride in zip(array.shape, array.strides)
        )
        self._map, self._offset, self._stride = found, low - base, array.strides[0]

    def __bool__(self) -> bool:
        return self._map is not None

    def _advise(self, option: int, start: int, end: int) -> None:
        """Advise on the pages from that of byte `start` up to that of byte `end`, which is left out."""
        assert self._map is not None
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        if end > first:
            with contextlib.suppress(OSError):  # it is only advice
                self._map.madvise(option, first, end - first)

    def need(self, frames: np.ndarray) -> None:
        """These frames are read next; -1 is none."""
        if self._map is None:
            return
        frames = np.unique(frames[frames >= 0])
        for run in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1):
            if len(run):
                end = min(self._offset + (int(run[-1]) + 1) * self._stride, len(self._map))
                for option in (mmap.MADV_WILLNEED, POPULATE_READ):
                    self._advise(option, self._offset + int(run[0]) * self._stride, end)

    def drop(self, before: int) -> None:
        """Frames before this one are not needed any more."""
        if self._map is not None and before > self._dropped:
            # The last page may hold the beginning of what comes.
            end = (self._offset + before * self._stride) // mmap.PAGESIZE * mmap.PAGESIZE
            self._advise(mmap.MADV_DONTNEED, self._offset + self._dropped * self._stride, end)
            self._dropped = before


def check_mapped(array: Any) -> np.memmap | None:
    """The read-only mapped array that an array is, or is a view of.

    Raises ValueError where its file has become shorter than the mapping: to read past its end would be a signal.
    """
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array.mode == "r" and array.filename is not None:
            _check_size(array)
            return array
        array = array.base
    return None


def _check_size(array: np.memmap) -> None:
    assert array.filename is not None
    mapping = array.base if isinstance(array.base, mmap.mmap) else array._mmap  # type: ignore[attr-defined]
    with contextlib.suppress(FileNotFoundError):  # a file that has been removed stays as it is while it is mapped
        size = os.stat(array.filename).st_size
        if size < array.offset - array.offset % mmap.ALLOCATIONGRANULARITY + len(mapping):
            raise ValueError(f"{os.fspath(array.filename)!r} has been truncated to {size} bytes since it was mapped")
