"""The bytes of a source of sound, read wherever they are wanted, and what tells a file from what it was before."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

from clipx.media.file_objects import OwnFile
from clipx.media.sources import Source

__all__ = ["FileBytes", "Identity"]

BLOCK_BYTES = 1 << 18
"""Bytes of a file that a walk over it reads at a time."""

Identity = tuple[str, int, int, int]
"""Path, bytes, time of the last change in nanoseconds, and inode of a file."""


class FileBytes:
    """The bytes of a path, or of an object of bytes.

    Attributes:
        size: their number.
        identity: of a path; None for bytes.
    """

    def __init__(self, src: str | os.PathLike[str] | bytes | bytearray | memoryview) -> None:
        self._file: OwnFile | None = None
        self._view: memoryview | None = None
        self.identity: Identity | None = None
        if isinstance(src, (bytes, bytearray, memoryview)):
            self._view = memoryview(src).cast("B")
            self.size = len(self._view)
        else:
            self._file = OwnFile(src)
            found = os.fstat(self._file.fileno())
            self.size = found.st_size
            self.identity = os.path.abspath(os.fsdecode(src)), found.st_size, found.st_mtime_ns, found.st_ino

    @staticmethod
    def of(src: Source) -> FileBytes | None:
        """For a source as `as_source` returns it; None for a file object.

        It is None of a path that cannot be opened, too: whoever opens it next raises the error.
        """
        if hasattr(src, "read"):
            return None
        try:
            return FileBytes(cast(str, src))
        except (OSError, ValueError):
            return None

    def read(self, at: int, size: int) -> memoryview | bytes:
        """The `size` bytes from `at` on; fewer at the end of the file."""
        if self._view is not None:
            return self._view[at : at + size]
        assert self._file is not None
        self._file.seek(at)
        data = self._file.read(size)
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        return data

    def blocks(self, begin: int, walk: Callable[[memoryview], int | None]) -> int:
        """Call `walk` with the bytes from `begin` on, a block at a time; it returns how far the next one is from there.

        Returns where it has come to: the end, or where it returned None or 0.
        """
        at, block = begin, bytearray(0 if self._file is None else BLOCK_BYTES)
        while at < self.size:
            if self._file is None:
                assert self._view is not None
                data = self._view[at:]
            else:
                self._file.seek(at)
                data = memoryview(block)[: self._file.readinto(block)]
            if not (done := walk(data)):
                return at
            at += done
        return at

    def close(self) -> None:
        """Close the file, or let go of the bytes."""
        if self._file is not None:
            self._file.close()
        self._view = None

    __del__ = close
