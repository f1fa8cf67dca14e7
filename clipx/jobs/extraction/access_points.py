"""Where decoding can start: the facts of an encoded frame that its first bytes say, for the usual codecs of videos."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from clipx.media.packet_index import HEVC_IDR, VP8_SHOWN, nal_units

__all__ = ["CLOSED", "CODECS", "MIDST", "OPEN", "EncodedFrame", "reader_of"]

MIDST, OPEN, CLOSED = 0, 1, 2
"""Decoding cannot start at a frame; it can, but for frames behind it that are shown before it; it can, for all."""

INTRA = frozenset({"dnxhd", "huffyuv", "mjpeg", "png", "prores"})
CODECS = INTRA | {"av1", "ffv1", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9"}
"""Codecs whose packets are frames, one each, and say where decoding can start."""

H264_SLICES, H264_IDR, H264_SEI = range(1, 6), 5, 6  # ITU-T H.264 table 7-1
RECOVERY_POINT = 6  # ITU-T H.264 D.1
HEVC_LEADING, HEVC_BROKEN, HEVC_CRA, HEVC_ENDS = range(6, 10), range(16, 19), 21, (36, 37)  # ITU-T H.265 table 7-1
AV1_SEQUENCE, AV1_FRAMES = 1, (3, 6)  # AV1 6.2.2
PLACEHOLDER_BYTES = 8  # of a frame of MPEG-4 that is not coded
B_FRAME = 2


class EncodedFrame(NamedTuple):
    """Facts of an encoded frame.

    Attributes:
        start: MIDST, OPEN or CLOSED.
        leaves: whether it can be left out where decoding starts between what it refers to and itself: only frames
            that are left out with it refer to it.
        shown: whether its packet gives a frame.
    """

    start: int = MIDST
    leaves: bool = False
    shown: bool = True


Read = Callable[[bytes, bool], EncodedFrame | str]
"""The facts of a packet, of its bytes and whether the container calls it a key frame's; or why they are not known."""


def reader_of(codec: str, extradata: bytes) -> Read:
    """The function that reads the facts of a packet of one of CODECS."""
    if codec in INTRA:
        return lambda data, is_key: EncodedFrame(CLOSED)
    if codec == "ffv1":
        return lambda data, is_key: EncodedFrame(CLOSED if is_key else MIDST)
    if codec in ("h264", "hevc"):
        read = _h264 if codec == "h264" else _hevc
        return lambda data, is_key: read(data, extradata)
    if codec.startswith("mpeg") and codec.endswith("video"):
        return lambda data, is_key: _mpeg2(data, bool(extradata))
    by_codec = {"vp8": _vp8, "vp9": _vp9, "av1": _av1, "mpeg4": _mpeg4}
    found = by_codec[codec]
    return lambda data, is_key: found(data)


def _h264(data: bytes, extradata: bytes) -> EncodedFrame:
    start, referred = MIDST, False
    for kind, begin, end in nal_units(data, extradata, "h264"):
        if kind == H264_IDR:
            return EncodedFrame(CLOSED)
        if kind == H264_SEI and start == MIDST and _recovers_at_once(data[begin + 1 : end]):
            start = OPEN
        if kind in H264_SLICES:
            referred = referred or bool(data[begin] & 0x60)  # nal_ref_idc
    return EncodedFrame(start, not referred)


def _recovers_at_once(message: bytes) -> bool:
    """True if supplemental information says that all frames from this one on are exact, in the order of showing."""
    data = message.replace(b"\0\0\3", b"\0\0")
    at = 0
    while at + 2 < len(data):
        numbers = []
        for _ in range(2):
            number = 0
            while at < len(data) - 1 and data[at] == 0xFF:
                number, at = number + 0xFF, at + 1
            numbers.append(number + data[at])
            at += 1
            if at >= len(data):
                return False
        kind, size = numbers
        if kind == RECOVERY_POINT:
            # recovery_frame_cnt, whose code for 0 is one bit, and exact_match_flag.
            return data[at] & 0xC0 == 0xC0
        at += size
    return False


def _hevc(data: bytes, extradata: bytes) -> EncodedFrame | str:
    for kind, _, _ in nal_units(data, extradata, "hevc"):
        if kind in HEVC_ENDS or kind in HEVC_BROKEN:
            return "it is made of several sequences of HEVC that have been joined"
        if kind in HEVC_IDR:
            return EncodedFrame(CLOSED)
        if kind <= HEVC_CRA:
            return EncodedFrame(OPEN if kind == HEVC_CRA else MIDST, kind in HEVC_LEADING)
    return EncodedFrame(MIDST)


def _mpeg2(data: bytes, has_header: bool) -> EncodedFrame | str:
    at = data.find(b"\0\0\1\0")
    if at < 0 or at + 5 >= len(data):
        return "a packet of it has no picture"
    kind = data[at + 5] >> 3 & 7
    starts = kind == 1 and (has_header or b"\0\0\1\xb3" in data[:at])
    return EncodedFrame(OPEN if starts else MIDST, kind == 1 + B_FRAME)


def _mpeg4(data: bytes) -> EncodedFrame | str:
    at = data.find(b"\0\0\1\xb6")
    if at < 0 or at + 4 >= len(data) or len(data) - at <= PLACEHOLDER_BYTES:
        return "a packet of it may give no frame"
    if data.find(b"\0\0\1\xb6", at + 4) >= 0:
        return "a packet of it gives several frames"
    kind = data[at + 4] >> 6
    return EncodedFrame(OPEN if kind == 0 else MIDST, kind == B_FRAME)


def _vp8(data: bytes) -> EncodedFrame:
    return EncodedFrame(MIDST if data[0] & 1 else CLOSED, shown=bool(data[0] & VP8_SHOWN))


def _vp9(data: bytes) -> EncodedFrame:
    bits = "".join(f"{byte:08b}" for byte in data[:2])
    at = 5 if bits[2:4] == "11" else 4  # a profile of 3 is followed by a reserved bit
    return EncodedFrame(CLOSED if bits[at : at + 2] == "00" else MIDST)


def _av1(data: bytes) -> EncodedFrame:
    has_sequence, at = False, 0
    while at + 1 < len(data):
        kind, extends, has_size = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + extends
        size, shift = len(data) - at, 0
        if has_size:
            size = 0
            while at < len(data) and shift < 64:
                size |= (data[at] & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if not data[at - 1] & 0x80:
                    break
        has_sequence = has_sequence or kind == AV1_SEQUENCE
        if kind in AV1_FRAMES and at < len(data):
            # show_existing_frame 0, frame_type KEY_FRAME, show_frame 1.
            return EncodedFrame(CLOSED if has_sequence and data[at] & 0xF0 == 0x10 else MIDST)
        at += size
    return EncodedFrame(MIDST)
