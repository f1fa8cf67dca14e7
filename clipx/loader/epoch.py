"""One epoch of a Loader: the threads that make its batches, and the iterator that hands them out."""

from __future__ import annotations

import ctypes
import logging
import time
import traceback
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from clipx._threads import Task, TaskThread
from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.datasets.ledger import Ledger
from clipx.datasets.origins import locate, origin_of
from clipx.datasets.remote import RangeCache
from clipx.errors import PoolExhausted, PoolTooSmall
from clipx.loader.config import LoaderConfig
from clipx.loader.counters import Counters
from clipx.loader.handover import EpochStopped, Handover, Ready
from clipx.loader.interleave import STOP_SECONDS
from clipx.loader.interleave_state import BEGINNING
from clipx.loader.probe import Pools, Probe
from clipx.loader.progress import EpochState, Probed, Progress
from clipx.loader.progress_line import ProgressLine
from clipx.loader.stats import LoaderStats, stats_of
from clipx.loader.steps import EpochSetup, Steps
from clipx.wds.layout import ADVICE, Ragged

__all__ = ["BatchIterator", "Kept", "Running"]

logger = logging.getLogger("clipx")


@dataclass
class Kept:
    """Memory and knowledge that one epoch leaves to the next.

    Attributes:
        probed: what clips are like; None before the first.
        pools: memory for clips and batches.
        length: number of batches of the last epoch that came to its end.
        counters: of the last epoch that was begun.
    """

    probed: Probed | None = None
    pools: Pools | None = None
    length: int | None = None
    counters: Counters = field(default_factory=Counters)

    def begin(self, epoch: int, cache: RangeCache | None) -> Counters:
        """The counters of an epoch that begins, with the cache of its remote files."""
        self.counters = Counters(epoch, cache=cache)
        return self.counters

    def stats(self, config: LoaderConfig, ledger: Ledger) -> LoaderStats:
        """The stats of that epoch, now."""
        return stats_of(self.counters, config, self.pools, ledger.counts)


def _trim() -> None:
    """Give freed memory back to the system, where the C library is glibc.

    Each epoch's threads allocate pictures in arenas of their own, and glibc keeps what they free.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


_MADE = object()
"""Asks the supervisor for its end, as all batches have been made."""


class _Epoch:
    """The work of an epoch, done on its threads; it never refers to the iterator that hands its batches out.

    Attributes:
        task: the thread that ends all others when it is asked to.
        handover: where batches go.
        progress: where the epoch begins; the consumer moves it on.
        counters: of the epoch.
    """

    def __init__(
        self, setup: EpochSetup, progress: Progress, kept: Kept, timeout: float | None, line: ProgressLine | None
    ) -> None:
        self.task, self._line = Task(), line
        self.handover = Handover(self.task, timeout)
        self.progress, self.counters = progress, setup.counters
        self._setup, self._kept = setup, kept
        self._state = progress.state()
        self._steps: Steps | None = None
        self._dropped: weakref.ref[BatchIterator] | None = None

    def end_with(self, iterator: BatchIterator) -> None:
        """End all threads when the iterator is gone."""
        # No Python runs where it is dropped. The reference must outlive it.
        self._dropped = weakref.ref(iterator, self.task.stopping.put)

    def start(self) -> None:
        """Start the thread that starts all others."""
        self.counters.begin()
        self.task.start(self._supervise, "clipx-loader")

    def close(self) -> None:
        """End all threads, and give up what they made."""
        self.handover.closed = True
        self.counters.end()
        self.task.stop()
        self.handover.clear()

    def _supervise(self) -> None:
        thread, line = TaskThread(self._work, "clipx-batches"), self._line
        drawing = None if line is None else TaskThread(line.run, "clipx-progress")
        try:
            thread.start()
            if drawing is not None:
                drawing.start()
        except BaseException as exn:
            self.handover.end(exn)
        reason = self.task.stopping.get()
        self.handover.stop()
        steps = self._steps
        if steps is not None:
            steps.stop(STOP_SECONDS)
        if thread.ident is not None:
            thread.join(STOP_SECONDS)
        if line is not None and drawing is not None and drawing.ident is not None:
            if reason is _MADE:
                self.task.stopping.get()  # the consumer has not taken all of them yet
            line.stop()
            drawing.join(STOP_SECONDS)

    def _work(self) -> None:
        ledger = self._setup.ledger
        before, error = ledger.counts, None
        try:
            self._make_batches()
        except EpochStopped:
            pass
        except BaseException as exn:  # it is raised where the batch is asked for
            traceback.clear_frames(exn.__traceback__)
            error = exn
        if self._steps is not None:
            self._steps.close()
        self._setup.counters.steps = None
        ledger.log_new("Loader", before)
        _trim()
        self.handover.end(error)
        del error
        self.task.stopping.put(_MADE)

    def _make_batches(self) -> None:
        state = self._state
        length = state.batch.count
        if not (state.finished or self._is_complete(state)):
            length = self._hand_out(self._setup.samples(state.interleave), length)
        if not self.handover.stopped:
            self._kept.length = length

    def _is_complete(self, state: EpochState) -> bool:
        """Whether a state has as many clips as its epoch is to have."""
        return state.target is not None and state.batch.count * self._setup.config.batch_size >= state.target

    def _probe(self, samples: Iterator[tuple[Address, Sample]]) -> tuple[Probe, Probed | None]:
        extractor = self._setup.extractor(self._state.epoch)
        silent = replace(extractor, ledger=None)
        probe = Probe(extractor, silent, self._setup.workers, self._setup.handler, self.handover.check)
        return probe, probe.run(samples)

    def _hand_out(self, samples: Iterator[tuple[Address, Sample]], count: int) -> int:
        """Hand out the batches of samples, which follow `count` others; returns the number of all."""
        config, state, handover = self._setup.config, self._state, self.handover
        if state.probed is not None:
            pools = self._kept.pools or Pools.of(state.probed, config)
        else:
            probe, probed = self._probe(samples)
            if probed is None and self._setup.reading.is_part and state.target is not None:
                # Others have handed out all that was this process's.
                state, samples = replace(state, passes=state.passes + 1, interleave=BEGINNING), self._setup.repeated()
                probe, probed = self._probe(samples)
            if probed is None:
                parts = len(self._setup.reading.whole.shards)
                if not self._setup.reading.is_part:
                    logger.warning("Loader: no sample of %d %ss gives a clip", parts, config.dataset.noun)
                if state.target is not None:
                    raise self._setup.no_clips()
                return count
            pools, samples = Pools.of(probed, config), probe.samples(samples)
        self._kept.pools, self._kept.probed = pools, pools.probed
        handover.pool = pools.batches
        limits = self._setup.reader.limits
        limits.sample_bytes = min(limits.sample_bytes, pools.budget.sample_bytes)
        counters = self._setup.counters
        self._steps = counters.steps = steps = Steps(self._setup, state, pools, handover)
        began, clips = time.perf_counter(), steps.given
        try:
            for batch in steps.batches(samples):
                handover.wait_until_taken()
                change = steps.change()
                self.progress.add(change)
                count = change.batch.count
                counters.batching = time.perf_counter() - began - steps.waited
                handover.put(Ready(batch, count, steps.given - clips))
                clips = steps.given
                del batch
            return count
        except PoolTooSmall as exn:
            raise _other_size(exn, pools.probed, config.ragged) from exn
        except PoolExhausted as exn:
            raise PoolExhausted(
                f"all {pools.clips.slots} slots for clips are held, more than extracting and shuffling take: `map` or "
                f"a handler keeps clips; copy what is to be kept"
            ) from exn


def _other_size(exn: PoolTooSmall, probed: Probed, ragged: Ragged) -> ValueError:
    """The error of a clip that is larger than those that the pools were made for."""
    layout, origin = probed.layout, origin_of(exn)
    kind = layout.fields.get(origin.field or "") or next((layout.fields[name] for name in layout.clips), None)
    first = "" if kind is None else f"their shape is {kind[0]} in sample {layout.key!r}, but "
    other = "" if origin.field in probed.fields else f", whose field is {origin.field!r}"
    rule = "clips are not all of one size, as a batch needs them"
    if ragged != "error":
        rule = "slots are made for pictures of one size, that of the first clip, and a clip is larger"
    error = ValueError(f"{rule}: {first}{exn.shape} in sample {origin.key!r}{other}; {ADVICE}")
    locate(error, **origin._asdict())
    return error


class BatchIterator(Iterator[dict[str, Any]]):
    """Iterator of the batches of an epoch; dropping it, or `close`, ends its threads.

    The thread that iterates may be interrupted at any line: it takes no lock, and sends each message in one call of C.
    """

    def __init__(
        self,
        setup: EpochSetup,
        progress: Progress,
        kept: Kept,
        timeout: float | None,
        line: ProgressLine | None = None,
    ) -> None:
        self._epoch = _Epoch(setup, progress, kept, timeout, line)
        self._epoch.end_with(self)
        self.running = Running(self, self._epoch.task)

    def __repr__(self) -> str:
        return f"<Loader's batches: {self._epoch.progress.batches} given{', closed' * self.closed}>"

    def start(self) -> None:
        """Start the threads. Interrupted, this ends them: a traceback may hold the iterator for long."""
        try:
            self._epoch.start()
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether the rest has been given up, or there is none."""
        return self._epoch.handover.closed

    def close(self) -> None:
        """End all threads, and give up what they made."""
        self._epoch.close()

    def __next__(self) -> dict[str, Any]:
        handover, progress, counters = self._epoch.handover, self._epoch.progress, self._epoch.counters
        if handover.closed:
            raise StopIteration
        progress.begun = True
        try:
            counters.ask()
            try:
                ready = handover.take()
            finally:
                counters.answer()
            if ready is not None:
                counters.hand_out(ready.clips)
                # Nothing comes between this and the end: else a state would be behind a batch that nobody got.
                progress.batches = ready.number
                return ready.batch
            # Not where the consumer has closed it.
            if not handover.closed:
                progress.finished = True
        except BaseException as exn:
            # The consumer can go on once it has let go of batches; anything else ends the epoch.
            if not isinstance(exn, PoolExhausted) or handover.done:
                self.close()
            raise
        self.close()
        raise StopIteration


class Running:
    """A Loader's handle of an iterator that it does not keep alive."""

    def __init__(self, iterator: BatchIterator, task: Task) -> None:
        self._task, self._iterator = task, weakref.ref(iterator)

    @property
    def alive(self) -> bool:
        """Whether the iteration can go on."""
        iterator = self._iterator()
        return iterator is not None and not iterator.closed

    def close(self) -> None:
        """End the iteration: its threads are gone when this returns."""
        iterator = self._iterator()
        if iterator is not None:
            iterator.close()
        else:
            self._task.stop()
