"""Starts of clips in a source, exact for up to 2**60 frames, and the positions of a clip from its start on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from clipx.plan.spacing import part_bounds

__all__ = ["MOST_CACHED", "STARTS", "cached_offsets", "offsets", "regular_starts"]


MOST_CACHED = 1024
"""Most positions of a clip whose offsets are cached."""


def offsets(length: int, dilation: int) -> np.ndarray:
    """Frames from a clip's start to each position, int64 (length,)."""
    return np.arange(length, dtype=np.int64) * dilation


cached_offsets = lru_cache(64)(offsets)
"""`offsets`, only to be read: a loop over short arrays asks every time."""


def regular_starts(free: int, count: int) -> np.ndarray:
    """Starts from 0 to free, both counted, int64 (count,): `i * free // (count - 1)`; one is at the centre."""
    if count < 2:
        return np.full(count, free // 2, dtype=np.int64)
    return part_bounds(free, count - 1)


def _each_of_all(free: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """A start of those from 0 to free for each clip."""
    return rng.integers(0, free + 1, size=count, dtype=np.int64)


def _sorted(free: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Starts from 0 to free, drawn with replacement, ascending."""
    return np.sort(_each_of_all(free, count, rng))


def _one_of_each_run(free: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """A start of each of `count` equal runs of those from 0 to free; where these are fewer, as `_sorted`."""
    if free + 1 < count:
        return _sorted(free, count, rng)
    bounds = part_bounds(free + 1, count)
    return rng.integers(bounds[:-1], bounds[1:], dtype=np.int64)


STARTS: Mapping[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "random": _sorted,
    "partition": _one_of_each_run,
    "partition_source": _each_of_all,
}
"""Starts from 0 to free of `count` clips, int64 (count,), by the name of the sampling; or within each one's part."""
