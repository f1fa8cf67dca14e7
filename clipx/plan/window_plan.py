"""WindowPlan: the clips of a WindowSpec, as a stream asks for them while its frames go by."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from clipx.plan.rows import Plan, Row

__all__ = ["WindowPlan", "Windows"]


class Windows(Protocol):
    """What a WindowPlan asks of its WindowSpec, whose offset has been drawn."""

    @property
    def length(self) -> int: ...
    @property
    def dilation(self) -> int: ...
    @property
    def span(self) -> int: ...
    @property
    def stride(self) -> int | None: ...
    @property
    def moves_last(self) -> bool: ...

    def count(self, extent: int) -> int: ...
    def count_until_error(self, extent: int) -> int: ...
    def rows_at(self, starts: np.ndarray, n: int) -> np.ndarray: ...
    def slots(self, starts: np.ndarray | None) -> int: ...


class WindowPlan(Plan):
    """The plan of a WindowSpec: starts that are known, or one every `stride` frames until the stream ends.

    offset: frame at which the first of these starts.
    """

    def __init__(self, windows: Windows, starts: np.ndarray | None, offset: int = 0) -> None:
        self.length, self._windows, self._starts, self._offset = windows.length, windows, starts, offset

    def opening(self, index: int) -> int | None:
        if self._starts is not None:
            return int(self._starts[index]) if index < len(self._starts) else None
        assert self._windows.stride is not None
        return self._offset + index * self._windows.stride

    def row(self, index: int) -> Row:
        start, spec = self.opening(index), self._windows
        assert start is not None
        return range(start, start + spec.span, spec.dilation)

    def _final_starts(self, indices: np.ndarray, n: int) -> np.ndarray:
        if self._starts is not None:
            return self._starts[indices]
        starts = self._offset + indices * (self._windows.stride or 0)
        return np.minimum(starts, n - self._windows.span) if self._windows.moves_last else starts

    def final_rows(self, indices: np.ndarray, n: int) -> np.ndarray:
        return self._windows.rows_at(self._final_starts(indices, n), n)

    def count(self, n: int) -> int:
        return self._windows.count(n) if self._starts is None else int(np.searchsorted(self._starts, n))

    def count_until_error(self, n: int) -> int:
        return self._windows.count_until_error(n) if self._starts is None else len(self._starts)

    def frames_in_order(self, indices: np.ndarray, n: int) -> np.ndarray:
        held = np.zeros(n, dtype=bool)
        starts = self._final_starts(indices, n)
        # Position by position: a table of all rows may take more memory than the clips.
        for position in range(self.length):
            frames = starts + position * self._windows.dilation
            held[frames[frames < n]] = True
        return held

    def bounds(self, count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        lowest = self._final_starts(np.arange(count), n)
        highest = lowest + self._windows.span - 1
        late = np.flatnonzero(highest >= n)
        if len(late):
            rows = self.final_rows(late, n)
            lowest[late], highest[late] = np.where(rows < 0, n, rows).min(axis=1), rows.max(axis=1)
        return lowest, highest

    def slots(self) -> int:
        return self._windows.slots(self._starts)
