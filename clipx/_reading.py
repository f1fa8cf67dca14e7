"""Files whose claims about their size are not trusted: memory grows only with the bytes that come."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from typing import IO, Any

__all__ = ["CHUNK_BYTES", "BytesFile", "irregular_kind", "read_all", "read_bytes", "size_of"]

CHUNK_BYTES = 1 << 18

IRREGULAR = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def irregular_kind(path: str | os.PathLike[str]) -> str | None:
    """What a path leads to, such as "a pipe"; None for a regular file, and for a path that cannot be looked up.

    To open a pipe waits for whoever writes to it, and what has been read of one is gone.
    """
    try:
        return IRREGULAR.get(stat.S_IFMT(os.stat(path).st_mode))
    except (OSError, ValueError):
        return None


def read_bytes(file: IO[bytes], size: int, take: Callable[[bytes], Any]) -> int:
    """Pass at most `size` bytes of a file to `take`, piece by piece. Returns how many there were."""
    left = size
    while left > 0:
        piece = file.read(min(left, CHUNK_BYTES))
        if not piece:
            break
        take(piece)
        left -= len(piece)
    return size - left


def read_all(file: IO[bytes], size: int) -> bytes:
    """At most `size` bytes of a file, never held twice."""
    out = io.BytesIO()
    read_bytes(file, size, out.write)
    return out.getvalue()  # shares the buffer, shortened to its length


class BytesFile(io.RawIOBase):
    """A file over bytes in memory, without a copy: the pages of a mapped file that are not read are not loaded."""

    def __init__(self, value: memoryview) -> None:
        self._value, self._position = value, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, out: Any) -> int:
        found = self._value[self._position : self._position + len(out)]
        out[: len(found)] = found
        self._position += len(found)
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._value)}[whence]
        self._position = max(base + offset, 0)
        return self._position


def size_of(file: Any) -> int:
    """Bytes of a file that can seek, which is then at its beginning."""
    size: int = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size
