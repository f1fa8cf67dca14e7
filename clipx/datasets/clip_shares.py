"""Exact shares of a dataset whose numbers of clips are known: each process gives as many as any other, or one less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from clipx.datasets.shares import PartShare, Share
from clipx.datasets.world import World

__all__ = ["CLIPS", "WHOLE", "ClipShare", "Piece", "share_clips"]

CLIPS = "__clips__"
"""Field of a sample of which only some clips are given: the Piece that says which."""

PIECE_BITS = 26
"""Bits of the number of clips in a piece."""


class Piece(NamedTuple):
    """Clips of a sample, by their numbers: from `first` on, up to but not counting `stop`, or all where it is None."""

    first: int
    stop: int | None

    @property
    def number(self) -> int:
        """The piece as the number of a sample in its part, in addresses; 0 for all clips."""
        return self.first << PIECE_BITS | (0 if self.stop is None else self.stop - self.first)

    @classmethod
    def of(cls, number: int) -> Piece:
        """The piece of a `number`."""
        first, count = number >> PIECE_BITS, number & (1 << PIECE_BITS) - 1
        return cls(first, first + count if count else None)


WHOLE = Piece(0, None)
"""All clips of a sample."""


@dataclass(frozen=True)
class ClipShare(Share):
    """The parts that a process reads, each of one sample; of the first and the last of them, some clips alone.

    Attributes:
        borders: pieces by indices in `shards`; of all other parts, all clips are given.
        clips: number of clips of the share.
        is_first: whether it is that of the first process, which reports what is wrong with the dataset as a whole.
    """

    borders: dict[int, Piece] = field(default_factory=dict)
    clips: int = 0
    is_first: bool = False

    def part(self, index: int) -> PartShare:
        """What is read of a part."""
        return PartShare(self.shards[index], only=self.borders.get(index, WHOLE).number)


def _range(world: World, total: int) -> tuple[int, int]:
    """The clips of a process, of so many in a row."""
    first, stop = (total * each // world.ranks for each in (world.rank, world.rank + 1))
    begin, end = ((stop - first) * each // world.workers for each in (world.worker, world.worker + 1))
    return first + begin, first + end


def share_clips(order: Sequence[int] | np.ndarray, counts: np.ndarray, world: World) -> ClipShare:
    """The share of a process: of all clips in their order a run as long as any other's, or one shorter.

    A sample whose clips lie on a border is read by both processes. One that gives no clips is read by one, for what is
    wrong with it to be known.

    Args:
        order: the samples, as numbers of their parts.
        counts: number of clips of each sample, by its number, int64.
    """
    rows = np.asarray(order, dtype=np.int64)
    own = counts[rows]
    stops = np.cumsum(own)
    starts, total = stops - own, int(stops[-1]) if len(stops) else 0
    first, stop = _range(world, total)
    is_last = world.rank == world.ranks - 1 and world.worker == world.workers - 1
    is_empty = own == 0
    begins, overlaps = (first <= starts) & (starts < stop), (starts < stop) & (stops > first) & (first < stop)
    taken = np.where(is_empty, begins, overlaps)
    if is_last:
        taken |= is_empty & (starts == total)
    indices = np.flatnonzero(taken)
    borders: dict[int, Piece] = {}
    for at in {0, len(indices) - 1} if len(indices) else ():
        i = indices[at]
        begin, end = max(first - int(starts[i]), 0), stop - int(starts[i])
        if begin > 0 or end < own[i]:
            # The last piece has no end, so that no clip is lost where a sample gives more than were counted.
            borders[at] = Piece(begin, end if end < own[i] else None)
    is_first = world.rank == world.worker == 0
    return ClipShare(rows[indices].tolist(), borders=borders, clips=stop - first, is_first=is_first)
