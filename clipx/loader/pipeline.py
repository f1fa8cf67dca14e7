"""One epoch of a Loader: from shards to batches, on threads."""

from __future__ import annotations

import ctypes
import logging
import queue
import threading
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from clipx._threads import Task
from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.datasets.origins import locate, origin_of
from clipx.errors import NOT_A_SAMPLES_FAULT, PoolExhausted, PoolTooSmall
from clipx.loader.config import Job, Pools
from clipx.loader.interleave import STOP_SECONDS, Cut
from clipx.loader.needs import encoded_bytes
from clipx.loader.position import Step
from clipx.loader.sequence import Order, Stopped
from clipx.plan import ALL
from clipx.pool import ClipPool
from clipx.wds.batching import CURE, Batch, Like

__all__ = ["Batches", "Running"]

LOOKED_AT = 3
"""Samples whose fields say what samples are like."""

logger = logging.getLogger("clipx")

WAKE_SECONDS = 0.02
"""How often a thread that waits for the consumer to let go of a batch looks whether it has."""

LOOK_SECONDS = 1.0
"""How often the consumer looks whether there are threads at all: what told it may have been lost in an interrupt."""


def _trim() -> None:
    """Give freed memory back to the system, where the C library is glibc.

    Each epoch's threads allocate pictures in arenas of their own, and glibc keeps what they free.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _chained(
    read: list[tuple[Address, Sample]], rest: Iterator[tuple[Address, Sample]]
) -> Iterator[tuple[Address, Sample]]:
    """Samples that were read, and the rest, none of them kept."""
    while read:
        yield read.pop(0)
    yield from rest


class _Ready(NamedTuple):
    batch: dict[str, Any]
    number: int


class _Failed(NamedTuple):
    error: BaseException


class _Look:
    """Wakes the consumer."""


_LOOK = _Look()


class _Run:
    """The work of an epoch, done on its threads; it never refers to the iterator that hands its batches out.

    Attributes:
        task: the thread that ends all others once it is told to.
        ready: for the consumer: a batch, the next one only when that has been taken; the end as _LOOK or _Failed.
        asked: by the consumer, before and after it takes from `ready`.
        asking: whether the consumer waits.
        dropped: tells the task when the iterator is gone.
        starved: whether the consumer has to let go of batches first.
        done: whether all batches have been made that will be.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.task = Task()
        self.ready: queue.SimpleQueue[_Ready | _Failed | _Look] = queue.SimpleQueue()
        self.asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.asking = self.starved = self.done = False
        self.dropped: weakref.ref[Batches] | None = None
        self._stopped = False
        self._count, self._like = job.progress.batches, job.progress.like
        self._order = Order(job)
        self._thread = threading.Thread(target=self._work, name="clipx-batches", daemon=True)

    def start(self) -> None:
        """Start the thread that starts all others."""
        self.task.start(self._supervise, "clipx-loader")

    def _supervise(self) -> None:
        try:
            self._thread.start()
        except BaseException as exn:
            self.ready.put(_Failed(exn))
        self.task.told.get()
        self._stopped = True
        self.asked.put(None)
        self._order.stop(STOP_SECONDS)
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        before = self.job.errors.counts
        error: BaseException | None = None
        try:
            self._fill_batches()
            if not self._stopped:
                self.job.finished(self._count)
        except Stopped:
            pass
        except BaseException as exn:  # it is raised where the batch is asked for
            traceback.clear_frames(exn.__traceback__)
            error = exn
        self._order.stop()
        self.job.errors.log_new("Loader", before)
        _trim()
        self.done = True
        self.ready.put(_LOOK if error is None else _Failed(error))
        del error
        self.task.told.put(None)

    def _look(self, samples: Iterator[tuple[Address, Sample]]) -> tuple[Pools | None, list[tuple[Address, Sample]]]:
        """Pools for clips like those of the first samples, and the samples that were read for it.

        Without pools there is nothing to cut. What is wrong with samples shows later, in their turn.
        """
        job = self.job
        cut, noted = job.cut(None, noted=False), job.cut(None)
        read, kept = [], 0
        for each in islice(samples, LOOKED_AT):
            read.append(each)
            kept += encoded_bytes(each[1])
            if kept > job.kept_bytes:
                break
        few = len(read)
        # A sample that a damaged shard has cut short is not what the others are to be like.
        votes = Counter(frozenset(sample) for _, sample in read)
        usual = max(votes, key=lambda fields: (votes[fields], len(fields)), default=frozenset())
        first = sorted(read, key=lambda each: frozenset(each[1]) != usual)
        for number, (place, sample) in enumerate(_chained(first, samples)):
            if self._stopped:
                raise Stopped
            if number >= few:
                read.append((place, sample))
                kept += encoded_bytes(sample)
                while kept > job.kept_bytes and len(read) > 1:
                    kept -= encoded_bytes(read[0][1])
                    self._tell(noted, read.pop(0)[1])
            clip = None
            with suppress(Exception), closing(cut(sample, ALL, job.weigh(sample))) as clips:
                clip = next(clips, None)
            if clip is not None:
                return job.make_pools(job.look(sample, clip.sample)), read
        return None, read

    def _fill_batches(self) -> None:
        job, progress = self.job, self.job.progress
        if progress.finished or self._order.full:
            return
        position = progress.position
        samples = iter(()) if position.ended else job.shards.samples(job.share, position.read)
        if job.pools is None and progress.looked is not None:
            job.pools = job.make_pools(progress.looked)
        elif job.pools is None:
            job.pools, read = self._look(samples)
            if job.pools is None:
                for _, sample in read:
                    self._tell(job.cut(None), sample)
                logger.warning("Loader: no sample of %d shards gives a clip", len(job.share.shards))
                if progress.target is not None:
                    raise self._order.nothing()
                return
            samples = _chained(read, samples)
            del read
        job.keep(job.pools)
        limits = job.shards.limits
        limits.sample_bytes = min(limits.sample_bytes, job.pools.budget.sample_bytes)
        try:
            self._make_batches(self._order.clips(samples, job.pools), job.pools)
        except PoolTooSmall as exn:
            raise self._other_size(exn, job.pools) from exn
        except PoolExhausted as exn:
            raise PoolExhausted(
                f"all {job.pools.clips.slots} slots for clips are held, more than cutting and shuffling take: `map` "
                f"or a handler keeps clips; copy what is to be kept"
            ) from exn

    def _other_size(self, exn: PoolTooSmall, pools: Pools) -> ValueError:
        """The error of a clip that is larger than those that the pools were made for."""
        like, origin = pools.looked.like, origin_of(exn)
        kind = like.fields.get(origin.field) or next((like.fields[name] for name in like.clips), None)
        first = "" if kind is None else f"their shape is {kind[0]} in sample {like.key!r}, but "
        other = "" if origin.field in pools.looked.fields else f", whose field is {origin.field!r}"
        error = ValueError(
            f"clips are not all of one size, as a batch needs them: {first}{exn.shape} in sample {origin.key!r}"
            f"{other}; {CURE}"
        )
        locate(error, **origin._asdict())
        return error

    def _tell(self, cut: Cut, sample: Sample) -> None:
        try:
            with closing(cut(sample, ALL, self.job.weigh(sample))) as clips:
                next(clips, None)
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            if not self.job.handler(exn):
                raise Stopped from None

    def _make_batches(self, clips: Iterator[Sample], pools: Pools) -> None:
        job = self.job

        batch: Batch | None = None
        like = self._like or (None if job.map is not None else pools.looked.like)

        def make(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
            assert like is not None
            # There are as many slots as fields that are cut, whatever `map` has made of these.
            leases = name in like.clips[: len(pools.looked.fields)] and not dtype.hasobject
            fits = int(np.prod(shape)) * dtype.itemsize <= pools.batches.slot_bytes
            return self._acquire(pools.batches, shape, dtype) if leases and fits else np.empty(shape, dtype)

        for clip in clips:
            like = like or Like.of(clip, pools.looked.fields)
            batch = batch or Batch(job.batch_size, like, make)
            try:
                batch.add(clip)
            except ValueError as exn:
                locate(exn, clip)
                del clip
                traceback.clear_frames(exn.__traceback__)
                if not job.handler(exn):
                    break
                continue
            del clip
            self._order.given += 1
            if batch.count == job.batch_size or self._order.full:
                self._hand_out(batch, self._order.step(pools, like))
                batch = None
                if self._order.full:
                    return
        if batch is not None and batch.count and not job.drop_last:
            self._hand_out(batch, self._order.step(pools, batch.like))

    def _acquire(self, pool: ClipPool, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Memory for a batch; waits until the consumer gives some back."""
        while True:
            try:
                return pool.acquire(shape, dtype)
            except PoolExhausted:
                pass
            self.starved = True
            if self.asking:
                self.ready.put(_LOOK)
            while not pool.stats().free:
                if self._stopped:
                    raise Stopped
                with suppress(queue.Empty):
                    self.asked.get(timeout=WAKE_SECONDS)
            self.starved = False

    def _hand_out(self, batch: Batch, step: Step) -> None:
        progress = self.job.progress
        with suppress(queue.Empty):
            while True:
                self.asked.get_nowait()
        while not self._stopped and not self.ready.empty():
            self.asked.get()
        if self._stopped:
            raise Stopped
        self._count += 1
        progress.add(step)
        self.ready.put(_Ready(batch.take(), self._count))

    def close(self) -> None:
        """End all threads, and give up what they made."""
        self.task.stop()
        with suppress(queue.Empty):
            while True:
                self.ready.get_nowait()
        # For a thread that waits for a batch.
        self.ready.put(_LOOK)


class Batches(Iterator[dict[str, Any]]):
    """Iterator of the batches of an epoch; dropping it, or `close`, ends its threads.

    The thread that iterates may be interrupted at any line: it takes no lock, and tells each thing in one call of C.
    """

    def __init__(self, job: Job) -> None:
        self._run = _Run(job)
        self._timeout = job.timeout
        self.closed = False
        # No Python runs where this is dropped.
        self._run.dropped = weakref.ref(self, self._run.task.told.put)

    def start(self) -> None:
        """Start the threads. Interrupted, this ends them: a traceback may hold the iterator for long."""
        try:
            self._run.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all threads, and give up what they made."""
        self.closed = True
        self._run.close()

    def __next__(self) -> dict[str, Any]:
        if self.closed:
            raise StopIteration
        progress = self._run.job.progress
        progress.begun = True
        try:
            ready = self._wait()
            if ready is not None:
                # Nothing comes between this and the end: else a state would be behind a batch that nobody got.
                progress.batches = ready.number
                return ready.batch
            # Not where the consumer has closed it.
            if not self.closed:
                progress.finished = True
        except BaseException as exn:
            # The consumer can go on once it has let go of batches; anything else ends the epoch.
            if not isinstance(exn, PoolExhausted) or self._run.done:
                self.close()
            raise
        self.close()
        raise StopIteration

    def _wait(self) -> _Ready | None:
        """The next batch; None at the end."""
        run, began = self._run, time.monotonic()
        try:
            while True:
                run.asking = True
                run.asked.put(None)
                item: _Ready | _Failed | _Look = _LOOK
                with suppress(queue.Empty):
                    item = run.ready.get(timeout=WAKE_SECONDS if run.starved else LOOK_SECONDS)
                run.asked.put(None)
                if isinstance(item, _Ready):
                    return item
                if isinstance(item, _Failed):
                    self._raise(item)
                if self.closed or ((run.done or run.task.ended) and run.ready.empty()):
                    return None
                self._check_patience(began)
        finally:
            run.asking = False

    def _raise(self, failed: _Failed) -> None:
        try:
            raise failed.error
        finally:
            # Else the error would keep this frame, and this frame the error.
            del failed

    def _check_patience(self, began: float) -> None:
        """Raise PoolExhausted where the consumer has waited long enough for batches that it holds itself."""
        run = self._run
        pool = run.job.pools.batches if run.job.pools else None
        if pool is None or self._timeout is None or time.monotonic() - began < self._timeout:
            return
        # In this order: the thread that has taken the last one is not starved, or its batch is ready by then.
        if not pool.stats().free and run.starved and run.ready.empty():
            raise PoolExhausted(
                f"the consumer holds all {pool.slots} batches that the loader has memory for; let go of some, copy "
                f"what is to be kept, or raise batches"
            )


class Running:
    """What a Loader keeps of an iteration that it does not hold."""

    def __init__(self, batches: Batches) -> None:
        self._task = batches._run.task
        self._batches = weakref.ref(batches)

    @property
    def alive(self) -> bool:
        """Whether the iteration can go on."""
        batches = self._batches()
        return batches is not None and not batches.closed

    def close(self) -> None:
        """End the iteration: its threads are gone when this returns."""
        batches = self._batches()
        if batches is not None:
            batches.close()
        else:
            self._task.stop()
