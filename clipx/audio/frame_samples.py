"""The samples of a decoded frame, and how they are written to a block."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from av.audio.plane import AudioPlane

from clipx import _kernel
from clipx.audio.format import SAMPLE_FORMATS

__all__ = ["FrameSamples", "Write", "find_write"]

PCM_TYPES = {"u8": "u8", "s16": "s16", "s32": "s32"}
"""Types of FFmpeg's samples that the kernel converts as FFmpeg does, with its names of them."""

MOST_CHANNELS = 64

Plane = Callable[[Any, int], Any]
"""The buffer of one of a frame's planes."""

Write = Callable[[Plane, Any, int, np.ndarray, int], None]
"""Writes so many samples of a frame's planes to a block (channels, m), from a column on."""


class FrameSamples:
    """Samples of all channels of a frame.

    Attributes:
        n: their number, of each channel.
    """

    __slots__ = ("_frame", "_plane", "_write", "n")

    def __init__(self, frame: Any, n: int, write: Write, plane: Plane = AudioPlane) -> None:
        self._frame, self.n, self._write, self._plane = frame, n, write, plane

    def write(self, block: np.ndarray, at: int) -> None:
        """Write them to a C-contiguous block (channels, m) of the type that was asked for, from column `at` on."""
        self._write(self._plane, self._frame, self.n, block, at)

    def after(self, first: int) -> FrameSamples:
        """Those from one of them on, of planes that are copied as they are."""
        size = self._frame.format.bytes

        def plane(frame: Any, i: int) -> Any:
            return memoryview(AudioPlane(frame, i))[first * size :]

        return FrameSamples(self._frame, self.n - first, self._write, plane)


def find_write(type: str, channels: int, dtype: str) -> Write | None:
    """The way of samples of an FFmpeg type, such as "s16p", to blocks of float32 or int16.

    None where FFmpeg has to convert them first.
    """
    planar = SAMPLE_FORMATS[dtype]
    plain = type.rstrip("p")
    if type == planar or (channels == 1 and type == planar.rstrip("p")):
        # One channel is the same packed and planar.
        return _kernel.copy_planes
    if plain not in PCM_TYPES or channels > MOST_CHANNELS:
        return None
    together = channels if type == plain else 1
    pcm = _kernel.Pcm(PCM_TYPES[plain], sys.byteorder == "big", together, dtype, "CN")

    def write(plane: Plane, frame: Any, n: int, block: np.ndarray, at: int) -> None:
        for i in range(channels // together):
            pcm.write(plane(frame, i), block[i * together : (i + 1) * together], at, 0, 1, n)

    return write
