"""Numbers of samples that a MOV or MP4 claims, checked before FFmpeg sets memory aside for them (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from typing import IO

from clipx.errors import MediaError

__all__ = ["check_boxes"]

CONTAINERS = frozenset(
    b"moov trak mdia minf stbl moof traf mvex edts udta dinf tapt wave sinf schi".split()  # those that hold boxes alone
)
# Boxes with a number of samples, and its byte after their size and type.
COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
MOST_PACKED = 64
"""Most samples in a byte, of packed QuickTime sound, which counts them as it plays them."""
FIRST = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"pnot", b"uuid"})
MOST_DEPTH = 10
MOST_BOXES = 1 << 20


def check_boxes(file: IO[bytes], size: int, name: str) -> bool:
    """Raise MediaError where a MOV or MP4 of `size` bytes claims more samples than it has bytes.

    FFmpeg takes 24 bytes and more for each sample that a header claims. Other files pass, and so do boxes that are
    wrong in other ways. The file is left at an undefined position. One that takes hints is told where
    its header lies, which is read as a whole.

    Returns whether the file begins with a box that a MOV or MP4 begins with.
    """
    walk = _Walk(file, size, name)
    walk.check(0, size, 0)
    return walk.has_boxes


class _Walk:
    """The boxes of a file, one after the other, each with those in it."""

    # Not a function in a function, which would keep the file until the next garbage collection.

    def __init__(self, file: IO[bytes], size: int, name: str) -> None:
        self.file, self.size, self.name = file, size, name
        self.left, self.has_boxes = MOST_BOXES, False
        self._hint = getattr(file, "hint", None)

    def check(self, at: int, end: int, depth: int) -> None:
        """Check the boxes between two positions. Raises MediaError for one that claims too much."""
        while at + 8 <= end and self.left:
            self.left -= 1
            self.file.seek(at)
            head = self.file.read(16)
            if len(head) < 8:
                return
            length, kind = struct.unpack(">I4s", head[:8])
            begin = at + 8
            if length == 1 and len(head) == 16:
                (length,), begin = struct.unpack(">Q", head[8:]), at + 16
            if depth == 0 and at == 0:
                self.has_boxes = kind in FIRST
                if not self.has_boxes:
                    return
            length = length or end - at
            if depth == 0 and kind == b"moov" and self._hint is not None:
                self._hint([(at, at + length)])
            if kind in COUNTS:
                _check_count(self.file, begin, kind, self.size, self.name)
            elif kind in CONTAINERS and depth < MOST_DEPTH:
                self.check(begin, min(at + length, end), depth + 1)
            if length < begin - at:
                return
            at += length


def _check_count(file: IO[bytes], at: int, kind: bytes, size: int, name: str) -> None:
    file.seek(at)
    box = file.read(12)
    count = int.from_bytes(box[COUNTS[kind] : COUNTS[kind] + 4], "big")
    most = size * MOST_PACKED if kind == b"stsz" and box[4:8] == b"\0\0\0\1" else size
    if count > most:
        raise MediaError(
            f"{name} is damaged: its box {kind.decode()!r} at byte {at} claims {count} samples, but it has {size} bytes"
        )
