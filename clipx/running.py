"""One epoch of a Loader: from shards to batches, on threads."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
import traceback
import weakref
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
import webdataset

from clipx import memory
from clipx.batching import Batch, Like
from clipx.budget import Budget
from clipx.cutting import NOT_A_SAMPLES_FAULT, Cutting, Sample, named
from clipx.epochs import stream_random
from clipx.errors import PoolExhausted, PoolTooSmall
from clipx.interleave import STOP_SECONDS, Interleave, encoded_bytes
from clipx.pool import ClipPool
from clipx.shuffling import Buffer

__all__ = ["Batches", "Job", "Pools"]

PICKLED = frozenset({"pickle", "pkl", "pth", "pyd"})
"""Fields that webdataset would unpickle, which runs what they say: they stay bytes."""

LOOKED_AT = 3
"""Samples whose fields say what samples are like."""

logger = logging.getLogger("clipx")

WAKE_SECONDS = 0.02
"""How often a thread that waits for the consumer to let go of a batch looks whether it has."""


@dataclass
class Pools:
    """Memory that one epoch leaves to the next.

    Attributes:
        workers: that share the loader's bytes.
        budget: what they are divided into.
        clips, batches: the pools.
        fields: that are cut.
        like: what a clip's sample is like before `map`.
    """

    workers: int
    budget: Budget
    clips: ClipPool
    batches: ClipPool
    fields: list[str]
    like: Like


@dataclass
class Job:
    """What an epoch is to do.

    Attributes:
        shards: to read, in order.
        cutting: makes the cutter of samples for a pool.
        divide: the budget for clips of so many bytes in so many fields, so many bytes beside, and so many workers.
        workers: of a DataLoader, that share the bytes.
        kept_bytes: of samples that are read before the first clip is found.
        pools: of an epoch before; None until the first clip's size is known.
        finished: called with the number of batches of an epoch that came to its end.
    """

    shards: list[str]
    epoch: int
    cutting: Callable[[ClipPool | None], Cutting]
    divide: Callable[[int, int, int, int], Budget]
    workers: int
    kept_bytes: int
    batch_size: int
    batches: int
    threads: int
    map: Callable[[Sample], Sample] | None
    shuffle: bool
    seed: int
    drop_last: bool
    handler: Callable[[Exception], bool]
    timeout: float | None
    finished: Callable[[int], None]
    keep: Callable[[Pools], None]
    pools: Pools | None = None
    decoder: Any = field(default_factory=lambda: webdataset.autodecode.Decoder([], partial=True))

    def cut(self, pool: ClipPool | None, like: Like | None) -> Callable[[Sample], Generator[Sample]]:
        """A function that gives the clips of a sample as slots of `pool`, other fields decoded.

        With `like`, of samples with its fields alone, and what `map` makes of them.
        """
        cutting = self.cutting(pool)

        def clips(sample: Sample) -> Generator[Sample]:
            with named(sample):
                sample = {**sample, **self._decoded(sample, cutting.fields(sample))}
            for clip in cutting.cut(sample, self.epoch):
                if like is not None:
                    like.check_fields(clip)
                if like is None or self.map is None:
                    yield clip
                else:
                    with named(clip):
                        mapped = self.map(clip)
                        if not isinstance(mapped, Mapping):
                            raise TypeError(f"map gave {mapped!r}, but must give a sample, a dict")
                    yield mapped
                    del mapped
                del clip

        return clips

    def _decoded(self, sample: Sample, cut: list[str]) -> Sample:
        """The fields of a sample that are not cut, decoded."""
        fields = {name.partition(":")[0] for name in cut}
        rest = {
            name: value
            for name, value in sample.items()
            if name not in fields and name.rpartition(".")[2].lower() not in PICKLED
        }
        try:
            decoded: Sample = self.decoder(rest)
        except webdataset.autodecode.DecodingError as exn:
            raise ValueError(f"field {exn.k!r} cannot be decoded: {exn.__cause__}") from exn.__cause__
        return decoded

    def shuffled(self, clips: Iterator[Sample], capacity: int) -> Iterator[Sample]:
        """The clips in a random order, `capacity` of them held back; in their own where nothing is shuffled."""
        if not self.shuffle:
            yield from clips
            return
        buffer = Buffer(stream_random(self.seed, self.epoch, "clips"))
        for clip in clips:
            buffer.add(clip)
            del clip
            if len(buffer) > capacity:
                yield buffer.pick()
        while len(buffer):
            yield buffer.pick()


def _member(clip: Sample, field: str) -> np.ndarray:
    """The array of a field, also of one that is called "npz:member"."""
    name, _, member = field.partition(":")
    array: np.ndarray = clip[field] if field in clip or not member else clip[name][member]
    return array


def _trim() -> None:
    """Give freed memory back to the system, where the C library is glibc.

    Each epoch's threads allocate pictures in arenas of their own, and glibc keeps what they free.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


class _Stopped(Exception):
    """The epoch is given up."""


class _Run:
    """The work of an epoch, done on its threads; it never refers to the iterator that hands its batches out."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.changed = threading.Condition()
        self.ready: deque[dict[str, Any]] = deque()
        self.error: BaseException | None = None
        self.done = self.starved = False
        self._stopped = False
        self._count = 0
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

    def _look(self, samples: Iterator[Sample]) -> tuple[Pools | None, list[Sample]]:
        """Pools for clips like those of the first samples, and the samples that were read for it.

        Without pools there is nothing to cut. What is wrong with samples shows later, in their turn.
        """
        job = self.job
        cutting, cut = job.cutting(None), job.cut(None, None)
        read = list(islice(samples, LOOKED_AT))
        # A sample that a damaged shard has cut short is not what the others are to be like.
        votes = Counter(frozenset(sample) for sample in read)
        usual = max(votes, key=lambda fields: (votes[fields], len(fields)), default=frozenset())
        kept = sum(map(encoded_bytes, read))
        for number, sample in enumerate(chain(read[:], samples)):
            if self._stopped:
                raise _Stopped
            if number >= LOOKED_AT:
                read.append(sample)
                kept += encoded_bytes(sample)
                while kept > job.kept_bytes and len(read) > 1:
                    kept -= encoded_bytes(read[0])
                    self._tell(cut, read.pop(0))
            clip = None
            if frozenset(sample) == usual:
                with suppress(Exception), closing(cut(sample)) as clips:
                    clip = next(clips, None)
            if clip is not None:
                fields = cutting.fields(sample)
                sizes = [_member(clip, name).nbytes for name in fields]
                rest = [each for name, each in clip.items() if name not in fields]
                budget = job.divide(max(sizes), len(sizes), memory.payload_bytes(rest), job.workers)
                clip_pool = ClipPool(budget.slots, max(sizes))
                batch_pool = ClipPool(job.batches * len(sizes), job.batch_size * max(sizes))
                return Pools(job.workers, budget, clip_pool, batch_pool, fields, Like.of(clip)), read
        return None, read

    def _fill_batches(self) -> None:
        job = self.job
        urls = ({"url": url} for url in job.shards)
        samples: Iterator[Sample] = iter(webdataset.tariterators.tarfile_samples(urls, handler=job.handler))
        if job.pools is None:
            job.pools, read = self._look(samples)
            if job.pools is None:
                for sample in read:
                    self._tell(job.cut(None, None), sample)
                logger.warning("Loader: no sample of %d shards gives a clip", len(job.shards))
                return
            job.keep(job.pools)
            samples = chain(read, samples)
            del read
        budget = job.pools.budget
        clips = Interleave(
            samples,
            job.cut(job.pools.clips, job.pools.like),
            active=budget.active,
            waiting=budget.sources - budget.active,
            ready=budget.ready,
            encoded_bytes=budget.encoded_bytes,
            threads=job.threads,
            handler=job.handler,
        )
        with self.changed:
            if self._stopped:
                return
            self._clips = clips
        try:
            clips.start()
            self._make_batches(job.shuffled(clips.clips(), budget.shuffled), job.pools)
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
            leases = name in pools.fields and fits and not dtype.hasobject
            return self._acquire(pools.batches, shape, dtype) if leases else np.empty(shape, dtype)

        batch: Batch | None = None
        like: Like | None = None
        for clip in clips:
            like = like or (Like.of(clip) if job.map is not None else pools.like)
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
            if batch.count == job.batch_size:
                self._hand_out(batch.take())
                batch = None
        if batch is not None and batch.count and not job.drop_last:
            self._hand_out(batch.take())

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

    def _hand_out(self, batch: dict[str, Any]) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self._stopped or not self.ready)
            if self._stopped:
                raise _Stopped
            self.ready.append(batch)
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
        try:
            batch = self._wait()
        except BaseException as exn:
            # The consumer can go on once it has let go of batches; anything else ends the epoch.
            if not isinstance(exn, PoolExhausted) or self._run.done:
                self.close()
            raise
        if batch is None:
            self.close()
            raise StopIteration
        return batch

    def _wait(self) -> dict[str, Any] | None:
        run, began = self._run, time.monotonic()
        with run.changed:
            while True:
                if run.ready:
                    batch = run.ready.popleft()
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
