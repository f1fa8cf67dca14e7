"""Clips of a file as the tensor that a model takes, beside those of other decoders and chains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import av
import numpy as np
from _bench import Run
from _implementations import Implementation, contestants_of, facts_of
from _measure import timed
from _results import OURS, Result
from _tensors import BYTES, CROP, FLOAT, MEAN, STD, Layout, blob_chain, centre, numpy_first, torch_chain
from _videos import (
    DECODER,
    LENGTH,
    Contestant,
    Job,
    Video,
    check_clips,
    clipx_clips,
    decode,
    filtered_frames,
    load,
    load_spdl,
    open_torchcodec,
    opencv_frames,
    reformatted,
    run_job,
    stacked,
)

import clipx

# FFmpeg's filter crops the planes, so that the converter sees no more than the crop.
CROPPED = (("crop", f"{CROP}:{CROP}"),)


def cropped(frames: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    return ((k, centre(pixels)) for k, pixels in frames)


def pyav_numpy(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    yield from map(numpy_first(layout), stacked(cropped(reformatted(job)), job))


def pyav_torch(layout: Layout, job: Job, pool: Any, frames: Callable[[Job], Any] | None = None) -> Iterator[Any]:
    chain = torch_chain(layout, first=True)
    for clip in stacked(frames(job) if frames else cropped(reformatted(job)), job):
        yield chain(load("torch").from_numpy(clip))


def by_clipx(layout: Layout, job: Job, pool: clipx.ClipPool) -> Iterator[Any]:
    return clipx_clips(job, pool, layout.make_format())


def torch_slices(layout: Layout, frames: Any, job: Job, source: str) -> Iterator[Any]:
    chain = torch_chain(layout, True, source)
    for start in job.starts:
        yield chain(frames[start : start + LENGTH])


def torchcodec_torch(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    frames = open_torchcodec(job).get_frames_in_range(0, job.video.frames).data
    cropped = centre(frames.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    yield from torch_slices(layout, cropped, job, "TCHW")


def torchcodec_crop(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    crop = load("torchcodec.transforms").CenterCrop((CROP, CROP))
    frames = open_torchcodec(job, transforms=[crop]).get_frames_in_range(0, job.video.frames).data
    yield from torch_slices(layout, frames, job, "TCHW")


def decord_torch(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    reader = load("decord").VideoReader(job.video.path, num_threads=job.threads)
    frames = load("torch").from_numpy(reader.get_batch(range(job.video.frames)).asnumpy())
    yield from torch_slices(layout, centre(frames), job, "THWC")


def spdl_torch(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    frames = load_spdl(job.video.path, job.threads, crop_width=CROP, crop_height=CROP)
    yield from torch_slices(layout, load("torch").from_numpy(frames), job, "THWC")


def opencv_blob(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    yield from map(blob_chain(layout, bgr=True), stacked(cropped(opencv_frames(job)), job))


FILES: dict[str, tuple[Callable[..., Iterator[Any]], tuple[str, ...]]] = {
    # name: contestant, and the modules that it needs
    OURS: (by_clipx, ()),
    "PyAV, one reformatter + NumPy": (pyav_numpy, ()),
    "PyAV, one reformatter + torch": (pyav_torch, ("torchcodec",)),
    "PyAV, crop filter + torch": (
        partial(pyav_torch, frames=partial(filtered_frames, filters=CROPPED)),
        ("torchcodec",),
    ),
    "torchcodec range + torch": (torchcodec_torch, ("torchcodec",)),
    "torchcodec CenterCrop + torch": (torchcodec_crop, ("torchcodec", "torchcodec.transforms")),
    "OpenCV + blobFromImages": (opencv_blob, ("OpenCV",)),
    "decord + torch": (decord_torch, ("decord", "torchcodec")),
    "SPDL crop filter + torch": (spdl_torch, ("SPDL", "torchcodec")),
}


def file_contestants(layout: Layout, missing: Iterable[str]) -> dict[str, Contestant]:
    found: dict[str, Contestant] = {DECODER: decode}
    for name, (run, needs) in FILES.items():
        if not set(needs) & set(missing):
            found[name] = partial(run, layout)
    return found


def decoded_centres(video: Video) -> np.ndarray:
    with av.open(video.path) as container:
        return np.stack([centre(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)])


def pixels_of(layout: Layout, clip: np.ndarray) -> np.ndarray:
    """The pixels that a tensor was made of, (length, height, width, channels)."""
    numbers = clip.transpose(np.argsort(layout.axes())).astype(np.float32)
    return (numbers * STD + MEAN) * 255 if layout.computes else numbers


def make_file(video: Video, layout: Layout) -> Callable[[], object]:
    """clipx's contestant for another implementation."""
    job = Job(video)
    return partial(run_job, partial(by_clipx, layout), job, clipx.ClipPool(job.slots, layout.clip_shape, layout.dtype))


def run_file(
    video: Video,
    layout: Layout,
    frames: np.ndarray,
    missing: Iterable[str],
    others: Mapping[str, Implementation],
    run: Run,
) -> Result:
    size = f"{video.name} {video.width}x{video.height}"
    title = f"files, {size}, {layout.name}"
    run.describe(title)
    job = Job(video)
    pool = clipx.ClipPool(job.slots, layout.clip_shape, layout.dtype)
    contestants = file_contestants(layout, missing)
    like = layout.clip_shape, np.dtype(layout.dtype)
    differences = {
        name: check_clips(name, contestant(job, pool), job, frames, like, partial(pixels_of, layout))
        for name, contestant in contestants.items()
        if name != DECODER
    }
    timings = {name: partial(timed, partial(run_job, each, job, pool)) for name, each in contestants.items()}
    samples = run.interleave({**timings, **contestants_of(others, 1, make_file, video, layout)})
    return Result(
        title=title,
        samples=samples,
        clips=len(job.starts),
        clip_bytes=layout.clip_bytes,
        limits=(DECODER,),
        notes=(size, layout.name, f"{len(job.starts)} clips, {video.frames} frames"),
        figures={name: {"mean_difference": each} for name, each in differences.items()},
        facts={"layout": layout, "height": video.height, **facts_of(OURS, others)},
    )


def run_all_files(
    videos: Iterable[Video], missing: Iterable[str], others: Mapping[str, Implementation], run: Run
) -> list[Result]:
    results = []
    for video in videos:
        run.describe(f"reading {video.name}")
        frames = decoded_centres(video)
        results += [run_file(video, layout, frames, missing, others, run) for layout in (BYTES, FLOAT)]
    return results
