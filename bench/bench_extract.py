"""How fast are the clips of videos written as shards, and in how much memory?

- arrays: 720p of 40 s, clips of 16 frames, 32 apart, in 224x224, as npy by `clipx.jobs.extract` with 2 jobs, beside a
  clipx.Loader with 2 threads, which makes the same clips and writes none. Into memory (/dev/shm), and on the disk,
  where writing and hashing as many bytes alone is another limit.
- jpg and mp4, 1 job: beside PyAV that decodes the same videos, and Pillow or PyAV that encode the same clips, one after
  the other, their times summed.
- CLIPS clips of each video: beside a command of ffmpeg for each of them, two at a time, and video2dataset's clipping
  subsampler, as its workers call it, two at a time: as pixels, as packets without decoding, and encoded again.
- memory of all processes, for videos of 10 seconds and of an hour.

Rivals write files of a folder; clipx writes shards, manifests and checksums. All of them start anew for each
measurement, processes included: where torch is installed, webdataset imports it, which takes a process some 2 seconds
and much of a --quick run. How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
from _bench import Records, Run, command, reason_of
from _measure import Sample, consume, timed
from _processes import run_alone
from _results import CLIPS, CLIPX_IS, MS, OF_LIMIT, SPREAD, Record, Result, make_record, make_table, results_table
from _videos import Video, find_files, recode, repeat

import clipx

VIDEO, VIDEOS, FEW = "720p, 40 s", 12, 2
SIZE, JOBS, BATCH, MEMORY = 224, 2, 8, 1_000_000_000
SPEC, FORMAT = clipx.WindowSpec(16, stride=32), clipx.ClipFormat(resize=256, crop=SIZE)
OURS, LOADER, WRITING = "clipx extract", "clipx.Loader, 2 threads", "writing and hashing alone"
SUMMED = "decoding and encoding alone, summed"
FFMPEG, VIDEO2DATASET = "ffmpeg, a command for each clip", "video2dataset, ClippingSubsampler"
CLIPS_EACH, CLIP_SECONDS = 20, 1.0
SHARE, ENCODING_SHARE, FASTER, ABOVE_MEMORY = 0.85, 0.9, 3.0, 100_000_000
CRF, PRESET, QUALITY = 23, "veryfast", 95

# Arrays


@contextmanager
def new_folder(under: Path | None) -> Iterator[Path]:
    """An empty folder, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="clipx-extract-", dir=under) as folder:
        yield Path(folder)


def copies_of(video: Video, count: int, folder: Path) -> list[str]:
    """Paths of hard links to a video."""
    home = folder / f"extract-{Path(video.path).stem}-{count}"
    home.mkdir(exist_ok=True)
    paths = [home / f"{number:03d}.mp4" for number in range(count)]
    for path in paths:
        if not path.exists():
            os.link(video.path, path)
    return list(map(str, paths))


def extract(paths: list[str], under: Path | None, spec: Any, format: Any = None, **options: Any) -> Sample:
    """The time of a job that writes into a new folder, without that of removing it."""
    with new_folder(under) as out:
        sample = timed(lambda: clipx.jobs.extract(paths, out / "clips", spec, format, files_per_part=1, **options))
        # What a disk has not written yet would be written beside the contestant that comes next.
        os.sync()
        return sample


def load_all(paths: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own."""
    files = clipx.Files(paths)
    loader = clipx.Loader(files, SPEC, FORMAT, batch_size=BATCH, memory=MEMORY, threads=JOBS, shuffle=False)
    with loader:
        consume(loader)
    return {}


def load(paths: list[str]) -> Sample:
    """The time of a Loader that gives the same clips, in a process that starts, as those of a job do."""
    return timed(lambda: run_alone(load_all, paths, watched=False))


def write_and_hash(under: Path, clips: int) -> Sample:
    """The time of writing and hashing as many bytes as these clips have, one after another."""
    clip = np.random.default_rng(0).integers(0, 256, (16, SIZE, SIZE, 3), np.uint8)

    def run(path: Path) -> None:
        with path.open("wb") as file:
            for _ in range(clips):
                hashlib.sha256(clip.data).digest()
                file.write(clip.data)
            file.flush()
            os.fsync(file.fileno())

    with new_folder(under) as folder:
        return timed(partial(run, folder / "clips"))


def run_arrays(title: str, under: Path, paths: list[str], clips: int, run: Run) -> Result:
    run.describe(title)
    contestants = {
        OURS: partial(extract, paths, under, SPEC, FORMAT, jobs=JOBS, memory=MEMORY),
        LOADER: partial(load, paths),
    }
    limits = [LOADER]
    if title.endswith("disk"):
        contestants[WRITING] = partial(write_and_hash, under, clips)
        limits.append(WRITING)
    samples = run.interleave(contestants)
    slowest = max(limits, key=lambda name: np.median([each.seconds for each in samples[name]]))
    return Result(title, samples, OURS, clips, 16 * SIZE * SIZE * 3, limits=(slowest,), rivals=())


# Encodings, against decoding and encoding alone


def decode(path: str) -> None:
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        consume(container.decode(stream))


def encode_pictures(clips: list[np.ndarray]) -> None:
    from PIL import Image

    for clip in clips:
        for frame in clip:
            Image.fromarray(frame).save(io.BytesIO(), "JPEG", quality=QUALITY)


def encode_videos(clips: list[np.ndarray]) -> None:
    for clip in clips:
        with av.open(io.BytesIO(), "w", "mp4") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": str(CRF), "preset": PRESET})
            stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
            stream.codec_context.thread_count = 1
            for number, frame in enumerate(clip):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                picture.pts = number
                container.mux(stream.encode(picture))
            container.mux(stream.encode())


ENCODERS: dict[str, tuple[Callable[[list[np.ndarray]], None], dict[str, Any]]] = {
    "jpg": (encode_pictures, {"quality": QUALITY}),
    "mp4": (encode_videos, {"crf": CRF, "preset": PRESET}),
}


def run_encoding(encoding: str, paths: list[str], under: Path, run: Run) -> Result:
    title = f"{encoding}, 1 job"
    run.describe(title)
    clips = [clip.data for clip in clipx.video.clips(paths[0], SPEC, FORMAT)]
    encode, options = ENCODERS[encoding]

    def alone() -> Sample:
        decoding = timed(lambda: [decode(path) for path in paths])
        encoding = timed(lambda: [encode(clips) for _ in paths])
        return Sample(decoding.seconds + encoding.seconds)

    samples = run.interleave(
        {
            OURS: partial(extract, paths, under, SPEC, FORMAT, encoding=encoding, jobs=1, memory=MEMORY, **options),
            SUMMED: alone,
        }
    )
    return Result(title, samples, OURS, len(clips) * len(paths), limits=(SUMMED,), rivals=())


# Some clips of each video


@cache
def clipping_subsampler() -> Any:
    """video2dataset's class: of its module alone, where the rest of the package cannot be imported."""
    module = "video2dataset.subsamplers.clipping_subsampler"
    try:
        return import_module(module).ClippingSubsampler
    except ImportError:
        found = find_spec("video2dataset")
        if found is None or not found.submodule_search_locations:
            raise
        home = Path(found.submodule_search_locations[0])
        for name, folder in (("video2dataset", home), ("video2dataset.subsamplers", home / "subsamplers")):
            package = types.ModuleType(name)
            package.__path__ = [str(folder)]
            sys.modules[name] = package
        return import_module(module).ClippingSubsampler


def starts_of(video: Video) -> list[float]:
    """Starts of the clips of a video, in whole seconds, at which it has key frames: packets are copied from these."""
    last = video.frames // 25 - 1
    return [float(number * last // (CLIPS_EACH - 1)) for number in range(CLIPS_EACH)]


FFMPEG_OPTIONS = {
    "npy": (".rgb", ["-vf", f"scale=-2:256,crop={SIZE}:{SIZE}", "-pix_fmt", "rgb24", "-f", "rawvideo"]),
    "copy": (".mp4", ["-c", "copy"]),
    "mp4": (".mp4", ["-c:v", "libx264", "-crf", str(CRF), "-preset", PRESET, "-threads", "1"]),
}


def run_ffmpeg(encoding: str, paths: list[str], starts: list[float], under: Path) -> Sample:
    """Two commands at a time, with one thread each."""
    suffix, options = FFMPEG_OPTIONS[encoding]

    def cut(out: Path, path: str, start: float) -> None:
        name = out / f"{Path(path).stem}_{round(start * 1000):06d}{suffix}"
        command = ["ffmpeg", "-v", "error", "-threads", "1", "-ss", f"{start:.3f}", "-t", str(CLIP_SECONDS), "-i", path]
        subprocess.run([*command, "-filter_threads", "1", *options, str(name)], check=True)

    def run(out: Path) -> None:
        with ThreadPoolExecutor(JOBS) as pool:
            for done in [pool.submit(cut, out, path, start) for path in paths for start in starts]:
                done.result()

    with new_folder(under) as out:
        return timed(partial(run, out))


def run_video2dataset(precision: str, paths: list[str], starts: list[float], under: Path) -> Sample:
    """The subsampler, as a worker calls it, for two videos at a time."""
    spans = [[start, start + CLIP_SECONDS] for start in starts]

    def cut(out: Path, path: str) -> None:
        subsampler = clipping_subsampler()(5, {"video": "mp4"}, precision=precision)
        metadata = {"key": Path(path).stem, "clips": spans}
        streams, _, error = subsampler({"video": [Path(path).read_bytes()]}, metadata)
        if error is not None:
            raise RuntimeError(error)
        assert len(streams["video"]) == len(starts)
        for number, data in enumerate(streams["video"]):
            (out / f"{Path(path).stem}_{number:05d}.mp4").write_bytes(data)

    def run(out: Path) -> None:
        with ThreadPoolExecutor(JOBS) as pool:
            for done in [pool.submit(cut, out, path) for path in paths]:
                done.result()

    with new_folder(under) as out:
        return timed(partial(run, out))


PRECISION = {"copy": "low", "mp4": "exact"}


def run_clips(encoding: str, video: Video, paths: list[str], under: Path, run: Run) -> Result:
    title = f"{CLIPS_EACH} clips of each, {encoding}"
    run.describe(title)
    starts = starts_of(video)
    segments = [clipx.Segment(start, start + CLIP_SECONDS) for start in starts]
    options: dict[str, Any] = {"encoding": encoding, "segments": segments, "jobs": JOBS, "memory": MEMORY}
    options |= {"crf": CRF, "preset": PRESET} if encoding == "mp4" else {}
    format = FORMAT if encoding == "npy" else None
    contestants = {OURS: partial(extract, paths, under, clipx.WindowSpec(25), format, **options)}
    if FFMPEG not in run.left_out:
        contestants[FFMPEG] = partial(run_ffmpeg, encoding, paths, starts, under)
    if encoding in PRECISION and VIDEO2DATASET not in run.left_out:
        subsample = partial(run_video2dataset, PRECISION[encoding], starts=starts, under=under)
        try:
            subsample(paths[:1])
            contestants[VIDEO2DATASET] = partial(subsample, paths)
        except Exception as error:
            run.leave_out({f"{VIDEO2DATASET}, {encoding}": reason_of(error)})
    return Result(title, run.interleave(contestants), OURS, CLIPS_EACH * len(paths))


# Memory


def extract_once(path: str, spec: Any, memory: int, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own."""
    with new_folder(Path("/dev/shm")) as out:
        starting()
        began = time.perf_counter()
        done = clipx.jobs.extract(path, out, spec, jobs=1, memory=memory)
        assert done.clips
        assert not done.failed, done.examples
        return {"clips": done.clips, "seconds": time.perf_counter() - began}


def run_memory(name: str, video: Video, spec: Any, memory: int, run: Run) -> Record:
    run.describe(f"memory, {name}")
    outcome = run_alone(extract_once, video.path, spec, memory)
    run.tick()
    figures = {"peak_bytes": outcome.peak_bytes, **outcome.found}
    run.floors.at_most(
        f"peak, {name}, of {memory / 1e6:.0f} MB", (memory + ABOVE_MEMORY) / 1e6, outcome.peak_bytes / 1e6, " MB"
    )
    return make_record(f"{name}, memory of {memory / 1e6:.0f} MB", OURS, {OURS: figures}, memory=memory)


def find_rivals() -> dict[str, str]:
    """Rivals that are not there, and why."""
    missing = {} if shutil.which("ffmpeg") else {FFMPEG: "there is no command ffmpeg"}
    try:
        clipping_subsampler()
    except Exception as error:
        missing[VIDEO2DATASET] = reason_of(error)
    if shutil.which("ffmpeg") is None:
        missing.setdefault(VIDEO2DATASET, "it needs the command ffmpeg")
    return missing


def measure(run: Run) -> Records:
    run.leave_out(find_rivals())
    found = find_files(run.folder, [VIDEO], run.describe)
    run.leave_out(found.missing)
    if not found.videos:
        return {"arrays": [], "encodings": [], "clips": [], "memory": []}
    video, shared = found.videos[VIDEO], Path("/dev/shm")
    few = copies_of(video, FEW, run.folder)
    paths = few if run.quick else copies_of(video, VIDEOS, run.folder)
    count = len(paths) * SPEC.count(clipx.plan.Extent(video.frames))
    run.expect(run.repeats * (5 + 2 * len(ENCODERS) + 3 * 3 - len(run.left_out)) + 2)
    places = {"npy, into memory": shared, "npy, on the disk": run.folder}
    arrays = [run_arrays(title, under, paths, count, run) for title, under in places.items() if run.wants(title)]
    one = few[: 1 if run.quick else FEW]
    encodings = [run_encoding(each, one, shared, run) for each in ENCODERS if run.wants(f"{each}, 1 job")]
    clips = []
    if wanted := [each for each in FFMPEG_OPTIONS if run.wants(f"clips of each, {each}")]:
        cut = recode(video, video.height, video.width, video.frames, 25, 25, run.folder)
        copies = copies_of(cut, FEW if run.quick else VIDEOS, run.folder)
        clips = [run_clips(each, cut, copies, shared, run) for each in wanted]
    memory = []
    if run.wants("memory"):
        short = recode(video, 240, 320, 250, 25, 12, run.folder)
        hour = repeat(short, 360, run.folder)
        memory = [
            run_memory("10 s", short, clipx.WindowSpec(100, stride=50), 300_000_000, run),
            run_memory("1 hour", hour, clipx.WindowSpec(250, num_clips=20), 300_000_000, run),
        ]
    run.show(
        results_table("Arrays of 16x224x224", arrays, (MS, SPREAD, CLIPS, OF_LIMIT)),
        results_table("Encodings of 16x224x224", encodings, (MS, SPREAD, CLIPS, OF_LIMIT)),
        results_table(f"{CLIPS_EACH} clips of a second of each video", clips, (MS, SPREAD, CLIPS, CLIPX_IS)),
    )
    table = make_table("Memory", ("video", "", "peak MB", "clips", "seconds"))
    for record in memory:
        figures = record["contestants"][OURS]
        table.add_row(
            record["title"],
            "",
            f"{figures['peak_bytes'] / 1e6:.0f}",
            f"{figures['clips']}",
            f"{figures['seconds']:.1f}",
        )
    run.show(table)
    for results, asked in ((arrays, SHARE), (encodings, ENCODING_SHARE)):
        for result in results:
            run.floors.at_least(f"{result.title}: of {result.limit}", asked, result.of_limit(OURS))
    for result in clips:
        run.floors.fastest_rival(result, FASTER)
    made = {"arrays": arrays, "encodings": encodings, "clips": clips}
    return {**{name: [each.record() for each in results] for name, results in made.items()}, "memory": memory}


main = command(
    "extract", measure, ("numpy", "av", "PIL"), (5, 2), quick=f"{FEW} videos, few repetitions", selectable=True
)
if __name__ == "__main__":
    main()
