"""Clips of an array as the tensor that a model takes, beside the chains of NumPy, torch and OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from _bench import Run
from _implementations import Implementation, contestants_of, facts_of
from _measure import FLAT_WRITES, consume, flat_writes, timed
from _results import Result
from _tensors import BYTES, FLOAT, Chain, Layout, blob_chain, centre, numpy_first, numpy_last, torch_chain
from _videos import LENGTH, STRIDE, load

import clipx
from clipx.format import PRESETS

FRAMES, HEIGHT, WIDTH = 128, 256, 340
LAYOUTS = (FLOAT, Layout("float16", "CTHW"), BYTES, Layout("float32", "THWC"))
CALLS = 3  # of a sample
MOST_APART = {"uint8": 0, "float16": 1.1e-3, "float32": 1e-4}  # of float16: half the distance of numbers from 2 to 4

EXTRACT, ITERATE = "clipx extract(out=)", "clipx iterate(pool=)"
FLOAT32 = "clipx extract, float32"  # beside float16


def make_source() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)


def starts() -> range:
    return range(0, FRAMES - LENGTH + 1, STRIDE)


def expected(x: np.ndarray, layout: Layout, crop: Callable[[Any], Any] = centre) -> np.ndarray:
    """All clips by the formula."""
    exact = crop(x).astype(np.float64)
    if layout.computes:
        exact = (exact / 255 - np.float64(PRESETS["imagenet"][0])) / np.float64(PRESETS["imagenet"][1])
    exact = exact.astype("uint8" if layout.dtype == "uint8" else "float32")
    return np.stack([exact[start : start + LENGTH].transpose(layout.axes()) for start in starts()])


def check(what: str, clips: Iterable[Any], exact: np.ndarray, layout: Layout) -> None:
    """Raise unless these are the clips, each in one piece and in the layout's dtype."""
    count = 0
    for clip, right in zip(map(np.asarray, clips), exact):
        if clip.dtype != layout.dtype or clip.shape != layout.clip_shape or not clip.flags.c_contiguous:
            raise AssertionError(f"{what} gives {clip.dtype} {clip.shape}, strides {clip.strides} for {layout.name}")
        apart = float(np.abs(clip.astype(np.float32) - right).max())
        if apart > MOST_APART[layout.dtype]:
            raise AssertionError(f"{what} gives other numbers for clip {count} of {layout.name}: {apart:g} apart")
        count += 1
    if count != len(exact):
        raise AssertionError(f"{what} gives {count} clips of {layout.name}, not {len(exact)}")


def make_pool(layout: Layout) -> clipx.ClipPool:
    return clipx.ClipPool(-(-LENGTH // STRIDE) + 2, layout.clip_shape, layout.dtype)


def extract(x: np.ndarray, layout: Layout, out: np.ndarray) -> np.ndarray:
    return clipx.windows.extract(x, LENGTH, STRIDE, format=layout.make_format(), out=out)


def iterate(x: np.ndarray, layout: Layout, pool: clipx.ClipPool) -> Iterator[np.ndarray]:
    return clipx.windows.iterate(x, LENGTH, STRIDE, format=layout.make_format(), pool=pool)


def array_contestants(
    x: np.ndarray, layout: Layout, out: np.ndarray, missing: Iterable[str]
) -> dict[str, Callable[[], Any]]:
    """The rivals; each returns all clips."""

    def by_numpy(chain: Chain) -> np.ndarray:
        for target, start in zip(out, starts()):
            chain(centre(x[start : start + LENGTH]), target)
        return out

    def by_torch(chain: Chain) -> list[Any]:
        frames = load("torch").from_numpy(x)
        return [chain(centre(frames[start : start + LENGTH])) for start in starts()]

    def by_blob(chain: Chain) -> list[np.ndarray]:
        return [chain(centre(x[start : start + LENGTH])) for start in starts()]

    # Where there is nothing to compute, or nothing to bring into order, first and last are one.
    both = layout.computes and layout.order != "THWC"
    last = ", planes last" if both else ""
    contestants: dict[str, Callable[[], Any]] = {f"NumPy{last}": partial(by_numpy, numpy_last(layout))}
    if both:
        contestants["NumPy, planes first"] = partial(by_numpy, numpy_first(layout))
    if "torch" not in missing:
        load("torch").set_num_threads(1)
        contestants[f"torch{last}"] = partial(by_torch, torch_chain(layout, first=False))
        if both:
            contestants["torch, planes first"] = partial(by_torch, torch_chain(layout, first=True))
    if "OpenCV" not in missing and layout.order != "THWC":
        contestants["OpenCV blobFromImages"] = partial(by_blob, blob_chain(layout))
    return contestants


def make_extract(layout: Layout) -> Callable[[], object]:
    """clipx's contestant for another implementation."""
    x = make_source()
    out = np.empty((len(starts()), *layout.clip_shape), layout.dtype)
    check(EXTRACT, extract(x, layout, out), expected(x, layout), layout)
    return partial(extract, x, layout, out)


def run_arrays(
    x: np.ndarray, layout: Layout, missing: Iterable[str], others: Mapping[str, Implementation], run: Run
) -> Result:
    run.describe(f"arrays, {layout.name}")
    count = len(starts())
    out = np.empty((count, *layout.clip_shape), layout.dtype)
    pool, exact = make_pool(layout), expected(x, layout)
    rivals = array_contestants(x, layout, out, missing)
    for name, contestant in {EXTRACT: partial(extract, x, layout, out), **rivals}.items():
        out.fill(1)
        check(name, contestant(), exact, layout)
    check(ITERATE, iterate(x, layout, pool), exact, layout)
    del exact
    contestants: dict[str, Callable[[], Any]] = {
        EXTRACT: partial(extract, x, layout, out),
        ITERATE: lambda: consume(iterate(x, layout, pool)),
        **rivals,
        **flat_writes(out),
    }
    if layout.dtype == "float16":
        contestants[FLOAT32] = partial(extract, x, FLOAT, np.zeros((count, *FLOAT.clip_shape), np.float32))
    timings = {name: partial(timed, contestant, CALLS) for name, contestant in contestants.items()}
    samples = run.interleave({**timings, **contestants_of(others, CALLS, make_extract, layout)})
    notes = (layout.name, f"{count} clips of", f"{layout.clip_bytes / 1e6:.3g} MB")
    return Result(
        title=f"arrays, {layout.name}",
        samples=samples,
        ours=EXTRACT,
        clips=count,
        clip_bytes=layout.clip_bytes,
        limits=FLAT_WRITES,
        notes=notes,
        facts={"layout": layout, **facts_of(EXTRACT, others)},
    )


def run_all_arrays(missing: Iterable[str], others: Mapping[str, Implementation], run: Run) -> list[Result]:
    x = make_source()
    return [run_arrays(x, layout, missing, others, run) for layout in LAYOUTS]
