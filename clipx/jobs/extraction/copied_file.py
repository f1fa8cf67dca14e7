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
from clipx.media.packet_index import NO_TIME

__all__ = ["Container", "container_for", "file_of"]

LARGEST_SCALE = 2**31 - 1
LEAST_SCALE = 10000
"""Ticks a second that FFmpeg gives a track of MP4 at least, by doubling."""


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
) -> memoryview:
    """The bytes of a file with these packets, the same for the same packets.

    Args:
        video, sound: the streams that the packets are of.
        facts: of the sound.
        start: seconds of the video at which the file begins: its time 0. In MP4 and MOV, what comes before it is
            decoded, but neither shown nor heard.
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
        times = [_video_times(packets.video, start / bases[0])]
        if facts is not None:
            times.append(_sound_times(packets.sound, start, facts))
        timed = [(kind, each) for kind, found in enumerate(times) for each in found]
        for kind, (packet, pts, dts, duration) in sorted(
            timed, key=lambda each: (each[1].dts * bases[each[0]], each[0])
        ):
            packet.pts, packet.dts, packet.duration = pts, dts, duration
            packet.time_base, packet.stream = bases[kind], streams[kind]
            target.mux(packet)
    return out.getbuffer()


def _scale_of(base: Fraction, rate: int) -> int:
    """Ticks a second of an MP4 or MOV in which the sound's delay is exact, where that can be."""
    scale = base.denominator
    while scale < LEAST_SCALE:
        scale *= 2
    both = lcm(scale, rate or 1)
    return both if both <= LARGEST_SCALE else scale


def _video_times(packets: list[TimedPacket], start: Fraction) -> list[TimedPacket]:
    """The packets of a video with times from `start` on, in ticks; all have a time of decoding."""
    begin = int(start)
    pts = np.array([each.pts for each in packets], dtype=np.int64) - begin
    dts = _decoding_times(np.array([each.dts for each in packets], dtype=np.int64), pts, begin)
    return [each._replace(pts=at, dts=before) for each, at, before in zip(packets, pts.tolist(), dts.tolist())]


def _sound_times(packets: list[TimedPacket], start: Fraction, facts: SoundPackets) -> list[TimedPacket]:
    """The packets of sound with times from `start` on, in samples."""
    found, rate = [], facts.time_base * facts.rate
    for each in packets:
        pts = round(each.pts * rate - start * facts.rate)
        found.append(each._replace(pts=pts, dts=pts, duration=round(each.duration * rate)))
    return found


def _decoding_times(dts: np.ndarray, pts: np.ndarray, start: int) -> np.ndarray:
    """Times of decoding, ascending and none after that of showing: those of the file, else made of the others."""
    if NO_TIME not in dts:
        dts = dts - start
        if np.all(np.diff(dts) > 0) and np.all(dts <= pts):
            return dts
    shown = np.sort(pts)
    delay = int(np.max(np.arange(len(pts)) - np.searchsorted(shown, pts), initial=0))
    step = max(int(np.min(np.diff(shown), initial=LARGEST_SCALE)), 1) if len(pts) > 1 else 1
    before: np.ndarray = shown[0] - step * np.arange(delay, 0, -1)
    return np.concatenate((before, shown))[: len(pts)]
