"""Bytes that a Matroska or WebM file says it has."""

from __future__ import annotations

__all__ = ["HEAD_BYTES", "announced_bytes"]

HEAD_BYTES = 4096
"""Bytes in which the header of a file lies."""

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # RFC 8794 11.2.1, RFC 9559 5.1


def announced_bytes(head: bytes) -> int | None:
    """Number of bytes of the file that begins so; None where it does not say, as of a live stream."""
    if not head.startswith(EBML):
        return None
    header = _size(head, len(EBML))
    if header is None:
        return None
    at = sum(header)
    if head[at : at + len(SEGMENT)] != SEGMENT:
        return None
    segment = _size(head, at + len(SEGMENT))
    return None if segment is None else sum(segment)


def _size(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the data of an element begins whose size stands at a byte, and the size; None where that is not known."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if length > 8 or at + length > len(data):
        return None
    size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return None if size == (1 << 7 * length) - 1 else (at + length, size)
