"""Exact times of frames, made as they are asked for: a Fraction for each of a long source would take seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, overload

import numpy as np

__all__ = ["ExactTimes", "FrameTimes"]


class ExactTimes(Sequence[Fraction]):
    """The times of n frames, and the end of the last, in seconds.

    Args:
        at: gives the time of frame i < n.
        end: of the last frame.
    """

    def __init__(self, n: int, at: Callable[[int], Fraction], end: Fraction) -> None:
        self._n, self._at, self._end = n, at, end

    def __len__(self) -> int:
        return self._n + 1

    @overload
    def __getitem__(self, index: int) -> Fraction: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Fraction]: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._n + 1))]
        at = range(self._n + 1)[index]
        return self._end if at == self._n else self._at(at)


class FrameTimes:
    """The times of all frames of a stream, as far as a time line needs them.

    Attributes:
        pts: of each frame in ticks of the stream's time base, int64 (n,), strictly ascending.
        durations: ticks that each is shown, int64 (n,); 0 where that is not known.
    """

    def __init__(self, pts: np.ndarray, durations: np.ndarray) -> None:
        self.pts, self.durations = pts, durations
