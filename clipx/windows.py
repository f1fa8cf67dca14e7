"""Arrays to clips: all at once (`extract`) or one after the other (`iterate`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from clipx import _kernel
from clipx._checks import as_array, check_kind, check_total, integer
from clipx._threads import each_on_a_thread
from clipx.arrays.pages import Pages, check_mapped
from clipx.arrays.writer import FormattedFrames
from clipx.format import ClipFormat
from clipx.plan.windows import Rng, WindowSpec, as_generator, fill_bytes
from clipx.pool import ClipPool

__all__ = ["WindowSpec", "extract", "indices", "iterate", "starts"]

THREAD_BYTES = 1 << 20  # below it starting a thread costs more than it copies


def starts(
    n: int, length: int, stride: int | None = None, dilation: int = 1, *, rng: Rng = None, **rest: Any
) -> np.ndarray:
    """`WindowSpec(length, stride, dilation, **rest).starts(n, rng)`."""
    return WindowSpec(length, stride, dilation, **rest).starts(n, rng)


def indices(
    n: int, length: int, stride: int | None = None, dilation: int = 1, *, rng: Rng = None, **rest: Any
) -> np.ndarray:
    """`WindowSpec(length, stride, dilation, **rest).indices(n, rng)`."""
    return WindowSpec(length, stride, dilation, **rest).indices(n, rng)


_checked = lru_cache(64, typed=True)(WindowSpec)


def _spec(*fields: Any) -> WindowSpec:
    """A WindowSpec, from memory where these fields were checked before: a loop over short videos asks every time."""
    try:
        return _checked(*fields)
    except TypeError:  # a field that cannot be hashed, or one that WindowSpec refuses
        return WindowSpec(*fields)


def _time_first(frames: Any, axis: int) -> np.ndarray:
    array = as_array("frames", frames)
    if array.ndim == 0:
        raise ValueError("frames has no dimensions, but needs a time axis")
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"axis is {axis!r}, but must be an integer")
    if not -array.ndim <= axis < array.ndim:
        raise AxisError(f"axis is {axis}, but frames has {array.ndim} dimensions")
    return array if axis == 0 else np.moveaxis(array, axis, 0)


def _check_out(out: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, array: np.ndarray) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}, but must be an ndarray")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, but {shape[0]} clips of shape {shape[1:]} need {shape}")
    if out.dtype != dtype:
        raise ValueError(f"out has dtype {out.dtype}, but clips have {dtype}")
    if not out.flags.c_contiguous:
        raise ValueError(f"out has strides {out.strides}, but must be C-contiguous")
    if not out.flags.writeable:
        raise ValueError("out is read-only, but clips are written to it")
    if np.shares_memory(array, out):
        raise ValueError("out overlaps frames, but clips must not share memory with their source")


def extract(
    frames: Any,
    length: int,
    stride: int | None = None,
    dilation: int = 1,
    *,
    policy: str = "drop",
    fill_value: Any = 0,
    num_clips: int | None = None,
    sampling: str = "regular",
    rng: Rng = None,
    axis: int = 0,
    format: ClipFormat | None = None,
    out: np.ndarray | None = None,
    num_threads: int = 1,
) -> np.ndarray:
    """All clips of an array, in one contiguous array.

    >>> clipx.windows.extract(np.arange(7), length=3, stride=2)
    array([[0, 1, 2],
           [2, 3, 4],
           [4, 5, 6]])

    Args:
        frames: array of any rank from 1, any strides and any dtype without Python objects; also anything with the
            buffer protocol, `__array__` or DLPack in the CPU's memory, such as a torch tensor. Only read.
        length, stride, dilation, policy, fill_value, num_clips, sampling: see `WindowSpec`.
        rng: Generator or seed for sampling "random", and for what the format draws.
        axis: the time axis of frames; it becomes axis 1 of the result.
        format: how frames (n, height, width, channels) are written; default as they are.
        out: where to write: C-contiguous, of the result's shape and dtype, apart from frames.
        num_threads: threads that copy, without the GIL.

    Returns array (clips, length, ...), or (clips, ...) in the format's order, C-contiguous, which owns its memory (or
    `out`).
    Raises TypeError and ValueError that name the argument, before anything is written.
    """
    spec = _spec(length, stride, dilation, policy, fill_value, num_clips, sampling)
    array = _time_first(frames, axis)
    check_mapped(array)
    num_threads = integer("num_threads", num_threads, 1)
    fill = fill_bytes(spec, array.dtype)
    count = spec.count(len(array))
    formatted = None
    clip_shape, dtype = (spec.length, *array.shape[1:]), array.dtype
    if format is not None:
        check_kind("format", format, ClipFormat)
        formatted, rng = FormattedFrames(array, spec, format), as_generator(rng)
        clip_shape, dtype = formatted.shape, formatted.dtype
    shape = (count, *clip_shape)
    total = check_total("clips", shape, dtype.itemsize)
    if out is None:
        out = np.empty(shape, dtype)
    else:
        _check_out(out, shape, dtype, array)
    table = spec.indices_at(spec.starts(len(array), rng), len(array))
    if formatted is not None:
        formatted.views.draw(rng)
        _in_threads(min(num_threads, count, total // THREAD_BYTES + 1), count, partial(_write, formatted, out, table))
        return out
    parts = min(num_threads, table.size, total // THREAD_BYTES + 1)
    if parts <= 1:
        _kernel.gather(array, out, table, fill)
        return out
    table = table.reshape(-1)
    places = out.reshape(len(table), *array.shape[1:])
    _in_threads(parts, len(table), lambda a, b: _kernel.gather(array, places[a:b], table[a:b], fill, total))
    return out


def _write(frames: FormattedFrames, out: np.ndarray, table: np.ndarray, first: int, end: int) -> None:
    frames.write(out[first:end], table[first:end], first, out.nbytes)


def _in_threads(parts: int, n: int, work: Callable[[int, int], None]) -> None:
    """work(a, b) for `parts` ranges that make up n, each on a thread; its errors are raised here."""
    if parts <= 1:
        work(0, n)
        return
    bounds = [n * i // parts for i in range(parts + 1)]
    each_on_a_thread([partial(work, a, b) for a, b in zip(bounds, bounds[1:])])


def iterate(
    frames: Any,
    length: int,
    stride: int | None = None,
    dilation: int = 1,
    *,
    policy: str = "drop",
    fill_value: Any = 0,
    num_clips: int | None = None,
    sampling: str = "regular",
    rng: Rng = None,
    axis: int = 0,
    format: ClipFormat | None = None,
    pool: ClipPool | None = None,
) -> Iterator[np.ndarray]:
    """The clips of an array, one after the other, each independent of the source and of all others.

    Replaces the slicing loop::

        for start in range(0, len(x) - 16 + 1, 8):            for clip in clipx.windows.iterate(x, 16, 8):
            yield x[start : start + 16]                           yield clip

    Args as in `extract`, and pool: clips are slots of it, which come back when nothing sees them any more; None gives
    each clip memory of its own.

    Returns an iterator of arrays (length, ...), or in the format's order, C-contiguous. Raises as `extract` at the
    call, and while iterating PoolExhausted where every slot of the pool is held.
    """
    spec = _spec(length, stride, dilation, policy, fill_value, num_clips, sampling)
    array = _time_first(frames, axis)
    check_total("a clip", (spec.length, *array.shape[1:]), array.itemsize)
    if format is None:
        return iterate_spec(array, spec, spec.starts(len(array), rng), pool)
    check_kind("format", format, ClipFormat)
    formatted, rng = FormattedFrames(array, spec, format), as_generator(rng)
    at = spec.starts(len(array), rng)
    formatted.views.draw(rng)
    return iterate_formatted(formatted, spec, at, len(array), pool)


def iterate_spec(
    array: np.ndarray, spec: WindowSpec, starts: np.ndarray, pool: ClipPool | None, in_step: int = 1
) -> Iterator[np.ndarray]:
    """`iterate` for a checked array, time axis first, and a plan; `in_step` sources are cut from the pool at once."""
    fill = fill_bytes(spec, array.dtype)
    table = spec.indices_at(starts, len(array))
    shape = (spec.length, *array.shape[1:])
    pages = Pages(array)
    if pool is None:
        clips = _kernel.Clips(array, table, fill, shape, array.dtype)
    else:
        pool.require(spec.slots(starts) * in_step, shape, array.dtype)
        slots = pool.slots_for(shape, array.dtype)
        clips = _kernel.Clips(array, table, fill, shape, array.dtype, slots, pool.acquire)
    return _Paged(clips, table, starts, pages) if pages else clips


class _Paged(Iterator[np.ndarray]):
    """Clips of a mapped array, whose pages are asked for before a clip and given back behind it."""

    def __init__(self, clips: Iterator[np.ndarray], table: np.ndarray, starts: np.ndarray, pages: Pages) -> None:
        self._clips, self._table, self._pages = clips, table, pages
        # The first frame of this clip or any later one; what a policy takes from before is read a second time.
        self._after = np.minimum.accumulate(starts[::-1])[::-1]
        self._done = 0

    def __next__(self) -> np.ndarray:
        at = self._done
        if at < len(self._table):
            self._pages.need(self._table[at])
        clip = next(self._clips)
        self._done = at + 1
        later = self._done < len(self._table)
        self._pages.drop(int(self._after[at + 1]) if later else int(self._table[at].max()) + 1)
        return clip


def iterate_formatted(
    frames: FormattedFrames,
    spec: WindowSpec,
    starts: np.ndarray,
    n: int,
    pool: ClipPool | None,
    in_step: int = 1,
    indices: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """`iterate_spec` for the frames of an array of n frames that have a format; `indices` are those of the clips."""
    check_total("a clip", frames.shape, frames.dtype.itemsize)
    footprint = 0
    make = partial(np.empty, frames.shape, frames.dtype)
    if pool is not None:
        pool.require(spec.slots(starts) * in_step, frames.shape, frames.dtype)
        make, footprint = partial(pool.acquire, frames.shape, frames.dtype), pool.nbytes
    table = spec.indices_at(starts, n)
    clips = _Formatted(frames, table, range(len(table)) if indices is None else indices.tolist(), make, footprint)
    return _Paged(clips, table, starts, frames.pages) if frames.pages else clips


class _Formatted(Iterator[np.ndarray]):
    """Clips that have a format; it goes on after `make` has raised."""

    def __init__(
        self,
        frames: FormattedFrames,
        table: np.ndarray,
        indices: Sequence[int],
        make: Callable[[], np.ndarray],
        footprint: int,
    ) -> None:
        self._frames: FormattedFrames | None = frames
        self._table, self._indices, self._make, self._footprint = table, indices, make, footprint
        self._rows = iter(range(len(table)))
        self._lock = threading.Lock()
        self._next: int | None = next(self._rows, None)

    def __next__(self) -> np.ndarray:
        # Threads may share this: each takes a row, and keeps the frames.
        frames = self._frames
        if self._next is None or frames is None:
            # The source is not kept past its last clip.
            self._frames = None
            raise StopIteration
        clip = self._make()
        with self._lock:
            row = self._next
            if row is None:
                raise StopIteration
            self._next = next(self._rows, None)
        frames.write(clip[None], self._table[row : row + 1], self._indices[row], self._footprint)
        return clip
