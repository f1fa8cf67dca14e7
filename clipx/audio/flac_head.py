"""The index of a FLAC file by its own header, where nothing in that takes FFmpeg to read."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av

from clipx.audio.file_bytes import FileBytes
from clipx.audio.flac_packets import frames_of_flac
from clipx.audio.layouts import hold_layout
from clipx.audio.sound_index import Contradiction, Kind, SoundIndex

__all__ = ["index_of_flac"]

MARK = b"fLaC"
STREAMINFO, PADDING, APPLICATION, SEEKTABLE, COMMENT = range(5)  # types of blocks (RFC 9639 8.1)
INFO_BYTES = 34
MOST_BLOCKS = 128
MOST_COMMENT_BYTES = 1 << 16
MASK = b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK"
"""Key of a comment that gives channels other names."""


def index_of_flac(file: FileBytes) -> SoundIndex | None:
    """The index of a file of one or two channels, whose first frame alone is decoded for it.

    None where the header has pictures or a table of tracks, which FFmpeg may refuse, or names channels, and where
    anything in the file is not as a plain file has it. Raises errors of av and of the file.
    """
    head = bytes(file.read(0, 8 + INFO_BYTES))
    if head[:4] != MARK or head[4] & 127 != STREAMINFO or int.from_bytes(head[5:8], "big") != INFO_BYTES:
        return None
    info, begin = head[8:], _first_frame(file, is_last=head[4] > 127)
    if begin is None or len(info) != INFO_BYTES:
        return None
    # 20 bits of the rate, 3 of the channels less one, 5 of the bits of a sample less one, 36 of the samples.
    packed = int.from_bytes(info[10:18], "big")
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    if channels > 2 or not rate or (found := frames_of_flac(file, begin, samples)) is None:
        return None
    packets, end = found
    try:
        _, data = next(packets.around(file, 0, 0).read(0))
    except Contradiction:
        return None
    context: Any = av.CodecContext.create("flac", "r")
    context.extradata = info
    frames = context.decode(av.Packet(data))
    for frame in frames:
        hold_layout(frame.layout)
    if [(frame.samples, frame.sample_rate, frame.layout.nb_channels) for frame in frames] != [
        (packets.step, rate, channels)
    ]:
        return None
    return SoundIndex(packets, 0, end, Fraction(0), Kind.of(frames[0]), "flac", info, None, True)


def _first_frame(file: FileBytes, is_last: bool) -> int | None:
    """Where the frames begin, behind the blocks of the header; None where one of these is not plain."""
    at = 8 + INFO_BYTES
    for _ in range(MOST_BLOCKS):
        if is_last:
            return at
        head = bytes(file.read(at, 4))
        if len(head) < 4 or head[0] & 127 not in (PADDING, APPLICATION, SEEKTABLE, COMMENT):
            return None
        size, is_last = int.from_bytes(head[1:], "big"), head[0] > 127
        if head[0] & 127 == COMMENT and (size > MOST_COMMENT_BYTES or MASK in bytes(file.read(at + 4, size)).upper()):
            return None
        at += 4 + size
    return None
