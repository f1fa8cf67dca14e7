"""The index of a video, read from its packets without decoding: frames, their times, and where decoding can start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import av
import numpy as np

__all__ = [
    "NO_TIME",
    "PacketIndex",
    "Stretches",
    "frames_listed",
    "gives_frames",
    "is_shown",
    "listed_stretches",
    "nal_units",
    "size_of",
    "skips_exactly",
    "starts_anew",
]

NO_TIME = np.iinfo(np.int64).min
"""Stands for the time of a packet that has not been read."""

# Containers that store one packet a frame, with its time.
CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm"})
# Codecs whose every packet is one frame, and whose key frames need nothing before them.
KEYED = frozenset({"av1", "ffv1", "h264", "hevc", "mjpeg", "prores", "vp8", "vp9"})
KEY_FRAME, DISCARDED = 1, 2  # AVINDEX_KEYFRAME, AVINDEX_DISCARD_FRAME
VP8_SHOWN = 16  # show_frame, in the first byte of a frame (RFC 6386 9.1)
H264_IDR = frozenset({5})
HEVC_IDR = frozenset({19, 20})


def nal_units(data: bytes, extradata: bytes, codec: str) -> Iterator[tuple[int, int, int]]:
    """Type, begin and end of the NAL units in an access unit of "h264" or "hevc", by lengths or by start codes.

    ITU-T H.264 7.3.1, H.265 7.3.1.2.
    """
    if extradata[:1] == b"\x01":
        at = 4 if codec == "h264" else 21  # lengthSizeMinusOne in avcC and hvcC (ISO/IEC 14496-15)
        size = (extradata[at] & 3) + 1 if len(extradata) > at else 4
        position = 0
        while position + size < len(data):
            begin = position + size
            position = begin + int.from_bytes(data[position:begin], "big")
            yield _nal_type(data[begin], codec), begin, position
    else:
        position = data.find(b"\0\0\1")
        while 0 <= position < len(data) - 3:
            begin = position + 3
            position = data.find(b"\0\0\1", begin)
            yield _nal_type(data[begin], codec), begin, position if position >= 0 else len(data)


def _nal_type(first: int, codec: str) -> int:
    return first & 31 if codec == "h264" else first >> 1 & 63


def starts_anew(data: bytes, codec: str, extradata: bytes) -> bool:
    """True if nothing from a key frame's packet on, in the order of decoding, refers to a packet before it."""
    if codec not in ("h264", "hevc"):
        return True
    idr = H264_IDR if codec == "h264" else HEVC_IDR
    return any(kind in idr for kind, _, _ in nal_units(data, extradata, codec))


def gives_frames(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    """True if each packet of a stream, in this container and of this codec, is one frame."""
    return bool(CONTAINERS & set(container.format.name.split(","))) and stream.codec.canonical_name in KEYED


def is_shown(packet: av.Packet, codec: str) -> bool:
    """True if a valid packet gives a frame: VP8 has some that are only referred to."""
    return codec != "vp8" or bool(bytes(packet)[0] & VP8_SHOWN)


def size_of(container: av.container.InputContainer) -> int:
    """Bytes of a file; 0 where that is not known: what a file object raised is raised by the next call of av."""
    return max(container.size or 0, 0)  # None from av 19 on, and negative before


def frames_listed(container: av.container.InputContainer, stream: av.VideoStream) -> int | None:
    """Number of frames that the header of a MOV or MP4 lists, where each packet is one; None where it is not certain.

    It is not for other containers and codecs, packets that an edit list drops, packets in fragments, and packets that
    would lie past the end of the file.
    """
    is_known = gives_frames(container, stream) and "mp4" in container.format.name
    entries = list(stream.index_entries) if is_known else []
    if not entries or len(entries) != stream.frames or any(entry.is_discard for entry in entries):
        return None
    if not entries[0].is_keyframe or max(entry.pos + entry.size for entry in entries) > size_of(container):
        return None
    if not all(entry.size for entry in entries):
        return None  # a packet without data gives no frame
    return len(entries)


def skips_exactly(context: av.VideoCodecContext) -> bool:
    """True if the decoder can leave out frames that nothing refers to, and gives the others bit for bit the same.

    H.264, and HEVC with a single temporal sub-layer: with several, frames marked so may serve a higher one.
    """
    if context.name == "h264":
        return True
    extradata = context.extradata or b""
    # hvcC byte 21: two bits of frame rate, three of numTemporalLayers.
    return context.name == "hevc" and extradata[:1] == b"\x01" and len(extradata) > 21 and extradata[21] >> 3 & 7 == 1


class Stretches(NamedTuple):
    """Stretches between key frames of a MOV or MP4, by the index in its header.

    Attributes:
        dts: time of decoding of each packet, int64 (n,), ascending.
        borders: packets of key frames, and n.
        numbers: of the stretches, ascending: stretch i begins at borders[i].
    """

    dts: np.ndarray
    borders: np.ndarray
    numbers: np.ndarray


def listed_stretches(stream: av.VideoStream, wanted: np.ndarray) -> Stretches | None:
    """The stretches that hold frames `wanted`, bool (n,); None where they are most of the file, or are not certain."""
    n = len(wanted)
    entries = np.array([(entry.timestamp, entry.flags) for entry in stream.index_entries], dtype=np.int64)
    if len(entries) != n or not n or np.any(entries[:, 1] & DISCARDED):
        return None
    dts = entries[:, 0]
    borders = np.append(np.flatnonzero(entries[:, 1] & KEY_FRAME), n)
    if borders[0] != 0 or np.any(np.diff(dts) <= 0):
        return None
    numbers = np.unique(np.searchsorted(borders, np.flatnonzero(wanted), side="right") - 1)
    if not len(numbers) or 2 * np.sum(borders[numbers + 1] - borders[numbers]) > n:
        return None
    return Stretches(dts, borders, numbers)


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """All n packets of a stream, in the order of decoding, and the frames that they give, in the order of showing.

    Attributes:
        pts: time of each frame in ticks of the stream's time base, int64 (n,), ascending; strictly, but that frames
            whose packets have not been read have the time of the last one before them.
        durations: ticks that each frame is shown, int64 (n,); 0 where the file does not say.
        frame_of: frame of each packet, int64 (n,).
        packet_pts: time of each packet, int64 (n,); NO_TIME where it has not been read.
        keys: packets from which decoding can start, and the frames that they give, which have the same numbers. The
            packets from one key to the next give the frames from one to the next: none after a key is shown before it.
        positions: byte of the file at which the packet of each key begins; None where that is not known.
    """

    pts: np.ndarray
    durations: np.ndarray
    frame_of: np.ndarray
    packet_pts: np.ndarray
    keys: np.ndarray
    positions: np.ndarray | None = None

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.pts)

    def frame_at(self, pts: int | None) -> int | None:
        """The frame whose packet has this time; None where no packet that has been read has it."""
        if pts is None:
            return None
        k = int(np.searchsorted(self.pts, pts))
        return k if k < self.frames and self.pts[k] == pts else None

    @staticmethod
    def read(
        container: av.container.InputContainer,
        stream: av.VideoStream,
        announced: int = 0,
        packets: Iterable[av.Packet] | None = None,
    ) -> PacketIndex | None:
        """The index of a stream, from its first packet on; None where packets may not match frames one by one.

        They may not in containers and codecs of other kinds, with packets without or with equal times, that an edit
        list drops, or that are damaged, with fewer than are announced, and where the first is not a key frame's.

        packets: all of the stream; None: as av gives them.
        """
        reader = _StretchReader(container, stream)
        if not reader.known:
            return None
        if not reader.add_all(container.demux(stream) if packets is None else packets):
            return None
        if len(reader.times) < announced:
            return None
        part = reader.finish()
        if part is None:
            return None
        packet_pts = part.pts[part.frame_of]
        return PacketIndex(part.pts, part.durations, part.frame_of, packet_pts, part.keys, part.positions)

    @staticmethod
    def read_part(
        container: av.container.InputContainer, stream: av.VideoStream, stretches: Stretches
    ) -> PacketIndex | None:
        """An index in which only some stretches between key frames are read.

        The number and order of the other packets are those of the index of MOV and MP4. None where `read` gives None,
        and where that index contradicts the packets that are read.
        """
        dts, borders, numbers = stretches
        n = len(dts)
        pts, durations, packet_pts = np.full(n, NO_TIME), np.zeros(n, dtype=np.int64), np.full(n, NO_TIME)
        frame_of = np.arange(n)
        keys: list[np.ndarray] = []
        # The delay of the first packet is that of every key frame from which decoding can start.
        delay = (stream.start_time or 0) - int(dts[0])
        for joined in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1):
            first, end = (int(each) for each in borders[[joined[0], joined[-1] + 1]])
            container.seek(int(dts[first]) + delay, stream=stream)
            packets = _StretchReader(container, stream)
            if not packets.known:
                return None
            at = -1
            for packet in container.demux(stream):
                if not packet.size or packet.dts is None:
                    return None
                at = at + 1 if at >= 0 else int(np.searchsorted(dts, packet.dts))
                if at > first + len(packets.times) or at >= n or dts[at] != packet.dts:
                    return None
                # The next key frame is read as well: decoding must be able to start from it.
                if at >= first and not packets.add(packet):
                    return None
                if at == min(end, n - 1):
                    break
            part = packets.finish()
            if part is None or len(part.pts) != min(end + 1, n) - first or (part.keys[-1] != end - first and end < n):
                return None
            here = slice(first, first + len(part.pts))
            pts[here], durations[here], frame_of[here] = part.pts, part.durations, part.frame_of + first
            packet_pts[here] = part.pts[part.frame_of]
            keys.append(part.keys + first)
        pts = np.maximum.accumulate(pts)
        known = packet_pts[packet_pts != NO_TIME]
        if len(np.unique(known)) != len(known):
            return None
        return PacketIndex(pts, durations, frame_of, packet_pts, np.unique(np.concatenate(keys)))


class _Stretch(NamedTuple):
    """Packets one after the other, as in PacketIndex, counted from the first."""

    pts: np.ndarray
    durations: np.ndarray
    frame_of: np.ndarray
    keys: np.ndarray
    positions: np.ndarray | None


class _StretchReader:
    """Collects packets of a stream that follow each other, from a key frame's on.

    Attributes:
        known: whether each packet is one frame, for this container and codec.
        times: of the packets so far.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self._context = stream.codec_context
        # The name of the codec, not of the decoder: AV1 is decoded by libdav1d.
        self._codec = self._context.codec.canonical_name
        self._extradata = bytes(self._context.extradata or b"")
        self.known = gives_frames(container, stream)
        self.times: list[int] = []
        self._durations: list[int] = []
        self._keys: list[int] = []
        self._positions: list[int | None] = []

    def add_all(self, packets: Iterable[av.Packet]) -> bool:
        """Add packets but the empty ones. Returns False at one that may not be one frame."""
        # As `add`, whose call would take longer than the rest.
        add_time, add_duration, hides = self.times.append, self._durations.append, self._codec == "vp8"
        for packet in packets:
            pts = packet.pts
            if packet.is_keyframe or hides or pts is None:
                if packet.size and not self.add(packet):
                    return False
                continue
            if packet.size:
                if packet.is_corrupt or packet.is_discard:
                    return False
                add_time(pts)
                add_duration(packet.duration or 0)
        return True

    def add(self, packet: av.Packet) -> bool:
        """Add the next packet. Returns False for one that may not be one frame."""
        if packet.pts is None or packet.is_corrupt or packet.is_discard:
            return False
        if not is_shown(packet, self._codec):
            return False
        if packet.is_keyframe and starts_anew(bytes(packet), self._codec, self._extradata):
            self._keys.append(len(self.times))
            self._positions.append(packet.pos)
        self.times.append(packet.pts)
        self._durations.append(packet.duration or 0)
        return True

    def finish(self) -> _Stretch | None:
        """The packets so far; None where their times may not be those of frames, or the first is not a key frame's."""
        if not self._keys or self._keys[0] != 0:
            return None
        pts = np.array(self.times, dtype=np.int64)
        order = np.argsort(pts, kind="stable")
        frame_of = np.empty_like(order)
        frame_of[order] = np.arange(len(order))
        if np.any(np.diff(pts[order]) <= 0):
            return None
        if not self._context.has_b_frames and np.any(np.diff(pts) <= 0):
            # The decoder gives frames as they come, whatever their times.
            return None
        key = np.array(self._keys, dtype=np.int64)
        # A key frame counts if all packets before it are shown before it, and all after it after it.
        latest_before = np.maximum.accumulate(np.concatenate(([-1], frame_of[:-1])))
        counts = (latest_before[key] == key - 1) & (frame_of[key] == key)
        key = key[counts]
        if not len(key) or key[0] != 0:
            return None
        positions = None if None in self._positions else np.array(self._positions, dtype=np.int64)[counts]
        return _Stretch(pts[order], np.array(self._durations, dtype=np.int64)[order], frame_of, key, positions)
