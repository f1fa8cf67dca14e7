"""Memory that a sample takes while its clips are extracted: by its headers, and then by the shape of its clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from clipx.datasets.fields import Field, Sample
from clipx.datasets.stored import StoredFile
from clipx.format import ClipFormat
from clipx.jobs.extraction.encoding import ClipSource
from clipx.jobs.extraction.options import ExtractOptions
from clipx.loader.budget import DECODER_BYTES
from clipx.loader.needs import Needs, check_read, most_segment_bytes, needs_of
from clipx.video.options import VideoOptions
from clipx.wds.limits import Limits

__all__ = ["ClipRoom", "Weigher", "Weight"]

UNKNOWN_BYTES = 1 << 28
"""Bytes that a remote file is taken to have."""


class Weight(NamedTuple):
    """Memory that a sample takes.

    Attributes:
        fixed: bytes of the sample and its decoders.
        clips: bytes of the clips that are made at the same time, as they are expected.
        limits: most that it may take, by which its clips are extracted.
    """

    fixed: int
    clips: int
    limits: Limits


class Weigher:
    """Weighs samples before anything of them is decoded.

    Args:
        options: of the job.
        clips: the source of clips.
        memory: bytes of the process.
    """

    def __init__(self, options: ExtractOptions, clips: ClipSource, memory: int) -> None:
        self._options, self._clips, self._memory = options, clips, memory
        self._largest = 0

    def weigh(self, sample: Sample) -> Weight:
        """The memory of a sample. Raises ValueError for more than there is, and for one without sources."""
        memory, segments = self._memory, self._clips.segments
        check_read(sample, memory)
        fields = self._clips.fields(sample)
        needs = needs_of(sample, list(fields.values()), 1, memory)
        of_segments = most_segment_bytes(memory)
        fixed = needs.size + (0 if segments is None else segments.most_bytes(sample, of_segments))
        if needs.pixels and self._options.kind.decodes:
            fixed += needs.decoder + DECODER_BYTES + self._encoder_bytes(needs.pixels)
        if fixed > memory:
            raise ValueError(
                f"the sample takes {fixed} bytes ({needs.describe()}), but memory is {memory}: raise memory"
            )
        if self._options.kind.decodes:
            clips = self._clip_bytes(needs) * len(fields)
        else:
            clips = min(2 * _file_bytes(sample, fields.values()), memory // 2)
        return Weight(fixed, clips, Limits(needs.most_pixels, of_segments, packet_bytes=memory // 4))

    def check_clip(self, clip: Sample, fields: Mapping[Field, Field]) -> None:
        """Note the size of a clip. Raises ValueError for one that takes more than half of the memory."""
        size = sum(array.nbytes for name in fields if isinstance(array := name.get(clip), np.ndarray))
        self._largest = max(self._largest, size // len(fields))
        if 2 * size > self._memory:
            raise ValueError(
                f"a clip takes {size} bytes, but memory is {self._memory}, half of which a clip may take: raise memory"
            )

    def _encoder_bytes(self, pixels: int) -> int:
        """Bytes of an encoder of pictures that may have so many pixels before they are resized."""
        options, module = self._options, self._options.kind.module()
        if not hasattr(module, "memory_of"):
            return 0
        format = options.format or ClipFormat()
        size = format.fixed_view_size or (1, format.most_pixels or pixels)
        return int(module.memory_of(options, math.prod(size)))

    def _clip_bytes(self, needs: Needs) -> int:
        """Bytes of the clips of a field that are made at the same time, and of one that is encoded.

        Those of arrays and of sound, of which one is made at a time, are expected to be as large as the largest so far,
        and those of videos without a longest length to take half of the memory.
        """
        options, format = self._options, self._options.format or ClipFormat()
        if not needs.pixels or options.kind.is_sound:
            return 2 * self._largest
        if options.spec.max_length is None:
            return self._memory // 2
        size = format.fixed_view_size or (1, format.most_pixels or needs.pixels)
        channels = 1 if (options.video or VideoOptions()).color == "gray" else 3
        itemsize = format.written_dtype(np.dtype(np.uint8)).itemsize
        clip = math.prod(size) * channels * itemsize * options.spec.max_length * format.num_views
        return (options.spec.max_slots + 1) * clip


def _file_bytes(sample: Sample, fields: Iterable[Field]) -> int:
    """Bytes of the files that fields are; a guess of those that are not known without a connection."""
    sizes = []
    for field in fields:
        value = field.lookup(sample)
        size = value.known_size if isinstance(value, StoredFile) else getattr(value, "nbytes", None)
        sizes.append(len(value) if isinstance(value, (bytes, bytearray)) else UNKNOWN_BYTES if size is None else size)
    return sum(UNKNOWN_BYTES if size < 0 else size for size in sizes)


class ClipRoom:
    """Memory for the clips of a sample, within what it may take: a `clipx.media.clip_memory.ClipMemory`.

    Args:
        most: bytes that clips may take that are made at the same time.
        expected: bytes that have been reserved for them.
        reserve: called with the bytes by which it is more, when the shape of the longest clip is known; may wait.

    Attributes:
        nbytes: that are reserved.
    """

    def __init__(self, most: int, expected: int, reserve: Callable[[int], None]) -> None:
        self._most, self.nbytes, self._reserve = most, expected, reserve
        self._needed = 0

    def require(self, slots: int, shape: tuple[int, ...] | None = None, dtype: Any = None) -> None:
        """Reserve room for so many clips of a shape. Raises ValueError where there is not so much."""
        if shape is None:
            return
        clip = math.prod(shape) * np.dtype(dtype).itemsize
        needed = (slots + 1) * clip  # and one that is encoded
        if needed > self._most:
            raise ValueError(
                f"clips of shape {shape} and dtype {np.dtype(dtype)}, {slots} of them made at the same time, take "
                f"{needed} bytes, but memory has {self._most} left for them: raise memory, make them smaller with the "
                f"format's resize=, or shorter, or let fewer segments overlap"
            )
        if needed > self._needed:
            more, self._needed = needed - self.nbytes, needed
            self.nbytes = needed
            self._reserve(more)

    def acquire(self, shape: tuple[int, ...] | None = None, dtype: Any = None) -> np.ndarray:
        """Memory of one clip."""
        return np.empty(() if shape is None else shape, dtype)
