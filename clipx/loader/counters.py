"""Counters of an epoch: plain numbers that its threads and the consumer add to, and any thread may read."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from clipx._timing import Timings
from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.datasets.remote import RangeCache
from clipx.loader.needs import encoded_bytes

__all__ = ["RECENT_SECONDS", "Counters", "Holder", "Stopwatch"]

RECENT_SECONDS = 10.0
"""Seconds that the recent rate is taken over."""

MARK_SECONDS = 0.5
"""Least seconds between two marks of the clips handed out: the recent rate is as fine as this."""

NEWS_SECONDS = 0.005
"""Least seconds of work on a sample that the counters learn of before its end."""

MARKS = int(RECENT_SECONDS / MARK_SECONDS) + 2


class Holder(Protocol):
    """The steps of an epoch that run, by what they hold."""

    @property
    def shuffled(self) -> int:
        """Number of clips in the shuffle."""

    @property
    def held_bytes(self) -> int:
        """Bytes of the samples that have been read and not yet given up, and of open decoders."""


@dataclass(eq=False)
class Counters:
    """Counters of an epoch.

    Threads add under a lock. The consumer, which may be interrupted at any line, takes none, and neither does a reader.

    Attributes:
        epoch: its number; None before the first.
        process: the one that they are of.
        batches, clips: number of those handed out.
        waited: seconds that the consumer has waited.
        samples, bytes_read: number of samples read, and their bytes.
        reading, opening, decoding, converting, mapping: seconds that threads spent.
        batching: seconds that the thread took which shuffles clips and fills batches, without its waits.
        steps: those that run; None before and after.
        cache: of remote files, which knows how many bytes came; None where there are none.
        began, ended: times on `time.perf_counter`; None before.
    """

    epoch: int | None = None
    process: int = field(default_factory=os.getpid)
    batches: int = 0
    clips: int = 0
    waited: float = 0.0
    samples: int = 0
    bytes_read: int = 0
    reading: float = 0.0
    opening: float = 0.0
    decoding: float = 0.0
    converting: float = 0.0
    mapping: float = 0.0
    batching: float = 0.0
    steps: Holder | None = None
    cache: RangeCache | None = None
    began: float | None = None
    ended: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting_since: float | None = None
    _reader_waited: float = 0.0
    _latest: float = 0.0
    # Times, and the clips handed out by then.
    _marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=MARKS))

    def __reduce__(self) -> tuple[type[Counters], tuple[()]]:
        return Counters, ()  # another process has done nothing yet

    def begin(self) -> None:
        """The epoch begins."""
        self._latest = began = time.perf_counter()
        with self._lock:
            self._marks.append((began, 0))
        self.began = began  # the last: readers look at the others once it is there

    def end(self) -> None:
        """The epoch has ended, or is closed."""
        if self.ended is None:
            self.ended = time.perf_counter()

    def drop(self) -> None:
        """The iterator is gone: the epoch has ended with the batch that was handed out last."""
        if self.ended is None and self.began is not None:
            self.ended = self._latest

    # The consumer

    def ask(self) -> None:
        """The consumer begins to wait."""
        self._waiting_since = time.perf_counter()

    def answer(self) -> None:
        """The consumer waits no more."""
        since, self._waiting_since = self._waiting_since, None
        if since is not None:
            self.waited += time.perf_counter() - since

    def hand_out(self, clips: int) -> None:
        """The consumer gets a batch of so many clips."""
        self.batches += 1
        self.clips += clips
        self._latest = now = time.perf_counter()
        if now - self._marks[-1][0] >= MARK_SECONDS:
            with self._lock:
                self._marks.append((now, self.clips))

    # The threads

    def read(self, samples: Iterator[tuple[Address, Sample]]) -> Iterator[tuple[Address, Sample]]:
        """The samples, whose bytes and the seconds that it takes to read them are counted."""
        try:
            while True:
                began, waited = time.perf_counter(), self._reader_waited
                each = next(samples, None)
                seconds = time.perf_counter() - began - (self._reader_waited - waited)
                with self._lock:
                    self.reading += seconds
                    if each is not None:
                        self.samples += 1
                        self.bytes_read += encoded_bytes(each[1])
                if each is None:
                    return
                yield each
                del each
        finally:
            if hasattr(samples, "close"):
                samples.close()

    def wait(self, wait: Callable[[int], None], size: int) -> None:
        """`wait(size)` on the thread that reads, whose seconds do not count as reading."""
        began = time.perf_counter()
        wait(size)
        self._reader_waited += time.perf_counter() - began

    def extracted(self, seconds: float, new: Timings, decodes: bool) -> None:
        """A thread has spent so many seconds on the clips of a sample, of which `new` is part."""
        decoding, converting = seconds - new.opening - new.mapping - new.converting, new.converting
        if not decodes:
            decoding, converting = 0.0, converting + decoding
        with self._lock:
            self.opening += new.opening
            self.mapping += new.mapping
            self.bytes_read += new.nbytes
            self.converting += converting
            self.decoding += decoding

    # Any thread

    def seconds(self) -> float:
        """Seconds since the epoch began, up to its end."""
        if self.began is None:
            return 0.0
        return (time.perf_counter() if self.ended is None else self.ended) - self.began

    def waited_so_far(self) -> float:
        """Seconds that the consumer has waited, now included."""
        since = self._waiting_since
        return self.waited + (0.0 if since is None else time.perf_counter() - since)

    def all_bytes_read(self) -> int:
        """Bytes that were read, those of remote files included."""
        return self.bytes_read + (0 if self.cache is None else self.cache.bytes_read)

    def recent_rate(self) -> float:
        """Clips a second of the last RECENT_SECONDS, or since the beginning; 0 before it."""
        if self.began is None:
            return 0.0
        with self._lock:  # without a GIL, a copy is not made at once
            now, marks = self.began + self.seconds(), self._marks.copy()
        since, clips = next((mark for mark in reversed(marks) if mark[0] <= now - RECENT_SECONDS), marks[0])
        return (self.clips - clips) / max(now - since, 1e-9)


class Stopwatch:
    """The time that threads spend on the clips of one sample, one thread at a time.

    Attributes:
        timings: what of it goes to which part; others add to it.
    """

    def __init__(self, counters: Counters) -> None:
        self.timings, self._counters = Timings(), counters
        self._before = Timings()
        self._spent, self._began = 0.0, 0.0

    def run(self) -> None:
        """Work begins or goes on."""
        self._began = time.perf_counter()

    def pause(self) -> None:
        """Work rests. The counters learn of it when it is worth a lock."""
        self._spent += time.perf_counter() - self._began
        self._began = 0.0
        if self._spent > NEWS_SECONDS:
            self._report()

    def stop(self) -> None:
        """There is no more work."""
        if self._began:
            self.pause()
        self._report()

    def _report(self) -> None:
        now, before = self.timings, self._before
        new = Timings(
            now.opening - before.opening,
            now.converting - before.converting,
            now.mapping - before.mapping,
            now.nbytes - before.nbytes,
        )
        self._counters.extracted(self._spent, new, now.decodes)
        self._before, self._spent = replace(now), 0.0
