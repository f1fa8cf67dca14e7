"""Clips that are written while the frames of a stream go by, and what the stream's end leaves to be written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from clipx.clip import Clip
from clipx.plan import ALL, FrameSpec, Selection
from clipx.plan.rows import Plan, Row, first_frames, stop_of
from clipx.plan.segmented import SegmentedPlan

__all__ = ["OpenClip", "OpenClips", "Unfinished"]

NO_MORE = None, None


@dataclass(eq=False, slots=True)
class OpenClip:
    """A clip that is being written.

    Attributes:
        opening: frame of the stream that it was begun at.
        row: the frame of each position, as far as that was known then.
    """

    clip: Clip
    opening: int
    row: Row

    def missing(self, n: int) -> np.ndarray:
        """Positions, bool (length,), that have not been written when the stream ends after n frames."""
        return np.asarray(self.row) >= n


Opened = TypeVar("Opened", bound=OpenClip)


@dataclass(frozen=True)
class Unfinished(Generic[Opened]):
    """A clip that the end of its stream leaves: its final row, and the positions that are still to be written."""

    opened: Opened
    row: np.ndarray
    positions: np.ndarray


class OpenClips(ABC, Generic[Opened]):
    """The clips of a plan that are open at one time, in order of their numbers.

    Args:
        spec: what the plan was made by.
        plan: the rows of the clips; at most `plan.slots() - 1` clips are open at once.
        selection: which of the clips are given; the others are passed over.

    Attributes:
        open: the open clips. Whoever writes them takes those off its left end that are complete.
        opening: frame at which the next clip begins; None where there are no more.
    """

    def __init__(self, spec: FrameSpec, plan: Plan, selection: Selection = ALL) -> None:
        self._spec, self._plan, self._selection = spec, plan, selection
        self._segmented = plan if isinstance(plan, SegmentedPlan) else None
        self._begun = 0
        self.open: deque[Opened] = deque()
        self._openings = plan.openings(selection)
        self._index: int | None
        self.opening: int | None
        self._index, self.opening = next(self._openings, NO_MORE)

    @abstractmethod
    def make(self, index: int, opening: int, row: Row) -> Opened:
        """An open clip that nothing has been written to but its fill."""

    def begin(self) -> None:
        """Open the next clip."""
        index, opening = self._index, self.opening
        assert index is not None
        assert opening is not None
        opened = self.make(index, opening, self._plan.row(index))
        if self._segmented is None:
            self.open.append(opened)
        else:
            opened.clip.of_segment(**self._segmented.describe(index))
            # It may come before clips that have been open for longer.
            self.open.insert(bisect(self.open, index, key=_number), opened)
        self._begun += 1
        self._index, self.opening = next(self._openings, NO_MORE)

    def next_stop(self) -> int:
        """The frame after the last of the clip that is begun next, as far as that is known; there is such a clip."""
        assert self._index is not None
        return stop_of(self._plan.row(self._index))

    @property
    def done(self) -> bool:
        """Every clip of the selection has been taken off, however the stream goes on."""
        return self._index is None and not self.open

    def end(self, n: int) -> list[Unfinished[Opened]]:
        """The clips that are left of a stream that has ended after n frames, with their final start and `valid`.

        Raises ValueError where the spec does not allow for an incomplete clip; those that are left are then given up.
        """
        left = list(self.open)
        self.open.clear()
        count = self._plan.count(n)
        left = [each for each in left if each.clip.number < count]
        while self._index is not None and self._index < count:
            self.begin()
            left.append(self.open.pop())
        if self._segmented is not None:
            # Their rows were final from the start.
            left.sort(key=_number)
            rows = [np.asarray(each.row, dtype=np.int64) for each in left]
            return [Unfinished(each, row, np.flatnonzero(each.missing(n))) for each, row in zip(left, rows)]
        indices = np.array([each.clip.number for each in left], dtype=np.int64)
        unfinished = []
        final = self._plan.final_rows(indices, n)
        starts, valid = first_frames(final).tolist(), self._spec.valid(final, n).tolist()
        for each, row, start, before in zip(left, final, starts, valid):
            positions = np.flatnonzero(each.missing(n) | (np.asarray(each.row) != row))
            each.clip.start, each.clip.valid = start, before
            unfinished.append(Unfinished(each, row, positions))
        return unfinished


def _number(opened: OpenClip) -> int:
    return opened.clip.number
