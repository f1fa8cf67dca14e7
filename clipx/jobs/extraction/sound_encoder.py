"""The encodings "wav" and "flac": sounds sample for sample."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from io import BytesIO

import av
import numpy as np

from clipx.audio.format import AudioFormat
from clipx.datasets.fields import Field, Sample
from clipx.jobs.extraction.clip_arrays import Sound, sound_in
from clipx.jobs.extraction.encoding import Data, EncodedClip, field_name
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.wave_file import WAVE_CODECS, wave_file

__all__ = ["FlacEncoder", "WaveEncoder", "check", "encoder", "flac_file", "sound_frame"]

LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
"""FFmpeg's usual layout of each number of channels."""

PACKED = {"int16": "s16", "int32": "s32", "float32": "flt"}
"""FFmpeg's names of the samples of each dtype, channels interleaved."""

MOST_FLAC_RATE = 655_350
INTEGERS_ASKED = "audio=AudioFormat(dtype='int16')"


def sound_frame(sound: Sound) -> av.AudioFrame:
    """The samples of a sound, of at most 8 channels, as one frame whose time is 0."""
    packed = sound.samples.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, PACKED[packed.dtype.name], LAYOUTS[sound.channels - 1])
    frame.sample_rate, frame.pts, frame.time_base = sound.rate, 0, Fraction(1, sound.rate)
    return frame


def check_channels(sound: Sound, encoding: str) -> None:
    """Raise ValueError for a sound of more channels than an encoding has."""
    if sound.channels > len(LAYOUTS):
        raise ValueError(
            f"a sound has {sound.channels} channels, but {encoding} holds at most {len(LAYOUTS)}: take "
            f"AudioFormat(mono=True), or encoding 'wav' or 'npy'"
        )


def check_flac(sound: Sound) -> None:
    """Raise ValueError for a sound that FLAC cannot hold sample for sample."""
    check_channels(sound, "FLAC")
    samples = sound.samples
    if not samples.size:
        raise ValueError("a sound has no samples, which FLAC cannot say: take 'wav'")
    if samples.dtype == np.int32:
        if (samples & 0xFF).any():
            raise ValueError(
                "sounds are of int32 and use more than the upper 24 bits, which FLAC holds; take encoding 'wav'"
            )
    elif samples.dtype != np.int16:
        raise ValueError(f"sounds are of {samples.dtype}, but FLAC holds int16: give {INTEGERS_ASKED}, or take 'wav'")
    if sound.rate > MOST_FLAC_RATE:
        raise ValueError(f"a sound has {sound.rate} samples a second, but FLAC at most {MOST_FLAC_RATE}; take 'wav'")


def flac_file(sound: Sound) -> bytes:
    """A sound as the bytes of a FLAC file. Raises ValueError for samples that it would change."""
    check_flac(sound)
    file = BytesIO()
    with av.open(file, "w", format="flac", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("flac", rate=sound.rate, layout=LAYOUTS[sound.channels - 1])
        context = stream.codec_context
        context.format = PACKED[sound.samples.dtype.name]
        context.thread_count = 1
        context.flags |= av.codec.context.Flags.bitexact
        out.mux(stream.encode(sound_frame(sound)))
        out.mux(stream.encode(None))
    return file.getvalue()


class WaveEncoder:
    """Encodes sounds as WAV files of their own samples.

    Args:
        audio: format of the sounds.
    """

    def __init__(self, audio: AudioFormat | None) -> None:
        self._audio = audio

    def encode(self, clip: Sample, fields: Mapping[Field, Field]) -> EncodedClip:
        """The clip of a sample, encoded; see `Encoder`."""
        sounds = {name: sound_in(clip, name, self._audio) for name in fields}
        made: dict[str, Data] = {field_name(name, fields, "wav"): wave_file(sound) for name, sound in sounds.items()}
        first = next(iter(sounds.values()))
        return EncodedClip(made, {"codec": WAVE_CODECS[first.samples.dtype.name], "width": None, "height": None})


class FlacEncoder:
    """Encodes sounds as FLAC files, sample for sample.

    Args:
        audio: format of the sounds.
    """

    def __init__(self, audio: AudioFormat | None) -> None:
        self._audio = audio

    def encode(self, clip: Sample, fields: Mapping[Field, Field]) -> EncodedClip:
        """The clip of a sample, encoded; see `Encoder`."""
        made: dict[str, Data] = {
            field_name(name, fields, "flac"): flac_file(sound_in(clip, name, self._audio)) for name in fields
        }
        return EncodedClip(made, {"codec": "flac", "width": None, "height": None})


def check(options: ExtractOptions) -> None:
    """Raise ValueError for options that the encoding does not go with."""
    if options.encoding == "flac" and (options.audio or AudioFormat()).dtype != "int16":
        raise ValueError(
            f"audio is {options.audio!r}, which gives samples of float32, but encoding 'flac' holds integers: give "
            f"{INTEGERS_ASKED}, or take encoding 'wav'"
        )


def encoder(options: ExtractOptions) -> WaveEncoder | FlacEncoder:
    """The encoder."""
    return (FlacEncoder if options.encoding == "flac" else WaveEncoder)(options.audio)
