"""The streams of a file of video or sound as rows of an index: from its header and packets, nothing is decoded."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain, islice
from typing import IO, Any, cast

import av

from clipx._reading import BytesFile
from clipx.audio.format import AudioFormat
from clipx.audio.layouts import channels_of
from clipx.audio.pcm import open_pcm
from clipx.audio.streams import find_audio, open_audio
from clipx.errors import MediaError
from clipx.media.demuxing import demuxed
from clipx.media.opening import best_video, open_media, videos
from clipx.media.packet_index import PacketIndex, frames_listed
from clipx.media.rates import MEASURED_PACKETS, grace_of, likely_rate, stated_rate, time_base_of
from clipx.media.sample_table import Header, header_of, index_of_header
from clipx.media.sources import Source, as_source
from clipx.media.stream_facts import KnownPackets
from clipx.video.decoder_memory import stream_memory
from clipx.video.known_headers import is_known
from clipx.video.options import VideoOptions
from clipx.video.orientation import SEI_TYPES, UPRIGHT, Orientation, carries_orientation
from clipx.video.probing import container_orientation

__all__ = ["Row", "sound_rows", "video_rows"]

Row = dict[str, Any]
"""Values of an index's columns by their names; those that are missing are null."""

EXACT = frozenset({"flac"})
"""Containers of sound whose header states the number of audio samples."""

MATROSKA_HEAD = 1 << 16
CLUSTER, PROJECTION = b"\x1f\x43\xb6\x75", b"\x76\x70"
"""Elements of Matroska (RFC 9559): packets, and what rotates the pictures of a track."""


class _Opened:
    """A file that is open for its header and packets.

    Attributes:
        unprobed: whether FFmpeg has decoded nothing to open it.
    """

    def __init__(self, src: Source, name: str) -> None:
        self._src, self.unprobed = src, False
        self.container = open_media(src, name, can_trust=False, is_known=self._is_known)

    def read_header(self, stream: av.VideoStream) -> tuple[Header | None, PacketIndex | None]:
        """The header of a MOV or MP4, and the index of a stream by it; None where they are not plain."""
        if "mp4" not in self.container.format.name:
            return None, None
        with _reading(self._src) as file:
            size = file.seek(0, io.SEEK_END)
            header = header_of(file, size)
            if header is None:
                return None, None
            return header, index_of_header(self.container, stream, header, file, size)

    def has_no_projection(self) -> bool:
        """True for a Matroska file whose header, up to the first cluster, does not rotate pictures."""
        if "matroska" not in self.container.format.name:
            return False
        with _reading(self._src) as file:
            file.seek(0)
            head, cluster, _ = file.read(MATROSKA_HEAD).partition(CLUSTER)
        return bool(cluster) and PROJECTION not in head

    def _is_known(self, container: av.container.InputContainer) -> bool:
        self.unprobed = is_known(container, VideoOptions())
        return self.unprobed


@contextmanager
def _reading(src: Any) -> Iterator[IO[bytes]]:
    """A file over a source, which is left where it was."""
    if isinstance(src, (bytes, bytearray, memoryview)):
        yield cast(IO[bytes], BytesFile(memoryview(src)))
    elif hasattr(src, "read"):
        at = src.tell()
        try:
            yield src
        finally:
            src.seek(at)
    else:
        with open(src, "rb") as file:
            yield file


def video_rows(src: Source, name: str) -> list[Row]:
    """A row for each video of a file, the best one's first, and for each sound beside them.

    Raises MediaError for a file that cannot be read, and for one without a video.
    """
    src = as_source(src, name)
    opened = _Opened(src, name)
    container = opened.container
    try:
        best = best_video(container)
        if best is None:
            raise MediaError(f"{name} has no video stream{' but cover art' if container.streams.video else ''}")
        numbers = [each.index for each in videos(container)]
        best_number = numbers.index(best.index)
        rows = [_video_row(opened, best, best_number, True)]
        rows += _sounds_beside(container, best, name)
    finally:
        container.close()
    for number in range(len(numbers)):
        if number != best_number:
            opened = _Opened(_rewound(src), name)
            try:
                rows.append(_video_row(opened, videos(opened.container)[number], number, False))
            finally:
                opened.container.close()
    return rows


def _video_row(opened: _Opened, stream: av.VideoStream, number: int, is_best: bool) -> Row:
    container = opened.container
    row: Row = {
        "kind": "video",
        "stream": stream.index,
        "stream_of_kind": number,
        "is_best": is_best,
        "container": container.format.name,
        "duration": _seconds(container, stream),
        "start": stream.start_time,
    }
    context = cast(Any, stream.codec_context)
    if context is None:
        return {**row, "status": "broken", "error": "its codec is not known"}
    time_base, codec = time_base_of(stream), context.codec.canonical_name
    extradata = bytes(context.extradata or b"")
    header, index = opened.read_header(stream)
    first: list[av.Packet] = []
    announced = len(stream.index_entries) if "mp4" in container.format.name else 0
    rate = stated_rate(container, stream)
    if index is None or rate is None:
        packets = demuxed(container, stream)
        with suppress(av.FFmpegError):
            first.extend(islice(packets, MEASURED_PACKETS))
            index = PacketIndex.read(container, stream, announced, chain(first, packets))
        rate = rate or likely_rate(stream, first)
        listed = frames_listed(container, stream)
    else:
        listed = index.frames if container.size >= 0 else None
    row |= {
        "codec": codec,
        "width": context.width or None,
        "height": context.height or None,
        "fps_num": rate.numerator,
        "fps_den": rate.denominator,
        "time_base_num": time_base.numerator,
        "time_base_den": time_base.denominator,
        "listed": listed,
        "frames": listed if index is None else index.frames,
        "exact": index is not None,
    }
    matrix = None if header is None else header.matrix_of(stream.id)
    if matrix is None:
        orientation = UPRIGHT if opened.has_no_projection() else container_orientation(stream)
    else:
        orientation = Orientation.of_matrix(*matrix)
    if orientation == UPRIGHT and codec in SEI_TYPES:
        start = next((packet for packet in chain(first, demuxed(container, stream)) if packet.size), None)
        if start is not None and carries_orientation(start, codec, extradata):
            orientation = None
    if orientation is not None:
        row["rotation"], row["mirrored"] = orientation
    steady = (1 / (rate * time_base)).denominator == 1
    if not opened.unprobed or steady:
        # Where times may be rounded, that is judged by rates that probing finds.
        row["grace_ticks"], row["grace_period"] = grace_of(container, stream, rate)
    memory = [each for each in map(stream_memory, videos(container)) if each is not None]
    if memory:
        pixels, pixel_bytes, references = (max(each) for each in zip(*memory))
        row |= {"picture_pixels": pixels, "references": references}
        row["picture_bytes_num"], row["picture_bytes_den"] = Fraction(pixel_bytes).as_integer_ratio()
    if index is not None:
        row |= _packets(KnownPackets.of(index))
    return _status(row, container, stream, announced)


def _packets(known: KnownPackets) -> Row:
    return {
        "pts": known.pts,
        "durations": known.durations,
        "frame_of": known.frame_of,
        "key_frames": known.keys,
        "key_pts": known.pts[known.keys],
        "key_positions": known.positions,
    }


def _status(row: Row, container: av.container.InputContainer, stream: av.VideoStream, announced: int) -> Row:
    row["status"] = "ok"
    size = container.size
    if announced and row["listed"] is None and size > 0:
        end = max(entry.pos + entry.size for entry in stream.index_entries)
        if end > size:
            row["status"] = "truncated"
            row["error"] = f"its header lists packets up to byte {end}, but it has {size}"
    return row


def _seconds(container: av.container.InputContainer, stream: Any) -> float | None:
    if stream.duration is not None and stream.time_base:
        found = float(stream.duration * stream.time_base)
    else:
        found = math.nan if container.duration is None else container.duration / 1e6
    return found if math.isfinite(found) and found >= 0 else None


def _sounds_beside(container: av.container.InputContainer, video: av.VideoStream, name: str) -> list[Row]:
    best = None
    with suppress(MediaError):
        best = find_audio(container, AudioFormat(), name, video)
    return [_sound_row(container, stream, number, best) for number, stream in enumerate(container.streams.audio)]


def _sound_row(container: av.container.InputContainer, stream: Any, number: int, best: Any) -> Row:
    time_base = time_base_of(stream)
    row: Row = {
        "kind": "sound",
        "stream": stream.index,
        "stream_of_kind": number,
        "is_best": best is not None and stream.index == best.index,
        "container": container.format.name,
        "duration": _seconds(container, stream),
        "time_base_num": time_base.numerator,
        "time_base_den": time_base.denominator,
        "start": stream.start_time,
        "status": "ok",
    }
    context = stream.codec_context
    if context is None:
        return {**row, "status": "broken", "error": "its codec is not known"}
    row |= {
        "codec": context.codec.canonical_name,
        "sample_rate": context.sample_rate or None,
        "channels": channels_of(stream) or None,
    }
    return row


def sound_rows(src: Source, name: str) -> list[Row]:
    """A row for each sound of a file of sound. Raises MediaError where it cannot be read, or has none."""
    src = as_source(src, name)
    container, best = open_audio(src, AudioFormat(), name)
    try:
        rows = [_sound_row(container, each, number, best) for number, each in enumerate(container.streams.audio)]
        if container.format.name in EXACT and best.duration:
            rows[0]["samples"] = _samples(best)
    finally:
        container.close()
    pcm = open_pcm(_rewound(src), name, AudioFormat())
    if pcm is not None:
        rows[0]["samples"] = pcm.frames
        pcm.close()
    return rows


def _samples(stream: Any) -> int | None:
    found = stream.duration * Fraction(stream.time_base) * stream.codec_context.sample_rate
    return int(found) if found.denominator == 1 else None


def _rewound(src: Source) -> Source:
    """A source that is read from its beginning again, where it is a file object."""
    if hasattr(src, "read"):
        cast(Any, src).seek(0)
    return src
