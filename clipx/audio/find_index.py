"""The index of an open file of sound, where one can be made without decoding it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import av

from clipx.audio.even_packets import EvenPackets, frames_of_adts, frames_of_mp3
from clipx.audio.file_bytes import FileBytes
from clipx.audio.flac_packets import FlacPackets, frames_of_flac
from clipx.audio.layouts import hold_layout, is_mapped
from clipx.audio.matroska_packets import packets_of_matroska
from clipx.audio.mov_packets import packets_of_mov
from clipx.audio.ogg_packets import OggPackets, opus_samples, pages_of_ogg, vorbis_blocks
from clipx.audio.preroll import LSF_RATES, preroll_of
from clipx.audio.sound_index import Contradiction, Kind, SoundIndex
from clipx.media.demuxing import demuxed

__all__ = ["can_be_indexed", "index_of"]

MOST_SILENT = 8
"""Packets at the beginning that may give no samples."""

INDEXED = frozenset(
    {("mp3", "mp3"), ("aac", "aac"), ("mp4", "aac"), ("ogg", "opus"), ("ogg", "vorbis"), ("flac", "flac")}
    | {("matroska", "opus"), ("matroska", "aac")}
)
"""Containers and codecs whose packets are found."""

SEVERAL = "mp4", "matroska"
"""Containers of which other streams may lie beside the sound."""


class _Begin(NamedTuple):
    """The beginning of a stream: its packets up to the first that gives a frame, and that frame."""

    packets: list[Any]
    frame: Any


def _kinds(container: av.container.InputContainer, stream: Any) -> tuple[str, str]:
    format = container.format.name
    known = next((each for each in SEVERAL if each in format), format)
    return known, stream.codec_context.codec.canonical_name


def can_be_indexed(container: av.container.InputContainer, stream: Any) -> bool:
    """An index may be made of a stream: of this container and codec, alone in it, if that is not MP4 or Matroska."""
    format, codec = _kinds(container, stream)
    return (format, codec) in INDEXED and (format in SEVERAL or len(container.streams) == 1)


def index_of(container: av.container.InputContainer, stream: Any, file: FileBytes) -> SoundIndex | None:
    """The index of a stream that can be indexed, whose first packets are read and decoded for it.

    None where anything in the file is not as a plain file of its kind has it: then only decoding says what it holds.
    Raises errors of av.
    """
    context = stream.codec_context
    format, codec = _kinds(container, stream)
    begin = _begin(container, stream)
    if begin is None or begin.packets[0].pos is None or begin.frame.pts is None:
        return None
    at, frame = begin.packets[0].pos, begin.frame
    kind, extradata = Kind.of(frame), bytes(context.extradata or b"")
    if is_mapped(kind.layout) or begin.frame.sample_rate != context.sample_rate:
        return None
    found: tuple[EvenPackets | OggPackets | FlacPackets, int] | None = None
    if format == "mp3":
        found = frames_of_mp3(file, at, 1152 if kind.rate > LSF_RATES else 576)
    elif format == "aac":
        found = frames_of_adts(file, at, 1024)
    elif format == "flac":
        # Its time base is a sample.
        found = frames_of_flac(file, at, stream.duration or 0)
    elif format == "mp4":
        found = packets_of_mov(file, stream, 1024)
    elif format == "matroska":
        step = opus_samples(bytes(begin.packets[0])) if codec == "opus" else 1024
        found = packets_of_matroska(file, stream, begin.packets, demuxed(container, stream), step)
    else:
        blocks = vorbis_blocks(extradata) if codec == "vorbis" else None
        found = None if codec == "vorbis" and blocks is None else pages_of_ogg(file, at, blocks)
    if found is None:
        return None
    packets, end = found
    given = _samples_given(packets, file, begin)
    if given is None or not 0 <= given - frame.samples < end:
        return None
    if given == packets.samples > end:
        # Samples are left out at the end of the first frame, too, which does not tell how many are at the beginning.
        return None
    skip = given - frame.samples
    start = frame.pts * Fraction(stream.time_base)
    return SoundIndex(
        packets,
        skip,
        end - skip,
        start,
        kind,
        context.codec.name,
        extradata,
        context.profile,
        preroll_of(stream) is not None,
    )


def _begin(container: av.container.InputContainer, stream: Any) -> _Begin | None:
    packets = []
    for packet in demuxed(container, stream):
        packets.append(packet)
        frames = stream.codec_context.decode(packet)
        for frame in frames:
            hold_layout(frame.layout)
        if frames or not packet.size or len(packets) > MOST_SILENT:
            return _Begin(packets, frames[0]) if len(frames) == 1 else None
    return None


def _samples_given(packets: EvenPackets | OggPackets | FlacPackets, file: FileBytes, begin: _Begin) -> int | None:
    """Samples that the packets at the beginning give; None where these are not those that were found."""
    try:
        found = packets.around(file, 0, 0).read(0)
        for packet in begin.packets:
            _, data = next(found, (0, b""))
            if bytes(data) != bytes(packet):
                return None
        return next(found, (packets.samples, b""))[0]
    except Contradiction:
        return None
