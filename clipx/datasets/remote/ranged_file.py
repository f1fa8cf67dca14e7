"""A file object over a remote file, or over a range of one."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import partial
from typing import Any, SupportsIndex

from clipx._checks import check_kind, integer
from clipx.datasets.remote.cache import CacheState, RangeCache
from clipx.datasets.remote.cached_file import CachedFile, file_of
from clipx.datasets.remote.filesystems import shown
from clipx.datasets.remote.read_ahead import ReadAhead
from clipx.media.hints import HintedFile

__all__ = ["BLOCK_BYTES", "RangedFile", "open_range"]

BLOCK_BYTES = 1 << 15
"""Bytes of the first request at a place: one of FFmpeg's buffers."""

MOST_AHEAD = 1 << 22
"""Most bytes that a run of reads requests at once; at most a quarter of the cache, too."""

OWN_CACHE = 1 << 24
"""Bytes of the cache of a file that is opened without one."""


class RangedFile(HintedFile):
    """A remote file, or a range of one, as `open_range` opens it. Positions are those in the range.

    A thread at a time may use it, as with any file; its cache may be shared by threads. A child that was forked goes on
    at the same position, with connections and a cache of its own; so does whoever unpickles it.

    Attributes:
        name: its address, without what may be secret.
        bytes_read: bytes that came for it, those of failed requests too.
    """

    def __init__(
        self,
        url: str,
        offset: int,
        size: int | None,
        cache: RangeCache,
        block: int,
        sequential: bool,
        whole_size: int | None,
    ) -> None:
        self.name, self.bytes_read = shown(url), 0
        self._url, self._offset, self._limit = url, offset, size
        self._cache, self._block, self._sequential, self._whole_size = cache, block, sequential, whole_size
        self._ahead = ReadAhead(block, min(MOST_AHEAD, cache.nbytes // 4))
        self._position = 0
        self._opened: tuple[CacheState, CachedFile] | None = None
        self._file()

    def _file(self) -> CachedFile:
        """The file in the cache of this process."""
        if self.closed:
            raise ValueError(f"{self.name!r} is closed")
        state = self._cache.state
        if self._opened is None or self._opened[0] is not state:
            self._opened = state, file_of(state, self._url, self._cache.nbytes)
        return self._opened[1]

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it.

        Raises io.UnsupportedOperation for positions from an end that the server does not say.
        """
        file = self._file()
        if whence == io.SEEK_END:
            base = self._size(file)
        elif whence in (io.SEEK_SET, io.SEEK_CUR):
            base = self._position if whence == io.SEEK_CUR else 0
        else:
            raise ValueError(f"whence is {whence!r}, but must be io.SEEK_SET, io.SEEK_CUR or io.SEEK_END")
        if base + offset < 0:
            raise ValueError(f"offset is {offset}, which is before the beginning of {self.name!r}")
        self._position = base + offset
        return self._position

    def _size(self, file: CachedFile) -> int:
        if self._limit is not None:
            return self._limit
        return max(file.size(self._count) - self._offset, 0)

    def _count(self, nbytes: int) -> None:
        self.bytes_read += nbytes

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, fewer only at the end of the file; all that are left for -1. Raises as `readinto`."""
        if size is None or size < 0:
            return self.readall()
        # No memory is taken for bytes that a damaged header claims and the file does not have.
        known, end = self._file().known_size, self._limit
        if end is None and known is not None:
            end = max(known - self._offset, 0)
        left = size if end is None else max(end - self._position, 0)
        return super().read(min(size, left)) or b""

    def _end(self, start: int, stop: int) -> int:
        """To where to request bytes, of the file, for a read of those from `start` to `stop`."""
        end = self._ahead.end(start, stop)
        return end if self._limit is None else min(end, self._offset + self._limit)

    def readinto(self, out: Any) -> int:
        """Fill a buffer; returns the number of bytes, fewer only at the end of the file.

        Raises FileNotFoundError, PermissionError, and OSError for a file that has changed, for one that ends inside the
        range, and for requests that fail each time.
        """
        file, view = self._file(), memoryview(out).cast("B")
        left = len(view) if self._limit is None else min(len(view), self._limit - self._position)
        start = at = self._offset + self._position
        stop = start + max(left, 0)
        while at < stop:
            piece = file.piece(at, partial(self._end, at, stop), self._count)
            self._check_size(file)
            if not piece:
                if self._limit is not None:
                    raise OSError(
                        f"{self.name!r} ends at byte {at}, inside the range of {self._limit} bytes from "
                        f"{self._offset}: it is not the file that the range was taken of, or is not complete"
                    )
                break
            found = piece[: stop - at]
            view[at - start : at - start + len(found)] = found
            self._ahead.moved(at, at + len(found))
            at += len(found)
            if self._sequential and len(found) == len(piece):
                file.forget(at - 1)
        self._position += at - start
        return at - start

    def _check_size(self, file: CachedFile) -> None:
        if self._whole_size is not None and file.known_size not in (None, self._whole_size):
            raise OSError(
                f"{self.name!r} has changed: it has {file.known_size} bytes, and had {self._whole_size} when it was "
                f"indexed; build the index again"
            )

    def hint(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Say which ranges will be read, as pairs of a begin and an end; they replace those of the hint before.

        A range is requested as a whole when its first byte is read, and nothing between ranges is read ahead. Of a
        video, give the bytes of the groups of pictures that clips need.
        """
        offset = self._offset
        self._ahead.hint((begin + offset, end + offset) for begin, end in ranges)

    def close(self) -> None:
        """Close the file. Its cache keeps the bytes for whoever opens it next."""
        opened, self._opened = getattr(self, "_opened", None), None
        if opened is not None and opened[0] is self._cache.state:
            opened[1].leave()
        super().close()

    def __reduce__(self) -> tuple[Any, ...]:
        given = self._url, self._offset, self._limit, self._cache, self._block, self._sequential, self._whole_size
        return _reopened, (*given, self._position)

    def __repr__(self) -> str:
        return f"<RangedFile {self.name!r}>"


def _reopened(*given: Any) -> RangedFile:
    file = RangedFile(*given[:-1])
    file.seek(given[-1])
    return file


def open_range(
    url: str,
    offset: SupportsIndex = 0,
    size: SupportsIndex | None = None,
    *,
    cache: RangeCache | None = None,
    block: SupportsIndex = BLOCK_BYTES,
    sequential: bool = False,
    whole_size: SupportsIndex | None = None,
) -> RangedFile:
    """Open a remote file, or a range of one, to be read and sought in.

    >>> cache = clipx.datasets.remote.RangeCache("256MiB")
    >>> with open_range("s3://bucket/videos/0001.mp4", cache=cache) as file:
    ...     clips = list(clipx.video.clips(file, spec))

    Bytes are requested by ranges. Reads that follow one another request twice as much each time, up to 4 MiB; others
    `block` bytes, or as many as they ask for. Nothing is requested before the first read, or the first seek from
    the end. A request that fails in a way that may pass, such as a broken connection, a time-out, an answer that ends
    early or a busy server, is repeated up to five times, with growing waits.

    Args:
        url: an address that fsspec opens: "s3://...", "gs://...", "https://...", "hf://...", "memory://...". Options
            and credentials come from fsspec's configuration and the environment.
        offset: byte at which the range begins.
        size: bytes of the range; default: up to the end of the file.
        cache: where bytes are held, shared with other files; default: 16 MiB of its own.
        block: bytes of the first request at a place.
        sequential: whether it is read from front to back: bytes are not held after they have been read.
        whole_size: bytes that the whole file had when it was indexed; None where that is not known.

    Raises ImportError without the extra "remote", and ValueError for an address that fsspec does not know. Reading
    raises FileNotFoundError, PermissionError, and OSError for requests that fail each time; for a file that changes
    while it is read, by its size, ETag or time, or has another size than `whole_size`; and for a server that ignores
    ranges and sends more than 64 MiB or half of the cache: less is read as a whole.
    """
    check_kind("url", url, str)
    check_kind("cache", cache, RangeCache, None)
    offset = integer("offset", offset, 0)
    size = None if size is None else integer("size", size, 0)
    block = integer("block", block, 1)
    whole_size = None if whole_size is None else integer("whole_size", whole_size, 0)
    return RangedFile(url, offset, size, cache or RangeCache(OWN_CACHE), block, bool(sequential), whole_size)
