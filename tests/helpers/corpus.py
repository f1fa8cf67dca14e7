"""Small videos and sounds of many containers and codecs, and what FFmpeg decodes of them, whole or damaged."""

from __future__ import annotations

import io
import tempfile
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

import clipx
from clipx.media.opening import TEXTS
from clipx.video.writer import PictureWriter
from helpers.priority import kept_policy

RATE, FRAMES, HEIGHT, WIDTH = 25, 40, 48, 64
X264 = {"g": "10", "x264-params": "threads=1", "preset": "veryfast"}
X265 = "log-level=none:keyint=10:pools=1:frame-threads=1"


class Kind(NamedTuple):
    """A container and a codec."""

    container: str
    codec: str
    options: dict[str, str] = {}  # noqa: RUF012  # never changed
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = (HEIGHT, WIDTH)
    sound: str | None = None


VIDEOS = {
    "mp4 h264, B-frames": Kind("mp4", "libx264", {**X264, "bf": "2"}, sound="aac"),
    "mp4 h264 without B-frames": Kind("mp4", "libx264", {**X264, "bf": "0"}),
    "mp4 h264, open GOP": Kind("mp4", "libx264", {**X264, "x264-params": "threads=1:open-gop=1:bframes=3:keyint=10"}),
    "mp4 h264 in fragments": Kind("ismv", "libx264", {**X264, "bf": "2"}),
    "mp4 hevc": Kind("mp4", "libx265", {"x265-params": f"{X265}:bframes=2:open-gop=0", "preset": "ultrafast"}),
    "mp4 hevc, 10 bit": Kind("mp4", "libx265", {"x265-params": X265, "preset": "ultrafast"}, "yuv420p10le"),
    "mp4 av1": Kind("mp4", "libsvtav1", {"preset": "12", "g": "10", "svtav1-params": "lp=1"}, size=(64, 64)),
    "mp4 mpeg4": Kind("mp4", "mpeg4", {"g": "10", "bf": "2"}),
    "3gp h263": Kind("3gp", "h263", {"g": "10"}, size=(96, 128)),
    "mov prores": Kind("mov", "prores_ks", {}, "yuv422p10le"),
    "mov mjpeg": Kind("mov", "mjpeg", {}, "yuvj420p", sound="pcm_s16le"),
    "mov png": Kind("mov", "png", {}, "rgb24"),
    "mov qtrle": Kind("mov", "qtrle", {"g": "10"}, "rgb24"),
    "mkv h264": Kind("matroska", "libx264", {**X264, "bf": "2"}, sound="libmp3lame"),
    "mkv ffv1": Kind("matroska", "ffv1", {"g": "10"}, "yuv444p"),
    "mkv mpeg2": Kind("matroska", "mpeg2video", {"g": "10", "bf": "2"}),
    "webm vp8": Kind("webm", "libvpx", {"g": "10", "deadline": "realtime", "cpu-used": "8"}),
    "webm vp9": Kind("webm", "libvpx-vp9", {"g": "10", "deadline": "realtime", "cpu-used": "8"}, sound="libopus"),
    "avi mpeg4": Kind("avi", "mpeg4", {"g": "10"}, sound="pcm_s16le"),
    "avi msmpeg4": Kind("avi", "msmpeg4", {"g": "10"}),
    "avi huffyuv": Kind("avi", "huffyuv", {}, "yuv422p"),
    "avi mjpeg": Kind("avi", "mjpeg", {}, "yuvj422p"),
    "avi raw": Kind("avi", "rawvideo", {}, "bgr24"),
    "ts h264": Kind("mpegts", "libx264", {**X264, "bf": "2"}),
    "ts mpeg2": Kind("mpegts", "mpeg2video", {"g": "10", "bf": "2"}, sound="mp2"),
    "mpg mpeg1": Kind("mpeg", "mpeg1video", {"g": "10"}),
    "mpg mpeg2": Kind("vob", "mpeg2video", {"g": "10", "bf": "2"}),
    "flv flv1": Kind("flv", "flv", {"g": "10"}),
    "flv h264": Kind("flv", "libx264", {**X264, "bf": "2"}),
    "ogg vp8": Kind("ogg", "libvpx", {"g": "10", "deadline": "realtime", "cpu-used": "8"}),
    "wmv wmv2": Kind("asf", "wmv2", {"g": "10"}),
    "nut ffvhuff": Kind("nut", "ffvhuff", {}, "yuv420p"),
    "mxf mpeg2": Kind("mxf", "mpeg2video", {"g": "10"}),
    "mxf dnxhd": Kind("mxf", "dnxhd", {"profile": "dnxhr_lb"}, "yuv422p", (120, 256)),
    "ivf vp9": Kind("ivf", "libvpx-vp9", {"g": "10", "deadline": "realtime", "cpu-used": "8"}),
    "gif": Kind("gif", "gif", {}, "rgb8"),
    "apng": Kind("apng", "apng", {}, "rgb24"),
    "raw h264": Kind("h264", "libx264", {**X264, "bf": "2"}),
    "raw hevc": Kind("hevc", "libx265", {"x265-params": f"{X265}:bframes=2", "preset": "ultrafast"}),
    "raw mpeg4": Kind("m4v", "mpeg4", {"g": "10"}),
    "raw mpeg2": Kind("mpeg2video", "mpeg2video", {"g": "10", "bf": "2"}),
    "raw mjpeg": Kind("mjpeg", "mjpeg", {}, "yuvj420p"),
    "y4m": Kind("yuv4mpegpipe", "wrapped_avframe", {}, "yuv420p"),
    "dv": Kind("dv", "dvvideo", {}, "yuv420p", (576, 720)),
}

SOUNDS = {
    "wav pcm": ("wav", "pcm_s16le", 8000),
    "wav adpcm": ("wav", "adpcm_ms", 8000),
    "flac": ("flac", "flac", 8000),
    "mp3": ("mp3", "mp3", 44100),
    "ogg opus": ("ogg", "libopus", 48000),
    "m4a aac": ("ipod", "aac", 44100),
    "m4a alac": ("ipod", "alac", 44100),
    "aac": ("adts", "aac", 44100),
    "aiff": ("aiff", "pcm_s16be", 8000),
    "au": ("au", "pcm_mulaw", 8000),
    "caf": ("caf", "pcm_s24le", 8000),
    "ac3": ("ac3", "ac3", 48000),
    "wavpack": ("wv", "wavpack", 8000),
    "tta": ("tta", "tta", 8000),
    "w64": ("w64", "pcm_f32le", 8000),
    "mka": ("matroska", "pcm_s16le", 8000),
}


def picture(k: int, size: tuple[int, int]) -> np.ndarray:
    """Frame k, unlike every other: coarse noise that moves."""
    height, width = size
    still = np.random.default_rng(7).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    moved = np.roll(still.repeat(8, 0).repeat(8, 1), (k, 3 * k), (0, 1))[:height, :width]
    return np.ascontiguousarray(moved)


def wave(rate: int, n: int) -> np.ndarray:
    t = np.arange(n) / rate
    return (np.sin(2000 * t * (1 + t)) * 12000).astype(np.int16)[None]


def encode_sound(out: Any, stream: Any, n: int) -> None:
    rate = stream.rate
    frame = av.AudioFrame.from_ndarray(wave(rate, n), format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(stream.format.name, stream.layout.name, rate, stream.frame_size or None)
    for each in [*resampler.resample(frame), *resampler.resample(None)]:
        out.mux(stream.encode(each))
    out.mux(stream.encode())


@cache
@kept_policy()
def video_bytes(name: str) -> bytes:
    kind = VIDEOS[name]
    with tempfile.NamedTemporaryFile() as file, av.open(file.name, "w", format=kind.container) as out:
        stream = out.add_stream(kind.codec, rate=RATE, options=dict(kind.options))
        stream.height, stream.width = kind.size
        stream.pix_fmt, stream.codec_context.thread_count = kind.pix_fmt, 1
        rate = 48000 if kind.sound == "libopus" else 16000
        sound_stream = out.add_stream(kind.sound, rate=rate) if kind.sound else None
        for k in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(k, kind.size), format="rgb24").reformat(format=kind.pix_fmt)
            frame.pts = k
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if sound_stream is not None:
            encode_sound(out, sound_stream, rate * FRAMES // RATE)
        out.close()
        return Path(file.name).read_bytes()


@cache
def sound_bytes(name: str) -> bytes:
    container, codec, rate = SOUNDS[name]
    with tempfile.NamedTemporaryFile() as file, av.open(file.name, "w", format=container) as out:
        encode_sound(out, out.add_stream(codec, rate=rate, layout="mono"), rate)
        out.close()
        return Path(file.name).read_bytes()


class Played(NamedTuple):
    """Frames of a plain decode of all packets.

    frames: converted; seconds: when each is shown; raw: as the file says. ended: False where the size or the format of
    the pictures changes, which ends the frames. failed: whether a packet could not be decoded or was marked as damaged.
    """

    frames: list[Any]
    seconds: list[float]
    raw: list[float | None]
    ended: bool
    failed: bool


def play(data: bytes) -> Played:
    """Every frame that FFmpeg gives of a file, passing over packets that it cannot decode. Raises what opening raises.

    Parts of a damaged picture that a decoder does not write are what its memory held before: a frame that it does not
    always give alike, whether that is used again at once, later or never, is None.
    """
    runs = [_play(data, held) for held in (0, 1, 3, FRAMES * 2)]
    frames = [
        each[0] if all(np.array_equal(each[0], other) for other in each) else None
        for each in zip(*(run.frames for run in runs))
    ]
    return runs[0]._replace(frames=frames)


def decoded_packets(container: Any, stream: Any, context: Any) -> Iterator[tuple[Any, list[Any], bool]]:
    """Each packet that is not empty, and None behind the last, with its frames, and whether it could not be read or
    decoded.
    """
    packets, packet = container.demux(stream), True
    while packet is not None:
        failed = False
        try:
            packet = next(packets, None)
        except (av.FFmpegError, IndexError):
            packet, failed = None, True
        if packet is not None and not packet.size:
            continue
        try:
            frames = context.decode(packet)
        except av.FFmpegError:
            frames, failed = [], True
        yield packet, frames, failed
        del frames


def _play(data: bytes, most: int) -> Played:
    held: deque[Any] = deque(maxlen=most)
    frames: list[Any] = []
    seconds: list[float] = []
    raw: list[float | None] = []
    writer = PictureWriter(clipx.ClipFormat(), clipx.VideoOptions(), "played")
    kinds, failed = set(), False
    with av.open(io.BytesIO(data), **TEXTS) as container:
        stream = container.streams.best("video")
        if stream is None or stream.codec_context is None:
            raise clipx.MediaError("there is no video")
        context: Any = stream.codec_context
        context.thread_count = 1
        rate, ticks, duration = stream.average_rate or stream.guessed_rate or 25, None, 0
        for packet, images, broken in decoded_packets(container, stream, context):
            failed |= broken or (packet is not None and packet.is_corrupt)
            while images:
                image = images.pop(0)
                kinds.add((image.height, image.width, image.format.name))
                if len(kinds) > 1:
                    return Played(frames, seconds, raw, False, True)
                failed |= image.is_corrupt
                frames.append(writer.clip_of(image)[0])
                held.append(image)
                # A frame without a time, or not after the one before it, follows that at once.
                if image.pts is None or (ticks is not None and image.pts <= ticks):
                    ticks = 0 if ticks is None else ticks + duration
                else:
                    ticks = image.pts
                duration = image.duration or max(round(1 / (rate * stream.time_base)), 1)
                seconds.append(float(ticks * stream.time_base))
                raw.append(None if image.pts is None else float(image.pts * stream.time_base))
    return Played(frames, seconds, raw, True, failed)


def flipped(data: bytes, seed: int, count: int = 200) -> bytes:
    out = bytearray(data)
    rng = np.random.default_rng(seed)
    for at, bit in zip(rng.integers(0, len(out), count).tolist(), rng.integers(0, 8, count).tolist()):
        out[at] ^= 1 << bit
    return bytes(out)


DAMAGED = {
    "joined": lambda data: data + data,
    "begun in the middle": lambda data: data[len(data) // 2 :],
    "the last tenth cut off": lambda data: data[: len(data) * 9 // 10],
    "the first kilobyte lost": lambda data: data[1024:],
    "200 bytes flipped": lambda data: flipped(data, 1),
}


class PlayedSound(NamedTuple):
    """Sound of a plain decode: float32 (channels, n). failed: whether a packet could not be decoded, or gave
    sound of another kind, which is left out.
    """

    samples: np.ndarray
    failed: bool


def play_sound(data: bytes) -> PlayedSound:
    """All sound that FFmpeg gives of a file, passing over packets that it cannot decode. Raises what opening raises."""
    pieces: list[np.ndarray] = []
    kind, failed, resampler = None, False, av.AudioResampler("fltp")
    with av.open(io.BytesIO(data), **TEXTS) as container:
        stream: Any = container.streams.best("audio")
        if stream is None or stream.codec_context is None:
            raise clipx.MediaError("there is no sound")
        for _packet, frames, broken in decoded_packets(container, stream, stream.codec_context):
            failed |= broken
            for frame in frames:
                kind = kind or (frame.sample_rate, frame.layout.name)
                if kind == (frame.sample_rate, frame.layout.name):
                    pieces += [each.to_ndarray() for each in resampler.resample(frame)]
                else:
                    failed = True
        if kind is None:
            raise clipx.MediaError("there is no sound that can be decoded")
        pieces += [each.to_ndarray() for each in resampler.resample(None)]
    return PlayedSound(np.concatenate(pieces, axis=1), failed)
