"""Fields whose bytes lie in a file, and are read where they lie when they are needed."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from clipx._reading import read_all
from clipx.datasets.remote import RangeCache, open_range
from clipx.datasets.urls import local_path
from clipx.media.file_objects import OwnFile, OwnPart

__all__ = ["FilePart", "StoredFile"]


SMALL_BYTES = 1 << 20
"""Bytes up to which a part of a local file is read at once: to read it in pieces takes longer."""


class FilePart(OwnPart):
    """A part of a local file, as a file of its own that can seek."""

    def __init__(self, path: str, offset: int, size: int) -> None:
        self._file = OwnFile(path)
        self._offset, self._size, self._at = offset, size, 0

    def readinto(self, out: Any) -> int:
        view = memoryview(out).cast("B")
        left = min(len(view), max(self._size - self._at, 0))
        count = os.preadv(self._file.fileno(), [view[:left]], self._offset + self._at) if left else 0
        self._at += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(f"cannot seek to {base + offset}, before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(frozen=True)
class StoredFile:
    """The bytes of a field that lie in a file or in a part of one: stands in a sample where bytes would.

    Attributes:
        url: path of a local file, or an address that fsspec opens.
        offset, size: of the part, in bytes; size None: up to the end of the file.
        facts: of the stream, from an index; None where there is none.
        cache: of remote bytes that several files share; None for one of its own.
        whole_size: bytes that a remote file had when it was indexed: one of another size is not read. None: not known.
    """

    url: str
    offset: int = 0
    size: int | None = None
    facts: Any = None
    cache: RangeCache | None = field(default=None, compare=False, repr=False)
    whole_size: int | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> str | None:
        """The path of a local file; None for an address."""
        return local_path(self.url)

    @property
    def is_whole(self) -> bool:
        """True where the part is the whole file."""
        return self.offset == 0 and self.size is None

    def source(self) -> str | bytes | IO[bytes]:
        """A source of clips: the path of a whole local file, the bytes of a small part of one, else a file object."""
        path = self.path
        if path is not None and self.is_whole:
            return path
        if path is not None and self.size is not None and self.size <= SMALL_BYTES:
            return self.read()
        return self.open()

    def open(self) -> IO[bytes]:
        """The part as a file object that can seek. Raises OSError where it cannot be opened."""
        path = self.path
        if path is None:
            return cast(
                IO[bytes], open_range(self.url, self.offset, self.size, cache=self.cache, whole_size=self.whole_size)
            )
        if self.is_whole:
            return OwnFile(path)
        size = os.stat(path).st_size - self.offset if self.size is None else self.size
        return cast(IO[bytes], FilePart(path, self.offset, size))

    def head(self, size: int) -> bytes:
        """The first `size` bytes, or fewer where there are not so many."""
        with self.open() as file:
            return read_all(file, size)

    def read(self) -> bytes:
        """All bytes. Raises OSError where there are fewer than `size`."""
        size = self.nbytes
        with self.open() as file:
            data = read_all(file, size)
        if len(data) < size:
            raise OSError(f"{self.url!r} ends after {len(data)} of {size} bytes from byte {self.offset} on")
        return data

    @property
    def nbytes(self) -> int:
        """Number of bytes. Raises OSError where the file cannot be looked up."""
        if self.size is not None:
            return self.size
        path = self.path
        if path is not None:
            return Path(path).stat().st_size - self.offset
        with self.open() as file:
            return file.seek(0, io.SEEK_END)

    @property
    def known_size(self) -> int:
        """Number of bytes, where it can be had without a connection; else -1."""
        path = self.path
        if self.size is None and path is None:
            return -1
        try:
            return self.nbytes
        except OSError:
            return -1
