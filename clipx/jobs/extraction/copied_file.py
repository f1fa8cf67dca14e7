"""The file of a clip whose packets are copied: its container, the times of its packets, and its bytes."""

from __future__ import annotations

import io
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Any, NamedTuple

import av
import numpy as np

from clipx.errors import MediaError
from clipx.jobs.extraction.packet_reader import SpanPackets, TimedPacket
from clipx.jobs.extraction.packet_table import SoundPackets
from clipx.media.opening import failures

__all__ = ["Container", "container_for", "file_of"]

LARGEST_SCALE = 2**31 - 1
LEAST_SCALE = 10000
"""Ticks a second that FFmpeg gives a track of MP4 at least, by doubling."""


VIDEO, SOUND = 0, 1


class _MuxedPacket(NamedTuple):
    """A packet of stream VIDEO or SOUND of a file, and its times there in ticks of the stream."""

    stream: int
    packet: av.Packet
    pts: int
    dts: int
    duration: int


class Container(NamedTuple):
    """A container.

    Attributes:
        format: FFmpeg's name.
        ending: the extension of its files.
        hides: whether it can hold packets that are decoded and neither shown nor heard.
    """

    format: str
    ending: str
    hides: bool


MP4, MOV = Container("mp4", "mp4", True), Container("mov", "mov", True)
WEBM, MKV = Container("webm", "webm", False), Container("matroska", "mkv", False)


@lru_cache(maxsize=64)
def container_for(codecs: tuple[str, ...], source: str) -> Container:
    """The container of a clip: MP4 where it holds the codecs, else WebM, MOV or Matroska.

    source: FFmpeg's name of that of the source; MOV, whose times are exact, comes first only for clips of MOV.
    """
    last = (MOV, MKV) if "mov" in source else (MKV, MOV)
    for found in (MP4, WEBM, *last):
        with av.open(io.BytesIO(), "w", format=found.format) as out:
            if all(codec in out.supported_codecs for codec in codecs):
                return found
    raise MediaError(
        f"no container holds {' and '.join(codecs)} together: encode clips anew, with another encoding than 'copy'"
    )


def file_of(
    packets: SpanPackets,
    video: av.VideoStream,
    sound: av.AudioStream | None,
    facts: SoundPackets | None,
    container: Container,
    start: Fraction,
    frame_ticks: int,
) -> memoryview:
    """The bytes of a file with these packets, the same for the same packets.

    Args:
        video, sound: the streams that the packets are of.
        facts: of the sound.
        start: seconds of the video at which the file begins: its time 0. In MP4 and MOV, what comes before it is
            decoded, but neither shown nor heard.
        frame_ticks: of the video, that a frame lasts where the file does not say.
    """
    out = io.BytesIO()
    options = {"fflags": "+bitexact"}
    sources: list[Any] = [video]
    bases = [Fraction(video.time_base or 1)]
    if sound is not None and facts is not None:
        sources.append(sound)
        bases.append(Fraction(1, facts.rate))
    if container.hides:
        options["movie_timescale"] = str(_scale_of(bases[0], 1 if facts is None else facts.rate))
    with failures("a copied clip", "written"), av.open(out, "w", format=container.format, options=options) as target:
        streams: list[Any] = []
        for stream, base in zip(sources, bases):
            # Opaque: a codec needs no encoder.
            copy = target.add_stream_from_template(stream, opaque=True)
            copy.time_base = base
            streams.append(copy)
        if facts is not None and not streams[1].codec_context.sample_rate:
            streams[1].codec_context.sample_rate, streams[1].codec_context.layout = facts.rate, facts.layout
        muxed = _video_packets(packets.video, start / bases[0], frame_ticks)
        if facts is not None:
            muxed += _sound_packets(packets.sound, start, facts)
        for each in sorted(muxed, key=lambda each: (each.dts * bases[each.stream], each.stream)):
            packet = each.packet
            packet.pts, packet.dts, packet.duration = each.pts, each.dts, each.duration
            packet.time_base, packet.stream = bases[each.stream], streams[each.stream]
            target.mux(packet)
    return out.getbuffer()


def _scale_of(base: Fraction, rate: int) -> int:
    """Ticks a second of an MP4 or MOV in which the sound's delay is exact, where that can be."""
    scale = base.denominator
    while scale < LEAST_SCALE:
        scale *= 2
    both = lcm(scale, rate or 1)
    return both if both <= LARGEST_SCALE else scale


def _video_packets(packets: list[TimedPacket], start: Fraction, frame_ticks: int) -> list[_MuxedPacket]:
    """The packets of a video with times from `start` on, in ticks.

    All last a while: MP4 ends when its last frame does, so one that does not last would not be shown.
    """
    pts = np.array([each.pts for each in packets], dtype=np.int64) - int(start)
    durations = [each.duration or frame_ticks for each in packets]
    dts = _decoding_times(pts, durations[int(pts.argmax())])
    return [
        _MuxedPacket(VIDEO, each.packet, *times) for each, *times in zip(packets, pts.tolist(), dts.tolist(), durations)
    ]


def _sound_packets(packets: list[TimedPacket], start: Fraction, facts: SoundPackets) -> list[_MuxedPacket]:
    """The packets of sound with times from `start` on, in samples."""
    found, rate = [], facts.time_base * facts.rate
    for each in packets:
        pts = round(each.pts * rate - start * facts.rate)
        found.append(_MuxedPacket(SOUND, each.packet, pts, pts, round(each.duration * rate)))
    return found


def _decoding_times(pts: np.ndarray, last: int) -> np.ndarray:
    """Times of decoding, ascending and none after that of showing, of packets in the order of decoding.

    last: ticks that the last frame lasts.

    They are as far apart as frames are shown for: MP4 has no other durations, and FFmpeg reads nothing behind a key
    frame whose duration passes the end of the file.
    """
    shown, places = np.unique(pts, return_inverse=True)
    lasting = np.append(np.diff(shown), last)[places]
    passed = np.cumsum(lasting) - lasting
    found: np.ndarray = passed + (pts - passed).min()
    return found
