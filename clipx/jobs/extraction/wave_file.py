"""Sounds as WAV files: a header before the samples as they lie in memory."""

from __future__ import annotations

import sys
from struct import pack

import numpy as np

from clipx.jobs.extraction.clip_arrays import Sound
from clipx.jobs.extraction.encoding import Data

__all__ = ["WAVE_CODECS", "wave_file"]

WAVE_CODECS = {"int16": "pcm_s16le", "int32": "pcm_s32le", "float32": "pcm_f32le"}
"""FFmpeg's names of the samples of each dtype."""

INTEGERS, FLOATS, EXTENSIBLE = 1, 3, 0xFFFE
GUID_TAIL = bytes.fromhex("00001000800000aa00389b71")
MOST_BYTES = 2**32 - 1


def wave_file(sound: Sound) -> Data:
    """A sound as the bytes of a WAV file: its header, and a view of its samples where these are little-endian.

    Samples keep their type, int16, int32 or float32. More than two channels make the header "extensible", with no
    place in the room for a channel, as none is known. Raises ValueError for another type, and past 4 GiB.
    """
    samples, channels, rate = sound.samples, sound.channels, sound.rate
    if samples.dtype.name not in WAVE_CODECS:
        raise ValueError(f"sounds are of {samples.dtype}, but WAV files hold one of {', '.join(WAVE_CODECS)}")
    width = samples.dtype.itemsize
    code = FLOATS if samples.dtype.kind == "f" else INTEGERS
    extended = channels > 2
    step = channels * width
    format = pack("<HHIIHH", EXTENSIBLE if extended else code, channels, rate, rate * step, step, 8 * width)
    if extended:
        format += pack("<HHII", 22, 8 * width, 0, code) + GUID_TAIL
    elif code == FLOATS:
        format += pack("<H", 0)
    chunks = b"WAVEfmt " + pack("<I", len(format)) + format
    if code == FLOATS:
        chunks += b"fact" + pack("<II", 4, len(samples))
    chunks += b"data" + pack("<I", min(samples.nbytes, MOST_BYTES))
    if len(chunks) + samples.nbytes > MOST_BYTES:
        raise ValueError(
            f"a sound has {samples.nbytes:,} bytes, but WAV files hold less than 4 GiB: make clips shorter"
        )
    header = b"RIFF" + pack("<I", len(chunks) + samples.nbytes) + chunks
    if sys.byteorder == "big":
        samples = samples.byteswap()
    return (header, samples.reshape(-1).view(np.uint8).data) if samples.nbytes else header
