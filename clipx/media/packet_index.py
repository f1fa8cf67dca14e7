"""The packets of a video, read without decoding: how many frames there are, when, and where decoding can start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import av
import numpy as np

__all__ = ["NO_TIME", "Index", "frames_listed", "gives_frames", "is_shown", "nal_units", "skips_exactly"]

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


def _starts_anew(packet: av.Packet, codec: str, extradata: bytes) -> bool:
    """Whether nothing from this packet on, in the order of decoding, refers to what came before."""
    if not packet.is_keyframe:
        return False
    if codec not in ("h264", "hevc"):
        return True
    idr = H264_IDR if codec == "h264" else HEVC_IDR
    return any(kind in idr for kind, _, _ in nal_units(bytes(packet), extradata, codec))


def gives_frames(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    """Whether each packet of a stream, of this container and codec, is one frame."""
    return bool(CONTAINERS & set(container.format.name.split(","))) and stream.codec.canonical_name in KEYED


def is_shown(packet: av.Packet, codec: str) -> bool:
    """Whether a packet that is no error gives a frame: VP8 has some that are only referred to."""
    return codec != "vp8" or bool(bytes(packet)[0] & VP8_SHOWN)


def frames_listed(container: av.container.InputContainer, stream: av.VideoStream) -> int | None:
    """Number of frames that the header of a MOV or MP4 lists, where each packet is one; None where that is not sure.

    That is so for other containers and codecs, packets that an edit list drops, packets in fragments, and those that
    would lie past the end of the file.
    """
    packets = _Packets(container, stream)
    entries = list(stream.index_entries) if packets.known and "mp4" in container.format.name else []
    if not entries or len(entries) != stream.frames or any(entry.is_discard for entry in entries):
        return None
    if not entries[0].is_keyframe or max(entry.pos + entry.size for entry in entries) > container.size:
        return None
    if not all(entry.size for entry in entries):
        return None  # what was never recorded gives no frame
    return len(entries)


def skips_exactly(context: av.VideoCodecContext) -> bool:
    """Whether the decoder can leave out frames that nothing refers to, and give the others bit for bit the same.

    H.264, and HEVC with a single temporal sub-layer: with several, frames marked so may serve a higher one.
    """
    if context.name == "h264":
        return True
    extradata = context.extradata or b""
    # hvcC byte 21: two bits of frame rate, three of numTemporalLayers.
    return context.name == "hevc" and extradata[:1] == b"\x01" and len(extradata) > 21 and extradata[21] >> 3 & 7 == 1


@dataclass(frozen=True, eq=False)
class Index:
    """All n packets of a stream, in the order of decoding, and the frames they give, in the order of showing.

    Attributes:
        pts: when each frame is shown, int64 (n,), ascending, in the stream's time base; strictly, but that frames whose
            packets have not been read stand at the time of the last one before them.
        durations: for how long, int64 (n,); 0 where the file does not say.
        frame_of: frame of each packet, int64 (n,).
        packet_pts: time of each packet, int64 (n,); NO_TIME where it has not been read.
        keys: packets from which decoding can start, and the frames they give, which have the same numbers. From one to
            the next stand the packets of just these frames: none from a key on is shown before it.
    """

    pts: np.ndarray
    durations: np.ndarray
    frame_of: np.ndarray
    packet_pts: np.ndarray
    keys: np.ndarray

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.pts)

    def frame_at(self, pts: int | None) -> int | None:
        """The frame that is shown at this time, as its packet says; None where no packet has been read that does."""
        if pts is None:
            return None
        k = int(np.searchsorted(self.pts, pts))
        return k if k < self.frames and self.pts[k] == pts else None

    @staticmethod
    def read(container: av.container.InputContainer, stream: av.VideoStream, announced: int = 0) -> Index | None:
        """The index of a stream, from its first packet on; None where packets and frames may not be the same.

        That is so for containers and codecs of other kinds, packets without or with equal times, those that an edit
        list drops, damaged ones, fewer than are announced, and a stream that does not begin with a key frame.
        """
        packets = _Packets(container, stream)
        if not packets.known:
            return None
        for packet in container.demux(stream):
            if packet.size and not packets.add(packet):
                return None
        if len(packets.times) < announced:
            return None
        run = packets.take()
        return None if run is None else Index(run.pts, run.durations, run.frame_of, run.pts[run.frame_of], run.keys)

    @staticmethod
    def read_part(container: av.container.InputContainer, stream: av.VideoStream, wanted: np.ndarray) -> Index | None:
        """An index in which only the stretches between key frames that hold frames `wanted`, bool (n,), are read.

        The others' place and number are those of MOV's and MP4's own index. None where `read` would give none, where
        that index is not borne out by what is read, and where most of the file would be.
        """
        n = len(wanted)
        entries = np.array([(entry.timestamp, entry.flags) for entry in stream.index_entries], dtype=np.int64)
        if len(entries) != n or not n or np.any(entries[:, 1] & DISCARDED):
            return None
        dts = entries[:, 0]
        borders = np.append(np.flatnonzero(entries[:, 1] & KEY_FRAME), n)
        if borders[0] != 0 or np.any(np.diff(dts) <= 0):
            return None
        stretches = np.unique(np.searchsorted(borders, np.flatnonzero(wanted), side="right") - 1)
        if not len(stretches) or 2 * np.sum(borders[stretches + 1] - borders[stretches]) > n:
            return None
        pts, durations, packet_pts = np.full(n, NO_TIME), np.zeros(n, dtype=np.int64), np.full(n, NO_TIME)
        frame_of = np.arange(n)
        keys: list[np.ndarray] = []
        # The delay of the first packet is that of every key frame from which decoding can start.
        delay = (stream.start_time or 0) - int(dts[0])
        for joined in np.split(stretches, np.flatnonzero(np.diff(stretches) > 1) + 1):
            first, end = (int(each) for each in borders[[joined[0], joined[-1] + 1]])
            container.seek(int(dts[first]) + delay, stream=stream)
            packets = _Packets(container, stream)
            if not packets.known:
                return None
            at = -1
            for packet in container.demux(stream):
                if not packet.size or packet.dts is None:
                    return None
                at = at + 1 if at >= 0 else int(np.searchsorted(dts, packet.dts))
                if at > first + len(packets.times) or at >= n or dts[at] != packet.dts:
                    return None
                # That the next key frame is one that decoding can start from is part of what the stretch tells.
                if at >= first and not packets.add(packet):
                    return None
                if at == min(end, n - 1):
                    break
            run = packets.take()
            if run is None or len(run.pts) != min(end + 1, n) - first or (run.keys[-1] != end - first and end < n):
                return None
            here = slice(first, first + len(run.pts))
            pts[here], durations[here], frame_of[here] = run.pts, run.durations, run.frame_of + first
            packet_pts[here] = run.pts[run.frame_of]
            keys.append(run.keys + first)
        pts = np.maximum.accumulate(pts)
        known = packet_pts[packet_pts != NO_TIME]
        if len(np.unique(known)) != len(known):
            return None
        return Index(pts, durations, frame_of, packet_pts, np.unique(np.concatenate(keys)))


class _Run(NamedTuple):
    """Packets one after the other, as in Index, counted from the first."""

    pts: np.ndarray
    durations: np.ndarray
    frame_of: np.ndarray
    keys: np.ndarray


class _Packets:
    """Packets of a stream one after the other, the first a key frame's."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self._context = stream.codec_context
        # The codec's name, not the decoder's: AV1 is decoded by libdav1d.
        self._codec = self._context.codec.canonical_name
        self._extradata = bytes(self._context.extradata or b"")
        self.known = gives_frames(container, stream)
        self.times: list[int] = []
        self._durations: list[int] = []
        self._keys: list[int] = []

    def add(self, packet: av.Packet) -> bool:
        """Take the next packet. False for one that may not be one frame."""
        if packet.pts is None or packet.is_corrupt or packet.is_discard:
            return False
        if not is_shown(packet, self._codec):
            return False
        if _starts_anew(packet, self._codec, self._extradata):
            self._keys.append(len(self.times))
        self.times.append(packet.pts)
        self._durations.append(packet.duration or 0)
        return True

    def take(self) -> _Run | None:
        """What they tell; None where their times are not those of frames, or the first is no key frame."""
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
        # A key frame is a border where all packets before it are shown before it, and all after it after it.
        latest_before = np.maximum.accumulate(np.concatenate(([-1], frame_of[:-1])))
        key = key[(latest_before[key] == key - 1) & (frame_of[key] == key)]
        if not len(key) or key[0] != 0:
            return None
        return _Run(pts[order], np.array(self._durations, dtype=np.int64)[order], frame_of, key)
