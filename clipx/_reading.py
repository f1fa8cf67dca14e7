"""Reading what says how long it is, without believing it: memory grows with what has come."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any

__all__ = ["CHUNK_BYTES", "read_all", "read_bytes"]

CHUNK_BYTES = 1 << 18


def read_bytes(file: IO[bytes], size: int, take: Callable[[bytes], Any]) -> int:
    """Give `take` at most `size` bytes of a file, piece by piece, and return how many there were."""
    left = size
    while left > 0:
        piece = file.read(min(left, CHUNK_BYTES))
        if not piece:
            break
        take(piece)
        left -= len(piece)
    return size - left


def read_all(file: IO[bytes], size: int) -> bytes:
    """At most `size` bytes of a file, never held twice."""
    out = io.BytesIO()
    read_bytes(file, size, out.write)
    return out.getvalue()  # the buffer itself, cut to its length
