"""Orders of clips that are read at random: any stretch of one is computed by itself, in memory that does not grow."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from clipx.plan.draws import stream_rng

__all__ = ["ClipOrder", "InOrder", "Permutation", "ShuffledClips", "ShuffledSources"]


class ClipOrder(Protocol):
    """An order of the clips of a dataset."""

    def entries(self, start: int, stop: int) -> np.ndarray:
        """The clips at positions from `start` to before `stop`, int64."""


class InOrder:
    """The clips as they are numbered: source by source."""

    def entries(self, start: int, stop: int) -> np.ndarray:
        return np.arange(start, stop, dtype=np.int64)


class Permutation:
    """A random permutation of n numbers that takes no memory: "swap or not" (Hoang, Morris and Rogaway, 2012).

    In each round a number and its partner, the two that add up to a random key, change places or not, by a random bit
    that they share.
    """

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        rounds = 32 + 6 * n.bit_length()
        self._n = n
        self._keys = rng.integers(0, max(n, 1), rounds, dtype=np.int64)
        self._salts = rng.integers(0, 2**64, rounds, dtype=np.uint64)

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers that stand at these positions, int64."""
        at = numbers.astype(np.int64)
        for key, salt in zip(self._keys, self._salts):
            partner = key - at
            partner[partner < 0] += self._n
            swaps = _mixed(np.maximum(at, partner).astype(np.uint64) ^ salt) >> np.uint64(63)
            at = np.where(swaps, partner, at)
        return at


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Bits of uint64 mixed so that each depends on all: the finaliser of SplitMix64."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


class ShuffledClips:
    """A true shuffle of n clips."""

    def __init__(self, n: int, seed: int, epoch: int) -> None:
        self._permutation = Permutation(n, stream_rng(seed, epoch, "clips"))

    def entries(self, start: int, stop: int) -> np.ndarray:
        return self._permutation.of(np.arange(start, stop, dtype=np.int64))


class ShuffledSources:
    """Sources in a random order, the clips of each in their own; or shuffled within windows of so many clips.

    Args:
        counts: number of clips of each source, int64.
        window: clips that are shuffled among themselves; no clip moves further than that. 1 for none.
    """

    def __init__(self, counts: np.ndarray, window: int, seed: int, epoch: int) -> None:
        firsts = np.cumsum(counts) - counts
        order = stream_rng(seed, epoch, "sources").permutation(np.flatnonzero(counts))
        self._ends = np.cumsum(counts[order])
        # Of a clip at position p of source s, the number is p + _shift[s].
        self._shift = firsts[order] - (self._ends - counts[order])
        self._window, self._seed, self._epoch = window, seed, epoch
        # Windows begin elsewhere in each epoch, so that no border stays.
        self._offset = int(stream_rng(seed, epoch, "offset").integers(0, window))
        self._last: tuple[int, np.ndarray] = -1, np.empty(0, dtype=np.int64)

    def entries(self, start: int, stop: int) -> np.ndarray:
        at = np.arange(start, stop, dtype=np.int64) if self._window == 1 else self._mixed(start, stop)
        return at + self._shift[np.searchsorted(self._ends, at, side="right")]

    def _mixed(self, start: int, stop: int) -> np.ndarray:
        """Positions in the order of sources."""
        parts = [np.empty(0, dtype=np.int64)]
        while start < stop:
            number = (start + self._offset) // self._window
            first = max(number * self._window - self._offset, 0)
            window = self._positions(number, first)
            part = window[start - first : stop - first]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts)

    def _positions(self, number: int, first: int) -> np.ndarray:
        """The positions of a window, which begins at `first`, in a random order."""
        last = self._last
        if last[0] != number:
            end = min((number + 1) * self._window - self._offset, int(self._ends[-1]))
            rng = stream_rng(self._seed, self._epoch, f"window {number}")
            last = self._last = number, rng.permutation(np.arange(first, end, dtype=np.int64))
        return last[1]
