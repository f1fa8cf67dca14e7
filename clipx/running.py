"""One epoch of a Loader: from shards to batches, on threads."""

from __future__ import annotations

import ctypes
import logging
import sys
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

from clipx.batching import Batch, Like
from clipx.cutting import NOT_A_SAMPLES_FAULT, Sample
from clipx.epochs import stream_random
from clipx.errors import PoolExhausted, PoolTooSmall
from clipx.interleave import BEGINNING, STOP_SECONDS, ClipSample, Interleave, Position, Ref, encoded_bytes
from clipx.job import Job, Pools
from clipx.pool import ClipPool
from clipx.progress import Step
from clipx.rebuilding import rebuild
from clipx.shards import Place
from clipx.shuffling import Draw

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


class _Stopped(Exception):
    """The epoch is given up."""


class _Run:
    """The work of an epoch, done on its threads; it never refers to the iterator that hands its batches out."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.changed = threading.Condition()
        self.ready: deque[tuple[dict[str, Any], Step]] = deque()
        self.error: BaseException | None = None
        self.done = self.starved = False
        self._stopped = False
        # As the consumer has it when this begins; it moves on with each batch that is handed out.
        self._count, self._like, self._passes = job.progress.batches, job.progress.like, job.progress.passes
        self._given = min(
            self._count * job.batch_size, sys.maxsize if job.progress.target is None else job.progress.target
        )
        self._moves: list[Ref | int] = []
        self._clips: Interleave | None = None
        self._thread = threading.Thread(target=self._work, name="clipx-batches", daemon=True)

    def start(self) -> None:
        """Start the thread that starts all others; `stop` is then to be called."""
        self._thread.start()

    def _work(self) -> None:
        try:
            self._fill_batches()
            if not self._stopped:
                self.job.finished(self._count)
        except _Stopped:
            pass
        except BaseException as exn:  # it is raised where the batch is asked for
            traceback.clear_frames(exn.__traceback__)
            self.error = exn
        finally:
            if self._clips is not None:
                self._clips.stop()
            _trim()
            with self.changed:
                self.done = True
                self.changed.notify_all()

    def _look(self, samples: Iterator[tuple[Place, Sample]]) -> tuple[Pools | None, list[tuple[Place, Sample]]]:
        """Pools for clips like those of the first samples, and the samples that were read for it.

        Without pools there is nothing to cut. What is wrong with samples shows later, in their turn.
        """
        job = self.job
        cut = job.cut(None, None)
        read = list(islice(samples, LOOKED_AT))
        # A sample that a damaged shard has cut short is not what the others are to be like.
        votes = Counter(frozenset(sample) for _, sample in read)
        usual = max(votes, key=lambda fields: (votes[fields], len(fields)), default=frozenset())
        kept = sum(encoded_bytes(sample) for _, sample in read)
        for number, (place, sample) in enumerate(chain(read[:], samples)):
            if self._stopped:
                raise _Stopped
            if number >= LOOKED_AT:
                read.append((place, sample))
                kept += encoded_bytes(sample)
                while kept > job.kept_bytes and len(read) > 1:
                    kept -= encoded_bytes(read[0][1])
                    self._tell(cut, read.pop(0)[1])
            clip = None
            if frozenset(sample) == usual:
                with suppress(Exception), closing(cut(sample)) as clips:
                    clip = next(clips, None)
            if clip is not None:
                return job.make_pools(job.look(sample, clip)), read
        return None, read

    def _fill_batches(self) -> None:
        job, progress = self.job, self.job.progress
        if progress.finished or self._given == progress.target:
            return
        samples = job.shards.samples(job.share, progress.position.read)
        if job.pools is None and progress.looked is not None:
            job.pools = job.make_pools(progress.looked)
        elif job.pools is None:
            job.pools, read = self._look(samples)
            if job.pools is None:
                for _, sample in read:
                    self._tell(job.cut(None, None), sample)
                logger.warning("Loader: no sample of %d shards gives a clip", len(job.share.shards))
                if progress.target is not None:
                    raise self._nothing()
                return
            samples = _chained(read, samples)
            del read
        job.keep(job.pools)
        try:
            self._make_batches(self._epoch(samples, job.pools), job.pools)
        except PoolTooSmall as exn:
            raise ValueError(
                f"clips are not all of one size, as a batch needs them: {exn}; give the format a crop, or resize to "
                f"(height, width)"
            ) from exn
        except PoolExhausted as exn:
            raise PoolExhausted(
                f"all {job.pools.clips.slots} slots for clips are held, more than cutting and shuffling take: `map` "
                f"or a handler keeps clips; copy what is to be kept"
            ) from exn

    def _epoch(self, samples: Iterator[tuple[Place, Sample]], pools: Pools) -> Iterator[Sample]:
        """The clips of the epoch, in the order of its batches.

        Where it has a target, the share is gone through again, in its own order, until as many have been given.
        """
        job, position = self.job, self.job.progress.position
        held, begun = self._rebuild(pools)
        while True:
            given, cut = self._given, job.cut(pools.clips, pools.looked.like)
            clips = self._interleave(samples, cut, position, begun, pools)
            if self._passes == 0 and job.shuffle:
                yield from self._shuffled(clips, pools.budget.shuffled, held)
            else:
                for clip in clips:
                    if self._passes and "clip.json" in clip.sample:
                        clip.sample["clip.json"]["repeated"] = True
                    yield clip.sample
                    del clip
            if job.progress.target is None:
                return
            if given == self._given and position.read is None:
                raise self._nothing()
            # With drop_last, a rank has at least as many clips as were counted for all, but for damage.
            logger.log(
                logging.WARNING if job.drop_last else logging.INFO,
                "Loader: the shards give %d clips, but all ranks have %d an epoch: the others are given again",
                self._given,
                job.progress.target,
            )
            if self._clips is not None:
                self._clips.stop()
            self._passes += 1
            samples, position, begun = job.shards.samples(job.share), BEGINNING, []

    def _nothing(self) -> ValueError:
        return ValueError(
            f"equal_batches is True, but the {len(self.job.share.shards)} shards of this process give no clip to fill "
            f"up its batches with"
        )

    def _rebuild(self, pools: Pools) -> tuple[list[ClipSample], list[Sample]]:
        """The clips that a loaded state held in the shuffle, and the samples that were being cut."""
        job, budget = self.job, pools.budget
        refs = list(job.progress.held)
        clips, begun = rebuild(
            refs,
            [place for place, _ in job.progress.position.active],
            job.shards.find,
            job.cut(pools.clips, pools.looked.like),
            threads=min(job.threads, budget.sources),
            most_encoded_bytes=budget.encoded_bytes,
            is_stopped=lambda: self._stopped,
        )
        if self._stopped:
            raise _Stopped
        return [ClipSample(ref, sample) for ref, sample in zip(refs, clips)], begun

    def _interleave(
        self,
        samples: Iterator[tuple[Place, Sample]],
        cut: Callable[..., Generator[Sample]],
        position: Position,
        begun: list[Sample],
        pools: Pools,
    ) -> Iterator[ClipSample]:
        """The clips of samples from a position on, cut by threads; `begun` is emptied."""
        job, budget = self.job, pools.budget
        clips = Interleave(
            samples,
            cut,
            active=budget.active,
            waiting=budget.sources - budget.active,
            ready=budget.ready,
            encoded_bytes=budget.encoded_bytes,
            threads=job.threads,
            handler=job.handler,
            position=position,
            begun=begun,
        )
        begun.clear()
        with self.changed:
            if self._stopped:
                raise _Stopped
            self._clips = clips
        clips.start()
        return clips.clips()

    def _shuffled(self, clips: Iterator[ClipSample], capacity: int, held: list[ClipSample]) -> Iterator[Sample]:
        """The clips in a random order, `capacity` of them held back; `held` are from before, and are emptied."""
        progress = self.job.progress
        buffer = Draw(stream_random(self.job.seed, progress.epoch, "clips"), held, progress.drawn)
        held.clear()
        for clip in clips:
            buffer.add(clip)
            self._moves.append(clip.ref)
            del clip
            if len(buffer) > capacity:
                yield self._pick(buffer)
        while len(buffer):
            yield self._pick(buffer)

    def _pick(self, buffer: Draw[ClipSample]) -> Sample:
        at, clip = buffer.pick()
        self._moves.append(at)
        return clip.sample

    def _tell(self, cut: Callable[[Sample], Generator[Sample]], sample: Sample) -> None:
        try:
            with closing(cut(sample)) as clips:
                next(clips, None)
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            if not self.job.handler(exn):
                raise _Stopped from None

    def _make_batches(self, clips: Iterator[Sample], pools: Pools) -> None:
        job = self.job

        def make(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
            fits = int(np.prod(shape)) * dtype.itemsize <= pools.batches.slot_bytes
            leases = name in pools.looked.fields and fits and not dtype.hasobject
            return self._acquire(pools.batches, shape, dtype) if leases else np.empty(shape, dtype)

        batch: Batch | None = None
        like = self._like or (None if job.map is not None else pools.looked.like)
        for clip in clips:
            like = like or Like.of(clip)
            batch = batch or Batch(job.batch_size, like, make)
            try:
                batch.add(clip)
            except ValueError as exn:
                del clip
                traceback.clear_frames(exn.__traceback__)
                if not job.handler(exn):
                    break
                continue
            del clip
            self._given += 1
            if batch.count == job.batch_size or self._given == job.progress.target:
                self._hand_out(batch, pools, like)
                batch = None
                if self._given == job.progress.target:
                    return
        if batch is not None and batch.count and not job.drop_last:
            self._hand_out(batch, pools, batch.like)

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
                        raise _Stopped
                    self.changed.wait(WAKE_SECONDS)
                self.starved = False

    def _hand_out(self, batch: Batch, pools: Pools, like: Like) -> None:
        assert self._clips is not None
        mapped = None if self.job.map is None else like
        step = Step(self._moves, self._clips.position, self._passes, pools.looked, mapped)
        self._moves = []
        with self.changed:
            self.changed.wait_for(lambda: self._stopped or not self.ready)
            if self._stopped:
                raise _Stopped
            self.ready.append((batch.take(), step))
            self._count += 1
            self.changed.notify_all()

    def stop(self) -> None:
        """End all threads and give up what they made."""
        with self.changed:
            self._stopped = True
            clips = self._clips
            self.changed.notify_all()
        if clips is not None:
            clips.stop()
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
