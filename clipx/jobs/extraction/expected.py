"""What a job is expected to write, found without decoding but for a few clips."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import Any

from clipx._threads import task_executor
from clipx.datasets.fields import Sample
from clipx.datasets.origins import reason_of
from clipx.datasets.streamed_tars import ReadLimits
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.jobs.extraction.encoding import ClipSource, data_bytes
from clipx.jobs.extraction.inputs import Inputs
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.ordered import Stopped
from clipx.jobs.extraction.progress import Progress, Report
from clipx.jobs.extraction.weighing import ClipRoom, Weigher
from clipx.plan import Selection

__all__ = ["Expected", "expect"]

ENCODED = 4
"""Samples whose first clip is encoded, to know how many bytes clips take."""


@dataclass
class Expected:
    """What a job would write.

    Attributes:
        parts: number of parts that the call is for.
        parts_done: of these, that are done already; the other numbers are of those that are not.
        samples: number of them, with those that cannot be read.
        unreadable: number of samples that cannot be read, as far as their headers show it.
        first_error: of these, the first one, as "key: reason"; None where there is none.
        clips: number of clips, of which `damage` may leave some out.
        bytes: about the bytes of the clips, by a few of them that were encoded; None where none could be.

    Stability: provisional.
    """

    parts: int = 0
    parts_done: int = 0
    samples: int = 0
    unreadable: int = 0
    clips: int = 0
    bytes: int | None = None
    first_error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The numbers, as JSON takes them."""
        return asdict(self)


def expect(
    inputs: Inputs,
    options: ExtractOptions,
    parts: Iterable[int],
    *,
    memory: int,
    threads: int,
    report: Report = lambda counted: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Expected:
    """What parts of a job would write. Raises Stopped, and what is no sample's fault."""
    found, clips = Expected(), options.clip_source()
    sizes: list[int] = []

    def failed(exn: Exception, key: str | None, source: str) -> None:
        found.unreadable += 1
        found.samples += key is not None
        found.first_error = found.first_error or f"{key or source}: {reason_of(exn)}"

    samples = (sample for part in parts for sample in inputs.samples(part, failed, ReadLimits(memory)))
    for sample, count in _counted(samples, clips, threads):
        if is_stopped():
            raise Stopped
        if isinstance(count, Exception):
            failed(count, str(sample.get("__key__")), "")
            report(Progress(samples=1, failures=1))
            continue
        found.samples += 1
        found.clips += count
        report(Progress(samples=1, clips=count))
        if count and len(sizes) < ENCODED:
            sizes += _first_bytes(sample, options, clips, memory)
        del sample
    if sizes:
        found.bytes = round(sum(sizes) / len(sizes) * found.clips)
    return found


def _counted(samples: Iterator[Sample], clips: ClipSource, threads: int) -> Iterator[tuple[Sample, int | Exception]]:
    """Samples and their numbers of clips, errors of those that cannot be read; so many are looked at side by side."""
    waiting: deque[tuple[Sample, Future[int | Exception]]] = deque()
    with task_executor(threads, "clipx-count") as pool:
        try:
            for sample in samples:
                waiting.append((sample, pool.submit(_count, sample, clips)))
                del sample
                if len(waiting) > threads:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _result(sample: Sample, future: Future[int | Exception]) -> tuple[Sample, int | Exception]:
    return sample, future.result()


def _count(sample: Sample, clips: ClipSource) -> int | Exception:
    try:
        return clips.count(sample)
    except NOT_A_SAMPLES_FAULT:
        raise
    except Exception as exn:  # of any type, as the content makes it
        return exn


def _first_bytes(sample: Sample, options: ExtractOptions, clips: ClipSource, memory: int) -> list[int]:
    """The bytes of the first clip of a sample; none where it cannot be made."""
    with suppress(ValueError, OSError, TypeError, KeyError):
        fields = clips.fields(sample)
        weight = Weigher(options, clips, memory).weigh(sample)
        room = ClipRoom(memory - weight.fixed, weight.clips, lambda nbytes: None)
        first = Selection((0,), None)
        with closing(clips.clips(sample, 0, pool=room, limits=weight.limits, selection=first)) as found:
            for clip in found:
                sample_of_clip = getattr(clip, "sample", None)
                if sample_of_clip is not None:
                    encoded = options.encoder().encode(sample_of_clip, fields)
                    return [sum(map(data_bytes, encoded.fields.values()))]
    return []
