"""The packets of a video, read without decoding: how many frames there are, when, and where decoding can start."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

__all__ = ["Index", "skips_exactly"]

# Containers that store one packet a frame, with its time.
CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm"})
# Codecs whose every packet is one frame, and whose key frames need nothing before them.
KEYED = frozenset({"av1", "ffv1", "h264", "hevc", "mjpeg", "prores", "vp8", "vp9"})
VP8_SHOWN = 16  # show_frame, in the first byte of a frame (RFC 6386 9.1)
H264_IDR = frozenset({5})
HEVC_IDR = frozenset({19, 20})


def _nal_types(data: bytes, extradata: bytes, codec: str) -> set[int]:
    """Types of the NAL units in an access unit (ITU-T H.264 7.3.1, H.265 7.3.1.2), by lengths or by start codes."""
    types: set[int] = set()

    def add(at: int) -> None:
        if at < len(data):
            types.add(data[at] & 31 if codec == "h264" else data[at] >> 1 & 63)

    if extradata[:1] == b"\x01":
        at = 4 if codec == "h264" else 21  # lengthSizeMinusOne in avcC and hvcC (ISO/IEC 14496-15)
        size = (extradata[at] & 3) + 1 if len(extradata) > at else 4
        position = 0
        while position + size < len(data):
            add(position + size)
            position += size + int.from_bytes(data[position : position + size], "big")
    else:
        position = data.find(b"\0\0\1")
        while position >= 0:
            add(position + 3)
            position = data.find(b"\0\0\1", position + 3)
    return types


def _starts_anew(packet: av.Packet, codec: str, extradata: bytes) -> bool:
    """Whether nothing from this packet on, in the order of decoding, refers to what came before."""
    if not packet.is_keyframe:
        return False
    if codec not in ("h264", "hevc"):
        return True
    return bool(_nal_types(bytes(packet), extradata, codec) & (H264_IDR if codec == "h264" else HEVC_IDR))


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
        pts: when each frame is shown, int64 (n,), strictly ascending, in the stream's time base.
        durations: for how long, int64 (n,); 0 where the file does not say.
        frame_of: frame of each packet, int64 (n,).
        keys: packets from which decoding can start, and the frames they give, which have the same numbers. From one to
            the next stand the packets of just these frames: none from a key on is shown before it.
    """

    pts: np.ndarray
    durations: np.ndarray
    frame_of: np.ndarray
    keys: np.ndarray

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.pts)

    @staticmethod
    def read(container: av.container.InputContainer, stream: av.VideoStream, announced: int = 0) -> Index | None:
        """The index of a stream, from its first packet on; None where packets and frames may not be the same.

        That is so for containers and codecs of other kinds, packets without or with equal times, those that an edit
        list drops, damaged ones, fewer than are announced, and a stream that does not begin with a key frame.
        """
        context = stream.codec_context
        # The codec's name, not the decoder's: AV1 is decoded by libdav1d.
        codec = context.codec.canonical_name
        if not CONTAINERS & set(container.format.name.split(",")) or codec not in KEYED:
            return None
        extradata = bytes(context.extradata or b"")
        times: list[int] = []
        durations: list[int] = []
        keys: list[int] = []
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return None
            if codec == "vp8" and not bytes(packet)[0] & VP8_SHOWN:
                return None
            if _starts_anew(packet, codec, extradata):
                keys.append(len(times))
            times.append(packet.pts)
            durations.append(packet.duration or 0)
        if not keys or keys[0] != 0 or len(times) < announced:
            return None
        pts = np.array(times, dtype=np.int64)
        order = np.argsort(pts, kind="stable")
        frame_of = np.empty_like(order)
        frame_of[order] = np.arange(len(order))
        if np.any(np.diff(pts[order]) <= 0):
            return None
        if not context.has_b_frames and np.any(np.diff(pts) <= 0):
            # The decoder gives frames as they come, whatever their times.
            return None
        key = np.array(keys, dtype=np.int64)
        # A key frame is a border where all packets before it are shown before it, and all after it after it.
        latest_before = np.maximum.accumulate(np.concatenate(([-1], frame_of[:-1])))
        key = key[(latest_before[key] == key - 1) & (frame_of[key] == key)]
        if not len(key) or key[0] != 0:
            return None
        return Index(pts[order], np.array(durations, dtype=np.int64)[order], frame_of, key)
