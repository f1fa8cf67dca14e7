"""The bytes of remote files that are held, by all files of a dataset together: at most a number that is given."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Protocol

from clipx._checks import byte_count, integer
from clipx.datasets.remote.counters import ByteCounter
from clipx.datasets.remote.per_process import PerProcess
from clipx.datasets.remote.segments import Segments

__all__ = ["CacheState", "Held", "RangeCache"]

LEAST_BYTES = 1 << 16
"""Bytes that a request may take however full a cache is, and the least of a cache."""


class Held(Protocol):
    """A file of which a cache holds pieces."""

    url: str
    users: int
    segments: Segments


class CacheState:
    """The cache of one process. Its methods are called with `changed` held.

    Attributes:
        changed: notified when bytes have come.
        files: the files by address: those that are open, and those of which bytes are held.
        held: bytes that are held, and those that are on their way.
        received: bytes that came.
    """

    def __init__(self, nbytes: int) -> None:
        self._nbytes, self.changed = nbytes, threading.Condition()
        self.files: dict[str, Any] = {}
        self.held, self.received = 0, ByteCounter()
        self._order: OrderedDict[tuple[int, int], Held] = OrderedDict()

    def reserve(self, nbytes: int) -> int:
        """Make room for bytes to come; returns for how many, at least LEAST_BYTES of them. See `release`."""
        nbytes = min(nbytes, max(self._nbytes // 4, LEAST_BYTES))
        self._make_room(nbytes)
        nbytes = max(min(nbytes, self._nbytes - self.held), min(nbytes, LEAST_BYTES))
        self.held += nbytes
        return nbytes

    def _make_room(self, nbytes: int) -> None:
        while self.held + nbytes > self._nbytes and self._order:
            (_, start), file = next(iter(self._order.items()))
            self.forget(file, start)

    def release(self, nbytes: int) -> None:
        """Give back room that was reserved."""
        self.held -= nbytes

    def add(self, file: Held, start: int, data: bytes) -> None:
        """Hold a piece until others push it out. Room for it was reserved, and has been given back."""
        self._make_room(len(data))
        file.segments.add(start, data)
        self._order[id(file), start] = file
        self.held += len(data)

    def use(self, file: Held, start: int) -> None:
        """Note that a piece is used: those that have not been for longest are forgotten first."""
        self._order.move_to_end((id(file), start))

    def forget(self, file: Held, start: int) -> None:
        """Forget a piece, if it is held."""
        if self._order.pop((id(file), start), None) is not None:
            self.held -= file.segments.remove(start)
            self.drop_unused(file)

    def forget_all(self, file: Held) -> None:
        """Forget all pieces of a file."""
        for start in file.segments.starts:
            self.forget(file, start)

    def drop_unused(self, file: Held) -> None:
        """Forget a file that nobody has open and of which nothing is held."""
        if not file.users and not len(file.segments) and self.files.get(file.url) is file:
            del self.files[file.url]


class RangeCache:
    """Bytes of remote files that are held in memory, shared by the files that are opened with it.

    Threads may share one. Each process has bytes of its own: a child that is forked, and whoever unpickles it, starts
    with an empty cache of the same size.

    Args:
        nbytes: bytes that are held at most, an int or such as "64MiB"; default 64 MiB, the least is 65,536. Requests
            that are on their way count. Where files that are read at the same time leave no room, each still reads
            65,536 bytes.

    Attributes:
        nbytes: as an int.
    """

    def __init__(self, nbytes: int | str = 1 << 26) -> None:
        self.nbytes = integer("nbytes", byte_count("nbytes", nbytes), LEAST_BYTES)
        self._states = PerProcess(self._make)

    def _make(self) -> CacheState:
        return CacheState(self.nbytes)

    @property
    def state(self) -> CacheState:
        """The cache of this process."""
        return self._states.get()

    @property
    def held(self) -> int:
        """Bytes that are held now, by this process."""
        return self.state.held

    @property
    def bytes_read(self) -> int:
        """Bytes that came for its files in this process, those of failed requests too."""
        return self.state.received.total

    def count(self, nbytes: int) -> None:
        """Add to `bytes_read` bytes that came another way."""
        self.state.received.add(nbytes)

    def clear(self) -> None:
        """Forget all bytes, and which versions files had that are not open."""
        state = self.state
        with state.changed:
            for file in list(state.files.values()):
                state.forget_all(file)

    def __reduce__(self) -> tuple[Any, ...]:
        return RangeCache, (self.nbytes,)

    def __repr__(self) -> str:
        return f"RangeCache({self.nbytes})"
