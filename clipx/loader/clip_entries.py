"""The clips of all samples of an index, numbered one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from clipx._lazy import lazy

__all__ = ["Asked", "ClipEntries"]


class Asked(NamedTuple):
    """The clips that are asked of a sample.

    Attributes:
        sample: its number in the index.
        places: where each of its clips goes: by the number of the clip in its source, ascending, the positions in the
            list that was asked for.
    """

    sample: int
    places: dict[int, list[int]]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of its clips, ascending."""
        return tuple(self.places)


class ClipEntries:
    """Entries: the clips of sample 0, those of sample 1, and so on.

    Args:
        counts: number of clips of each sample, int64 (samples,).
    """

    def __init__(self, counts: np.ndarray) -> None:
        self.counts = counts
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @lazy
    def digest(self) -> str:
        """A digest of the counts."""
        return hashlib.blake2b(self.counts.tobytes(), digest_size=16).hexdigest()

    def check(self, entry: int) -> int:
        """An entry, which may be counted from the end, as a number from 0 on. Raises IndexError where there is none."""
        n = len(self)
        if not -n <= entry < n:
            raise IndexError(f"index is {entry}, but the dataset has {n} clips")
        return entry % n

    def by_sample(self, entries: Iterable[int]) -> Iterator[Asked]:
        """The clips that are asked for, sample by sample, in the order in which samples come first.

        Raises IndexError for an entry that is not there.
        """
        wanted = np.array([self.check(entry) for entry in entries], dtype=np.int64)
        samples = np.searchsorted(self._ends, wanted, side="right")
        numbers = wanted - (self._ends[samples] - self.counts[samples])
        found: dict[int, list[tuple[int, int]]] = {}
        for place, (sample, number) in enumerate(zip(samples.tolist(), numbers.tolist())):
            found.setdefault(sample, []).append((number, place))
        for sample, pairs in found.items():
            places: dict[int, list[int]] = {}
            for number, place in sorted(pairs):
                places.setdefault(number, []).append(place)
            yield Asked(sample, places)
