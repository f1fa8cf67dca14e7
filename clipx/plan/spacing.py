"""Frames that are spread over a source, in exact integers for up to 2**60 frames."""

from __future__ import annotations

import numpy as np

__all__ = ["MOST_POSITIONS", "centers", "evenly_spaced", "part_bounds"]

MOST_POSITIONS = 2**30  # squares of it, and their sums with a number of frames, stay inside int64


def part_bounds(n: int, parts: int) -> np.ndarray:
    """Bounds of so many equal parts of n frames, int64 (parts + 1,): `i * n // parts` for i from 0 to parts."""
    whole, rest = divmod(n, parts)
    i = np.arange(parts + 1, dtype=np.int64)
    return i * whole + i * rest // parts


def centers(n: int, parts: int) -> np.ndarray:
    """Frame in the middle of each of so many equal parts of n, int64 (parts,): `(2 * i + 1) * n // (2 * parts)`."""
    whole, rest = divmod(n, parts)
    odd = 2 * np.arange(parts, dtype=np.int64) + 1
    # odd * whole halves, and odd * rest of a (2 * parts)th.
    halves = odd * whole
    return halves // 2 + (halves % 2 * parts + odd * rest) // (2 * parts)


def evenly_spaced(n: int, count: int) -> np.ndarray:
    """Frames from the first to the last of n, int64 (count,): `round(i * (n - 1) / (count - 1))`, halves to even.

    One is frame 0.
    """
    if count == 1:
        return np.zeros(1, dtype=np.int64)
    gaps = count - 1
    whole, rest = divmod(n - 1, gaps)
    i = np.arange(count, dtype=np.int64)
    below = i * whole + i * rest // gaps
    twice_above = 2 * (i * rest % gaps)
    return below + ((twice_above > gaps) | ((twice_above == gaps) & (below % 2 == 1)))
