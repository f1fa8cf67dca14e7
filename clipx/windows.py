"""Arrays to clips: all at once (`extract`) or one after the other (`iterate`).

Stability: stable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from clipx import _kernel
from clipx._checks import as_array, check_kind, check_total, check_writable, integer
from clipx._threads import each_on_a_thread
from clipx.arrays.clips import copied_clips, written_clips
from clipx.arrays.pages import check_mapped
from clipx.arrays.segments import SegmentClips, plan_array
from clipx.arrays.writer import ArrayWriter
from clipx.format import ClipFormat
from clipx.plan import (
    Extent,
    FrameSpec,
    Offset,
    Policy,
    Rng,
    Sampling,
    Segment,
    WindowSpec,
    as_generator,
    as_segments,
    fill_bytes,
)
from clipx.plan.even import EvenWindows, even_windows
from clipx.plan.rows import first_frame
from clipx.plan.segmented import SegmentedPlan, raising_first
from clipx.pool import ClipPool, as_pool

__all__ = ["WindowSpec", "extract", "indices", "iterate", "starts"]

THREAD_BYTES = 1 << 20  # below it starting a thread costs more than it copies


_checked = lru_cache(64, typed=True)(WindowSpec)
_DEFAULTS = {each.name: each.default for each in fields(WindowSpec)}


def _spec(length: int | FrameSpec, *rest: Any) -> FrameSpec:
    """The spec itself, or a WindowSpec of these fields.

    It is from memory where the fields were checked before: a loop over short videos asks every time. Raises TypeError
    where a field is given beside a spec.
    """
    if type(length) is not int and isinstance(length, FrameSpec):
        for name, value in zip(list(_DEFAULTS)[1:], rest):
            if type(value) is not type(_DEFAULTS[name]) or value != _DEFAULTS[name]:
                raise TypeError(f"{name} is {value!r}, but {length!r} has been given, which says all of the clips")
        return length
    try:
        return _checked(length, *rest)
    except TypeError:  # a field that cannot be hashed, or one that WindowSpec refuses
        return WindowSpec(length, *rest)


def _any_spec(length: int | FrameSpec, stride: int | None, dilation: int, rest: dict[str, Any]) -> FrameSpec:
    if type(length) is int or not isinstance(length, FrameSpec):
        try:
            return _checked(length, stride, dilation, **rest)
        except TypeError:  # as in _spec
            return WindowSpec(length, stride, dilation, **rest)
    for name, value in rest.items():
        raise TypeError(f"{name} is {value!r}, but {length!r} has been given, which says all of the clips")
    return _spec(length, stride, dilation)


def starts(
    n: int,
    length: int | FrameSpec,
    stride: int | None = None,
    dilation: int = 1,
    *,
    rng: Rng = None,
    segments: Segments | None = None,
    **rest: Any,
) -> np.ndarray:
    """Start frames of the clips of n frames, int64 (clips,); the other arguments as in `extract`.

    With segments, too, they are frames of the source.

    Stability: stable.
    """
    spec = _any_spec(length, stride, dilation, rest)
    if segments is None:
        return spec.starts(n, rng)
    plan = _planned(segments, spec, Extent(n).n, rng)
    return np.array([first_frame(plan.row(position)) for position in range(len(plan))], dtype=np.int64)


def indices(
    n: int,
    length: int | FrameSpec,
    stride: int | None = None,
    dilation: int = 1,
    *,
    rng: Rng = None,
    segments: Segments | None = None,
    **rest: Any,
) -> np.ndarray:
    """Source frame of every position of the clips of n frames, int64 (clips, length); -1 where fill_value goes.

    The other arguments as in `extract`.

    Stability: stable.
    """
    spec = _any_spec(length, stride, dilation, rest)
    if segments is None:
        return spec.rows(n, rng)
    return _planned(segments, spec, Extent(n).n, rng).table()


def _planned(segments: Segments, spec: FrameSpec, n: int, rng: Rng) -> SegmentedPlan:
    """The plan of all segments, one after the other. Raises the error of any."""
    plan, errors = plan_array(as_segments(segments, "frames") or {}, spec, n, rng, by_segment=True)
    if errors:
        raise errors[0][1]
    return plan


Segments = Iterable[Segment | Sequence[Any]]
"""Segments, and pairs (start, end)."""


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
    check_writable("out", out)
    if np.shares_memory(array, out):
        raise ValueError("out overlaps frames, but clips must not share memory with their source")


def extract(
    frames: Any,
    length: int | FrameSpec,
    stride: int | None = None,
    dilation: int = 1,
    *,
    policy: Policy = "drop",
    fill_value: Any = 0,
    num_clips: int | None = None,
    sampling: Sampling = "regular",
    offset: Offset = 0,
    rng: Rng = None,
    segments: Segments | None = None,
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
        length: frames of a clip; or a FrameSpec, which says all of the clips, so that no other of these is given.
        stride, dilation, policy, fill_value, num_clips, sampling, offset: see `WindowSpec`.
        rng: Generator or seed for what the spec draws, and for what the format draws.
        segments: pairs (start, end) of frames, or Segments in frames: each is a source of its own. All clips of the
            first come first, and so on. Default: frames are not divided.
        axis: the time axis of frames; it becomes axis 1 of the result.
        format: how frames (n, height, width, channels) are written; default as they are.
        out: where to write: C-contiguous, of the result's shape and dtype, apart from frames.
        num_threads: threads that copy, without the GIL.

    Returns array (clips, length, ...), or (clips, ...) in the format's order, C-contiguous, which owns its memory (or
    `out`).
    Raises TypeError and ValueError that name the argument, before anything is written.

    Stability: stable.
    """
    spec = _spec(length, stride, dilation, policy, fill_value, num_clips, sampling, offset)
    array = _time_first(frames, axis)
    check_mapped(array)
    num_threads = integer("num_threads", num_threads, 1)
    fill = fill_bytes(spec, array.dtype)
    is_random = spec.is_random
    if format is not None or is_random:
        check_kind("format", format, ClipFormat, None)
        if rng is not None or is_random or (format is not None and format.is_random):
            rng = as_generator(rng)
    if format is None and num_threads == 1 and segments is None and type(spec) is WindowSpec:
        windows = even_windows(spec, len(array))
        if windows is not None:
            return _extract_even(array, spec, windows, out)
    longest, plan = spec.max_length, None
    if segments is not None:
        plan = _planned(segments, spec, len(array), rng)
    elif is_random:
        spec = spec.drawn(rng)
    if format is None and longest is not None:
        # Before memory is asked for the rows.
        count = spec.count(len(array)) if plan is None else len(plan)
        check_total("clips", (count, longest, *array.shape[1:]), array.itemsize)
    rows = spec.checked_rows(len(array), rng) if plan is None else plan.table()
    writer = None
    shape, dtype = rows.shape + array.shape[1:], array.dtype
    if format is not None:
        writer = ArrayWriter(array, spec, rows.shape[1], format)
        shape, dtype = (len(rows), *writer.shape), writer.dtype
        check_total("clips", shape, dtype.itemsize)
    if out is None:
        out = np.empty(shape, dtype)
    else:
        _check_out(out, shape, dtype, array)
    parts = 1 if num_threads == 1 else min(num_threads, rows.size, out.nbytes // THREAD_BYTES + 1)
    if writer is not None:
        writer.views.draw(rng)
        writer.views.key = None if plan is None else plan.key
        _in_threads(min(parts, len(rows)), len(rows), partial(_write, writer, out, rows))
    elif parts <= 1:
        _kernel.gather(array, out, rows, fill)
    else:
        frames_of = rows.reshape(-1)
        positions = out.reshape(len(frames_of), *array.shape[1:])
        _in_threads(parts, len(frames_of), partial(_gather, array, positions, frames_of, fill))
    return out


def _extract_even(array: np.ndarray, spec: WindowSpec, windows: EvenWindows, out: np.ndarray | None) -> np.ndarray:
    """All clips, where they are evenly apart and complete: without their rows, which in a short array cost as much."""
    shape = (windows.clips, spec.length, *array.shape[1:])
    check_total("clips", shape, array.itemsize)
    if out is None:
        out = np.empty(shape, array.dtype)
    else:
        _check_out(out, shape, array.dtype, array)
    _kernel.gather_windows(array, out, *windows, spec.length, spec.dilation)
    return out


def _gather(array: np.ndarray, out: np.ndarray, frames: np.ndarray, fill: bytes | None, first: int, end: int) -> None:
    _kernel.gather(array, out[first:end], frames[first:end], fill, out.nbytes)


def _write(writer: ArrayWriter, out: np.ndarray, rows: np.ndarray, first: int, end: int) -> None:
    writer.write(out[first:end], rows[first:end], first, out.nbytes)


def _in_threads(parts: int, n: int, work: Callable[[int, int], None]) -> None:
    """work(a, b) for `parts` ranges that make up n, each on a thread; its errors are raised here."""
    if parts <= 1:
        work(0, n)
        return
    bounds = [n * i // parts for i in range(parts + 1)]
    each_on_a_thread([partial(work, a, b) for a, b in zip(bounds, bounds[1:])])


def iterate(
    frames: Any,
    length: int | FrameSpec,
    stride: int | None = None,
    dilation: int = 1,
    *,
    policy: Policy = "drop",
    fill_value: Any = 0,
    num_clips: int | None = None,
    sampling: Sampling = "regular",
    offset: Offset = 0,
    rng: Rng = None,
    segments: Segments | None = None,
    axis: int = 0,
    format: ClipFormat | None = None,
    pool: ClipPool | int | str | None = None,
) -> Iterator[np.ndarray]:
    """The clips of an array, one after the other, each independent of the source and of all others.

    Replaces the slicing loop::

        for start in range(0, len(x) - 16 + 1, 8):            for clip in clipx.windows.iterate(x, 16, 8):
            yield x[start : start + 16]                           yield clip

    Args as in `extract`, and pool: a ClipPool, or bytes such as "2GB" to make one of for this call. Clips are slots of
    it, which are free again when nothing sees them any more. None gives each clip memory of its own.

    Returns an iterator of arrays (length, ...), or in the format's order, C-contiguous; those of segments may have
    different lengths. Raises as `extract` at the call, and while iterating PoolExhausted where every slot of the pool
    is held; the error of a segment comes after all clips of the others.

    Stability: stable.
    """
    spec, pool = _spec(length, stride, dilation, policy, fill_value, num_clips, sampling, offset), as_pool(pool)
    array = _time_first(frames, axis)
    if segments is not None:
        rng = as_generator(rng)
        plan, errors = plan_array(as_segments(segments, "frames") or {}, spec, len(array), rng, by_segment=True)
        clips = SegmentClips(array, spec, format, plan, pool, rng)
        return raising_first(clips, errors) if errors else clips
    if format is None:
        if spec.max_length is not None:
            check_total("a clip", (spec.max_length, *array.shape[1:]), array.itemsize)
        rows = spec.checked_rows(len(array), as_generator(rng) if spec.is_random else rng)
        return copied_clips(array, spec, rows, pool)
    check_kind("format", format, ClipFormat)
    if rng is not None or spec.is_random or format.is_random:
        rng = as_generator(rng)
    rows = spec.checked_rows(len(array), rng)
    writer = ArrayWriter(array, spec, rows.shape[1], format)
    writer.views.draw(rng)
    return written_clips(writer, spec, rows, pool)
