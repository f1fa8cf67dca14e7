"""Clips of the segments of an array, one after the other; they may have different lengths."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import chain

import numpy as np

from clipx import _kernel
from clipx._checks import check_total
from clipx.arrays.pages import Pages
from clipx.arrays.writer import ArrayWriter
from clipx.format import ClipFormat
from clipx.plan import ALL, FrameSpec, Rng, Segment, Selection, check_bounded, fill_bytes
from clipx.plan.segmented import SegmentedPlan, SegmentErrors, frames_of_segments, plan_segments
from clipx.pool import ClipPool

__all__ = ["SegmentClips", "plan_array", "writer_of"]

SLOTS = 2  # one that is written, and one that is handed out


def plan_array(
    segments: Mapping[int, Segment], spec: FrameSpec, n: int, rng: Rng, *, by_segment: bool
) -> tuple[SegmentedPlan, SegmentErrors]:
    """The plan of segments of an array of n frames, and the errors of some, such as those in seconds."""
    found, errors = frames_of_segments(segments, n)
    plan, of_spec = plan_segments(spec, found, rng, by_segment=by_segment)
    return plan, sorted(errors + of_spec, key=lambda error: error[0])


def writer_of(
    array: np.ndarray, spec: FrameSpec, format: ClipFormat, rng: np.random.Generator, plan: SegmentedPlan
) -> Callable[[int], ArrayWriter]:
    """ArrayWriters by the lengths of clips, which draw their views alike."""
    writer = ArrayWriter(array, spec, plan.length, format)
    writer.views.draw(rng)
    writer.views.key = plan.key

    return lru_cache(writer.of_length)


class SegmentClips(Iterator[np.ndarray]):
    """The clips of a plan, of an array with its time axis first; threads may share it.

    Args:
        rng: what the views of a format are drawn from.
        in_step: sources that hold slots of the pool side by side.
        selection: which clips.

    Raises ValueError where a clip does not fit into the pool, or has no longest length.
    """

    def __init__(
        self,
        array: np.ndarray,
        spec: FrameSpec,
        format: ClipFormat | None,
        plan: SegmentedPlan,
        pool: ClipPool | None,
        rng: np.random.Generator,
        in_step: int = 1,
        selection: Selection = ALL,
    ) -> None:
        self._array: np.ndarray | None = array
        self._plan, self._pool, self._frame_shape, self._dtype = plan, pool, array.shape[1:], array.dtype
        self._fill = fill_bytes(spec, array.dtype)
        self._writer = None if format is None else writer_of(array, spec, format, rng, plan)
        self._pages = Pages(array)
        self._positions = selection.of(len(plan))
        self._lowest_after = plan.lowest_after() if self._pages else None
        self._left: Iterator[int] = iter(range(len(self._positions)))
        self._lock = threading.Lock()
        longest = spec.max_length or plan.length
        shape, dtype = self._layout(None if self._writer is None else self._writer(longest), longest)
        check_total("a clip", shape, dtype.itemsize)
        if pool is not None:
            check_bounded(spec)
            pool.require(SLOTS * in_step, shape, dtype)

    @property
    def writer(self) -> ArrayWriter | None:
        """Writer of the longest clips; None without a format."""
        return None if self._writer is None else self._writer(self._plan.length)

    def _layout(self, writer: ArrayWriter | None, length: int) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype of a clip."""
        if writer is not None:
            return writer.shape, writer.dtype
        return (length, *self._frame_shape), self._dtype

    def __next__(self) -> np.ndarray:
        with self._lock:
            at, array, of_length = next(self._left, None), self._array, self._writer
            if at is None or array is None:
                # The source is not kept past its last clip.
                self._array = self._writer = None
                raise StopIteration
        position = int(self._positions[at])
        row = np.asarray(self._plan.row(position), dtype=np.int64)
        writer = None if of_length is None else of_length(len(row))
        shape, dtype = self._layout(writer, len(row))
        try:
            clip = np.empty(shape, dtype) if self._pool is None else self._pool.acquire(shape, dtype)
        except BaseException:
            with self._lock:
                self._left = chain([at], self._left)  # where a slot comes free, it is the next one again
            raise
        self._pages.need(row)
        footprint = 0 if self._pool is None else self._pool.nbytes
        if writer is None:
            _kernel.gather(array, clip, row, self._fill, footprint)
        else:
            writer.write(clip[None], row[None], position, footprint)
        if self._lowest_after is not None:
            later = position + 1 < len(self._lowest_after)
            self._pages.drop(int(self._lowest_after[position + 1]) if later else int(row.max()) + 1)
        return clip
