"""Decoded samples, a few at a time, put together to blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
import numpy as np

from clipx.errors import MediaError

__all__ = ["BLOCK_SAMPLES", "in_blocks"]

BLOCK_SAMPLES = 1 << 16
"""Samples that are written to clips at a time; a decoder gives a thousand or so."""


def in_blocks(
    planes: Iterable[list[np.ndarray]], begin: int, dtype: object, size: int = BLOCK_SAMPLES
) -> Iterator[tuple[int, np.ndarray]]:
    """Samples, an array (m,) for each channel, put together to blocks (channels, at most `size`), with their positions.

    begin: position of the first sample. A block is valid until the next one. Errors come after the samples before them.
    """
    block, used = np.empty((0, 0), np.dtype(dtype)), 0  # type: ignore[call-overload]
    try:
        for channels in planes:
            m = len(channels[0])
            if used and used + m > block.shape[1]:
                yield begin, block[:, :used]
                begin, used = begin + used, 0
            if used + m > block.shape[1]:
                block = np.empty((len(channels), max(size, m)), block.dtype)
            for row, plane in zip(block, channels):
                row[used : used + m] = plane
            used += m
    except (MediaError, av.FFmpegError):
        yield begin, block[:, :used]
        raise
    yield begin, block[:, :used]
