"""Remote files that are read from front to back: by ranges, or whole from a server that ignores ranges."""

from __future__ import annotations

import io
import weakref
from typing import IO, Any, cast

from clipx._reading import read_bytes
from clipx.datasets.origins import shorten
from clipx.datasets.remote.cache import RangeCache
from clipx.datasets.remote.counters import count_bytes
from clipx.datasets.remote.filesystems import filesystem_of, shown
from clipx.datasets.remote.http import HttpAnswer, RangesIgnored
from clipx.datasets.remote.ranged_file import open_range
from clipx.datasets.remote.retries import repeat

__all__ = ["open_stream"]

STREAM_BLOCK = 1 << 18
"""Bytes of the first request for a stream, of which more will be read."""

BUFFER_BYTES = 1 << 16


class _WholeFile(io.RawIOBase):
    """The answer of a server that ignores ranges, read as it comes. A connection that breaks is an error."""

    def __init__(self, url: str, cache: RangeCache) -> None:
        filesystem, path = filesystem_of(url)
        self.name, self._cache = shown(url), cache
        self._answer: HttpAnswer = repeat(lambda: HttpAnswer(filesystem, path), url, "the whole of it")
        # In a reference cycle, the connection could be finalized before this is closed, and would complain.
        self._end = weakref.finalize(self, self._answer.close)
        self._end.atexit = False

    def readable(self) -> bool:
        return True

    def readinto(self, out: Any) -> int:
        try:
            data = self._answer.read(len(out))
        except Exception as exn:
            raise OSError(
                f"{self.name!r} broke off: {shorten(str(exn)) or type(exn).__name__}. Its server ignores ranges, so "
                f"that it cannot be read on from there"
            ) from exn
        count_bytes(len(data))
        self._cache.count(len(data))
        out[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if hasattr(self, "_end"):
            self._end()
        super().close()


def open_stream(url: str, start: int = 0, *, cache: RangeCache) -> IO[bytes]:
    """A remote file from byte `start` on, to be read from front to back.

    Of a server that ignores ranges, what comes before `start` is read, too.

    Raises what `open_range` and its reads raise.
    """
    ranged = io.BufferedReader(open_range(url, start, cache=cache, block=STREAM_BLOCK, sequential=True), BUFFER_BYTES)
    try:
        ranged.peek(1)
        return ranged
    except RangesIgnored:
        ranged.close()
    except BaseException:
        ranged.close()
        raise
    whole = cast(IO[bytes], io.BufferedReader(_WholeFile(url, cache), BUFFER_BYTES))
    read_bytes(whole, start, len)
    return whole
