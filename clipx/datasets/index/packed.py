"""Lists of integers that grow evenly, kept in memory as their steps."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["PackedLists"]


class PackedLists:
    """Lists of int64, a byte or less for each number where steps are nearly even.

    A list is kept as its first number, its first step, and how far each number is from an even continuation of both.

    Args:
        lists: a ListArray of int64 without nulls in its lists, whose own nulls stay.

    Attributes:
        nbytes: of memory.
    """

    def __init__(self, lists: Any) -> None:
        lists = lists.combine_chunks() if hasattr(lists, "combine_chunks") else lists
        if lists.flatten().null_count:
            raise ValueError("a list has nulls")
        self._valid = lists.is_valid().to_numpy(zero_copy_only=False)
        self._ends = np.concatenate(([0], np.cumsum(lists.value_lengths().fill_null(0).to_numpy(), dtype=np.int64)))
        flat = lists.flatten().to_numpy()
        begins, ends = self._ends[:-1], self._ends[1:]
        has_one, has_two = ends > begins, ends > begins + 1
        self._first = np.zeros(len(lists), np.int64)
        self._step = np.zeros(len(lists), np.int64)
        self._first[has_one] = flat[begins[has_one]]
        with np.errstate(over="ignore"):
            self._step[has_two] = flat[begins[has_two] + 1] - self._first[has_two]
            counts = ends - begins
            place = np.arange(len(flat)) - np.repeat(begins, counts)
            rest = flat - np.repeat(self._first, counts) - place * np.repeat(self._step, counts)
        self._rest: np.ndarray | None = None
        if len(rest) and rest.any():
            low, high = int(rest.min()), int(rest.max())
            kinds = (np.dtype(kind) for kind in ("i1", "i2", "i4", "i8"))
            kind = next(each for each in kinds if np.iinfo(each).min <= low and high <= np.iinfo(each).max)
            self._rest = rest.astype(kind)
        parts = [self._valid, self._ends, self._first, self._step, self._rest]
        self.nbytes = sum(each.nbytes for each in parts if each is not None)

    def get(self, at: int) -> np.ndarray | None:
        """A list, int64 (n,); None for a null."""
        if not self._valid[at]:
            return None
        begin, end = int(self._ends[at]), int(self._ends[at + 1])
        with np.errstate(over="ignore"):
            found = self._first[at] + self._step[at] * np.arange(end - begin, dtype=np.int64)
            return found if self._rest is None else found + self._rest[begin:end]
