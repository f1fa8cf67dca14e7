"""The encodings "jpg", "webp" and "png": every frame of a clip as a picture of its own."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from clipx.audio.format import AudioFormat
from clipx.datasets.fields import Field, Sample
from clipx.jobs.extraction.clip_arrays import check_picture_format, pictures_of, sound_beside
from clipx.jobs.extraction.encoding import Data, EncodedClip, field_name
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.wave_file import wave_file

__all__ = ["PictureEncoder", "check", "encoder"]

LEAST_DIGITS = 3
"""Digits of the number of a picture in its name."""


class _Kind(NamedTuple):
    """A kind of pictures: its names as a codec and in Pillow, the default quality, the largest width and height."""

    codec: str
    pillow: str
    quality: int
    largest: int


KINDS = {
    "jpg": _Kind("jpeg", "JPEG", 95, 65_500),
    "webp": _Kind("webp", "WEBP", 90, 16_383),
    "png": _Kind("png", "PNG", 100, 2**31 - 1),
}


def pillow() -> Any:
    """Pillow's module Image. Raises ImportError that names the extra where it is missing."""
    try:
        from PIL import Image
    except ImportError as exn:
        raise ImportError('pictures are encoded by Pillow: pip install "clipx-data[pictures]"') from exn
    return Image


def _save_options(encoding: str, quality: int) -> dict[str, Any]:
    """Options of Pillow's `save`."""
    if encoding == "png":
        return {"compress_level": 4}  # a fifth larger than at its default, 6, in a third of the time
    if encoding == "webp" and quality == 100:
        # "exact" and the least effort: more of it saves a sixth, and takes ten times as long.
        return {"lossless": True, "quality": 0, "method": 0, "exact": True}
    return {"quality": quality}


class PictureEncoder:
    """Encodes the frames of a clip as pictures "000.jpg", "001.jpg", ...; its sound beside them, as "audio.wav".

    Args:
        encoding: "jpg", "webp" or "png".
        quality: of JPEG and WebP, from 1 to 100, which for WebP means without loss; None for the default.
        audio: format of the sound, where clips come with one.
    """

    def __init__(self, encoding: str, quality: int | None = None, audio: AudioFormat | None = None) -> None:
        self._encoding, self._kind, self._audio = encoding, KINDS[encoding], audio
        self._options = _save_options(encoding, self._kind.quality if quality is None else quality)
        self._image = pillow()

    def encode(self, clip: Sample, fields: Mapping[Field, Field]) -> EncodedClip:
        """The clip of a sample, encoded; see `Encoder`."""
        made: dict[str, Data] = {}
        for name in fields:
            frames = pictures_of(clip, name)
            digits = max(LEAST_DIGITS, len(str(len(frames) - 1)))
            for k, frame in enumerate(frames):
                made[field_name(name, fields, f"{k:0{digits}d}.{self._encoding}")] = self._picture(frame)
            sound = sound_beside(clip, name, fields, self._audio)
            if sound is not None:
                made[field_name(name, fields, "audio.wav")] = wave_file(sound)
        height, width = pictures_of(clip, next(iter(fields))).shape[1:3]
        return EncodedClip(made, {"codec": self._kind.codec, "width": width, "height": height})

    def _picture(self, frame: np.ndarray) -> memoryview:
        kind, (height, width, channels) = self._kind, frame.shape
        if max(height, width) > kind.largest:
            raise ValueError(
                f"a picture is {width}x{height}, but {kind.pillow} has at most {kind.largest} a side: take resize=, or "
                f"encoding 'png'"
            )
        image = self._image.fromarray(frame[..., 0] if channels == 1 else frame)
        file = BytesIO()
        image.save(file, kind.pillow, **self._options)
        return file.getbuffer()


def check(options: ExtractOptions) -> None:
    """Raise ValueError for options that the encoding does not go with, and ImportError without Pillow."""
    pillow()
    check_picture_format(options)


def encoder(options: ExtractOptions) -> PictureEncoder:
    """The encoder."""
    return PictureEncoder(options.encoding, options.quality, options.audio)
