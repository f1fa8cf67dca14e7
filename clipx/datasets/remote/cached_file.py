"""A remote file of which ranges are held: read by several file objects and threads, each byte requested once."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Protocol

from clipx.datasets.remote.answers import Answer
from clipx.datasets.remote.cache import CacheState
from clipx.datasets.remote.counters import count_bytes
from clipx.datasets.remote.filesystems import filesystem_of, shown
from clipx.datasets.remote.http import HttpRanges
from clipx.datasets.remote.retries import Refused, changed, repeat
from clipx.datasets.remote.segments import Segments
from clipx.datasets.remote.stores import StoredRanges

__all__ = ["CachedFile", "file_of"]

MOST_WHOLE = 1 << 26
"""Most bytes of a file that is held whole because its server ignores ranges; at most half of the cache, too."""

FIRST_BYTES = 1 << 15
"""Bytes from the beginning that are read where the size alone is asked for: headers are there."""


class Ranges(Protocol):
    """A way to ask for ranges of one file."""

    def fetch(self, start: int, stop: int, most_whole: int, count: Callable[[int], None]) -> Answer:
        """One request, which is not repeated."""


def file_of(state: CacheState, url: str, nbytes: int) -> CachedFile:
    """The file of an address in a cache of `nbytes`, with one user more; see `CachedFile.leave`."""
    with state.changed:
        file = state.files.get(url)
        if file is not None:
            file.users += 1
            return file
    made = CachedFile(state, url, min(MOST_WHOLE, nbytes // 2))
    with state.changed:
        file = state.files.setdefault(url, made)
        file.users += 1
        return file


class CachedFile:
    """A remote file of which a cache holds pieces.

    Attributes:
        url: its address.
        users: number of file objects that read it.
        segments: the pieces that are held.
    """

    def __init__(self, state: CacheState, url: str, most_whole: int) -> None:
        filesystem, path = filesystem_of(url)
        web = "https" in filesystem.protocol and hasattr(filesystem, "set_session")
        self._ranges: Ranges = HttpRanges(filesystem, path) if web else StoredRanges(filesystem, path, url)
        self._state, self.url, self._most_whole = state, url, most_whole
        self.users, self.segments = 0, Segments()
        self._known: Answer | None = None
        self._size: int | None = None
        self._coming: dict[int, int] = {}

    def leave(self) -> None:
        """End the use by one file object."""
        with self._state.changed:
            self.users -= 1
            self._state.drop_unused(self)

    @property
    def known_size(self) -> int | None:
        """Bytes of the file, if an answer has said so."""
        return self._size

    def size(self, count: Callable[[int], None]) -> int:
        """Bytes of the file. Raises io.UnsupportedOperation where its server does not say."""
        if self._known is None:
            self.piece(0, lambda: FIRST_BYTES, count)
        if self._size is None:
            raise io.UnsupportedOperation(f"the size of {shown(self.url)!r} is not known: its server does not say it")
        return self._size

    def piece(self, start: int, end: Callable[[], int], count: Callable[[int], None]) -> memoryview:
        """Bytes from `start` on, at least one, none at the end of the file.

        Those that are held, or else those that come in one request.

        Args:
            end: gives the byte up to which to request, where `start` is not held.
            count: called with the number of bytes that come.
        """
        state = self._state
        with state.changed:
            while True:
                if self._size is not None and start >= self._size:
                    return memoryview(b"")
                found = self.segments.holding(start)
                if found is not None:
                    state.use(self, found[0])
                    return memoryview(found[1])[start - found[0] :]
                if not any(begin <= start < end for begin, end in self._coming.items()):
                    break
                state.changed.wait()
            ends = [begin for begin in self._coming if begin > start]
            borders = [self.segments.next_start(start), self._size, *ends]
            stop = min([end(), *(each for each in borders if each is not None)])
            room = state.reserve(stop - start)
            stop = start + room
            self._coming[start] = stop
        answer = None
        try:
            answer = self._fetch(start, stop, count)
        finally:
            with state.changed:
                del self._coming[start]
                state.release(room)
                if answer is not None:
                    answer = self._hold(answer)
                state.changed.notify_all()
        return memoryview(answer.data)[start - answer.start :]

    def forget(self, position: int) -> None:
        """Forget the piece that holds a position, which will not be read again."""
        with self._state.changed:
            found = self.segments.holding(position)
            if found is not None:
                self._state.forget(self, found[0])

    def _hold(self, answer: Answer) -> Answer:
        """Note what an answer says of the file, and hold its bytes. Called with the lock held."""
        known = self._known or answer
        change = known.changed_to(answer)
        if not answer.data and known.size is not None and answer.start < known.size:
            change = change or f"its size was {known.size}, but it ends before byte {answer.start + 1}"
        if change is not None:
            # Whoever opens it anew reads the new version; those who have it open get this error from now on.
            self._state.forget_all(self)
            if self._state.files.get(self.url) is self:
                del self._state.files[self.url]
            raise changed(self.url, change)
        size = answer.size if known.size is None else known.size
        self._known = known._replace(data=b"", size=size)
        if size is not None:
            self._size = size
        elif not answer.data:
            self._size = answer.start if self._size is None else min(answer.start, self._size)
        if answer.start == 0 and size == len(answer.data):
            self._state.forget_all(self)  # where a server that ignores ranges has sent the whole
        if answer.data and self.segments.holding(answer.start) is None:
            self._state.add(self, answer.start, answer.data)
        return answer

    def _fetch(self, start: int, stop: int, count: Callable[[int], None]) -> Answer:
        """An answer to a request for a range, which is repeated where its failure may pass."""

        def counted(nbytes: int) -> None:
            count_bytes(nbytes)
            self._state.received.add(nbytes)
            count(nbytes)

        answer = repeat(
            lambda: self._ranges.fetch(start, stop, self._most_whole, counted), self.url, f"bytes {start} to {stop}"
        )
        if answer.data and not answer.start <= start < answer.start + len(answer.data) and start < (answer.size or 0):
            raise Refused(f"{shown(self.url)!r} is answered by other bytes than {start} to {stop}")
        return answer
