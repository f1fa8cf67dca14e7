"""A part of a job, done in this process: its samples extracted, encoded and written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from clipx.jobs.extraction.failures import Failure
from clipx.jobs.extraction.inputs import Inputs
from clipx.jobs.extraction.job import Job
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.ordered import Stopped
from clipx.jobs.extraction.part import PartCounts, PartWriter
from clipx.jobs.extraction.progress import Progress, Report
from clipx.jobs.extraction.running import ClipResult, PartRun, SampleEnd
from clipx.jobs.extraction.stores import open_store

__all__ = ["PartJob", "run_part"]

REPORT_SECONDS = 0.25


@dataclass(frozen=True)
class PartJob:
    """Everything that a process needs to do parts of a job; it can be pickled.

    Attributes:
        out: path or address of the output.
        inputs, options: of the job.
        table: kind of its manifests.
        memory: bytes that samples, clips and what waits to be written may take in a process.
        threads: number of samples that a process works on side by side.
        retry_failed: whether parts that are done are to be looked at again for what has failed.
    """

    out: str
    inputs: Inputs
    options: ExtractOptions
    table: str
    memory: int
    threads: int = 1
    retry_failed: bool = False


class _Tally:
    """Counts what has been written, and reports it every now and then."""

    def __init__(self, report: Report) -> None:
        self._report, self._since, self._counted = report, time.monotonic(), Progress()

    def add(self, counted: Progress) -> None:
        """Count some more."""
        self._counted += counted
        if time.monotonic() > self._since + REPORT_SECONDS:
            self.report()

    def report(self) -> None:
        """Report what has been counted and not yet reported."""
        counted, self._counted, self._since = self._counted, Progress(), time.monotonic()
        self._report(counted)


def run_part(
    job: PartJob,
    part: int,
    report: Report = lambda counted: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> PartCounts:
    """Do a part of a job, or try again what has failed of one that is done.

    Args:
        report: called with what has been done since its last call.
        is_stopped: asked several times a second.

    Its output appears as a whole, or not at all. Raises OutputError where it cannot be written, Stopped where it is to
    stop, and what is no sample's fault, such as MemoryError.
    """
    store = open_store(job.out)
    retry = None
    if job.retry_failed:
        opened = Job.load(store)
        if opened.is_done(part):
            retry = opened.retry(part)
            if not retry:
                return PartCounts()
    tally, options = _Tally(report), job.options
    number = None if retry is None else retry.number
    with PartWriter(store, part, shard_bytes=int(options.shard_bytes), table=job.table, retry=number) as writer:
        run = PartRun(
            job.inputs, part, options, memory=job.memory, threads=job.threads, retry=retry, is_stopped=is_stopped
        )
        run.start()
        try:
            for result in run.results:
                tally.add(_write(writer, result))
                del result
        finally:
            run.stop()
        if is_stopped():
            raise Stopped
        counts = writer.commit()
    tally.report()
    return counts


def _write(writer: PartWriter, result: ClipResult | Failure | SampleEnd) -> Progress:
    """Write a result; returns what is to be counted."""
    if isinstance(result, ClipResult):
        before = writer.counts.bytes
        writer.add(result.key, result.fields, result.others, result.row)
        frames = result.row.get("frames") or 0
        return Progress(clips=1, frames=frames, bytes_written=writer.counts.bytes - before)
    if isinstance(result, Failure):
        writer.fail(result)
        return Progress()
    return Progress(samples=result.samples, source_seconds=result.seconds, failures=int(result.is_failed))
