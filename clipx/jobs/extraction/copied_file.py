"""The file of a clip whose packets are copied: its container, the times of its packets, and its bytes."""

from __future__ import annotations

import io
from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple

import av
import numpy as np

from clipx.errors import MediaError
from clipx.jobs.extraction.packet_reader import SpanPackets, TimedPacket
from clipx.media.opening import failures
from clipx.media.packet_index import NO_TIME

__all__ = ["Container", "container_for", "file_of"]

LARGEST_SCALE = 2**31 - 1
LEAST_SCALE = 10000
"""Ticks a second that FFmpeg gives a track of MP4 at least, by doubling."""


class Container(NamedTuple):
    """A container: FFmpeg's name, and the extension of its files."""

    format: str
    ending: str


MP4, WEBM, MOV, MKV = (
    Container("mp4", "mp4"),
    Container("webm", "webm"),
    Container("mov", "mov"),
    Container("matroska", "mkv"),
)


def container_for(codecs: list[str], source: str) -> Container:
    """The container of a clip: MP4 where it holds the codecs, else WebM, MOV or Matroska.

    source: FFmpeg's name of that of the source; MOV, whose times are exact, comes first only for clips of MOV.
    """
    last = (MOV, MKV) if "mov" in source else (MKV, MOV)
    for found in (MP4, WEBM, *last):
        with av.open(io.BytesIO(), "w", format=found.format) as out:
            if all(codec in out.supported_codecs for codec in codecs):
                return found
    raise MediaError(f"no container holds {' and '.join(codecs)} together")


def file_of(
    packets: SpanPackets,
    video: av.VideoStream,
    sound: av.AudioStream | None,
    container: Container,
    start: int,
) -> memoryview:
    """The bytes of a file with these packets, the same for the same packets.

    Args:
        video, sound: the streams that the packets are of.
        start: time in ticks of the video at which the file begins: its time 0. Frames before it are hidden.
    """
    out = io.BytesIO()
    options = {"fflags": "+bitexact"}
    sources: list[Any] = [video] if sound is None else [video, sound]
    bases = [Fraction(each.time_base) for each in sources]
    if container in (MP4, MOV):
        options["movie_timescale"] = str(_scale_of(bases[0], 0 if sound is None else sound.codec_context.sample_rate))
    with failures("a copied clip", "written"), av.open(out, "w", format=container.format, options=options) as target:
        streams: list[Any] = []
        for stream, base in zip(sources, bases):
            copy = target.add_stream_from_template(stream, opaque=True)  # also of codecs without an encoder
            copy.time_base = base
            streams.append(copy)
        for kind, timed in _in_order(packets, bases, start):
            packet = timed.packet
            packet.pts, packet.dts, packet.duration = timed.pts, timed.dts, timed.duration
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


def _in_order(packets: SpanPackets, bases: list[Fraction], start: int) -> list[tuple[int, TimedPacket]]:
    """(0, packet) of the video and (1, packet) of the sound, in the order of decoding, with times from `start` on."""
    pts = np.array([each.pts for each in packets.video], dtype=np.int64) - start
    dts = _decoding_times(np.array([each.dts for each in packets.video], dtype=np.int64), pts, start)
    times = zip(packets.video, pts.tolist(), dts.tolist())
    found = [(0, each._replace(pts=at, dts=before)) for each, at, before in times]
    if packets.sound:
        origin = round(start * bases[0] / bases[1])
        found += [(1, each._replace(pts=each.pts - origin, dts=each.dts - origin)) for each in packets.sound]
    return sorted(found, key=lambda each: (each[1].dts * bases[each[0]], each[0]))


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
