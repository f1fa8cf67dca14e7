"""The clips of a part, extracted and encoded by threads, and given in the order of its samples."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

from clipx._threads import TaskThread
from clipx.datasets.fields import Field, Sample
from clipx.datasets.remote import RangeCache
from clipx.datasets.segments import BadSegment
from clipx.datasets.streamed_tars import ReadLimits
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.jobs.extraction.encoding import Data, data_bytes
from clipx.jobs.extraction.failures import Failure
from clipx.jobs.extraction.inputs import Inputs
from clipx.jobs.extraction.noting import Notes, failure_of
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.ordered import OrderedResults, Stopped
from clipx.jobs.extraction.outcome import Retry
from clipx.jobs.extraction.samples import OtherFields, row_of
from clipx.jobs.extraction.weighing import ClipRoom, Weigher, Weight
from clipx.loader.budget import cache_bytes
from clipx.wds.limits import Limits

__all__ = ["ClipResult", "PartRun", "SampleEnd"]

STOP_SECONDS = 10.0
"""Seconds that the end of a thread is waited for: one that reads from a dead connection ends with the process."""


class ClipResult(NamedTuple):
    """A clip as it is written: its key, its bytes by fields, the other fields, and its row in the manifest."""

    key: str
    fields: Mapping[str, Data]
    others: Mapping[str, Data]
    row: Mapping[str, Any]


class SampleEnd(NamedTuple):
    """The end of a sample, or of an error of a shard.

    Attributes:
        samples: 1 for a sample, 0 for a shard.
        seconds: of its source, up to the end of its last clip.
        is_failed: whether there was an error.
    """

    samples: int
    seconds: float
    is_failed: bool


Result = ClipResult | Failure | SampleEnd


class PartRun:
    """Threads that extract and encode the clips of a part.

    Args:
        inputs, part: the samples.
        options: of the job.
        memory: bytes that samples, clips and what waits may take.
        threads: number of samples that are worked on side by side.
        retry: the samples that are tried again, and their clips that are written; None for all samples.
        is_stopped: asked several times a second whether to stop.

    `results` gives what comes of the samples in their order, once, on the thread that has called `start`; `stop` ends
    the threads.
    """

    def __init__(
        self,
        inputs: Inputs,
        part: int,
        options: ExtractOptions,
        *,
        memory: int,
        threads: int,
        retry: Retry | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._inputs, self._memory, self._retry = inputs, memory, retry
        self._spec, self._clips, self._encoder = options.spec, options.clip_source(), options.encoder()
        self._weigher = Weigher(options, self._clips, memory)
        self.results: OrderedResults[Result] = OrderedResults(memory, is_stopped)
        self._samples = self._read(part, memory)
        self._threads = [TaskThread(self._work, f"clipx-extract-{i}") for i in range(threads)]
        self._left, self._reading = threads, threading.Lock()

    # The samples, read by one thread at a time.

    def _read(self, part: int, memory: int) -> Iterator[tuple[int, Sample, Weight]]:
        """The samples of a part with their numbers among the results, for each of which there is room."""
        limits, results = ReadLimits(memory), self.results
        if self._inputs.is_remote:
            limits.cache = RangeCache(cache_bytes(memory))
        limits.wait = lambda nbytes: results.wait_for_room(results.opened, nbytes)
        seen: set[str] = set()
        for sample in self._inputs.samples(part, self._report, limits):
            key = str(sample.get("__key__"))
            if self._retry and self._retry.written_of(key) is None:
                continue
            number = results.open()
            try:
                if key in seen:
                    raise ValueError("its part has another sample of this key before: its clips would have equal names")
                seen.add(key)
                weight = self._weigher.weigh(sample)
                results.reserve(number, weight.fixed + weight.clips)
            except (Stopped, *NOT_A_SAMPLES_FAULT):
                raise
            except Exception as exn:
                self._put_failure(number, exn, sample, 0)
                self._end(number, SampleEnd(1, 0.0, True))
                continue
            yield number, sample, weight
            del sample

    def _report(self, exn: Exception, key: str | None, source: str) -> None:
        """Take the error of a shard, or of a sample that cannot be read."""
        if key is not None and self._retry and self._retry.written_of(key) is None:
            return
        number = self.results.open()
        self._put_failure(number, exn, {"__key__": key, "__url__": source}, 0)
        self._end(number, SampleEnd(int(key is not None), 0.0, True))

    def _renamed(self, reason: str) -> str:
        root = self._inputs.root.rstrip("/")
        return reason.replace(f"{root}/", "") if root else reason

    def _end(self, number: int, end: SampleEnd) -> None:
        self.results.put(number, end)
        self.results.end(number)

    def _put_failure(self, number: int, exn: Exception, sample: Mapping[str, Any], clips: int) -> None:
        self.results.put(number, failure_of(exn, sample, self._renamed, clips))

    # Threads

    def start(self) -> None:
        """Start the threads; `stop` is then to be called."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, and wait for them."""
        self.results.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(STOP_SECONDS)

    def _work(self) -> None:
        results = self.results
        try:
            while True:
                with self._reading:
                    results.wait_for_turn()
                    found = next(self._samples, None)
                if found is None:
                    return
                number, sample, weight = found
                del found
                room = ClipRoom(self._memory - weight.fixed, weight.clips, partial(results.reserve, number))
                end = self._extract(number, sample, weight.limits, room)
                del sample
                results.free(weight.fixed + room.nbytes)
                self._end(number, end)
        except Stopped:
            pass
        except BaseException as exn:  # it is raised where results are taken
            results.stop(exn)
        finally:
            with self._reading:
                self._left -= 1
                if not self._left:
                    results.complete()

    def _extract(self, number: int, sample: Sample, limits: Limits, room: ClipRoom) -> SampleEnd:
        """Put what comes of a sample among the results, but for its end, which is returned."""
        notes, given, seconds, is_failed = Notes(), 0, 0.0, False
        done = (self._retry and self._retry.written_of(str(sample.get("__key__")))) or set[str]()
        origin: Sample = {name: sample[name] for name in ("__key__", "__url__") if name in sample}
        try:
            fields = self._clips.fields(sample)
            others = OtherFields(fields)
            with closing(self._clips.clips(sample, 0, pool=room, limits=limits, ledger=notes)) as clips:
                del sample
                for clip in clips:
                    if isinstance(clip, BadSegment):
                        self._put_failure(number, clip.error, origin, 0)
                        is_failed = True
                        continue
                    seconds = max(seconds, _end_seconds(clip.sample["clip.json"]))
                    if clip.sample["__key__"] not in done:
                        self._put_clip(number, clip.sample, fields, others)
                    given += 1
                    del clip
        except (Stopped, *NOT_A_SAMPLES_FAULT):
            raise
        except Exception as exn:
            self._put_failure(number, exn, origin, given)
            is_failed = True
        for failure in notes.failures:
            self.results.put(number, failure._replace(reason=self._renamed(failure.reason)))
        return SampleEnd(1, seconds, is_failed)

    def _put_clip(self, number: int, clip: Sample, fields: Mapping[Field, Field], others: OtherFields) -> None:
        self._weigher.check_clip(clip, fields)
        encoded = self._encoder.encode(clip, fields)
        nbytes = sum(map(data_bytes, encoded.fields.values()))
        row = row_of(clip, encoded, self._spec)
        result = ClipResult(clip["__key__"], encoded.fields, others.of(clip, encoded), row)
        self.results.put(number, result, nbytes)


def _end_seconds(facts: Mapping[str, Any]) -> float:
    """Seconds of a source up to the end of a clip; 0 of arrays, and where that is not known."""
    ends = [
        begin + lasts
        for begin, lasts in zip(_listed(facts.get("pts_seconds")), _listed(facts.get("duration_seconds")))
        if begin is not None and lasts is not None
    ]
    return max((end for end in ends if math.isfinite(end)), default=0.0)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
