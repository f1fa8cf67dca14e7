"""Clips of many samples, cut by threads, in an order that does not depend on them."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.datasets.streamed_tars import ReadLimits
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.plan import ALL, Selection
from clipx.wds.sample_clips import ClipSample

__all__ = ["BEGINNING", "STOP_SECONDS", "Begun", "Cut", "Extracted", "Interleave", "Position", "Ref", "Weight"]

STOP_SECONDS = 10.0
"""How long the end of a thread is waited for: one that reads from a dead connection ends with the process."""


class Ref(NamedTuple):
    """A clip by its sample's place and its index in the sample's plan; whether damage had been found there by then."""

    place: Address
    clip: int
    damaged: bool = False


class Extracted(NamedTuple):
    """A clip's sample, which clip it is, and the bytes that it has beside its slots."""

    ref: Ref
    sample: Sample
    beside: int


class Position(NamedTuple):
    """How far the clips of samples have come.

    Attributes:
        active: the samples that give clips in turn, the index that follows the last clip of each, and whether damage
            had been found in it by then.
        turn: which of them is next.
        read: the sample that was the last to take its turn; None before the first.
        ended: whether the handler has ended them all.
    """

    active: Sequence[tuple[Address, int, bool]] = ()
    turn: int = 0
    read: Address | None = None
    ended: bool = False


BEGINNING = Position()


class Weight(NamedTuple):
    """What a sample takes, as its headers say it.

    Attributes:
        size: bytes as it is read, and decoded and unpacked.
        decoder: bytes of its decoders.
        beside: bytes that each of its clips has beside its slots.
        pixels: of its pictures at most; None for any.
        error: why it is not cut; None where it is.
    """

    size: int = 0
    decoder: int = 0
    beside: int = 0
    pixels: int | None = None
    error: Exception | None = None


Cut = Callable[[Sample, Selection, Weight], Generator[ClipSample]]
"""Gives the selected clips of a sample that takes so much, or raises why it is not cut."""


class Begun(NamedTuple):
    """A sample that is being cut: what it takes, the index that follows its last clip, whether damage had
    been found by then, and the clips that follow.
    """

    place: Address
    weight: Weight
    given: int
    damaged: bool
    clips: Generator[ClipSample]


class _Failure(NamedTuple):
    error: BaseException


class _Source:
    """A sample that has been read, and the clips that were cut from it ahead of their turn."""

    def __init__(self, begun: Begun) -> None:
        self.place, self.weight, self.given, self.damaged = begun.place, begun.weight, begun.given, begun.damaged
        self.ready: deque[ClipSample | _Failure] = deque()
        self.busy = self.done = False
        self._clips: Generator[ClipSample] | None = begun.clips

    def step(self) -> ClipSample | _Failure | None:
        """The next clip; None at the end."""
        assert self._clips is not None
        try:
            return next(self._clips, None)
        except BaseException as exn:  # it is raised where the clip is asked for
            return _Failure(exn)

    def close(self) -> None:
        clips, self._clips = self._clips, None
        if clips is not None:
            clips.close()


class Interleave:
    """The clips of samples: `active` samples give one clip each in turn, and the next sample takes the place of one
    that has none left. What comes when depends on the samples alone, not on the number of threads or on their speed.

    Args:
        samples: with their places; read on a thread, up to `encoded_bytes` that are not yet cut (or one sample).
        weigh: says what a sample takes.
        cut: gives clips of a sample; run by one thread at a time.
        active: samples that take turns; fewer where they would be more than half of `encoded_bytes` together, or their
            decoders more than `decoders_bytes`.
        waiting: samples after these of which the first clips are cut ahead.
        ready: clips of a sample that are cut ahead of its turn.
        threads: that cut.
        handler: called with the error of a sample in its turn; as webdataset's are.
        limits: where the reader of the samples asks for room.
        position: where to go on; `begun` are then the samples that are active there, and `samples` those after them.

    After `start`, `clips` is to be run once, by one thread. `stop` ends all threads, at any time, from any but these.
    None of this is for a thread that may be interrupted.
    """

    def __init__(
        self,
        samples: Iterator[tuple[Address, Sample]],
        weigh: Callable[[Sample], Weight],
        cut: Cut,
        *,
        active: int,
        waiting: int,
        ready: int,
        encoded_bytes: int,
        decoders_bytes: int,
        threads: int,
        handler: Callable[[Exception], bool],
        limits: ReadLimits,
        position: Position = BEGINNING,
        begun: Iterable[Begun] = (),
    ) -> None:
        self._samples, self._weigh, self._cut, self._handler = samples, weigh, cut, handler
        self._most, self._waiting, self._ready, self._encoded_bytes = active, waiting, ready, encoded_bytes
        self._decoders_bytes, self._is_large = decoders_bytes, False
        limits.wait = self._wait_for_room
        self._changed = threading.Condition()
        self._active = [_Source(each) for each in begun]
        self._turn, self._last_read, self._ended = position.turn, position.read, position.ended
        self._queue: deque[_Source | _Failure] = deque()
        self._held_bytes = sum(source.weight.size for source in self._active)
        self._largest = max((source.weight.size for source in self._active), default=0)
        self._read_all = self._stopped = False
        count = min(threads, active + waiting)
        names = ["clipx-read", *(f"clipx-cut-{i}" for i in range(count))]
        works = [self._read, *[self._work] * count]
        self._threads = [threading.Thread(target=work, name=name, daemon=True) for work, name in zip(works, names)]

    def start(self) -> None:
        """Start the threads; `stop` is then to be called."""
        with self._changed:
            for thread in self._threads:
                if not self._stopped:
                    thread.start()

    def _read(self) -> None:
        try:
            for place, sample in self._samples:
                weight = self._weigh(sample)
                # Of one that is not cut, nothing is kept until its turn.
                clips = self._cut(sample if weight.error is None else {}, ALL, weight)
                source = _Source(Begun(place, weight, 0, False, clips))
                del sample, clips
                with self._changed:
                    self._queue.append(source)
                    self._held_bytes += weight.size
                    self._largest = max(self._largest, weight.size)
                    self._is_large = False
                    del source, weight
                    self._changed.notify_all()
                    self._changed.wait_for(
                        lambda: (
                            self._stopped or not self._queue or self._held_bytes + self._largest <= self._encoded_bytes
                        )
                    )
                    if self._stopped:
                        return
        except BaseException as exn:
            with self._changed:
                self._queue.append(_Failure(exn))
        finally:
            self._close_samples()
            with self._changed:
                self._read_all = True
                self._changed.notify_all()

    def _wait_for_room(self, size: int) -> None:
        """Wait until a sample of so many bytes can be read further: its reader knows its size only as it goes on.

        One that is more than half of all is read when nothing else is held, for none is cut beside it.
        """
        large = 2 * size > self._encoded_bytes

        def has_room() -> bool:
            if self._stopped or not (self._active or self._queue):
                return True
            if large:
                return False
            beyond = max(self._active_decoders() - self._decoders_bytes, 0)
            return self._held_bytes + beyond + size <= self._encoded_bytes or not (self._queue or self._is_full())

        with self._changed:
            if large and not self._is_large:
                self._is_large = True
                self._changed.notify_all()
            self._changed.wait_for(has_room)

    def _active_decoders(self) -> int:
        return sum(source.weight.decoder for source in self._active)

    def _is_full(self) -> bool:
        """Whether no sample, however small, can be cut beside those that are active."""
        held = sum(source.weight.size for source in self._active)
        return bool(self._active) and (
            2 * held > self._encoded_bytes or self._active_decoders() > self._decoders_bytes or self._is_large
        )

    def _fits(self, source: _Source) -> bool:
        """Whether a sample can be cut beside those that are active, if there are any."""
        if not self._active:
            return True
        # The other half is for the sample that comes after them: its size shows only when it has been read.
        held = sum(each.weight.size for each in self._active) + source.weight.size
        decoders = self._active_decoders() + source.weight.decoder
        return 2 * held <= self._encoded_bytes and decoders <= self._decoders_bytes

    def _close_samples(self) -> None:
        samples, self._samples = self._samples, iter(())
        if hasattr(samples, "close"):
            samples.close()

    def _is_stopped(self) -> bool:
        return self._stopped

    def _next_work(self) -> _Source | None:
        """The source whose next clip is wanted first."""
        turn = self._turn % len(self._active) if self._active else 0
        for source in [*self._active[turn:], *self._active[:turn], *self._deck()]:
            if not source.busy and not source.done and len(source.ready) < self._ready:
                return source
        return None

    def _deck(self) -> Iterator[_Source]:
        """The samples after those that are active that may be cut ahead: as many as there is room for at once."""
        held, decoders = sum(source.weight.size for source in self._active), self._active_decoders()
        for source in islice(self._queue, self._waiting):
            if isinstance(source, _Failure):
                return
            held, decoders = held + source.weight.size, decoders + source.weight.decoder
            if 2 * held > self._encoded_bytes or decoders > self._decoders_bytes:
                return
            yield source

    def _work(self) -> None:
        while True:
            with self._changed:
                source = None
                while not self._stopped and (source := self._next_work()) is None:
                    self._changed.wait()
                if self._stopped or source is None:
                    return
                source.busy = True
            clip = source.step()
            with self._changed:
                source.busy = False
                if clip is not None:
                    source.ready.append(clip)
                source.done = clip is None or isinstance(clip, _Failure)
                self._changed.notify_all()
                stopped = self._is_stopped()
            if stopped:
                # It was busy, so that `stop` left it.
                source.ready.clear()
                source.close()
            del source, clip

    def _fill(self) -> None:
        """Let samples take the places of those that have no clips left."""
        at = self._turn
        while len(self._active) < self._most:
            self._changed.wait_for(lambda: self._stopped or self._queue or self._read_all or self._is_full())
            if self._stopped or not self._queue:
                return
            first = self._queue[0]
            if isinstance(first, _Failure):
                if not self._active:
                    self._queue.popleft()
                    try:
                        raise first.error
                    finally:
                        del first
                return
            if not self._fits(first):
                return
            self._queue.popleft()
            self._last_read = first.place
            self._active.insert(at, first)
            at += 1
            self._changed.notify_all()

    def _take(self) -> Extracted | _Failure | None:
        """What the source whose turn it is gives, None where that has no clips left; it then leaves."""
        source = self._active[self._turn]
        self._changed.wait_for(lambda: self._stopped or source.ready or source.done)
        if self._stopped:
            return None
        clip = source.ready.popleft() if source.ready else None
        if clip is None or isinstance(clip, _Failure):
            del self._active[self._turn]
            self._held_bytes -= source.weight.size
            source.close()
        self._changed.notify_all()
        if clip is None or isinstance(clip, _Failure):
            return clip
        source.given, source.damaged = clip.number + 1, clip.damaged
        return Extracted(Ref(source.place, clip.number, clip.damaged), clip.sample, source.weight.beside)

    @property
    def position(self) -> Position:
        """Behind the clip that `clips` gave last; asked for by the thread that runs it."""
        with self._changed:
            if self._ended:
                return Position(read=self._last_read, ended=True)
            active = [(source.place, source.given, source.damaged) for source in self._active]
            return Position(active, self._turn, self._last_read)

    def clips(self) -> Iterator[Extracted]:
        """Every clip of every sample. Raises what is no sample's fault, and what the handler does not take."""
        while not self._ended:
            with self._changed:
                if self._turn >= len(self._active):
                    self._turn = 0
                self._fill()
                if self._stopped or not self._active:
                    return
                if self._turn >= len(self._active):
                    continue
                clip = self._take()
            if isinstance(clip, _Failure):
                if not self._goes_on(clip.error):
                    self._ended = True
                    return
            elif clip is not None:
                self._turn += 1
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

    def stop(self, seconds: float = 0) -> None:
        """End all threads, wait so long for it, and give up what was cut."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        until = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0))
        left = [*self._active, *(source for source in self._queue if isinstance(source, _Source))]
        self._active.clear()
        self._queue.clear()
        for source in left:
            source.ready.clear()
            if not source.busy:
                source.close()
        if self._threads[0].ident is None:
            self._close_samples()
