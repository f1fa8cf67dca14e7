"""Results of many samples, made side by side by threads and taken in order, within a bound on the bytes they take."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["OrderedResults", "Stopped"]

Result = TypeVar("Result")

MOST_OPEN = 64
"""Samples whose results may wait: those that fail at once take no room."""

AWAKE_SECONDS = 0.1
"""Seconds after which a waiting thread checks whether the run is to stop."""


class Stopped(Exception):
    """The run is to stop: it is raised in the threads that work for it."""


class _Sample(Generic[Result]):
    """The results of a sample that wait to be taken, with their bytes."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Result, int]] = deque()
        self.ended = False


class OrderedResults(Generic[Result]):
    """Results of samples in the order of the samples, whichever thread makes them.

    A thread opens a sample, reserves the bytes that it takes while it is worked on, puts its results, each with the
    bytes that it holds, and ends it. Reserving and putting wait until there is room, but never for the sample whose
    results are taken next, unless some of its own wait: what is taken next is always made, so that no thread waits for
    ever.

    Args:
        limit: bytes of reservations and of results that wait.
        is_stopped: asked several times a second, by whatever waits, whether to stop.
    """

    def __init__(self, limit: int, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self._limit, self._is_stopped, self._held = limit, is_stopped, 0
        self._changed = threading.Condition()
        self._open: dict[int, _Sample[Result]] = {}
        self._opened = self._taken = 0
        self._complete = self._stopped = False
        self._error: BaseException | None = None

    @property
    def opened(self) -> int:
        """Number of samples that have been opened, which is that of the next one."""
        return self._opened

    @property
    def held(self) -> int:
        """Bytes that are reserved and wait."""
        return self._held

    def _wait(self, ready: Any) -> None:
        """Wait, with the lock, for a condition. Raises Stopped."""
        while not (self._stopped or self._is_stopped()):
            if ready():
                return
            self._changed.wait(AWAKE_SECONDS)
        raise Stopped

    def wait_for_turn(self) -> None:
        """Wait until there are not too many open samples. Raises Stopped."""
        with self._changed:
            self._wait(lambda: len(self._open) < MOST_OPEN)

    def open(self) -> int:
        """Open the next sample, and return its number."""
        with self._changed:
            number, self._opened = self._opened, self._opened + 1
            self._open[number] = _Sample()
            self._changed.notify_all()
            return number

    def wait_for_room(self, number: int, nbytes: int) -> None:
        """Wait until so many bytes are free, or the sample is the one that is taken next. Raises Stopped."""
        with self._changed:
            self._wait(lambda: number == self._taken or self._held + nbytes <= self._limit)

    def reserve(self, number: int, nbytes: int) -> None:
        """Wait for room as above, and take it until it is freed. Raises Stopped."""
        with self._changed:
            self._wait(lambda: number == self._taken or self._held + nbytes <= self._limit)
            self._held += nbytes

    def free(self, nbytes: int) -> None:
        """Free bytes that were reserved."""
        with self._changed:
            self._held -= nbytes
            self._changed.notify_all()

    def put(self, number: int, result: Result, nbytes: int = 0) -> None:
        """Add a result of a sample, which holds so many bytes until it has been taken. Raises Stopped."""
        with self._changed:
            waiting = self._open[number].waiting
            self._wait(
                lambda: (
                    self._held + nbytes <= self._limit
                    or not nbytes
                    or (number == self._taken and not any(size for _, size in waiting))
                )
            )
            self._held += nbytes
            waiting.append((result, nbytes))
            self._changed.notify_all()

    def end(self, number: int) -> None:
        """Note that a sample has no more results."""
        with self._changed:
            self._open[number].ended = True
            self._changed.notify_all()

    def complete(self) -> None:
        """Note that no more samples will be opened."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def stop(self, error: BaseException | None = None) -> None:
        """End all waiting; an error is raised where results are taken, the first one if there are several."""
        with self._changed:
            self._stopped = True
            self._error = self._error or error
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Result]:
        """The results in order; the bytes of one are freed when the next is asked for.

        Raises Stopped, or the error that `stop` was called with.
        """
        while True:
            taken = self._take()
            if taken is None:
                return
            result, nbytes = taken
            del taken
            yield result
            del result
            self.free(nbytes)

    def _take(self) -> tuple[Result, int] | None:
        """The next result and its bytes; None at the end."""
        with self._changed:
            while True:
                if self._stopped or self._is_stopped():
                    raise self._error or Stopped
                sample = self._open.get(self._taken)
                if sample is None:
                    if self._complete:
                        return None
                elif sample.waiting:
                    return sample.waiting.popleft()
                elif sample.ended:
                    del self._open[self._taken]
                    self._taken += 1
                    self._changed.notify_all()
                    continue
                self._changed.wait(AWAKE_SECONDS)
