"""The encoding "mp4": a clip as a video file of its own, with its sound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from clipx.audio.format import AudioFormat
from clipx.datasets.fields import Field, Sample
from clipx.jobs.extraction.clip_arrays import Sound, check_picture_format, pictures_of, sound_beside
from clipx.jobs.extraction.encoding import Data, EncodedClip, field_name
from clipx.jobs.extraction.frame_times import FrameTimes, frame_times
from clipx.jobs.extraction.movie_codecs import MovieCodec, VideoSettings, settings
from clipx.jobs.extraction.movie_sound import SoundStream
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.scheduling import kept_scheduling

__all__ = ["MovieEncoder", "check", "encoder", "memory_of"]

MATRIX_RGB, MATRIX_BT601 = 0, 6
"""MatrixCoefficients of ITU-T H.273."""

EXACT = Interpolation.AREA | (1 << 19)  # SWS_BITEXACT, for which PyAV 17 has no name
"""Chroma is the mean of four pixels, and the same on every processor."""


class _Pictures:
    """The way from a clip's arrays to the pictures that an encoder takes.

    Three channels become Y'CbCr 4:2:0 of BT.601 and limited range, as which most readers that pass over what a file
    states take it, too; or RGB, where nothing may be lost. One channel is luma of full range as it is, and chroma is
    neutral. 4:4:4 replaces 4:2:0 for odd sizes where the codec needs even ones.

    Attributes:
        encoder: FFmpeg's name of it.
        pixels: its pixel format.
        matrix, range: of the colors, by their numbers.
        size: (height, width).
    """

    def __init__(self, shape: tuple[int, ...], video: VideoSettings) -> None:
        _, height, width, channels = shape
        self.size = height, width
        self._given = "gray" if channels == 1 else "rgb24"
        is_odd = bool(height % 2 or width % 2)
        planes = "yuv444p" if is_odd and video.needs_even else "yuv420p"
        self.pixels = video.rgb if channels == 3 and video.lossless else planes
        is_rgb = self.pixels != planes
        self.encoder = video.rgb_encoder if is_rgb else video.encoder
        self.matrix = MATRIX_RGB if is_rgb else MATRIX_BT601
        self.range = ColorRange.MPEG if channels == 3 and not is_rgb else ColorRange.JPEG
        self._reformatter = None if self.pixels == self._given else VideoReformatter()
        self._colors: dict[str, Any] = {}
        if not is_rgb:
            colors = {"dst_colorspace": Colorspace.ITU601, "src_color_range": ColorRange.JPEG}
            self._colors = {**colors, "dst_color_range": self.range, "interpolation": EXACT}

    def frame(self, picture: np.ndarray) -> av.VideoFrame:
        """The frame of a picture (height, width, channels)."""
        seen = picture[..., 0] if self._given == "gray" else picture
        frame = av.VideoFrame.from_numpy_buffer(seen, self._given)
        if self._reformatter is None:
            return frame
        return self._reformatter.reformat(frame, format=self.pixels, threads=1, **self._colors)


class MovieEncoder:
    """Encodes clips as MP4 files, with their sound.

    Args:
        codec, crf, preset, gop: of `clipx.jobs.extract`; None for the default.
        audio: format of the sound, where clips come with one.

    Raises ValueError for a codec that this FFmpeg lacks, and for options that it does not take.
    """

    def __init__(
        self,
        codec: str | None = None,
        crf: float | None = None,
        preset: str | int | None = None,
        gop: int | None = None,
        audio: AudioFormat | None = None,
    ) -> None:
        found: tuple[MovieCodec, VideoSettings] = settings(codec, crf, preset, gop)
        (self._codec, self._video), self._audio = found, audio

    def encode(self, clip: Sample, fields: Mapping[Field, Field]) -> EncodedClip:
        """The clip of a sample, encoded; see `Encoder`."""
        made: dict[str, Data] = {}
        for name in fields:
            sound = sound_beside(clip, name, fields, self._audio)
            made[field_name(name, fields, "mp4")] = self._file(pictures_of(clip, name), clip["clip.json"], sound)
        height, width = pictures_of(clip, next(iter(fields))).shape[1:3]
        return EncodedClip(made, {"codec": self._codec.name, "width": width, "height": height})

    def _file(self, frames: np.ndarray, facts: Mapping[str, Any], sound: Sound | None) -> memoryview:
        times, file = frame_times(facts, len(frames)), BytesIO()
        options = {"fflags": "+bitexact", "movie_timescale": str(times.ticks)}
        with av.open(file, "w", format="mp4", options=options) as out:
            pictures = _Pictures(frames.shape, self._video)
            stream = self._stream(out, pictures, times)
            heard = None if sound is None or not sound.samples.size else SoundStream(out, sound, self._video.lossless)
            packets = _packets(stream, map(pictures.frame, frames), times)
            if heard is not None:
                packets += heard.packets()
            for packet in sorted(packets, key=_decoding_time):
                out.mux(packet)
        return file.getbuffer()

    def _stream(self, out: av.container.OutputContainer, pictures: _Pictures, times: FrameTimes) -> Any:
        video, (height, width) = self._video, pictures.size
        stream: Any = out.add_stream(pictures.encoder, rate=times.rate, options=video.options)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, pictures.pixels
        context.colorspace, context.color_range = pictures.matrix, pictures.range
        context.time_base, context.gop_size = Fraction(1, times.ticks), video.gop
        context.thread_count = 1
        context.flags |= av.codec.context.Flags.bitexact
        try:
            with kept_scheduling():
                context.open()
        except av.FFmpegError as exn:
            raise ValueError(
                f"{pictures.encoder} does not take pictures of {width}x{height} ({exn.strerror}): take resize=, or "
                f"codec='libx264', which has almost any size"
            ) from exn
        return stream


def _packets(stream: Any, frames: Iterable[av.VideoFrame], times: FrameTimes) -> list[av.Packet]:
    """The packets of all frames of a clip, in the order in which they are decoded."""
    packets = []
    for frame, pts in zip(frames, times.pts):
        frame.pts, frame.time_base = pts, Fraction(1, times.ticks)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    # MP4 has as duration of a frame the time from its decoding to the next: it is let last as long as it is shown.
    durations, passed, early = dict(zip(times.pts, times.durations)), 0, 0
    for packet in packets:
        packet.duration, packet.dts = durations[packet.pts], passed
        early, passed = min(early, packet.pts - passed), passed + packet.duration
    for packet in packets:
        packet.dts += early
    return packets


def _decoding_time(packet: Any) -> Fraction:
    return Fraction(packet.dts * packet.time_base)


def check(options: ExtractOptions) -> None:
    """Raise ValueError for options that the encoding does not go with."""
    check_picture_format(options)
    settings(options.codec, options.crf, options.preset, options.gop)


def memory_of(options: ExtractOptions, pixels: int) -> int:
    """Bytes that one encoder takes for pictures of so many pixels, beside the clip: it looks ahead by dozens."""
    base, each = settings(options.codec, options.crf, options.preset, options.gop)[1].memory
    return base + each * pixels


def encoder(options: ExtractOptions) -> MovieEncoder:
    """The encoder."""
    return MovieEncoder(options.codec, options.crf, options.preset, options.gop, options.audio)
