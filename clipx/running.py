"""One epoch of a Loader: from shards to batches, on threads."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
import traceback
import weakref
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from itertools import chain, islice
from typing import Any

import numpy as np

from clipx.batching import CURE, Batch, Like
from clipx.cutting import NOT_A_SAMPLES_FAULT, PlannedClip, Sample
from clipx.errors import PoolExhausted, PoolTooSmall
from clipx.interleave import STOP_SECONDS, encoded_bytes
from clipx.job import Job, Pools
from clipx.order import Order, Stopped
from clipx.origins import locate, origin_of
from clipx.pool import ClipPool
from clipx.progress import Step
from clipx.shards import Place

__all__ = ["Batches"]

LOOKED_AT = 3
"""Samples whose fields say what samples are like."""

logger = logging.getLogger("clipx")

WAKE_SECONDS = 0.02
"""How often a thread that waits for the consumer to let go of a batch looks whether it has."""


def _trim() -> None:
    """Give freed memory back to the system, where the C library is glibc.

    Each epoch's threads allocate pictures in arenas of their own, and glibc keeps what they free.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _chained(read: list[tuple[Place, Sample]], rest: Iterator[tuple[Place, Sample]]) -> Iterator[tuple[Place, Sample]]:
    """Samples that were read, and the rest, none of them kept."""
    while read:
        yield read.pop(0)
    yield from rest


class _Run:
    """The work of an epoch, done on its threads; it never refers to the iterator that hands its batches out."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.changed = threading.Condition()
        self.ready: deque[tuple[dict[str, Any], Step]] = deque()
        self.error: BaseException | None = None
        self.done = self.starved = False
        self._stopped = False
        self._count, self._like = job.progress.batches, job.progress.like
        self._order = Order(job)
        self._thread = threading.Thread(target=self._work, name="clipx-batches", daemon=True)

    def start(self) -> None:
        """Start the thread that starts all others; `stop` is then to be called."""
        self._thread.start()

    def _work(self) -> None:
        before = self.job.errors.counts
        try:
            self._fill_batches()
            if not self._stopped:
                self.job.finished(self._count)
        except Stopped:
            pass
        except BaseException as exn:  # it is raised where the batch is asked for
            traceback.clear_frames(exn.__traceback__)
            self.error = exn
        finally:
            self._order.stop()
            self.job.errors.log_new("Loader", before)
            _trim()
            with self.changed:
                self.done = True
                self.changed.notify_all()

    def _look(self, samples: Iterator[tuple[Place, Sample]]) -> tuple[Pools | None, list[tuple[Place, Sample]]]:
        """Pools for clips like those of the first samples, and the samples that were read for it.

        Without pools there is nothing to cut. What is wrong with samples shows later, in their turn.
        """
        job = self.job
        cut, noted = job.cut(None, noted=False), job.cut(None)
        read = list(islice(samples, LOOKED_AT))
        # A sample that a damaged shard has cut short is not what the others are to be like.
        votes = Counter(frozenset(sample) for _, sample in read)
        usual = max(votes, key=lambda fields: (votes[fields], len(fields)), default=frozenset())
        kept = sum(encoded_bytes(sample) for _, sample in read)
        first = sorted(read, key=lambda each: frozenset(each[1]) != usual)
        for number, (place, sample) in enumerate(chain(first, samples)):
            if self._stopped:
                raise Stopped
            if number >= LOOKED_AT:
                read.append((place, sample))
                kept += encoded_bytes(sample)
                while kept > job.kept_bytes and len(read) > 1:
                    kept -= encoded_bytes(read[0][1])
                    self._tell(noted, read.pop(0)[1])
            clip = None
            with suppress(Exception), closing(cut(sample)) as clips:
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
        error = ValueError(
            f"clips are not all of one size, as a batch needs them: {first}{exn.shape} in sample {origin.key!r}; {CURE}"
        )
        locate(error, **origin._asdict())
        return error

    def _tell(self, cut: Callable[[Sample], Generator[PlannedClip]], sample: Sample) -> None:
        try:
            with closing(cut(sample)) as clips:
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
            with self.changed:
                self.starved = True
                self.changed.notify_all()
                while not pool.stats().free:
                    if self._stopped:
                        raise Stopped
                    self.changed.wait(WAKE_SECONDS)
                self.starved = False

    def _hand_out(self, batch: Batch, step: Step) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self._stopped or not self.ready)
            if self._stopped:
                raise Stopped
            self.ready.append((batch.take(), step))
            self._count += 1
            self.changed.notify_all()

    def stop(self) -> None:
        """End all threads and give up what they made."""
        with self.changed:
            self._stopped = True
            self.changed.notify_all()
        self._order.stop()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(STOP_SECONDS)
        self.ready.clear()


class Batches(Iterator[dict[str, Any]]):
    """Iterator of the batches of an epoch; dropping it, or `close`, ends its threads."""

    def __init__(self, job: Job) -> None:
        self._run = _Run(job)
        self._timeout = job.timeout
        self.close = weakref.finalize(self, self._run.stop)
        try:
            self._run.start()
        except BaseException:
            self.close()
            raise

    def __next__(self) -> dict[str, Any]:
        batch = None
        if self.close.alive:
            self._run.job.progress.begun = True
        try:
            batch = self._wait()
        except BaseException as exn:
            # The consumer can go on once it has let go of batches; anything else ends the epoch.
            if not isinstance(exn, PoolExhausted) or self._run.done:
                self.close()
            raise
        if batch is None:
            # Not where the consumer has closed it before.
            if self.close.alive:
                self._run.job.progress.finished = True
            self.close()
            raise StopIteration
        return batch

    def _wait(self) -> dict[str, Any] | None:
        run, began = self._run, time.monotonic()
        with run.changed:
            while True:
                if run.ready:
                    batch, step = run.ready.popleft()
                    run.job.progress.advance(step)
                    run.changed.notify_all()
                    return batch
                if run.done:
                    error, run.error = run.error, None
                    if error is None:
                        return None
                    try:
                        raise error
                    finally:
                        # Else the error would keep this frame, and this frame the error.
                        del error
                if not self.close.alive:
                    return None
                if run.starved and self._timeout is not None and time.monotonic() - began >= self._timeout:
                    pool = run.job.pools.batches if run.job.pools else None
                    if pool is not None and not pool.stats().free:
                        raise PoolExhausted(
                            f"the consumer holds all {pool.slots} batches that the loader has memory for; let go of "
                            f"some, copy what is to be kept, or raise batches"
                        )
                run.changed.wait(WAKE_SECONDS if run.starved else None)
