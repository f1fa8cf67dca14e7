"""Small frames of sound, joined to larger ones for a resampler: its calls cost more than its work on small ones."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.audio.plane import AudioPlane

from clipx import _kernel
from clipx.audio.layouts import is_mapped

__all__ = ["JoinedFrames"]

JOINED_SAMPLES = 1 << 13
"""Samples of a joined frame: so few that little is decoded behind the end of a clip."""

TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4", "dbl": "f8"}
"""Samples that av makes frames of, and their dtypes."""

MOST_PLANES = 7
"""From eight on, av counts the planes of a frame wrong."""


class JoinedFrames:
    """Frames of one type, rate and layout, as they come or joined.

    Args:
        frame: one of them.
        joins: whether they are joined.

    Attributes:
        type: of their samples, as FFmpeg names it.
    """

    def __init__(self, frame: av.AudioFrame, joins: bool) -> None:
        self.type, self._layout, self._rate = frame.format.name, frame.layout.name, frame.sample_rate
        channels = frame.layout.nb_channels
        planar = frame.format.is_planar
        planes, self._packed = (channels, 1) if planar else (1, channels)
        plain = self.type.removesuffix("p") if planar else self.type
        joins = joins and plain in TYPES and planes <= MOST_PLANES and not is_mapped(self._layout)
        self._block = np.empty((planes, JOINED_SAMPLES * self._packed), TYPES[plain]) if joins else None
        self._used = 0

    def add(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        """The frames that are complete with another one."""
        if self._block is None:
            return [frame]
        n = frame.samples
        before = self.rest() if self._used + n > JOINED_SAMPLES else []
        if n > JOINED_SAMPLES // 2:
            return [*(before or self.rest()), frame]
        _kernel.copy_planes(AudioPlane, frame, n * self._packed, self._block, self._used * self._packed)
        self._used += n
        return before

    def rest(self) -> list[av.AudioFrame]:
        """A frame of those that wait for others, if there are any."""
        if self._block is None or not self._used:
            return []
        samples: Any = np.ascontiguousarray(self._block[:, : self._used * self._packed])
        frame = av.AudioFrame.from_ndarray(samples, format=self.type, layout=self._layout)
        frame.sample_rate, self._used = self._rate, 0
        return [frame]
