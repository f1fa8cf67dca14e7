"""Headers of JPEG, PNG and WebP pictures: their kind and size, known before anything is decoded."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["HEAD_BYTES", "PictureHeader", "is_plain_png", "read_header"]

HEAD_BYTES = 1 << 16
"""Bytes that mostly hold a header; before the size of a JPEG there may be more, such as color profiles."""

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG's segments that hold its size."""
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers that no segment follows."""
ENDS = frozenset({0xD9, 0xDA})
"""Markers of the end and of the first scan."""
TRUE_COLOR = frozenset({2, 6})
"""Color types of PNG: red, green and blue, and these with alpha."""
PLAIN = frozenset({b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs"})
"""Chunks of PNG that hold nothing compressed but the pixels, and no further pictures."""


class PictureHeader(NamedTuple):
    """The header of a picture.

    Attributes:
        kind: "jpeg", "png" or "webp".
        height, width: in pixels, as it is stored.
    """

    kind: str
    height: int
    width: int


def read_header(data: bytes) -> PictureHeader:
    """The header of a picture, from its first bytes or all of them.

    Raises ValueError for bytes that begin no JPEG, PNG or WebP, or end before the size.
    """
    if data.startswith(JPEG):
        found = _read_jpeg(data)
    elif data.startswith(PNG):
        found = _read_png(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = _read_webp(data)
    else:
        raise ValueError("it is not a JPEG, PNG or WebP picture" if data else "it has no bytes")
    if found is None:
        raise ValueError("it ends before its size, or has none")
    if not found.height or not found.width:
        raise ValueError(f"it has a height and width of {found.height} and {found.width}")
    return found


def _read_jpeg(data: bytes) -> PictureHeader | None:
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF):
            at += 1
        elif marker in ALONE:
            at += 2
        elif marker in ENDS:
            return None
        elif marker in SIZES:
            size = data[at + 5 : at + 9]
            if len(size) < 4:
                return None
            return PictureHeader("jpeg", int.from_bytes(size[:2], "big"), int.from_bytes(size[2:], "big"))
        else:
            at += 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
    return None


def _read_png(data: bytes) -> PictureHeader | None:
    if len(data) < 33 or data[12:16] != b"IHDR":
        return None
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    return PictureHeader("png", height, width)


def is_plain_png(data: bytes) -> bool:
    """Whether these are the bytes of a PNG of red, green and blue in 8 bits each, with alpha or without, that has
    nothing but PLAIN chunks.
    """
    if data[24] != 8 or data[25] not in TRUE_COLOR:
        return False
    at = len(PNG)
    while at + 8 <= len(data):
        if data[at + 4 : at + 8] not in PLAIN:
            return False
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return True


def _read_webp(data: bytes) -> PictureHeader | None:
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if chunk == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
    elif chunk == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    elif chunk == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        return None
    return PictureHeader("webp", height, width)
