"""Which of a source's clips are given, where a run resumes in the middle of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ALL", "Selection"]


@dataclass(frozen=True)
class Selection:
    """Clips of a source: `some`, by ascending indices, and all from `first` on, which comes after these.

    Without a `first` there are no others. Selected clips equal those of a run over all, bit for bit; those of `some`
    have been given before, and are given again whatever damage their source has, unless `again` is false.

    `damaged` says that damage has been found in the source: it is then decoded from its start.

    Stability: provisional.
    """

    some: tuple[int, ...] = ()
    first: int | None = 0
    damaged: bool = False
    again: bool = True

    @property
    def passes_over(self) -> bool:
        """Clips before the last of these are left out."""
        first = len(self.some) if self.first is None else self.first
        return len(self.some) != first or self.some != tuple(range(first))

    def at(self, i: int) -> int | None:
        """Index in the source of the i-th clip that is given; None where there is none."""
        if i < len(self.some):
            return self.some[i]
        return None if self.first is None else self.first + i - len(self.some)

    def of(self, count: int) -> np.ndarray:
        """Indices that are given of a source of so many clips, int64, ascending."""
        if self.first == 0 and not self.some:
            return np.arange(count, dtype=np.int64)
        found = np.array(self.some, dtype=np.int64)
        if self.first is not None:
            found = np.concatenate([found, np.arange(self.first, max(count, self.first), dtype=np.int64)])
        return found[found < count]


ALL = Selection()
"""All clips of a source.

Stability: provisional.
"""
