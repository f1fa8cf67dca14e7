"""Clips of an array, one after the other: copied, or written as a format says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from clipx import _kernel
from clipx._checks import check_total
from clipx._views import Views
from clipx.arrays.pages import Pages
from clipx.arrays.segments import SegmentClips, plan_array
from clipx.arrays.writer import ArrayWriter
from clipx.clip import Clip
from clipx.errors import Damage
from clipx.format import ClipFormat
from clipx.plan import FrameSpec, Segment, Selection, check_bounded, fill_bytes
from clipx.plan.rows import first_frames
from clipx.pool import ClipPool

__all__ = ["ArrayClips", "copied_clips", "written_clips"]


def copied_clips(
    array: np.ndarray, spec: FrameSpec, rows: np.ndarray, pool: ClipPool | None, in_step: int = 1
) -> Iterator[np.ndarray]:
    """Clips of these rows of an array, time axis first; `in_step` sources take slots of the pool side by side."""
    fill = fill_bytes(spec, array.dtype)
    shape = (rows.shape[1], *array.shape[1:])
    pages = Pages(array)
    if pool is None:
        clips = _kernel.Clips(array, rows, fill, shape, array.dtype)
    else:
        check_bounded(spec)
        pool.require(spec.slots(rows[:, 0]) * in_step, shape, array.dtype)
        slots = pool.slots_for(shape, array.dtype)
        clips = _kernel.Clips(array, rows, fill, shape, array.dtype, slots, pool.acquire)
    return _PagedClips(clips, rows, pages) if pages else clips


class _PagedClips(Iterator[np.ndarray]):
    """Clips of a mapped array, whose pages are asked for before a clip and given back behind it."""

    def __init__(self, clips: Iterator[np.ndarray], rows: np.ndarray, pages: Pages) -> None:
        self._clips, self._rows, self._pages = clips, rows, pages
        # The start of this clip or any later one; what a row takes from before is read a second time.
        self._after = np.minimum.accumulate(np.maximum(rows[::-1, 0], 0))[::-1]
        self._done = 0

    def __next__(self) -> np.ndarray:
        # Threads may share this: of pages, one may ask in vain, or give back those of another, which are read again.
        at = self._done
        if at < len(self._rows):
            self._pages.need(self._rows[at])
        clip = next(self._clips)
        self._done = done = at + 1
        later = done < len(self._rows)
        self._pages.drop(int(self._after[done]) if later else int(self._rows[at].max()) + 1)
        return clip


def written_clips(
    writer: ArrayWriter,
    spec: FrameSpec,
    rows: np.ndarray,
    pool: ClipPool | None,
    in_step: int = 1,
    indices: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """`copied_clips` for frames that have a format; `indices` are those of the clips."""
    check_total("a clip", writer.shape, writer.dtype.itemsize)
    footprint = 0
    make = partial(np.empty, writer.shape, writer.dtype)
    if pool is not None:
        check_bounded(spec)
        pool.require(spec.slots(rows[:, 0]) * in_step, writer.shape, writer.dtype)
        make, footprint = partial(pool.acquire, writer.shape, writer.dtype), pool.nbytes
    clips = _WrittenClips(writer, rows, range(len(rows)) if indices is None else indices.tolist(), make, footprint)
    return _PagedClips(clips, rows, writer.pages) if writer.pages else clips


class _WrittenClips(Iterator[np.ndarray]):
    """Clips that have a format; it goes on after `make` has raised."""

    def __init__(
        self,
        writer: ArrayWriter,
        rows: np.ndarray,
        indices: Sequence[int],
        make: Callable[[], np.ndarray],
        footprint: int,
    ) -> None:
        self._writer: ArrayWriter | None = writer
        self._rows, self._indices, self._make, self._footprint = rows, indices, make, footprint
        self._left = iter(range(len(rows)))
        self._lock = threading.Lock()
        self._next: int | None = next(self._left, None)

    def __next__(self) -> np.ndarray:
        # Threads may share this: each takes a row, and keeps the writer.
        writer = self._writer
        if self._next is None or writer is None:
            # The source is not kept past its last clip.
            self._writer = None
            raise StopIteration
        clip = self._make()
        with self._lock:
            row = self._next
            if row is None:
                raise StopIteration
            self._next = next(self._left, None)
        writer.write(clip[None], self._rows[row : row + 1], self._indices[row], self._footprint)
        return clip


class ArrayClips(Iterator[Clip]):
    """The clips of an array with their facts, as a stream's are given.

    Attributes:
        num_frames: frames of the array.
        segment_errors: numbers of segments that give no clips, or not all, and why.
        damages: none, as arrays have no damage.
    """

    def __init__(
        self,
        array: np.ndarray,
        spec: FrameSpec,
        format: ClipFormat | None,
        pool: ClipPool | None,
        rng: np.random.Generator,
        in_step: int,
        selection: Selection,
        segments: Mapping[int, Segment] | None = None,
    ) -> None:
        self.num_frames = len(array)
        self.segment_errors: list[tuple[int, ValueError]] = []
        self.damages: list[Damage] = []
        self._views: Views | None = None
        self._of_segments: Iterator[dict[str, Any]] | None = None
        if segments is not None:
            plan, self.segment_errors = plan_array(segments, spec, self.num_frames, rng, by_segment=False)
            data = SegmentClips(array, spec, format, plan, pool, rng, in_step, selection)
            self._data: Iterator[np.ndarray] = data
            self._of_segments = map(plan.describe, selection.of(len(plan)).tolist())
            self._views = None if data.writer is None else data.writer.views
            return
        rows = spec.checked_rows(self.num_frames, rng)
        self._length = rows.shape[1]
        indices = selection.of(len(rows))
        if len(indices) < len(rows):
            rows = rows[indices]
        self._facts = zip(indices.tolist(), first_frames(rows).tolist(), spec.valid(rows, self.num_frames).tolist())
        if format is None:
            self._data = copied_clips(array, spec, rows, pool, in_step)
        else:
            writer = ArrayWriter(array, spec, rows.shape[1], format)
            writer.views.draw(rng)
            self._views = writer.views
            self._data = written_clips(writer, spec, rows, pool, in_step, indices)

    def __next__(self) -> Clip:
        data = next(self._data)
        if self._of_segments is None:
            index, start, valid = next(self._facts)
            clip = Clip(data, index, start, valid, length=self._length)
        else:
            clip = Clip(data, 0, 0, 0)
            clip.of_segment(**next(self._of_segments))
        return clip if self._views is None else clip.record(self._views)
