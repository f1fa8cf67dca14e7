"""Decoded samples, a few at a time, put together to blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
import numpy as np

from clipx.audio.frame_samples import FrameSamples
from clipx.audio.resampling import Resampler
from clipx.errors import MediaError

__all__ = ["BLOCK_SAMPLES", "in_blocks"]

BLOCK_SAMPLES = 1 << 16
"""Samples that are written to clips at a time; a decoder gives a thousand or so."""


def in_blocks(
    samples: Iterable[FrameSamples], sound: Resampler, begin: int, size: int = BLOCK_SAMPLES
) -> Iterator[tuple[int, np.ndarray]]:
    """The samples that a Resampler gives, put together to blocks (channels, at most `size`), with their positions.

    begin: position of the first sample. A block is valid until the next one. Errors come after the samples before them.
    """
    block, used, room = np.empty((0, 0)), 0, 0
    try:
        for each in samples:
            m = each.n
            if used and used + m > room:
                yield begin, block[:, :used]
                begin, used = begin + used, 0
            if used + m > room:
                room = max(size, m)
                block = sound.block(room)
            each.write(block, used)
            used += m
    except (MediaError, av.FFmpegError):
        yield begin, block[:, :used]
        raise
    yield begin, block[:, :used]
