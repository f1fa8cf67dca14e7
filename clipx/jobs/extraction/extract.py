"""The job as a whole: `clipx.jobs.extract` and `clipx.jobs.finish`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from clipx._checks import byte_count, check_kind, integer
from clipx._threads import TaskThread, call
from clipx.audio.format import AudioFormat
from clipx.datasets.keys import Keys
from clipx.datasets.segments import Seconds, Segments
from clipx.format import ClipFormat
from clipx.jobs.extraction import on_ray
from clipx.jobs.extraction.expected import Expected, expect
from clipx.jobs.extraction.inputs import Inputs
from clipx.jobs.extraction.job import Job
from clipx.jobs.extraction.limits import PartChoice, parse_most_failures, parse_part
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.part_job import PartJob
from clipx.jobs.extraction.progress import Progress
from clipx.jobs.extraction.stores import open_store
from clipx.jobs.extraction.summary import Summary
from clipx.jobs.extraction.workers import run_parts
from clipx.plan import FrameSpec
from clipx.video.options import VideoOptions

__all__ = ["extract", "finish"]

EncodingName = Literal["npy", "jpg", "webp", "png", "mp4", "copy", "wav", "flac"]
SHOWN_SECONDS = 0.5
"""Seconds after which progress is told again, also where nothing has changed."""


class _Shown:
    """Tells a function how far the job is, several times a second, from a thread of its own; a context manager.

    Attributes:
        total: so far.
    """

    def __init__(self, progress: Callable[[Progress], None] | None) -> None:
        self._progress, self._began = progress, time.monotonic()
        self._lock, self._ended, self._error = threading.Lock(), threading.Event(), list[Exception]()
        self.total = Progress()
        self._thread = TaskThread(self._run, "clipx-progress")

    def add(self, counted: Progress) -> None:
        """Count some more."""
        with self._lock:
            self.total += counted

    @property
    def has_failed(self) -> bool:
        """Whether the function has raised an error."""
        return bool(self._error)

    def _tell(self) -> None:
        if self._progress is not None:
            with self._lock:
                total = replace(self.total, elapsed=time.monotonic() - self._began)
            self._progress(total)

    def _run(self) -> None:
        try:
            while not self._ended.wait(SHOWN_SECONDS):
                self._tell()
        except Exception as exn:  # it is raised where the job ends
            self._error.append(exn)

    def __enter__(self) -> _Shown:
        if self._progress is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._error:
            raise self._error[0]
        self._tell()


class _Run:
    """A call of `extract`, as it runs on a thread of its own."""

    def __init__(
        self,
        out: str,
        inputs: Inputs,
        options: ExtractOptions,
        *,
        memory: int,
        jobs: int | None,
        ray: bool | str,
        choice: PartChoice,
        retry_failed: bool,
    ) -> None:
        self._store, self._inputs, self._options = open_store(out), inputs, options
        self._memory, self._jobs, self._choice, self._retry_failed = memory, jobs, choice, retry_failed
        self._out, self._ray = out, ray

    def _open(self, write: bool) -> Job:
        facts = {
            "options": self._options.as_json(),
            "inputs": self._inputs.facts,
            "versions": self._options.versions(),
        }
        return Job.open(self._store, facts, write=write)

    def expect(self, shown: _Shown, is_stopped: Callable[[], bool]) -> Expected:
        """What would be done."""
        done, parts = self._open(False).done(), self._choice.of(len(self._inputs))
        todo = [part for part in parts if part not in done]
        found = expect(
            self._inputs,
            self._options,
            todo,
            memory=self._memory,
            threads=self._jobs or _processors(),
            report=shown.add,
            is_stopped=is_stopped,
        )
        return replace(found, parts=len(parts), parts_done=len(parts) - len(todo))

    def run(self, shown: _Shown, is_stopped: Callable[[], bool]) -> Summary:
        """Do what is to be done."""
        job = self._open(True)
        done, parts = job.done(), self._choice.of(len(self._inputs))
        todo = [part for part in parts if part not in done or self._retry_failed]
        before = len(parts) - len(todo)
        shown.add(Progress(parts=len(parts), parts_done=before, parts_before=before))
        part_job = PartJob(
            self._out,
            self._inputs,
            self._options,
            job.table,
            self._memory,
            retry_failed=self._retry_failed,
        )
        if self._ray:
            on_ray.run_parts(
                part_job, todo, self._jobs, shown.add, is_stopped, address=None if self._ray is True else self._ray
            )
        else:
            run_parts(part_job, todo, self._jobs or _processors(), shown.add, is_stopped)
        return job.finish() if self._choice.step == 1 else job.sums(parts)


def extract(
    src: Any,
    out: str | os.PathLike[str],
    spec: FrameSpec,
    format: ClipFormat | None = None,
    *,
    encoding: EncodingName = "npy",
    options: VideoOptions | None = None,
    audio: AudioFormat | None = None,
    segments: Segments = None,
    min_seconds: Seconds = None,
    max_seconds: Seconds = None,
    trim_seconds: Seconds = None,
    keys: Keys = None,
    seed: int = 0,
    quality: int | None = None,
    codec: str | None = None,
    crf: float | None = None,
    preset: str | int | None = None,
    gop: int | None = None,
    shard_size: int | str = "1GB",
    files_per_part: int = 64,
    jobs: int | None = None,
    memory: int | str = "2GB",
    ray: bool | str | None = None,
    part: tuple[int, int] | str | None = None,
    retry_failed: bool = False,
    limit: int | None = None,
    max_failures: int | str | None = None,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Summary | Expected:
    """Write the clips of a dataset as WebDataset shards, part by part; run again, it goes on where it was.

    >>> spec, format = clipx.WindowSpec(length=16, stride=16), clipx.ClipFormat(resize=(224, 224))
    >>> clipx.jobs.extract("videos/", "clips/", spec, format, encoding="jpg", jobs=8)

    Args:
        src: names of shards; of videos, sounds and arrays, folders of them and patterns; of a table or an index; or
            `clipx.Files`, `clipx.Index`, or a table as `clipx.Files` takes it.
        out: folder, or address such as "s3://bucket/clips", that is the job's own.
        spec, format, options, audio, segments, min_seconds, max_seconds, trim_seconds, keys, seed: which clips, and how
            they are made, as of `clipx.wds.clips`, in epoch 0. Decoders have one thread.
        encoding: "npy", the arrays as the format makes them; "jpg", "webp" or "png", a picture for each frame; "mp4",
            encoded again; "copy", packets as they are; "wav" or "flac", of sounds, and of videos only their sound.
        quality: of "jpg" and "webp", 1 to 100.
        codec, crf, preset, gop: of "mp4".
        shard_size: bytes of an output shard, about which it is full.
        files_per_part: files of a part, where the inputs are files; else a part is an input shard.
        jobs: threads that work, in as many processes as there are parts, at most; default one for each processor.
        memory: bytes that samples, clips and what waits to be written may take in each process. Samples that take more
            are failures.
        ray: do the parts on a Ray cluster: its address, such as "10.0.0.1:6379"; True for the one that RAY_ADDRESS
            names or that this machine belongs to, or else this machine. Each is a task of one processor and of
            `memory`, that is done again where its node dies, and `jobs` is how many run side by side; default as many
            as there is room for.
        part: (i, n) or "i/n", counted from 0: only every n-th part from part i on. Each can be done on another machine,
            and `finish` then ends the job.
        retry_failed: try samples with an error again, of parts that are done; what comes of them is written beside.
        limit: number of samples of the inputs that are taken, from the first on.
        max_failures: samples that may fail, as a number or a share such as "5%"; default any.
        dry_run: write nothing, and return what would be done.
        progress: called about twice a second with a Progress, from another thread.

    Output is `clips-{part}-{shard}.tar`, a manifest `part-{part}.parquet` with a row for each clip (JSON lines without
    pyarrow), and `part-{part}.failures.jsonl`. The manifest comes last: a part that has one is done. Bytes depend on
    the inputs and the options alone, not on jobs and memory, nor on where the inputs lie.

    A sample that fails is noted, with what is damaged, and loses no other. With jobs above 1, other processes do the
    work: in a script, call this under `if __name__ == "__main__"`.

    Returns the Summary of the job, as summary.json has it, or with `part` of these parts; with `dry_run` an Expected.

    Raises TypeError and ValueError for arguments that are wrong or contradict each other, for inputs that are not
    there and for a folder of another job; ImportError that names the extra where a library is missing; OutputError, an
    OSError, where the output cannot be written; PartsLost where processes died; and TooManyFailures, when everything is
    done.

    Stability: provisional.
    """
    chosen = ExtractOptions(
        spec,
        format,
        options,
        audio,
        segments,
        min_seconds,
        max_seconds,
        trim_seconds,
        keys,
        seed,
        encoding,
        quality,
        codec,
        crf,
        preset,
        gop,
        shard_size,
        files_per_part,
        limit,
    )
    most, choice = parse_most_failures(max_failures), parse_part(part)
    check_kind("ray", ray, bool, str, None)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is {progress!r}, but must be a function of a Progress")
    run = _Run(
        os.fspath(out),
        Inputs(src, files_per_part=chosen.files_per_part, limit=chosen.limit),
        chosen.one_threaded(),
        memory=byte_count("memory", memory),
        jobs=None if jobs is None else integer("jobs", jobs, 1),
        ray=ray or False,
        choice=choice,
        retry_failed=bool(retry_failed),
    )

    def work(is_stopped: Callable[[], bool]) -> Summary | Expected:
        with _Shown(progress) as shown:
            method: Any = run.expect if dry_run else run.run
            return method(shown, lambda: is_stopped() or shown.has_failed)

    found = call(work, "clipx-extract")
    if most is not None and isinstance(found, Summary):
        most.check(found)
    return found


def finish(out: str | os.PathLike[str]) -> Summary:
    """End a job whose parts were done apart: write its summary.json, and return what it says.

    Raises FileNotFoundError for a folder without a job, ValueError that names the parts that are missing, or a file
    that is broken, and OutputError where it cannot be written.

    Stability: provisional.
    """
    return Job.load(open_store(os.fspath(out))).finish()


def _processors() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
