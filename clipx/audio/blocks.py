"""Decoded samples, a few at a time, put together to blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
import numpy as np

from clipx.audio.frame_samples import FrameSamples
from clipx.audio.resampling import Resampler
from clipx.audio.spare_blocks import give_back
from clipx.errors import MediaError

__all__ = ["BLOCK_SAMPLES", "in_blocks"]

BLOCK_SAMPLES = 1 << 16
"""Samples that are written to clips at a time; a decoder gives a thousand or so."""

MOST_OF_FRAME = 1 << 13
"""Samples of most frames, the first of which may have lost its beginning."""

NEVER = 2**62


def in_blocks(
    samples: Iterable[FrameSamples],
    sound: Resampler,
    begin: int,
    size: int = BLOCK_SAMPLES,
    first: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """The samples that a Resampler gives, put together to blocks (channels, at most `size`), with their positions.

    Args:
        begin: position of the first sample.
        first: number of samples with which the first block is given, as soon as they have come; the others are then
            given with `size`, rather than before there are more.

    A block is valid until the next one, the last one until the iterator is gone. Errors come after the samples before
    them.
    """
    memory, block, used, room = np.empty(0, np.uint8), np.empty((0, 0)), 0, 0
    full = NEVER if first is None else first
    try:
        for each in samples:
            m = each.n
            if used and used + m > room:
                yield begin, block[:, :used]
                begin, used, full = begin + used, 0, max(full - used, 1)
            if used + m > room:
                room = max(size, m) if first is None else max(full, size) + max(MOST_OF_FRAME, m)
                give_back(memory)
                memory, block = sound.block(room)
            each.write(block, used)
            used += m
            if used >= full:
                yield begin, block[:, :used]
                begin, used, full = begin + used, 0, size
    except (MediaError, av.FFmpegError):
        yield begin, block[:, :used]
        raise
    else:
        yield begin, block[:, :used]
    finally:
        give_back(memory)
