"""Three views of each frame, written in one pass over the frames or in three, of an array and of a file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from _bench import Run
from _format_arrays import HEIGHT, MOST_APART, WIDTH, expected, make_pool, starts
from _measure import FLAT_WRITES, flat_writes, timed
from _results import OURS, Result
from _tensors import CROP, FLOAT, STD, torch_chain
from _videos import (
    DECODER,
    LENGTH,
    MOST_DIFFERENCE,
    STRIDE,
    Contestant,
    Job,
    Video,
    clipx_clips,
    decode,
    load,
    reformatted,
    run_job,
    stacked,
)

import clipx

PASSES = "clipx, a pass for each view"
THREE = ("three", CROP)


def view_corners(height: int, width: int) -> list[tuple[int, int]]:
    """Where the three views of a picture begin."""
    return [(view.y, view.x) for view in FLOAT.make_format(THREE).views(height, width)]


def format_of(corner: tuple[int, int]) -> clipx.ClipFormat:
    return FLOAT.make_format((*corner, CROP, CROP))


def cropped_at(frames: Any, corner: tuple[int, int]) -> Any:
    y, x = corner
    return frames[..., y : y + CROP, x : x + CROP, :]


def torch_views(clips: Iterable[Any], corners: list[tuple[int, int]]) -> Iterator[Any]:
    """The views of clips, which are tensors in the order THWC, side by side."""
    torch, chain = load("torch"), torch_chain(FLOAT, first=True)
    for clip in clips:
        yield torch.stack([chain(cropped_at(clip, corner)) for corner in corners])


def same_views(name: str, found: Iterable[Any], exact: Iterable[np.ndarray], most: float) -> None:
    """Raise unless the views of all clips are these, on average at most so far apart."""
    for clip, right in itertools.zip_longest(map(np.asarray, found), exact):
        if clip is None or right is None or clip.shape != right.shape or clip.dtype != right.dtype:
            raise AssertionError(f"{name} gives other clips")
        if float(np.abs(clip - right).mean()) > most:
            raise AssertionError(f"{name} gives other numbers")


def run_array_views(x: np.ndarray, missing: Iterable[str], run: Run) -> Result:
    title = f"arrays, 3 views, {FLOAT.name}"
    run.describe(title)
    corners, format = view_corners(HEIGHT, WIDTH), FLOAT.make_format(THREE)
    out = np.ones((len(starts()), 3, *FLOAT.clip_shape), np.float32)
    parts = [np.ones((len(starts()), *FLOAT.clip_shape), np.float32) for _ in corners]

    def one_pass() -> Any:
        return clipx.windows.extract(x, LENGTH, STRIDE, format=format, out=out)

    def three_passes() -> list[np.ndarray]:
        for part, corner in zip(parts, corners):
            clipx.windows.extract(x, LENGTH, STRIDE, format=format_of(corner), out=part)
        return parts

    def by_torch() -> list[Any]:
        frames = load("torch").from_numpy(x)
        return list(torch_views((frames[start : start + LENGTH] for start in starts()), corners))

    contestants: dict[str, Callable[[], Any]] = {OURS: one_pass, PASSES: three_passes}
    if "torch" not in missing:
        contestants["torch, planes first"] = by_torch
    exact = list(np.stack([expected(x, FLOAT, partial(cropped_at, corner=each)) for each in corners], axis=1))
    for name, contestant in contestants.items():
        same_views(
            name, np.stack(contestant(), axis=1) if name == PASSES else contestant(), exact, MOST_APART["float32"]
        )
    del exact
    timings = {name: partial(timed, each, 1) for name, each in (contestants | flat_writes(out)).items()}
    return Result(
        title=title,
        samples=run.interleave(timings),
        clips=len(out),
        clip_bytes=3 * FLOAT.clip_bytes,
        limits=FLAT_WRITES,
        notes=("3 views,", FLOAT.name, f"{len(out)} clips of", f"{3 * FLOAT.clip_bytes / 1e6:.3g} MB"),
    )


def run_file_views(video: Video, missing: Iterable[str], run: Run) -> Result:
    size = f"{video.name} {video.width}x{video.height}"
    title = f"files, {size}, 3 views, {FLOAT.name}"
    run.describe(title)
    job, corners, format = Job(video), view_corners(video.height, video.width), FLOAT.make_format(THREE)
    pool = clipx.ClipPool(job.slots, (3, *FLOAT.clip_shape), FLOAT.dtype)
    view_pool = make_pool(FLOAT)

    def three_passes(job: Job, pool: Any) -> Iterator[Any]:
        for corner in corners:
            yield from clipx_clips(job, view_pool, format_of(corner))

    def by_torch(job: Job, pool: Any) -> Iterator[Any]:
        torch = load("torch")
        return torch_views(map(torch.from_numpy, stacked(reformatted(job), job)), corners)

    contestants: dict[str, Contestant] = {
        DECODER: decode,
        OURS: lambda job, pool: clipx_clips(job, pool, format),
        PASSES: three_passes,
    }
    if "torch" not in missing:
        contestants["PyAV, one reformatter + torch"] = by_torch
    for name, contestant in list(contestants.items())[1:]:
        if name != PASSES:
            in_step = (clipx_clips(job, make_pool(FLOAT), format_of(corner)) for corner in corners)
            most = MOST_APART["float32"] if name == OURS else float(MOST_DIFFERENCE / 255 / STD.min())
            same_views(name, contestant(job, pool), map(np.stack, zip(*in_step)), most)
    samples = run.interleave(
        {name: partial(timed, partial(run_job, each, job, pool)) for name, each in contestants.items()}
    )
    return Result(
        title=title,
        samples=samples,
        clips=len(job.starts),
        clip_bytes=3 * FLOAT.clip_bytes,
        limits=(DECODER,),
        notes=(size, f"3 views, {FLOAT.name}", f"{len(job.starts)} clips, {video.frames} frames"),
    )
