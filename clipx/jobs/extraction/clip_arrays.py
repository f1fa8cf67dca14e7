"""The arrays of a clip's sample that encoders take: its pictures, and its sound, with what formats these ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from clipx.audio.format import AudioFormat
from clipx.datasets.fields import Field, Sample
from clipx.jobs.extraction.options import ExtractOptions
from clipx.wds.in_step import sound_of

__all__ = ["Sound", "check_picture_format", "pictures_of", "sound_beside", "sound_in"]


def check_picture_format(options: ExtractOptions) -> None:
    """Raise ValueError for a format whose clips are not pictures of uint8, channels last, that a file can hold."""
    format, encoding = options.format, options.encoding
    if format is None:
        return
    if format.order not in (None, "THWC"):
        raise ValueError(
            f"order of format is {format.order!r}, but encoding {encoding!r} takes pictures of order 'THWC': leave it "
            f"out, and give it to what reads the clips, or take encoding 'npy'"
        )
    plain = {"dtype": (None, "uint8"), "scale": (None,), "mean": (None,), "std": (None,)}
    for name, allowed in plain.items():
        value = getattr(format, name)
        if not any(value is each or (isinstance(value, str) and value == each) for each in allowed):
            raise ValueError(
                f"{name} of format is {value!r}, but encoding {encoding!r} takes pictures of uint8, as they are: leave "
                f"it out, and give it to what reads the clips, or take encoding 'npy'"
            )
    if format.num_views > 1:
        raise ValueError(
            f"crop of format is {format.crop!r}, which gives {format.num_views} views of each picture, but encoding "
            f"{encoding!r} holds one: take a crop of one view, or encoding 'npy'"
        )


def pictures_of(clip: Sample, name: Field) -> np.ndarray:
    """The pictures of a clip, C-contiguous uint8 (frames, height, width, 1 or 3). Raises ValueError for others."""
    array = name.get(clip)
    shape = getattr(array, "shape", None)
    if not (isinstance(array, np.ndarray) and array.ndim == 4 and array.shape[-1] in (1, 3) and array.size):
        raise ValueError(
            f"field {name!r} has clips of shape {shape}, but pictures are (frames, height, width, channels), 1 channel "
            f"or 3; encoding 'npy' takes any"
        )
    if array.dtype != np.uint8:
        raise ValueError(f"field {name!r} has clips of {array.dtype}, but pictures are uint8; encoding 'npy' takes any")
    return np.ascontiguousarray(array)


class Sound:
    """The sound of a clip.

    Attributes:
        samples: (n, channels) in memory in that order, of int16, int32 or float32.
        rate: samples a second.
    """

    def __init__(self, samples: np.ndarray, rate: int) -> None:
        self.samples, self.rate = samples, rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[1])


def _sound(name: str, array: Any, facts: Mapping[str, Any], audio: AudioFormat | None) -> Sound:
    rate = facts.get("sample_rate")
    if rate is None or not isinstance(array, np.ndarray) or array.ndim != 2:
        raise ValueError(
            f"field {name!r} has clips of an array, but the encoding takes sounds; encoding 'npy' takes any"
        )
    if audio is None or audio.order == "CN":
        array = array.T
    return Sound(np.ascontiguousarray(array), int(rate))


def sound_in(clip: Sample, name: Field, audio: AudioFormat | None) -> Sound:
    """The sound that the clip of a field is. Raises ValueError for a clip of an array."""
    return _sound(name, name.get(clip), clip["clip.json"], audio)


def sound_beside(clip: Sample, name: Field, fields: Collection[str], audio: AudioFormat | None) -> Sound | None:
    """The sound of the video that the clip of a field is of; None where it comes without."""
    field = sound_of(name, fields)
    found = clip.get(field)
    return (
        _sound(field, found, clip["clip.json"], audio) if audio is not None and isinstance(found, np.ndarray) else None
    )
