"""Facts of a video from its header, for `clipx.video.probe`."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from itertools import chain
from typing import IO, cast

import av

from clipx._checks import check_kind
from clipx.audio.format import AudioFormat
from clipx.audio.layouts import channels_of
from clipx.audio.streams import find_audio
from clipx.errors import MediaError
from clipx.media.damage import Report
from clipx.media.opening import failures
from clipx.media.sources import Source, as_source, can_rewind, describe
from clipx.video.decoder import VideoDecoder
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions
from clipx.video.orientation import UPRIGHT, Orientation, carries_orientation

__all__ = ["SoundInfo", "VideoInfo", "container_orientation", "probe"]


@dataclass(frozen=True)
class SoundInfo:
    """The audio stream that belongs to a video: samples a second, number of channels, FFmpeg's name of the codec.

    Stability: stable.
    """

    sample_rate: int
    channels: int
    codec: str


@dataclass(frozen=True)
class VideoInfo:
    """Facts of a video stream.

    Attributes:
        width, height: of a frame as it is shown, that is rotated as the file asks.
        fps: average frames a second.
        frames: number of frames; None where the header does not list them, as outside of MOV and MP4.
        duration_seconds: as the header says; None where it does not.
        codec: FFmpeg's name, such as "h264", "hevc" or "av1".
        rotation: degrees by which frames are rotated counterclockwise to be shown: 0, 90, 180 or 270.
        mirrored: whether they are then flipped left to right.
        sound: of the audio stream that belongs to the video; None where there is none.

    Stability: stable.
    """

    width: int
    height: int
    fps: float
    frames: int | None
    duration_seconds: float | None
    codec: str
    rotation: int
    mirrored: bool
    sound: SoundInfo | None


def probe(src: Source, *, options: VideoOptions | None = None, name: str | None = None) -> VideoInfo:
    """Facts of a video from its header: size, rate, number of frames, duration, codec, rotation, sound.

    >>> info = clipx.video.probe("video.mp4")
    >>> info.width, info.height, info.fps, info.frames
    (1280, 720, 25.0, 250)

    Args:
        src: path, bytes (or an array or tensor of uint8), or file object; one that can seek is left where it was.
        options: `stream`, `rotate`, `max_pixels` and `trusted` count; with rotate=False, frames are as they are stored.
        name: the source's name in messages; default its path.

    Nothing is decoded where the header states size and rotation, as for H.264, HEVC, AV1 and VP9 in MP4, MOV, MKV and
    WebM. Otherwise, as in MPEG-TS, and where a stream brings a rotation of its own, the first frame is.

    Raises FileNotFoundError, MediaError for what cannot be read or has no video, TypeError for what is not a source.

    Stability: stable.
    """
    check_kind("options", options, VideoOptions, None)
    options, name = options or VideoOptions(), name or describe(src)
    with failures(name, "opened"):
        src = as_source(src, name)
        try:
            return _probed(src, options, name)
        finally:
            if hasattr(src, "read") and can_rewind(src):
                cast(IO[bytes], src).seek(0)


def _probed(src: Source, options: VideoOptions, name: str) -> VideoInfo:
    file = VideoFile(src, name, options)
    try:
        return _info(file, options.rotate)
    finally:
        file.close()


def _info(file: VideoFile, rotate: bool) -> VideoInfo:
    stream, context = file.stream, file.stream.codec_context
    width, height = context.width, context.height
    frames, duration, sound = file.frames_listed, _duration(file), _sound(file)
    orientation = container_orientation(stream) if rotate else UPRIGHT
    packets = file.packets()
    first = next((packet for packet in packets if packet.size), None)
    if not width * height or orientation is None or (rotate and orientation == UPRIGHT and _may_rotate(file, first)):
        decoder = VideoDecoder(file, Report(file.name, "keep", log=False))
        frame = None if first is None else next(decoder.frames(lambda: chain([first], packets)), None)
        if frame is not None:
            width, height = frame.image.width, frame.image.height
            orientation = decoder.orientation if rotate else UPRIGHT
        elif not width * height:
            raise MediaError(f"{file.name} has a video stream without frames")
    orientation = orientation or UPRIGHT
    if orientation.sideways:
        width, height = height, width
    return VideoInfo(width, height, float(file.rate), frames, duration, file.codec, *orientation, sound)


def _sound(file: VideoFile) -> SoundInfo | None:
    stream = find_audio(file.container, AudioFormat(), file.name, file.stream)
    if stream is None:
        return None
    context = stream.codec_context
    return SoundInfo(context.sample_rate, channels_of(stream), context.codec.canonical_name)


def _may_rotate(file: VideoFile, first: av.Packet | None) -> bool:
    extradata = bytes(file.stream.codec_context.extradata or b"")
    return first is not None and carries_orientation(first, file.codec, extradata)


def _duration(file: VideoFile) -> float | None:
    if file.stream.duration is not None:
        return float(file.stream.duration * file.time_base)
    return None if file.container.duration is None else file.container.duration / 1e6


def container_orientation(stream: av.VideoStream) -> Orientation | None:
    """The orientation that a container states; None where that is not known before a frame is decoded.

    av shows it with frames only. But a header of a MOV that is written for the stream has it (tkhd, ISO/IEC 14496-12
    8.3.2), where MOV knows the codec.
    """
    out = io.BytesIO()
    try:
        with av.open(out, "w", format="mov", options={"movflags": "frag_custom+empty_moov"}) as container:
            container.add_stream_from_template(stream)
            container.start_encoding()
    except (ValueError, av.FFmpegError):
        return None
    header = out.getvalue()
    at = header.find(b"tkhd")
    if at < 0:
        return None
    begin = at + (56 if header[at + 4] else 44)
    a, b, _, c, d = struct.unpack(">5i", header[begin : begin + 20])
    return Orientation.of_matrix(a, b, c, d)
