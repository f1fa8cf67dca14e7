"""The sound of a clip in an MP4 file: AAC, or without loss."""

from __future__ import annotations

from typing import Any

import av

from clipx.jobs.extraction.clip_arrays import Sound
from clipx.jobs.extraction.sound_encoder import LAYOUTS, PACKED, check_channels, sound_frame

__all__ = ["SoundStream"]

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
LOSSLESS = {"int16": "flac", "float32": "pcm_f32le"}
"""FFmpeg's codec that keeps the samples of each dtype."""


class SoundStream:
    """The stream of a sound in a file that is written; its first sample is at 0.

    Args:
        out: the file.
        lossless: whether samples are kept: int16 as FLAC, float32 as PCM. Otherwise they are encoded as AAC, whose
            first samples come before 0, where an edit list hides them.

    Raises ValueError for a sound that the codec does not take.
    """

    def __init__(self, out: av.container.OutputContainer, sound: Sound, lossless: bool) -> None:
        check_channels(sound, "encoding 'mp4'")
        self.codec = LOSSLESS[sound.samples.dtype.name] if lossless else "aac"
        if not lossless and sound.rate not in AAC_RATES:
            raise ValueError(
                f"a sound has {sound.rate} samples a second, but AAC has one of {', '.join(map(str, AAC_RATES))}: take "
                f"AudioFormat(sample_rate=48000), or crf=0, which keeps samples"
            )
        stream: Any = out.add_stream(self.codec, rate=sound.rate, layout=LAYOUTS[sound.channels - 1])
        context = stream.codec_context
        if lossless:
            context.format = PACKED[sound.samples.dtype.name]
        context.thread_count = 1
        context.flags |= av.codec.context.Flags.bitexact
        self._stream, self._sound = stream, sound

    def packets(self) -> list[av.Packet]:
        """All packets of the sound."""
        return [*self._stream.encode(sound_frame(self._sound)), *self._stream.encode(None)]
