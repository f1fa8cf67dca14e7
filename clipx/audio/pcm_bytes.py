"""The bytes of a file of PCM, read where they are wanted."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import Any, Protocol

from clipx.media.file_objects import CheckedFile, OwnFile
from clipx.media.sources import Source, as_source

__all__ = ["BLOCK_BYTES", "Bytes", "open_bytes"]

BLOCK_BYTES = 1 << 17
"""Bytes of a file that are read at a time: they are still in the cache when they are converted."""

LEAST_BYTES = 1 << 15
"""Bytes that are read where fewer are asked for."""

MOST_SPARE = 8
_spare: list[memoryview] = []
"""Blocks of files that have been closed: a new one would first have to be mapped and cleared."""


class Bytes(Protocol):
    """The bytes of a source.

    Attributes:
        size: their number, when the source was opened.
    """

    size: int

    def peek(self, at: int, size: int) -> bytes | memoryview:
        """The bytes from `at` on, at most `size`; fewer at the end."""

    def read(self, at: int, size: int) -> memoryview:
        """The bytes from `at` on: `size`, or as many as are in a block; fewer at the end. Valid until the next read."""

    def close(self) -> None:
        """Let go of the source."""


class HeldBytes:
    """Bytes in memory: they are read where they lie."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(data).cast("B")
        self.size = len(self._view)

    def peek(self, at: int, size: int) -> memoryview:
        return self._view[at : at + size]

    read = peek

    def close(self) -> None:
        self._view = memoryview(b"")


class FileBlocks:
    """Bytes of a file, which may become shorter meanwhile: they are read into a block, never mapped."""

    def __init__(self, file: OwnFile | CheckedFile, size: int) -> None:
        self._file, self.size = file, size
        self._block = memoryview(b"")
        self._begin = self._end = 0

    def peek(self, at: int, size: int) -> bytes:
        if at >= self.size:  # farther than a file can be sought to, if a header says so
            return b""
        self._file.seek(at)
        data = self._file.read(size)
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        return data

    def read(self, at: int, size: int) -> memoryview:
        size = max(min(size, BLOCK_BYTES, self.size - at), 0)
        if not self._begin <= at <= at + size <= self._end:
            self._fill(at, min(max(size, LEAST_BYTES), self.size - at))
        return self._block[at - self._begin : self._end - self._begin]

    def _fill(self, at: int, wanted: int) -> None:
        """Read so many bytes from one on into the block."""
        if not len(self._block):
            try:
                self._block = _spare.pop()
            except IndexError:
                self._block = memoryview(bytearray(BLOCK_BYTES))
        self._begin = self._end = at
        self._file.seek(at)
        while (done := self._end - at) < wanted:
            if isinstance(self._file, CheckedFile):
                data = self._file.read(wanted - done)
                self._block[done : done + len(data)] = data
                more = len(data)
            else:
                more = self._file.readinto(self._block[done:wanted]) or 0
            if not more:
                break
            self._end += more

    def close(self) -> None:
        if isinstance(self._file, OwnFile):
            self._file.close()
        block, self._block, self._begin, self._end = self._block, memoryview(b""), 0, 0
        if len(block) and len(_spare) < MOST_SPARE:
            _spare.append(block)

    __del__ = close


def _open_path(path: Any) -> FileBlocks | None:
    try:
        file = OwnFile(path)
    except (OSError, ValueError):  # whoever opens it next raises this
        return None
    return FileBlocks(file, os.fstat(file.fileno()).st_size)


def open_bytes(src: Source, name: str) -> Bytes | None:
    """The bytes of a source, as `as_source` takes it; None of one whose bytes cannot be read anywhere at any time.

    Of a file object that can seek, whose position is left to be set again.
    """
    src = as_source(src, name)
    if isinstance(src, (bytes, bytearray, memoryview)):
        return HeldBytes(src)
    if isinstance(src, CheckedFile):
        if not src.seekable():
            return None
        with suppress(io.UnsupportedOperation):  # its size is not known
            return FileBlocks(src, src.seek(0, io.SEEK_END))
        return None
    return _open_path(src)
