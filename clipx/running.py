"""One epoch of a Loader: from shards to batches, on threads."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import webdataset

from clipx import memory
from clipx.batching import Batch
from clipx.budget import Budget
from clipx.cutting import NOT_A_SAMPLES_FAULT, Cutting, Sample
from clipx.epochs import stream_random
from clipx.errors import PoolExhausted
from clipx.interleave import STOP_SECONDS, Interleave
from clipx.pool import ClipPool
from clipx.shuffling import Buffer

__all__ = ["Batches", "Job", "Pools"]

WAKE_SECONDS = 0.2
"""How often a thread that waits for a batch's memory looks whether it is to end."""


@dataclass
class Pools:
    """Memory that one epoch leaves to the next: what it is divided into, clips, and batches."""

    budget: Budget
    clips: ClipPool
    batches: ClipPool


@dataclass
class Job:
    """What an epoch is to do.

    Attributes:
        shards: to read, in order.
        cutting: makes the cutter of samples for a pool.
        divide: the budget for clips of so many bytes in so many fields, and so many bytes beside.
        pools: of an epoch before; None until the first clip's size is known.
        finished: called with the number of batches of an epoch that came to its end.
    """

    shards: list[str]
    epoch: int
    cutting: Callable[[ClipPool | None], Cutting]
    divide: Callable[[int, int, int], Budget]
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

    def cut(self, pool: ClipPool) -> Callable[[Sample], Iterator[Sample]]:
        """A function that gives the clips of a sample as slots of `pool`, other fields decoded."""
        cutting = self.cutting(pool)

        def clips(sample: Sample) -> Iterator[Sample]:
            fields = {name.partition(":")[0] for name in cutting.fields(sample)}
            rest = {name: value for name, value in sample.items() if name not in fields}
            for clip in cutting.cut({**sample, **self.decoder(rest)}, self.epoch):
                yield clip if self.map is None else self.map(clip)
                del clip

        return clips

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
        self.pool: ClipPool | None = None
        self._stopped = False
        self._count = 0
        self._clips: Interleave | None = None
        self._thread = threading.Thread(target=self._work, name="clipx-batches", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._fill_batches()
            if not self._stopped:
                self.job.finished(self._count)
        except _Stopped:
            pass
        except BaseException as exn:  # it is raised where the batch is asked for
            self.error = exn
        finally:
            with self.changed:
                self.done = True
                self.changed.notify_all()

    def _first_clip(self, samples: Iterator[Sample]) -> tuple[Sample, list[int], int] | None:
        """The first sample that gives a clip, the bytes of its clips in each field, and those of its sound."""
        cutting = self.job.cutting(None)
        for sample in samples:
            if self._stopped:
                raise _Stopped
            try:
                with closing(cutting.cut(sample, self.job.epoch)) as clips:
                    clip = next(clips, None)
                if clip is not None:
                    sizes = [_member(clip, name).nbytes for name in cutting.fields(sample)]
                    sound = [each for name, each in clip.items() if name.rpartition(".")[2] == "audio"]
                    return sample, sizes, memory.payload_bytes(sound)
            except NOT_A_SAMPLES_FAULT:
                raise
            except Exception as exn:
                if not self.job.handler(exn):
                    return None
        return None

    def _fill_batches(self) -> None:
        job = self.job
        urls = ({"url": url} for url in job.shards)
        samples = iter(webdataset.tariterators.tarfile_samples(urls, handler=job.handler))
        if job.pools is None:
            first = self._first_clip(samples)
            if first is None:
                return
            sample, sizes, beside = first
            samples = chain([sample], samples)
            del first, sample
            budget = job.divide(max(sizes), len(sizes), beside)
            job.pools = Pools(
                budget,
                ClipPool(budget.slots, max(sizes)),
                ClipPool(job.batches * len(sizes), job.batch_size * max(sizes)),
            )
            job.keep(job.pools)
        budget, self.pool = job.pools.budget, job.pools.batches
        with self.changed:
            if self._stopped:
                return
            self._clips = Interleave(
                samples,
                job.cut(job.pools.clips),
                active=budget.active,
                waiting=budget.sources - budget.active,
                ready=budget.ready,
                encoded_bytes=budget.encoded_bytes,
                threads=job.threads,
                handler=job.handler,
            )
        del samples
        self._make_batches(job.shuffled(self._clips.clips(), budget.shuffled))

    def _make_batches(self, clips: Iterator[Sample]) -> None:
        job = self.job
        batch = Batch(job.batch_size, self._acquire)
        for clip in clips:
            batch.add(clip)
            del clip
            if batch.count == job.batch_size:
                self._hand_out(batch.take())
                batch = Batch(job.batch_size, self._acquire)
        if batch.count and not job.drop_last:
            self._hand_out(batch.take())

    def _acquire(self, clip: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Memory for the batch of clips like this one: leased where they are, when the consumer gives some back."""
        assert self.pool is not None
        if not memory.leases(clip):
            return np.empty(shape, clip.dtype)
        while not self._stopped:
            try:
                batch = self.pool.acquire(shape, clip.dtype, timeout=WAKE_SECONDS if self.starved else 0)
            except PoolExhausted:
                with self.changed:
                    self.starved = True
                    self.changed.notify_all()
            else:
                self.starved = False
                return batch
        raise _Stopped

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
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_SECONDS)
        self.ready.clear()


class Batches(Iterator[dict[str, Any]]):
    """Iterator of the batches of an epoch; dropping it, or `close`, ends its threads."""

    def __init__(self, job: Job) -> None:
        self._run = _Run(job)
        self._timeout = job.timeout
        self.close = weakref.finalize(self, self._run.stop)

    def __next__(self) -> dict[str, Any]:
        try:
            batch = self._wait()
        except PoolExhausted:
            raise
        except BaseException:
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
                if run.error is not None:
                    error, run.error = run.error, None
                    raise error
                if run.done or not self.close.alive:
                    return None
                left = None if self._timeout is None else self._timeout - (time.monotonic() - began)
                pool = run.pool if run.starved else None
                if pool is not None and not pool.stats().free and left is not None and left <= 0:
                    raise PoolExhausted(
                        f"the consumer holds all {pool.slots} batches that the loader has memory for; let go of "
                        f"some, copy what is to be kept, or raise batches"
                    )
                run.changed.wait(WAKE_SECONDS if run.starved else None)
