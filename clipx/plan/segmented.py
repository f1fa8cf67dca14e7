"""SegmentedPlan: the clips of all segments of a source as one plan, so that one pass over the source gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import numpy as np

from clipx._checks import check_total
from clipx.plan.draws import Rng, segment_rng, segment_seed
from clipx.plan.rows import Plan, Row, first_frame
from clipx.plan.segments import Segment
from clipx.plan.selection import Selection
from clipx.plan.spec import Extent, FrameSpec

__all__ = [
    "MOST_CLIPS",
    "SegmentErrors",
    "SegmentFrames",
    "SegmentedPlan",
    "count_clips",
    "error_of",
    "frames_of_segments",
    "part_of",
    "plan_segments",
    "raising_first",
]

MOST_CLIPS = 2**22
"""Most clips of the segments of one source: planning them takes 400 MB for a while."""

SegmentErrors = list[tuple[int, ValueError]]
"""Numbers of segments that give no clips, or not all, and why."""


Clips = TypeVar("Clips")


class SegmentFrames(NamedTuple):
    """The frames of a segment.

    Attributes:
        frames: frame of the source for each frame of the segment, ascending; not empty.
        times: of the segment's frames, as `Extent` has them; None where no spec needs them.
    """

    segment: Segment
    frames: range | np.ndarray
    times: Sequence[Any] | None = None


class _Part(NamedTuple):
    """A segment's plan, over the frames of the segment."""

    segment: Segment
    frames: range | np.ndarray
    plan: Plan

    def in_source(self, row: np.ndarray) -> np.ndarray:
        """Frames of the source for frames of the segment; -1 stays."""
        if isinstance(self.frames, range):
            return row if self.frames.start == 0 else np.where(row < 0, row, row + self.frames.start)
        return np.where(row < 0, row, self.frames[row])

    def row(self, index: int) -> Row:
        """The final row of a clip, in frames of the segment."""
        row, n = self.plan.row(index), len(self.frames)
        if isinstance(row, range) and row[-1] < n:
            return row
        final: np.ndarray = self.plan.final_rows(np.array([index], dtype=np.int64), n)[0]
        return final


def part_of(segment: Segment, n: int) -> range:
    """The frames that a segment, in frames, has of n. Raises ValueError where it begins after them."""
    frames = range(segment.start, min(segment.end, n))
    if not frames:
        raise ValueError(f"{segment}: it starts at frame {segment.start}, but there are {n} frames")
    return frames


class SegmentedPlan(Plan):
    """The clips of segments, by their positions in the plan, over the frames of the whole source.

    Two segments, windows of 3 frames, policy "repeat_last"::

        frame      0 1 2 3 4 5 6 7 8
        segment 0  . . . . . .           clip 0, index 0: 0 1 2;   clip 2, index 1: 3 4 5
        segment 1      . . .             clip 1, index 0: 2 3 4

    A clip comes before those whose last frame is later; of equals that of the lower segment. It is so given as soon as
    it is complete: a long segment does not hold back those within it. Those of one segment come in the order of their
    indices, whatever their last frames.
    As the end of each segment is known, so is every row: nothing is left for the end of a stream.

    Args:
        by_segment: the clips come segment by segment instead, for sources that are not streams.

    Attributes:
        source_frames: number of frames of the source; None where that is not known.
    """

    source_frames: int | None = None

    def __init__(self, spec: FrameSpec, parts: Sequence[_Part], counts: Sequence[int], by_segment: bool) -> None:
        self._spec, self._parts = spec, parts
        self.length = max((part.plan.length for part in parts), default=spec.max_length or 1)
        bounds = [_bounds(part, count) for part, count in zip(parts, counts)]
        openings, closings = (np.concatenate([[], *each]).astype(np.int64) for each in zip(([], []), *bounds))
        of = np.repeat(np.arange(len(parts)), counts)
        indices = np.concatenate([np.zeros(0, dtype=np.int64), *(np.arange(count) for count in counts)])
        # Parts come in the order of their numbers, and the sort is stable.
        order = np.arange(len(of)) if by_segment else np.argsort(closings, kind="stable")
        self._openings, self._closings = openings[order], closings[order]
        self._part_of, self._index_of = of[order], indices[order]

    def __len__(self) -> int:
        return len(self._index_of)

    def _at(self, position: int) -> tuple[_Part, int]:
        return self._parts[self._part_of[position]], int(self._index_of[position])

    def key(self, position: int) -> tuple[int, ...]:
        """Number of a clip's segment, and the clip's index in it: what its draws depend on."""
        part, index = self._at(position)
        assert part.segment.number is not None
        return part.segment.number, index

    def describe(self, position: int) -> dict[str, Any]:
        """Facts of a clip: its `number`, `index`, `start`, `valid`, `length` and `segment`."""
        part, index = self._at(position)
        row, n = part.row(index), len(part.frames)
        whole = isinstance(row, range)
        valid = len(row) if whole else int(self._spec.valid(np.asarray(row)[None], n)[0])
        start = first_frame(row)
        facts = {"number": position, "index": index, "start": start, "valid": valid, "length": len(row)}
        return facts | {"segment": part.segment}

    def opening(self, index: int) -> int | None:
        return int(self._openings[index]) if index < len(self) else None

    def openings(self, selection: Selection) -> Iterator[tuple[int, int | None]]:
        selected = selection.of(len(self))
        by_opening = selected[np.argsort(self._openings[selected], kind="stable")]
        return zip(by_opening.tolist(), self._openings[by_opening].tolist())

    def row(self, index: int) -> Row:
        part, of_segment = self._at(index)
        row = part.row(of_segment)
        if isinstance(row, range) and isinstance(part.frames, range):
            begin = part.frames.start
            return range(row.start + begin, row.stop + begin, row.step)
        return part.in_source(np.asarray(row, dtype=np.int64))

    def rows(self, positions: np.ndarray) -> list[np.ndarray]:
        """The rows of clips, int64 (length,) each."""
        return [np.asarray(self.row(position), dtype=np.int64) for position in positions.tolist()]

    def final_rows(self, indices: np.ndarray, n: int) -> np.ndarray:
        return np.stack(self.rows(indices))

    def count(self, n: int) -> int:
        return len(self)

    def count_until_error(self, n: int) -> int:
        return len(self)

    def table(self) -> np.ndarray:
        """All rows, int64 (clips, length). Raises ValueError where clips have different lengths."""
        lengths = {part.plan.length for part, index in map(self._at, range(len(self)))}
        if len(lengths) > 1:
            found = ", ".join(str(length) for length in sorted(lengths))
            raise ValueError(f"clips of the segments have different lengths ({found}): give them with iterate")
        check_total("a plan", (len(self), self.length), 8)
        table = np.empty((len(self), self.length), dtype=np.int64)
        for position, row in enumerate(table):
            row[:] = self.row(position)
        return table

    def frames_in_order(self, indices: np.ndarray, n: int) -> np.ndarray:
        held = np.zeros(n, dtype=bool)
        for row in map(self.row, indices.tolist()):
            if isinstance(row, range):
                held[row.start : row.stop : row.step] = True
            else:
                held[row[row >= 0]] = True
        return held

    def lowest_after(self) -> np.ndarray:
        """The lowest frame of each clip and all that come later, int64 (clips,)."""
        return np.minimum.accumulate(self._openings[::-1])[::-1]

    def check_slots(self, most: int | None) -> None:
        """Raise ValueError where the clips take more slots than these, if there is a limit."""
        slots = self.slots()
        if most is not None and slots > most:
            raise ValueError(
                f"segments have {slots - 1} clips that are open at the same time, but with this memory a source may "
                f"have {most - 1}; give more memory, or segments that overlap less"
            )

    def slots(self) -> int:
        open_before = np.searchsorted(np.sort(self._closings), np.sort(self._openings))
        return int(np.max(np.arange(1, len(self) + 1) - open_before, initial=1)) + 1


def _bounds(part: _Part, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last frame of the source in each clip of a part; of a clip of fill the segment's first.

    A clip whose last frame comes before that of one with a lower index waits for it.
    """
    lowest, highest = part.plan.bounds(count, len(part.frames))
    lowest, highest = np.where(highest < 0, 0, lowest), np.maximum.accumulate(np.maximum(highest, 0))
    return part.in_source(lowest), part.in_source(highest)


def plan_segments(
    spec: FrameSpec, found: Iterable[SegmentFrames], rng: Rng, *, by_segment: bool = False
) -> tuple[SegmentedPlan, SegmentErrors]:
    """The plan of segments, in the order of their numbers, and the errors of those that the spec does not allow.

    With policy "error" the complete clips of a segment are given. Raises ValueError for more than MOST_CLIPS clips.
    """
    seed = segment_seed(rng) if spec.is_random else ()
    parts: list[_Part] = []
    counts: list[int] = []
    errors: SegmentErrors = []
    planned = 0
    for segment, frames, times in found:
        assert segment.number is not None
        extent = Extent(len(frames), times)
        try:
            plan = spec.plan(extent, segment_rng(seed, segment.number) if spec.is_random else None)
            count = plan.count_until_error(extent.n)
            parts.append(_Part(segment, frames, plan))
            counts.append(count)
            planned += count
            plan.count(extent.n)
        except ValueError as exn:
            errors.append((segment.number, error_of(segment, exn)))
        if planned > MOST_CLIPS:
            raise ValueError(f"segments have more than {MOST_CLIPS} clips together, too many for a plan")
    return SegmentedPlan(spec, parts, counts, by_segment), errors


def raising_first(clips: Iterator[Clips], errors: SegmentErrors) -> Iterator[Clips]:
    """The clips, and then the first of the errors."""
    yield from clips
    if errors:
        raise errors[0][1]


def error_of(segment: Segment, exn: ValueError) -> ValueError:
    """An error of a segment, which it names."""
    error = ValueError(f"{segment}: {exn}")
    error.__cause__ = exn.with_traceback(None)
    return error


def count_clips(spec: FrameSpec, found: Iterable[SegmentFrames], rng: Rng = None) -> int:
    """Number of clips of segments, without those of segments that the spec does not allow."""
    seed = segment_seed(rng) if spec.is_random else ()
    total = 0
    for segment, frames, times in found:
        extent = Extent(len(frames), times)
        with suppress(ValueError):
            if spec.is_random:
                assert segment.number is not None
                total += spec.plan(extent, segment_rng(seed, segment.number)).count_until_error(extent.n)
            else:
                total += spec.count_until_error(extent)
    return total


def frames_of_segments(
    segments: Mapping[int, Segment], n: int, why: str = "an array has no times"
) -> tuple[list[SegmentFrames], SegmentErrors]:
    """The frames of segments of a source of n without times, and the errors of those that have none.

    why: the source has no times, in messages of segments in seconds.
    """
    found, errors = [], []
    for number, segment in segments.items():
        try:
            if segment.unit != "frames":
                raise ValueError(f"{segment}: it is in seconds, but {why}; give unit='frames'")
            found.append(SegmentFrames(segment, part_of(segment, n)))
        except ValueError as exn:
            errors.append((number, exn.with_traceback(None)))
    return found, errors
