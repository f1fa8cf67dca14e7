"""Opening files with PyAV: one kind of error, and one way to name a source."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import av

from clipx.errors import MediaError

__all__ = ["Source", "describe", "failures", "open_media"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]


def describe(src: Source) -> str:
    """How messages call a source: its path, or what kind of bytes it is."""
    if isinstance(src, (str, os.PathLike)):
        return repr(os.fspath(src))
    if isinstance(src, (bytes, bytearray, memoryview)):
        return f"{memoryview(src).nbytes} bytes"
    return repr(getattr(src, "name", src))


@contextmanager
def failures(name: str, doing: str) -> Iterator[None]:
    """Turn every failure of av into a MediaError that names the source."""
    try:
        yield
    except av.FFmpegError as exn:
        reason = exn.strerror or str(exn)
        raise MediaError(f"{name} cannot be {doing}: {reason}") from exn


def open_media(
    src: Source, name: str, *, trusted: bool = False, max_pixels: int | None = None
) -> av.container.InputContainer:
    """An open container. Raises FileNotFoundError for a path that is not there, MediaError for what av cannot read."""
    target: Any
    if isinstance(src, (str, os.PathLike)):
        target = os.fspath(src)
        os.stat(target)
    elif isinstance(src, (bytes, bytearray, memoryview)):
        if not memoryview(src).nbytes:
            raise MediaError(f"{name} is empty")
        target = io.BytesIO(src)
    elif hasattr(src, "read"):
        target = src
    else:
        raise TypeError(f"src is a {type(src).__name__}, but must be a path, bytes or a file object")
    with failures(name, "opened"):
        return av.open(target, mode="r", metadata_errors="replace")
