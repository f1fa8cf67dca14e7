"""Plan: the rows of the clips of one source, as a stream asks for them while its frames go by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from clipx.plan.selection import Selection

__all__ = ["Plan", "Row", "TablePlan", "first_frame", "first_frames", "step_of", "stop_of"]

Row = range | np.ndarray
"""Source frame of every position of a clip; -1, in an array, where `fill_value` goes."""

NEVER = 2**60  # later than any frame
BLOCK = 2**20  # positions of rows that are made at a time


def first_frame(row: Row) -> int:
    """Frame that a clip starts at: its first, or, where `fill_value` goes there, the first that it has; else 0."""
    return row.start if isinstance(row, range) else int(first_frames(row[None])[0])


def first_frames(rows: np.ndarray) -> np.ndarray:
    """`first_frame` of each row, int64 (clips,)."""
    first = rows[:, 0]
    if first.min(initial=0) >= 0:
        return first
    has = rows >= 0
    return np.where(has.any(axis=1), rows[np.arange(len(rows)), has.argmax(axis=1)], 0)


def stop_of(row: Row) -> int:
    """The frame after the last of a row."""
    return row.stop if isinstance(row, range) else int(np.max(row, initial=-1)) + 1


def step_of(row: Row) -> int | None:
    """Frames from one position of a clip to the next; None where they may differ."""
    return row.step if isinstance(row, range) else None


class Plan(ABC):
    """Rows of the clips of one source, by the index of the clip.

    A stream begins a clip at its opening frame and writes the frames that its row has, as they go by. When the stream
    has ended, `final_rows` may say otherwise: what differs, or has gone by before the opening, is written last.

    Attributes:
        length: positions of a clip.
    """

    length: int

    @abstractmethod
    def opening(self, index: int) -> int | None:
        """Frame at which a clip begins to be written, ascending with the index; None where there is no such clip."""

    def openings(self, selection: Selection) -> Iterator[tuple[int, int | None]]:
        """(index, opening) of the clips of a selection, in the order in which they begin to be written.

        The last may be an index of which there is no clip: where the stream is to be read up to its end.
        """
        at = 0
        while (index := selection.at(at)) is not None:
            yield index, self.opening(index)
            at += 1

    def key(self, index: int) -> Any:
        """What the draws of a clip depend on."""
        return index

    @abstractmethod
    def row(self, index: int) -> Row:
        """The row of a clip, as far as it is known before the end."""

    @abstractmethod
    def final_rows(self, indices: np.ndarray, n: int) -> np.ndarray:
        """Rows, int64 (clips, length), of the clips of these indices, of a stream that has ended after n frames."""

    def valid(self, row: np.ndarray) -> int:
        """Positions of a row that is known before the end which come before the end of their source."""
        return int(np.count_nonzero(row >= 0))

    @abstractmethod
    def count(self, n: int) -> int:
        """Number of clips of a stream that has ended after n frames; those that it ended before are not counted.

        Raises ValueError as `FrameSpec.count` does.
        """

    @abstractmethod
    def count_until_error(self, n: int) -> int:
        """Number of clips that are given before `count` would raise."""

    @abstractmethod
    def frames_in_order(self, indices: np.ndarray, n: int) -> np.ndarray:
        """The frames of n, bool (n,), that are written to these clips as they go by."""

    def bounds(self, count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest frame of the final rows of the first `count` clips; NEVER and -1 of those without one."""
        block = max(BLOCK // self.length, 1)
        found = [_bounds(self.final_rows(np.arange(at, min(at + block, count)), n)) for at in range(0, count, block)]
        lowest, highest = zip(*found or [_bounds(np.zeros((0, 1), dtype=np.int64))])
        return np.concatenate(lowest), np.concatenate(highest)

    @abstractmethod
    def slots(self) -> int:
        """Slots that the clips take: of those that are open at once, and of one that is handed out."""


def _bounds(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(rows < 0, NEVER, rows).min(axis=1, initial=NEVER), rows.max(axis=1, initial=-1)


class TablePlan(Plan):
    """A plan of which all rows are known from the start. Clips are open from their lowest to their highest frame.

    valid: positions of every row that come before the end; None for those that have a frame.
    """

    def __init__(self, rows: np.ndarray, valid: int | None = None) -> None:
        self._rows, self._valid = rows, valid
        self.length = rows.shape[1]
        lowest, _ = _bounds(rows)
        # Clips are begun in the order of their indices; those that have no frame with the one before.
        openings = np.minimum.accumulate(lowest[::-1])[::-1]
        openings[openings == NEVER] = np.max(openings, where=openings != NEVER, initial=0)
        self._openings = openings

    def opening(self, index: int) -> int | None:
        return int(self._openings[index]) if index < len(self._openings) else None

    def row(self, index: int) -> Row:
        row: np.ndarray = self._rows[index]
        return row

    def valid(self, row: np.ndarray) -> int:
        return super().valid(row) if self._valid is None else self._valid

    def final_rows(self, indices: np.ndarray, n: int) -> np.ndarray:
        return self._rows[indices]

    def count(self, n: int) -> int:
        return int(np.searchsorted(self._openings, n))

    def count_until_error(self, n: int) -> int:
        return len(self._rows)

    def frames_in_order(self, indices: np.ndarray, n: int) -> np.ndarray:
        held = np.zeros(n, dtype=bool)
        rows = self._rows[indices]
        held[rows[(rows >= 0) & (rows < n)]] = True
        return held

    def slots(self) -> int:
        # They are finished in the order of their indices, too.
        closings = np.maximum.accumulate(self._rows.max(axis=1, initial=-1))
        open_before = np.searchsorted(closings, self._openings)
        return int(np.max(np.arange(1, len(closings) + 1) - open_before, initial=1)) + 1
