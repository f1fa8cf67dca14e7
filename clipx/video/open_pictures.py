"""The clips of a video that are being written: targets of each picture, and clips that are complete."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from clipx.clip import Clip
from clipx.format import View
from clipx.media.open_clips import OpenClip, OpenClips
from clipx.plan import ALL, FrameSpec, Selection
from clipx.plan.rows import Plan, Row, first_frame

__all__ = ["ClipArray", "FrameFacts", "KeptFrames", "OpenPictures", "Target", "UnfinishedPictures"]

Frame = TypeVar("Frame")


class ClipArray(NamedTuple):
    """Memory of a clip: its array, that array's frames with time first, and the views taken of each picture."""

    array: np.ndarray
    frames: np.ndarray
    views: tuple[View, ...]


Target = tuple[np.ndarray, tuple[View, ...]]
"""A frame of a clip's array, and the views of the picture that are written to it."""


class FrameFacts(NamedTuple):
    """A frame of the source: its number there, its time and its duration, in seconds.

    damaged: damage may show in it. lost: frames may be missing right before it.
    """

    k: int
    pts: float
    duration: float
    damaged: bool = False
    lost: bool = False


@dataclass(eq=False, slots=True)
class _PictureClip(OpenClip):
    array: ClipArray
    frame_indices: np.ndarray
    pts_seconds: np.ndarray
    duration_seconds: np.ndarray
    origin: int
    positions: Mapping[int, Sequence[int]]
    """Positions of a frame, by its distance from `origin`."""
    waiting: set[int]
    """Positions that have not been written."""
    damaged: set[int] = field(default_factory=set)
    """Positions whose frame may show damage, or is the first after frames that are lost."""
    lost: bool = False
    """Frames are lost before the next position."""

    def missing(self, n: int) -> np.ndarray:
        missing = np.zeros(len(self.row), dtype=bool)
        missing[list(self.waiting)] = True
        return missing

    def target(self, position: int, facts: FrameFacts) -> Target:
        """The target of a position; records the facts of its frame."""
        self.frame_indices[position], self.pts_seconds[position], self.duration_seconds[position] = facts[:3]
        self.waiting.discard(position)
        if facts.damaged or self.lost:
            self.damaged.add(position)
            self.lost = False
        return self.array.frames[position], self.array.views

    def finish(self) -> Clip:
        """The clip, with the positions of damage."""
        self.clip.damaged = sorted(self.damaged) or None
        return self.clip


def _positions(row: Row) -> Mapping[int, Sequence[int]]:
    """The positions of each frame of a row."""
    positions: dict[int, list[int]] = {}
    for position, frame in enumerate(row):
        positions.setdefault(int(frame), []).append(position)
    return positions


class OpenPictures(OpenClips[_PictureClip]):
    """The open clips of a video, whose frames come in order.

    Args:
        spec, plan: the rows of the clips.
        make: gives memory for the clip of a number and a length.
        fill: a frame of fill_value, or what is broadcast to one.
        selection: which of the clips are given.
    """

    def __init__(
        self,
        spec: FrameSpec,
        plan: Plan,
        make: Callable[[int, int], ClipArray],
        fill: Any,
        selection: Selection = ALL,
    ) -> None:
        self._make_array, self._fill = make, fill
        super().__init__(spec, plan, selection)
        self._last: int | None = None
        self._steady: tuple[int, Mapping[int, Sequence[int]]] = 0, {}

    def make(self, index: int, opening: int, row: Row) -> _PictureClip:
        length = len(row)
        columns = np.full(length, -1, dtype=np.int64), np.full(length, np.nan), np.full(length, np.nan)
        origin, positions = self._positions_of(row)
        filled = positions.get(-1, ())
        array = self._make_array(index, length)
        for position in filled:
            array.frames[position][...] = self._fill
        waiting = set(range(length)).difference(filled)
        valid = length if isinstance(row, range) else self._plan.valid(row)
        clip = Clip(array.array, index, first_frame(row), valid, *columns, length=length)
        return _PictureClip(clip, opening, row, array, *columns, origin, positions, waiting)

    def _positions_of(self, row: Row) -> tuple[int, Mapping[int, Sequence[int]]]:
        """An origin, and the positions of the frames counted from there: the same for all rows of one step."""
        if not isinstance(row, range):
            return 0, _positions(row)
        if self._steady[0] != row.step:
            self._steady = row.step, _positions(range(0, row.stop - row.start, row.step))
        return row.start, self._steady[1]

    @property
    def waits_from(self) -> int | None:
        """Frame at which the first clip that is not complete was begun; None where there is none."""
        if self._segmented is not None:
            return min((each.opening for each in self.open if each.waiting), default=None)
        for each in self.open:  # a generator a frame would take longer
            if each.waiting:
                return each.opening
        return None

    def first_pts(self) -> float | None:
        """Time of the first frame of the first open clip, in seconds; None if none is open, or that has not come."""
        if self._segmented is None:
            return float(self.open[0].pts_seconds[0]) if self.open else None
        return min((float(each.pts_seconds[0]) for each in self.open if 0 not in each.waiting), default=None)

    def targets(self, p: int, facts: FrameFacts) -> list[Target]:
        """The targets of frame p of the stream; opens clips that begin at it."""
        if facts.lost and facts.k != self._last:
            for each in self.open:
                each.lost = True
        self._last = facts.k
        while self.opening is not None and self.opening <= p:
            self.begin()
        targets = []
        for each in self.open:
            for position in each.positions.get(p - each.origin, ()):
                targets.append(each.target(position, facts))  # a comprehension in the loop takes longer
        return targets

    def finished(self) -> Iterator[Clip]:
        """Clips all of whose positions have been written, in order."""
        while self.open and not self.open[0].waiting:
            yield self.open.popleft().finish()

    def finish(self, n: int) -> UnfinishedPictures:
        """The clips and positions that are left when a stream has ended after n frames. Raises as `OpenClips.end`."""
        left: list[_PictureClip] = []
        needs: dict[int, list[tuple[_PictureClip, int]]] = {}
        for each in self.end(n):
            left.append(each.opened)
            for position in each.positions.tolist():
                if each.row[position] < 0:
                    each.opened.array.frames[position][...] = self._fill
                else:
                    needs.setdefault(int(each.row[position]), []).append((each.opened, position))
        return UnfinishedPictures(needs, left)


@dataclass
class UnfinishedPictures:
    """Clips whose last positions need frames that have gone by; `needs` maps each such frame to clips and positions."""

    needs: dict[int, list[tuple[_PictureClip, int]]]
    left: list[_PictureClip]

    def targets(self, p: int, facts: FrameFacts) -> list[Target]:
        """The targets of frame p of the stream."""
        return [clip.target(position, facts) for clip, position in self.needs.pop(p, [])]

    def finish(self) -> Clip:
        """The next of the clips that are left, now complete."""
        return self.left.pop(0).finish()


class KeptFrames(Generic[Frame]):
    """The frames that the end of a stream may need, where it cannot be read again: its first and its last ones."""

    def __init__(self, spec: FrameSpec) -> None:
        self._most = spec.first_frames
        self._first: list[tuple[int, Frame]] = []
        self._last: deque[tuple[int, Frame]] = deque(maxlen=spec.last_frames)

    def add(self, p: int, frame: Frame) -> None:
        """Keep frame p of the stream."""
        if p < self._most:
            self._first.append((p, frame))
        self._last.append((p, frame))

    def __iter__(self) -> Iterator[tuple[int, Frame]]:
        yield from self._first
        yield from self._last
