"""Clips of many samples, extracted by threads, in an order that does not depend on them."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from clipx._threads import TaskThread
from clipx.datasets.addresses import Address, Position
from clipx.datasets.fields import Sample
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.budget import Budget
from clipx.loader.interleave_state import BEGINNING, InterleaveState
from clipx.loader.open_samples import (
    ClipRef,
    Extract,
    Extracted,
    Failure,
    NumberedClip,
    OpenSample,
    choose,
)
from clipx.loader.room import Room, Weight
from clipx.plan import ALL

__all__ = ["STOP_SECONDS", "Interleave"]

STOP_SECONDS = 10.0
"""Seconds that the end of a thread is waited for: one that reads from a dead connection ends with the process."""

MOST_WAITING = 64
"""Samples that wait to become active: those that lie in files take no room, whatever their size."""


class Interleave:
    """The clips of samples: some samples give one clip each in rotation, and the next one replaces one that has ended.

    The order depends on the samples alone, not on the number of threads or on their speed.

    Args:
        samples: with their addresses; read on a thread, as far ahead as `budget` has room, up to MOST_WAITING (or one).
        weigh: says what a sample takes.
        extract: gives clips of a sample; run by one thread at a time.
        budget: how many samples are `active` and how many wait after these with their first clips extracted, how many
            clips of each are `ready` ahead, and the bytes that samples and decoders may take.
        threads: that extract.
        handler: called with the error of a sample where its clip would come; as webdataset's are.
        advance: gives the position of the samples behind one more.
        state: where to go on; `opened` are then the samples that are active there, and `samples` those after them: the
            ones that are left, by their addresses, and then the others.

    Attributes:
        starved: seconds that `clips` has waited for samples and their clips.

    After `start`, `clips` is to be run once, by one thread. `stop` ends all threads, at any time, from any but these.
    None of this is for a thread that may be interrupted.
    """

    starved = 0.0

    def __init__(
        self,
        samples: Iterator[tuple[Address, Sample]],
        weigh: Callable[[Sample], Weight],
        extract: Extract,
        budget: Budget,
        *,
        threads: int,
        handler: Callable[[Exception], bool],
        advance: Callable[[Position, Address], Position] = Position.advance,
        state: InterleaveState = BEGINNING,
        opened: Sequence[OpenSample] = (),
    ) -> None:
        self._samples, self._weigh, self._extract, self._handler = samples, weigh, extract, handler
        self._budget = budget
        # One lock, and a condition for each kind of thread, so that none is woken for what only another waits for: the
        # one that runs `clips`, those that extract, and the one that reads.
        self._lock = threading.RLock()
        self._arrived, self._has_work, self._has_room = (threading.Condition(self._lock) for _ in range(3))
        self._awaited: OpenSample | None = None
        self._active, self._queue = list(opened), deque[OpenSample | Failure]()
        self._next, self._read_to, self._ended = state.next, state.read, state.ended
        self._advance, self._left = advance, state.left_by_address
        self._room = Room(budget.encoded_bytes, budget.decoders_bytes)
        for each in opened:
            self._room.add(each.weight)
        self._read_all = self._stopped = False
        names = [f"clipx-extract-{i}" for i in range(min(threads, budget.sources))]
        self._threads = [TaskThread(self._read, "clipx-read"), *(TaskThread(self._work, name) for name in names)]

    def start(self) -> None:
        """Start the threads; `stop` is then to be called."""
        with self._lock:
            for thread in self._threads:
                if not self._stopped:
                    thread.start()

    def state(self) -> InterleaveState:
        """The state behind the clip that `clips` gave last; asked for by the thread that runs it."""
        with self._lock:
            if self._ended:
                return InterleaveState(read=self._read_to, ended=True)
            active = [each.state for each in self._active]
            return InterleaveState(active, self._next, self._read_to, left=list(self._left.values()))

    @property
    def held_bytes(self) -> int:
        """Bytes of the samples that have been read and not yet given up."""
        return self._room.held

    @property
    def decoder_bytes(self) -> int:
        """Bytes that the decoders of active samples are counted with; takes no lock, and may be asked by any thread."""
        return sum(each.weight.decoder for each in list(self._active))

    def clips(self) -> Iterator[Extracted]:
        """Every clip of every sample. Raises what is not a sample's fault, and what the handler does not take."""
        follows = False  # whether the sample of the last error gives its clip now
        while not self._ended:
            with self._lock:
                if self._next >= len(self._active):
                    self._next = 0
                # Between the errors of segments and the clip behind them comes no other sample: no state lies there.
                if not follows:
                    self._fill()
                if self._stopped or not self._active:
                    return
                if self._next >= len(self._active):
                    continue
                clip = self._take()
            follows = isinstance(clip, Failure) and not clip.ends
            if isinstance(clip, Failure):
                if not self._goes_on(clip.error):
                    self._ended = True
                    return
            elif clip is not None:
                self._next += 1
                yield clip
            del clip

    def _goes_on(self, error: BaseException) -> bool:
        # An error keeps the frames that it came through, and so the clips that these held.
        traceback.clear_frames(error.__traceback__)
        try:
            if not isinstance(error, Exception) or isinstance(error, NOT_A_SAMPLES_FAULT):
                raise error
            return self._handler(error)
        finally:
            del error

    def _fill(self) -> None:
        """Let samples that wait replace those that have ended."""
        at = self._next
        while len(self._active) < self._budget.active:
            self._wait_until(lambda: self._stopped or self._queue or self._read_all or self._is_full())
            if self._stopped or not self._queue:
                return
            first = self._queue[0]
            if isinstance(first, Failure):
                if not self._active:
                    self._queue.popleft()
                    try:
                        raise first.error
                    finally:
                        del first
                return
            if self._active and not self._room.fits([*self._weights(), first.weight]):
                return
            self._queue.popleft()
            if self._left.pop(first.address, None) is None:
                self._read_to = self._advance(self._read_to, first.address)
            self._active.insert(at, first)
            at += 1
            self._has_work.notify_all()
            self._has_room.notify_all()

    def _take(self) -> Extracted | Failure | None:
        """The next clip of the next active sample; None at its end, where it becomes inactive."""
        opened = self._active[self._next]
        if not opened.ready:
            self._awaited = opened
            self._wait_until(lambda: self._stopped or opened.ready or opened.done)
            self._awaited = None
        if self._stopped:
            return None
        was_full = len(opened.ready) >= self._budget.ready
        clip = opened.ready.popleft() if opened.ready else None
        if clip is None or (isinstance(clip, Failure) and clip.ends):
            del self._active[self._next]
            self._room.remove(opened.weight)
            opened.close()
            self._has_work.notify_all()
            self._has_room.notify_all()
        elif was_full:
            self._has_work.notify()
        if clip is None or isinstance(clip, Failure):
            return clip
        number, damaged, sample = clip.number, clip.damaged, clip.sample
        opened.note_given(number, damaged)
        return Extracted(ClipRef(opened.address, number, damaged), sample, opened.weight.beside)

    def _wait_until(self, condition: Callable[[], Any]) -> None:
        began = time.perf_counter()
        self._arrived.wait_for(condition)
        self.starved += time.perf_counter() - began

    def _weights(self) -> Iterator[Weight]:
        return (each.weight for each in self._active)

    def _is_full(self) -> bool:
        return self._room.is_full(self._weights())

    # The threads

    def _read(self) -> None:
        try:
            for address, sample in self._samples:
                weight = self._weigh(sample)
                # Of one that gives no clips, nothing is kept until its error is due.
                opened = self._open(address, sample if weight.error is None else {}, weight)
                del sample
                with self._lock:
                    self._queue.append(opened)
                    self._room.add(weight)
                    del opened, weight
                    self._arrived.notify_all()
                    self._has_work.notify_all()
                    self._has_room.wait_for(lambda: self._stopped or not self._queue or self._has_place())
                    if self._stopped:
                        return
        except BaseException as exn:
            with self._lock:
                self._queue.append(Failure(exn))
        finally:
            self._close_samples()
            with self._lock:
                self._read_all = True
                self._arrived.notify_all()
                self._has_work.notify_all()

    def _has_place(self) -> bool:
        return self._room.has_room and len(self._queue) < MOST_WAITING

    def _open(self, address: Address, sample: Sample, weight: Weight) -> OpenSample:
        left = self._left.get(address)
        if left is None:
            return OpenSample(address, weight, self._extract(sample, ALL, weight))
        return OpenSample(address, weight, choose(self._extract, sample, left, weight), left)

    def wait_for_room(self, size: int) -> None:
        """Wait until a sample can be read up to so many bytes; called by the iterator of the samples."""
        with self._lock:
            if self._room.is_large(size) and self._room.announce_large():
                self._arrived.notify_all()
            self._has_room.wait_for(
                lambda: self._stopped or self._room.admits(size, self._weights(), waiting=bool(self._queue))
            )

    def _close_samples(self) -> None:
        samples, self._samples = self._samples, iter(())
        if hasattr(samples, "close"):
            samples.close()

    def _work(self) -> None:
        with self._lock:
            opened = self._wait_for_work()
        while opened is not None:
            opened = self._go_on(opened, opened.extract())

    def _go_on(self, opened: OpenSample, clip: NumberedClip | Failure | None) -> OpenSample | None:
        """Take what a sample gave, None at its end. Returns the sample that is busy next; None where threads end."""
        with self._lock:
            # Once all threads are to end, it stays busy: `stop` leaves it to this one.
            opened.busy = self._stopped
            if clip is not None:
                opened.ready.append(clip)
            opened.done = clip is None or (isinstance(clip, Failure) and clip.ends)
            if opened is self._awaited:
                self._arrived.notify()
            if not self._stopped:
                del opened, clip
                return self._wait_for_work()
        opened.ready.clear()
        opened.close()
        return None

    def _wait_for_work(self) -> OpenSample | None:
        while not self._stopped:
            opened = self._next_work()
            if opened is not None:
                opened.busy = True
                return opened
            self._has_work.wait()
        return None

    def _next_work(self) -> OpenSample | None:
        """The sample whose next clip is wanted first."""
        at, ready = self._next % len(self._active) if self._active else 0, self._budget.ready
        for opened in chain(self._active[at:], self._active[:at], self._waiting()):
            if not opened.busy and not opened.done and len(opened.ready) < ready:
                return opened
        return None

    def _waiting(self) -> Iterator[OpenSample]:
        """The samples after those that are active whose first clips are extracted: as many as fit at the same time."""
        most = self._budget.sources - self._budget.active
        waiting = [each for each in islice(self._queue, most) if isinstance(each, OpenSample)]
        yield from waiting[: self._room.count_fitting(self._weights(), (each.weight for each in waiting))]

    def stop(self, seconds: float = 0) -> None:
        """End all threads, wait so long for it, and give up what was extracted."""
        with self._lock:
            self._stopped = True
            for condition in (self._arrived, self._has_work, self._has_room):
                condition.notify_all()
        until = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0))
        with self._lock:
            left = [*self._active, *(each for each in self._queue if isinstance(each, OpenSample))]
            self._active.clear()
            self._queue.clear()
        for opened in left:
            opened.ready.clear()
            if not opened.busy:
                opened.close()
        if self._threads[0].ident is None:
            self._close_samples()
