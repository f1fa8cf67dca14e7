"""AudioFormat: how sound is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from clipx._checks import integer
from clipx._reprs import value_repr
from clipx.media.damage import DAMAGE, AtDamage

__all__ = ["SAMPLE_FORMATS", "AudioFormat"]

SAMPLE_FORMATS = {"float32": "fltp", "int16": "s16p"}
"""FFmpeg's name of each dtype, with planes."""


@dataclass(frozen=True)
class AudioFormat:
    """How sound is written.

    Args:
        sample_rate: samples a second; default the file's.
        mono: whether channels are mixed into one, as FFmpeg does.
        dtype: "float32", full scale from -1 to 1, or "int16".
        order: of a clip's dimensions: "CN", channels first, or "NC".
        stream: which of the file's audio streams: "best", the one that FFmpeg chooses (of a video, among those that
            belong to it), or a number from 0.
        damage: what happens where sound is damaged. "stop": the clips before the damage, then MediaError. "skip": clips
            that the damage may show in are left out. "keep": all clips, of what the decoder gives, as players do. See
            `clipx.audio.clips` and `clipx.video.clips`.

    Raises TypeError and ValueError that name the argument.

    Stability: stable.
    """

    sample_rate: int | None = None
    mono: bool = False
    dtype: Literal["float32", "int16"] | np.dtype | type = "float32"
    order: Literal["CN", "NC"] = "CN"
    stream: int | Literal["best"] = "best"
    damage: AtDamage = "stop"

    __repr__ = value_repr

    def __post_init__(self) -> None:
        if self.sample_rate is not None:
            object.__setattr__(self, "sample_rate", integer("sample_rate", self.sample_rate, 1, 768_000))
        if not isinstance(self.mono, bool):
            raise TypeError(f"mono is {self.mono!r}, but must be True or False")
        if not isinstance(self.dtype, str) or self.dtype not in SAMPLE_FORMATS:
            object.__setattr__(self, "dtype", _dtype_name(self.dtype))
        if self.order not in ("CN", "NC"):
            raise ValueError(f"order is {self.order!r}, but must be 'CN' or 'NC'")
        if isinstance(self.stream, str) and self.stream != "best":
            raise ValueError(f"stream is {self.stream!r}, but must be 'best' or the number of an audio stream, from 0")
        if not isinstance(self.stream, str):
            object.__setattr__(self, "stream", integer("stream", self.stream, 0))
        if not isinstance(self.damage, str) or self.damage not in DAMAGE:
            raise ValueError(f"damage is {self.damage!r}, but must be one of {', '.join(DAMAGE)}")

    def shape(self, channels: int, n: int) -> tuple[int, ...]:
        """Shape of n samples."""
        return (channels, n) if self.order == "CN" else (n, channels)

    def channels_first(self, clip: np.ndarray) -> np.ndarray:
        """A clip seen as (channels, n)."""
        return clip if self.order == "CN" else clip.T


def _dtype_name(dtype: Any) -> str:
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in SAMPLE_FORMATS:
        raise ValueError(f"dtype is {dtype!r}, but must be one of {', '.join(SAMPLE_FORMATS)}")
    return name
