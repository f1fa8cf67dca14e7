"""Memory of blocks of samples, kept for the next ones: of memory that is new, the system clears every page."""

from __future__ import annotations

import numpy as np

__all__ = ["give_back", "take"]

MOST_BYTES = 1 << 21
MOST_KEPT = 2

# Lists are taken from and added to by several threads at once.
_spare: list[np.ndarray] = []


def take(channels: int, n: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Memory, uint8, and the block (channels, n) that lies at its beginning, of any values."""
    nbytes = channels * n * dtype.itemsize
    try:
        memory = _spare.pop()
    except IndexError:
        memory = np.empty(0, np.uint8)
    if len(memory) < nbytes:
        memory = np.empty(nbytes, np.uint8)
    return memory, memory[:nbytes].view(dtype).reshape(channels, n)


def give_back(memory: np.ndarray) -> None:
    """Keep memory that nobody uses any more, up to a few MB in the process."""
    if 0 < len(memory) <= MOST_BYTES and len(_spare) < MOST_KEPT:
        _spare.append(memory)
