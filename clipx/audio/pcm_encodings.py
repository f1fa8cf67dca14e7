"""The encodings of PCM in files, by FFmpeg's names: how the kernel reads them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from clipx._kernel import Pcm

__all__ = ["MOST_CHANNELS", "PcmHeader", "encoding_of", "reader_of", "sample_bytes"]

MOST_CHANNELS = 64
"""FFmpeg converts no more."""

TYPES = ("u8", "s8", "s16", "s24", "s32", "s64", "f32", "f64")

LAWS = frozenset({"pcm_alaw", "pcm_mulaw"})


class PcmHeader(NamedTuple):
    """Where the samples of a file of PCM lie, and what they are.

    Attributes:
        encoding: FFmpeg's name, such as "pcm_s16le".
        channels, rate: of the sound; samples a second.
        layout: FFmpeg's name of the channels.
        begin, end: bytes of the file that hold the samples; the end may lie behind the file's.
        may_be_coded: FFmpeg looks whether they are samples at all.
    """

    encoding: str
    channels: int
    rate: int
    layout: str
    begin: int
    end: int
    may_be_coded: bool = False


def encoding_of(type: str, big: bool = False) -> str:
    """FFmpeg's name of samples such as "s24"; big: the highest byte of each comes first."""
    return f"pcm_{type}" if type.endswith("8") else f"pcm_{type}{'be' if big else 'le'}"


def _split(encoding: str) -> tuple[str, bool]:
    """Type of samples, and whether the highest byte comes first."""
    if encoding in LAWS:
        return "law", False
    name = encoding.removeprefix("pcm_")
    return (name, False) if name in TYPES else (name[:-2], name.endswith("be"))


def sample_bytes(encoding: str) -> int:
    """Bytes of a sample of one channel."""
    type, _ = _split(encoding)
    return 1 if type == "law" else int(type[1:]) // 8


@lru_cache(2)
def law_table(encoding: str) -> np.ndarray:
    """The sample that each byte of A-law or mu-law (ITU-T G.711) is, int16 (256,)."""
    code = np.arange(256)
    code = code ^ 0x55 if encoding == "pcm_alaw" else 255 - code
    segment, steps = code >> 4 & 7, 2 * (code & 15) + 1
    if encoding == "pcm_alaw":
        value = np.where(segment > 0, (steps + 32) << (np.maximum(segment, 1) + 2), steps << 3)
        value = np.where(code & 128, value, -value)
    else:
        value = ((steps + 32) << (segment + 2)) - 132
        value = np.where(code & 128, -value, value)
    return value.astype(np.int16)


@lru_cache(64)
def reader_of(encoding: str, channels: int, dtype: str, order: str) -> Pcm:
    """What writes samples of an encoding."""
    type, big = _split(encoding)
    return Pcm(type, big, channels, dtype, order, law_table(encoding) if type == "law" else None)
