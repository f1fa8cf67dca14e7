"""Clips of an array whose pictures are resized: the cases, clipx, and the chains of other libraries."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from _bench import Run
from _implementations import Implementation, contestants_of, facts_of
from _measure import timed
from _resizing import (
    LIBRARIES,
    PILLOW,
    PILLOWS,
    PILLOWS_INSIDE,
    TORCH,
    TORCHVISION,
    Library,
    Rectangle,
    by_pillow,
    check,
    closeness_of,
    floats_by_torch,
    images_of,
    torchvision_chain,
)
from _results import Result
from _tensors import CROP, FLOAT, Layout, numpy_first, torch_chain
from _videos import LENGTH, load, texture

import clipx
from clipx._views import Views

CALLS = 3  # of a sample
SEED = 1
EXTRACT = "clipx extract(out=)"
PILLOW_SIMD = "Pillow-SIMD, Images made before"
TORCHVISION_CHAIN = f"{TORCHVISION}, ToDtype and Normalize"
FOLDER = "PILLOW_SIMD"  # of the environment
LAYOUTS = (Layout("uint8", "THWC"), FLOAT)


class Case(NamedTuple):
    """Pictures of an array: all of each, the same rectangle's size for every clip, or one drawn for each."""

    name: str
    height: int
    width: int
    frames: int
    rectangle: tuple[int, int] | None = None
    is_random: bool = False

    @property
    def starts(self) -> range:
        return range(0, self.frames, LENGTH)

    def make_source(self) -> np.ndarray:
        """Parts of one picture of smooth noise that has a little of its own in every frame."""
        height, width, moves = self.height, self.width, 16
        planes = [texture(height + moves, width + moves, seed) for seed in (1, 2, 3)]
        picture, random = np.stack(planes, axis=-1), np.random.default_rng(0)
        x = np.empty((self.frames, height, width, 3), np.uint8)
        noise = random.integers(0, 8, x.shape[1:], np.uint8)
        for k, frame in enumerate(x):
            at = k % moves
            np.add(picture[at : at + height, at : at + width], np.roll(noise, k, axis=1), out=frame)
        return x

    def make_format(self, layout: Layout) -> clipx.ClipFormat:
        if self.rectangle is not None:
            h, w = self.rectangle
            part, shape = h * w / (self.height * self.width), w / h
            return layout.make_format(clipx.RandomResizedCrop(CROP, (part, part), (shape, shape)))
        if self.is_random:
            return layout.make_format(clipx.RandomResizedCrop(CROP))
        return layout.make_format(None, resize=(CROP, CROP))

    def rectangles(self) -> list[Rectangle]:
        """That of each clip."""
        if self.rectangle is None and not self.is_random:
            return [(0, 0, self.height, self.width)] * len(self.starts)
        views = Views(self.make_format(FLOAT), self.height, self.width)
        views.draw(SEED)
        found = [views[i][0][:4] for i in range(len(self.starts))]
        if self.rectangle is not None and {each[2:] for each in found} != {self.rectangle}:
            raise AssertionError(f"{self.name}: the rectangles are {found}")
        return found


CASES = (
    Case("256x340, resized", 256, 340, 128),
    Case("256x340, random resized crop", 256, 340, 128, is_random=True),
    Case("720p, resized", 720, 1280, 64),
    Case("720p, random resized crop", 720, 1280, 64, is_random=True),
    *(Case(f"720p, {h}x{w} of it", 720, 1280, 64, (h, w)) for h, w in ((250, 260), (500, 700), (690, 900))),
)


def make_out(case: Case, layout: Layout) -> np.ndarray:
    return np.ones((len(case.starts), *layout.clip_shape), layout.dtype)


def clips_of(x: np.ndarray, case: Case, layout: Layout, out: np.ndarray) -> Callable[[], np.ndarray]:
    format = case.make_format(layout)
    return lambda: clipx.windows.extract(x, LENGTH, format=format, rng=SEED, out=out)


def chained(
    library: Library, pictures: Any, case: Case, layout: Layout, out: np.ndarray, chain: Callable[..., Any] | None
) -> Callable[[], Any]:
    """All clips, resized by a library; a chain brings uint8 (length, CROP, CROP, 3) into the layout.

    It takes a tensor of torch's libraries and returns a clip, or else writes an array into a clip of `out`.
    """
    buffer = np.empty((LENGTH, CROP, CROP, 3), np.uint8)
    ranges = [(pictures[start : start + LENGTH], each) for start, each in zip(case.starts, case.rectangles())]

    def in_torch() -> list[Any]:
        resized = (library.resize(frames, rectangle, buffer) for frames, rectangle in ranges)
        return list(map(chain, resized) if chain else resized)

    def in_place() -> np.ndarray:
        for clip, (frames, rectangle) in zip(out, ranges):
            if chain:
                chain(library.resize(frames, rectangle, buffer), clip)
            else:
                library.resize(frames, rectangle, clip)
        return out

    return in_torch if library.in_torch else in_place


def array_contestants(
    x: np.ndarray, case: Case, layout: Layout, out: np.ndarray, missing: Iterable[str]
) -> dict[str, tuple[Library, Callable[[], Any]]]:
    """The rivals; each returns all clips."""
    found: dict[str, tuple[Library, Callable[[], Any]]] = {}
    libraries = {name: each for name, each in LIBRARIES.items() if each.needs not in missing}
    images = images_of(x) if PILLOW in libraries else []
    for name, library in libraries.items():
        all_clips = partial(chained, library, images if library.of_images else x, case, layout, out)
        if not layout.computes:
            found[name] = library, all_clips(None)
        elif library.in_torch:
            found[f"{name}, planes first"] = library, all_clips(torch_chain(layout, first=True))
        else:
            found[f"{name} + NumPy"] = library, all_clips(numpy_first(layout))
    if layout.computes and TORCHVISION in libraries:
        library = libraries[TORCHVISION]
        found[TORCHVISION_CHAIN] = library, chained(library, x, case, layout, out, torchvision_chain(layout))
    if layout.computes and TORCH in libraries:
        library = libraries[TORCH]
        floats = library._replace(resize=lambda frames, rectangle, _: floats_by_torch(layout, frames, rectangle))
        found["torch interpolate of floats"] = floats, chained(floats, x, case, layout, out, None)
    return found


def expected(x: np.ndarray, case: Case, missing: Iterable[str]) -> list[np.ndarray]:
    """The pixels of all clips: Pillow's or, without it, clipx's."""
    layout = LAYOUTS[0]
    out = make_out(case, layout)
    if "Pillow" in missing:
        return list(clips_of(x, case, layout, out)())
    clips = zip(case.starts, case.rectangles(), out)
    return [by_pillow(images_of(x[start : start + LENGTH]), each, clip) for start, each, clip in clips]


def make_extract(case: Case, layout: Layout, missing: Iterable[str]) -> Callable[[], object]:
    """clipx's contestant for another implementation."""
    x, out = case.make_source(), make_out(case, layout)
    function = clips_of(x, case, layout, out)
    check(EXTRACT, function(), expected(x, case, missing), layout, PILLOWS)
    return function


def make_pillow_simd(folder: str, case: Case, layout: Layout) -> Callable[[], object]:
    """Pillow-SIMD's contestant, in a process that has not imported Pillow, whose name it has."""
    if "PIL" not in sys.modules:
        sys.path.insert(0, folder)
    if ".post" not in load("PIL").__version__:
        raise ImportError(f"{FOLDER} does not name a folder that has Pillow-SIMD")
    x, out = case.make_source(), make_out(case, layout)
    right = list(clips_of(x, case, LAYOUTS[0], make_out(case, LAYOUTS[0]))())
    chain = numpy_first(layout) if layout.computes else None
    function = chained(LIBRARIES[PILLOW], images_of(x), case, layout, out, chain)
    check(PILLOW_SIMD, function(), right, layout, PILLOWS)
    return function


def title_of_array(case: Case, layout: Layout) -> str:
    return f"arrays, {case.name}, {layout.name}"


def run_arrays(
    case: Case,
    layout: Layout,
    missing: Iterable[str],
    others: Mapping[str, Implementation],
    simd: Implementation | None,
    run: Run,
) -> Result:
    title = title_of_array(case, layout)
    run.describe(title)
    x, out = case.make_source(), make_out(case, layout)
    right = expected(x, case, missing)
    ours = clips_of(x, case, layout, out)
    check(EXTRACT, ours(), right, layout, PILLOWS)
    contestants: dict[str, Callable[[], Any]] = {EXTRACT: ours}
    whole = case.rectangle is None and not case.is_random
    differences = {}
    for name, (library, contestant) in array_contestants(x, case, layout, out, missing).items():
        out.fill(1)
        near = closeness_of(library)
        near = PILLOWS if whole and near is PILLOWS_INSIDE else near
        differences[name] = check(name, contestant(), right, layout, near)
        contestants[name] = contestant
    del right
    timings: dict[str, Any] = {name: partial(timed, each, CALLS) for name, each in contestants.items()}
    if simd is not None:
        more = f"{PILLOW_SIMD} + NumPy" if layout.computes else PILLOW_SIMD
        timings |= contestants_of({more: simd}, CALLS, make_pillow_simd, os.environ[FOLDER], case, layout)
    samples = run.interleave({**timings, **contestants_of(others, CALLS, make_extract, case, layout, tuple(missing))})
    return Result(
        title=title,
        samples=samples,
        ours=EXTRACT,
        clips=len(case.starts),
        clip_bytes=layout.clip_bytes,
        notes=(case.name, layout.name, f"{len(case.starts)} clips of {LENGTH} pictures"),
        figures={name: {"mean_difference": each} for name, each in differences.items()},
        facts={"case": case, "layout": layout, **facts_of(EXTRACT, others)},
    )
