"""Batches handed over from the thread that makes them to the consumer."""

from __future__ import annotations

import math
import queue
import time
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from clipx._threads import Task
from clipx.errors import PoolExhausted
from clipx.pool import GARBAGE_SECONDS, ClipPool

__all__ = ["EpochStopped", "Handover", "Ready"]

WAKE_SECONDS = 0.02
"""Seconds between two checks of a thread that waits for the consumer to let go of a batch."""

CHECK_SECONDS = 1.0
"""Seconds between two checks of the consumer that there are threads at all: what was to wake it may have been lost in
an interrupt."""


class EpochStopped(Exception):
    """The epoch is given up."""


class Ready(NamedTuple):
    """A batch, its number among those of the epoch, from 1 on, and the number of its clips."""

    batch: dict[Any, Any]
    number: int
    clips: int


class _Failed(NamedTuple):
    error: BaseException


class _Wake:
    """Wakes the consumer."""


_WAKE = _Wake()


class Handover:
    """A queue of one batch, from the thread that makes batches to the consumer, and the memory for batches.

    The consumer may be interrupted at any line: it takes no lock, and sends each message in one call of C.

    Args:
        task: what makes the batches.
        timeout: seconds that the consumer waits where it holds all batches itself; None for ever.

    Attributes:
        pool: memory of batches; None until the size of a clip is known.
        stopped: whether the thread that makes batches is to end.
        done: whether it has made all batches that it will.
        closed: whether the consumer has given up the rest.
        stalled: seconds that the thread that makes batches has waited for the consumer.
    """

    def __init__(self, task: Task, timeout: float | None) -> None:
        self._task, self._timeout = task, timeout
        self.pool: ClipPool | None = None
        self.stopped = self.done = self.closed = False
        self.stalled = 0.0
        # A batch, the next one only when that has been taken; the end is _WAKE or _Failed.
        self._ready: queue.SimpleQueue[Ready | _Failed | _Wake] = queue.SimpleQueue()
        # Filled by the consumer, before and after it takes from `_ready`.
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        # Whether the consumer waits, and whether it has to let go of batches first.
        self._asking = self._starved = False

    # The thread that makes batches

    def check(self) -> None:
        """Raise EpochStopped where the epoch is given up."""
        if self.stopped:
            raise EpochStopped

    def memory(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Memory for an array of a batch; waits until the consumer lets go of some."""
        # To collect garbage stops all threads for a while, so that it is done once, and only after a wait.
        pool, patience = self.pool, GARBAGE_SECONDS
        if self._timeout is not None:
            patience = min(patience, self._timeout / 2)
        assert pool is not None
        while True:
            if not pool.stats().free:
                self._wait_for_memory(pool, patience)
            try:
                return pool.acquire(shape, dtype)
            except PoolExhausted:  # not even in cycles of garbage, which have been collected
                patience = math.inf

    def _wait_for_memory(self, pool: ClipPool, patience: float) -> None:
        """Wait until the consumer lets go of some memory, or so many seconds."""
        self._starved, began = True, time.perf_counter()
        if self._asking:
            self._ready.put(_WAKE)
        while not pool.stats().free and time.perf_counter() - began < patience:
            self.check()
            with suppress(queue.Empty):
                self._asked.get(timeout=WAKE_SECONDS)
        self._starved = False
        self.stalled += time.perf_counter() - began

    def wait_until_taken(self) -> None:
        """Wait until the consumer has taken the batch before."""
        with suppress(queue.Empty):
            while True:
                self._asked.get_nowait()
        began = time.perf_counter()
        while not self.stopped and not self._ready.empty():
            self._asked.get()
        self.stalled += time.perf_counter() - began
        self.check()

    def put(self, ready: Ready) -> None:
        """Hand over a batch."""
        self._ready.put(ready)

    def end(self, error: BaseException | None) -> None:
        """Hand over the end, or the error that ends the epoch."""
        self.done = True
        self._ready.put(_WAKE if error is None else _Failed(error))

    # The consumer

    def take(self) -> Ready | None:
        """The next batch; None at the end. Raises the error that ends the epoch, and PoolExhausted."""
        began = time.monotonic()
        try:
            while True:
                self._asking = True
                self._asked.put(None)
                item: Ready | _Failed | _Wake = _WAKE
                with suppress(queue.Empty):
                    item = self._ready.get(timeout=WAKE_SECONDS if self._starved else CHECK_SECONDS)
                self._asked.put(None)
                if isinstance(item, Ready):
                    return item
                if isinstance(item, _Failed):
                    self._raise(item)
                if self.closed or ((self.done or self._task.ended) and self._ready.empty()):
                    return None
                self._check_patience(began)
        finally:
            self._asking = False

    def _raise(self, failed: _Failed) -> None:
        try:
            raise failed.error
        finally:
            # Else the error would keep this frame, and this frame the error.
            del failed

    def _check_patience(self, began: float) -> None:
        """Raise PoolExhausted where the consumer has waited long enough for batches that it holds itself."""
        pool = self.pool
        if pool is None or self._timeout is None or time.monotonic() - began < self._timeout:
            return
        # In this order: the thread that has taken the last one is not starved, or its batch is ready by then.
        if not pool.stats().free and self._starved and self._ready.empty():
            raise PoolExhausted(
                f"the consumer holds all {pool.slots} batches that the loader has memory for; let go of some, copy "
                f"what is to be kept, or raise batches; a DataLoader over a Loader needs batch_size=None"
            )

    # Any thread

    def stop(self) -> None:
        """Give up the epoch: the thread that makes batches goes no further."""
        self.stopped = True
        self._asked.put(None)

    def clear(self) -> None:
        """Give up the batch that was not taken, and end the wait of any other thread."""
        with suppress(queue.Empty):
            while True:
                self._ready.get_nowait()
        self._ready.put(_WAKE)
