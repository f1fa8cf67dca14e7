"""Clips of a file whose pictures are resized: clipx, other decoders that resize, and others' frames that are."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import av
import numpy as np
from _bench import Run
from _implementations import Implementation, contestants_of, facts_of
from _measure import timed
from _resizing import SIMILAR, Rectangle, by_opencv, by_pillow, by_torchvision, check, images_of
from _results import OURS, Result
from _tensors import CROP, FLOAT, centre, numpy_first, torch_chain
from _videos import (
    DECODER,
    LENGTH,
    Contestant,
    Job,
    Video,
    clipx_clips,
    decode,
    filtered_frames,
    load,
    load_spdl,
    open_pyav,
    open_torchcodec,
    opencv_frames,
    reformatted,
    run_job,
    stacked,
)
from av.video.reformatter import VideoReformatter

import clipx
from clipx.video.writer import PictureWriter

SHORTER, SEED = 256, 1
WRITING = "resampling and writing, of decoding"
ONE_PIXEL = "clipx, one pixel of each frame"
SWSCALE = "PyAV, reformatter that resizes + clipx"
RESIZED = FLOAT.make_format(CROP, resize=SHORTER)


def resized_size(job: Job) -> tuple[int, int]:
    """Height and width of a frame whose shorter side has become SHORTER."""
    return RESIZED.resized(job.video.height, job.video.width)


def centre_rectangle(job: Job) -> tuple[float, float, float, float]:
    """Where the centre of the resized frame lies in the frame."""
    size, new = (job.video.height, job.video.width), resized_size(job)
    y, x = ((side - CROP) // 2 * old / side for side, old in zip(new, size))
    h, w = (CROP * old / side for side, old in zip(new, size))
    return y, x, h, w


def seen(job: Job) -> tuple[int, int]:
    """Height and width of what the centre of the resized frame shows, in whole pixels of the frame."""
    _, _, h, w = centre_rectangle(job)
    return round(h), round(w)


def in_numpy(clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Every clip in the same array."""
    chain, target = numpy_first(FLOAT), np.empty(FLOAT.clip_shape, FLOAT.dtype)
    return (chain(clip, target) for clip in clips)


def in_torch(clips: Iterable[Any], source: str) -> Iterator[Any]:
    return map(torch_chain(FLOAT, True, source), clips)


def of_torch_clips(job: Job, frames: Any) -> Iterator[Any]:
    return (frames[start : start + LENGTH] for start in job.starts)


# The centre of frames whose shorter side is SHORTER


def by_clipx(job: Job, pool: Any) -> Iterator[Any]:
    return clipx_clips(job, pool, RESIZED)


def one_pixel(job: Job, pool: Any) -> Iterator[Any]:
    """clipx's decoding, and next to no writing."""
    return clipx_clips(job, clipx.ClipPool(job.slots, (LENGTH, 1, 1, 3)), clipx.ClipFormat(crop=(0, 0, 1, 1)))


def swscale_and_clipx(job: Job, pool: Any) -> Iterator[Any]:
    """One reformatter makes a chroma sample for each pixel of the resized frame; clipx's kernel does the rest."""
    height, width = resized_size(job)
    format = FLOAT.make_format()
    views, reformatter = format.views(height, width), VideoReformatter()
    writer = PictureWriter(format, clipx.VideoOptions(), job.video.name)
    container, stream = open_pyav(job)
    starts, clips = set(job.starts), dict[int, Any]()
    arrays = itertools.cycle([np.empty(FLOAT.clip_shape, FLOAT.dtype) for _ in range(job.slots)])
    with container:
        for k, frame in enumerate(container.decode(stream)):
            small = reformatter.reformat(frame, width, height, "yuv444p", threads=1)
            if k in starts:
                clips[k] = next(arrays)
            targets = [(format.time_first(clip)[k - start], views) for start, clip in clips.items()]
            writer.write(small, targets, 0)
            if k - LENGTH + 1 in clips:
                yield clips.pop(k - LENGTH + 1)


def pyav_filters(job: Job, pool: Any, crop_first: bool) -> Iterator[Any]:
    (height, width), (h, w) = resized_size(job), seen(job)
    filters = [("scale", f"{width}:{height}:flags=bilinear"), ("crop", f"{CROP}:{CROP}")]
    if crop_first:
        filters = [("crop", f"{w}:{h}"), ("scale", f"{CROP}:{CROP}:flags=bilinear")]
    return in_numpy(stacked(filtered_frames(job, filters), job))


def torchcodec_transforms(job: Job, pool: Any, crop_first: bool) -> Iterator[Any]:
    transforms = load("torchcodec.transforms")
    both = [transforms.Resize(resized_size(job)), transforms.CenterCrop((CROP, CROP))]
    if crop_first:
        both = [transforms.CenterCrop(seen(job)), transforms.Resize((CROP, CROP))]
    frames = open_torchcodec(job, transforms=both).get_frames_in_range(0, job.video.frames).data
    return in_torch(of_torch_clips(job, frames), "TCHW")


def decord_resized(job: Job, pool: Any) -> Iterator[Any]:
    height, width = resized_size(job)
    reader = load("decord").VideoReader(job.video.path, width=width, height=height, num_threads=job.threads)
    frames = load("torch").from_numpy(reader.get_batch(range(job.video.frames)).asnumpy())
    return in_torch(of_torch_clips(job, centre(frames)), "THWC")


def spdl_filters(job: Job, pool: Any) -> Iterator[Any]:
    height, width = resized_size(job)
    scale = {"scale_width": width, "scale_height": height, "scale_algo": "bilinear", "scale_mode": None}
    frames = load_spdl(job.video.path, job.threads, crop_width=CROP, crop_height=CROP, **scale)
    return in_torch(of_torch_clips(job, load("torch").from_numpy(frames)), "THWC")


# A rectangle for each clip


def random_format() -> clipx.ClipFormat:
    return FLOAT.make_format(clipx.RandomResizedCrop(CROP))


def buffers() -> Iterator[np.ndarray]:
    """The same one again and again."""
    return itertools.repeat(np.empty((LENGTH, CROP, CROP, 3), np.uint8))


def rectangles_of(job: Job) -> list[Rectangle]:
    """Those that clipx draws."""
    clips = clipx.video.clips(job.video.path, job.window, random_format(), rng=SEED)
    return [clip.crop for clip in clips]


def random_clipx(rectangles: Sequence[Rectangle], job: Job, pool: Any) -> Iterator[Any]:
    return clipx_clips(job, pool, random_format(), rng=SEED)


def pyav_opencv(interpolation: str, rectangles: Sequence[Rectangle], job: Job, pool: Any) -> Iterator[Any]:
    return in_numpy(map(partial(by_opencv, interpolation), stacked(reformatted(job), job), rectangles, buffers()))


def pyav_torchvision(rectangles: Sequence[Rectangle], job: Job, pool: Any) -> Iterator[Any]:
    return in_torch(map(by_torchvision, stacked(reformatted(job), job), rectangles), "THWC")


def torchcodec_torchvision(rectangles: Sequence[Rectangle], job: Job, pool: Any) -> Iterator[Any]:
    frames = open_torchcodec(job).get_frames_in_range(0, job.video.frames).data.permute(0, 2, 3, 1).numpy()
    return in_torch(map(by_torchvision, of_torch_clips(job, frames), rectangles), "THWC")


def decord_torchvision(rectangles: Sequence[Rectangle], job: Job, pool: Any) -> Iterator[Any]:
    reader = load("decord").VideoReader(job.video.path, num_threads=job.threads)
    frames = reader.get_batch(range(job.video.frames)).asnumpy()
    return in_torch(map(by_torchvision, of_torch_clips(job, frames), rectangles), "THWC")


def opencv_opencv(interpolation: str, rectangles: Sequence[Rectangle], job: Job, pool: Any) -> Iterator[Any]:
    resized = map(partial(by_opencv, interpolation), stacked(opencv_frames(job), job), rectangles, buffers())
    return in_numpy(clip[..., ::-1] for clip in resized)


CENTRE: dict[str, tuple[Callable[..., Iterator[Any]], tuple[str, ...]]] = {
    # name: contestant, and what it needs
    OURS: (by_clipx, ()),
    ONE_PIXEL: (one_pixel, ()),
    SWSCALE: (swscale_and_clipx, ()),
    "PyAV, scale and crop filters + NumPy": (partial(pyav_filters, crop_first=False), ()),
    "PyAV, crop and scale filters + NumPy": (partial(pyav_filters, crop_first=True), ()),
    "torchcodec Resize, CenterCrop + torch": (
        partial(torchcodec_transforms, crop_first=False),
        ("torchcodec", "torchcodec.transforms"),
    ),
    "torchcodec CenterCrop, Resize + torch": (
        partial(torchcodec_transforms, crop_first=True),
        ("torchcodec", "torchcodec.transforms"),
    ),
    "decord width, height + torch": (decord_resized, ("decord", "torch")),
    "SPDL scale and crop filters + torch": (spdl_filters, ("SPDL", "torch")),
}
RANDOM: dict[str, tuple[Callable[..., Iterator[Any]], tuple[str, ...]]] = {
    OURS: (random_clipx, ()),
    "PyAV, one reformatter + OpenCV INTER_LINEAR": (partial(pyav_opencv, "INTER_LINEAR"), ("OpenCV",)),
    "PyAV, one reformatter + torchvision v2": (pyav_torchvision, ("torchvision",)),
    "torchcodec range + torchvision v2": (torchcodec_torchvision, ("torchcodec", "torchvision")),
    "decord + torchvision v2": (decord_torchvision, ("decord", "torchvision")),
    "OpenCV VideoCapture, INTER_LINEAR": (partial(opencv_opencv, "INTER_LINEAR"), ("OpenCV",)),
    "OpenCV VideoCapture, INTER_AREA": (partial(opencv_opencv, "INTER_AREA"), ("OpenCV",)),
}


def decoded(video: Video) -> np.ndarray:
    with av.open(video.path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def expected(job: Job, frames: np.ndarray, rectangles: Sequence[Rectangle]) -> list[np.ndarray]:
    """The pixels of all clips, by Pillow from PyAV's to_ndarray."""
    out = np.empty((len(job.starts), LENGTH, CROP, CROP, 3), np.uint8)
    for start, rectangle, clip in zip(job.starts, rectangles, out):
        by_pillow(images_of(frames[start : start + LENGTH]), rectangle, clip)
    return list(out)


def make_file(video: Video, is_random: bool) -> Callable[[], object]:
    """clipx's contestant for another implementation."""
    job = Job(video)
    contestant = partial(random_clipx, ()) if is_random else by_clipx
    return partial(run_job, contestant, job, clipx.ClipPool(job.slots, FLOAT.clip_shape, FLOAT.dtype))


def writing_of(samples: Mapping[str, Sequence[Any]]) -> float:
    """What clipx takes beyond its own decoding, of the decoder alone."""
    each = zip(samples[OURS], samples[ONE_PIXEL], samples[DECODER])
    return statistics.median((ours.seconds - pixel.seconds) / alone.seconds for ours, pixel, alone in each)


def title_of_file(video: Video, is_random: bool) -> str:
    what = "random resized crop" if is_random else f"shorter side {SHORTER}, centre {CROP}"
    return f"files, {video.name} {video.width}x{video.height}, {what}, {FLOAT.name}"


def run_file(
    video: Video,
    frames: np.ndarray,
    is_random: bool,
    missing: Iterable[str],
    others: Mapping[str, Implementation],
    run: Run,
) -> Result:
    title = title_of_file(video, is_random)
    run.describe(title)
    job = Job(video)
    pool = clipx.ClipPool(job.slots, FLOAT.clip_shape, FLOAT.dtype)
    rectangles: Any = rectangles_of(job) if is_random else [centre_rectangle(job)] * len(job.starts)
    contestants: dict[str, Contestant] = {DECODER: decode}
    for name, (contestant, needs) in (RANDOM if is_random else CENTRE).items():
        if not set(needs) & set(missing):
            contestants[name] = partial(contestant, rectangles) if is_random else contestant
    differences = {}
    if "Pillow" not in missing:
        right = expected(job, frames, rectangles)
        for name in contestants.keys() - {DECODER, ONE_PIXEL}:
            differences[name] = check(name, contestants[name](job, pool), right, FLOAT, SIMILAR)
        del right
    timings = {name: partial(timed, partial(run_job, each, job, pool)) for name, each in contestants.items()}
    samples = run.interleave({**timings, **contestants_of(others, 1, make_file, video, is_random)})
    figures: dict[str, dict[str, float]] = {name: {"mean_difference": each} for name, each in differences.items()}
    if not is_random:
        figures.setdefault(OURS, {})["writing_of_decoding"] = writing_of(samples)
    return Result(
        title=title,
        samples=samples,
        clips=len(job.starts),
        clip_bytes=FLOAT.clip_bytes,
        limits=(DECODER,),
        notes=(*title.split(", ")[1:], f"{len(job.starts)} clips, {video.frames} frames"),
        figures=figures,
        facts={"is_random": is_random, **facts_of(OURS, others)},
    )
