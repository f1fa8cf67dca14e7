"""Media as users give it: a path, bytes, or a file object."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import IO, Any, cast

import numpy as np

from clipx._reading import irregular_kind
from clipx.errors import MediaError
from clipx.media.file_objects import CheckedFile

__all__ = ["Source", "as_source", "can_rewind", "describe"]

UNREADABLE = "a folder", "a socket"

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]


def describe(src: Source) -> str:
    """The name of a source in messages: its path, or its number of bytes."""
    if isinstance(src, (str, os.PathLike)):
        return repr(os.fspath(src))
    if isinstance(src, CheckedFile):
        return src.name
    if hasattr(src, "read"):
        return repr(getattr(src, "name", src))
    try:
        return f"{memoryview(src).nbytes} bytes"
    except TypeError:
        return repr(src)


def as_source(src: Any, name: str) -> Source:
    """A source as a path, bytes, or a file object whose answers are checked.

    Anything with a buffer of bytes is bytes, such as an array or a tensor of uint8. Raises TypeError for other objects,
    and MediaError for the path of a folder, a pipe, a socket or a device.
    """
    if isinstance(src, (str, os.PathLike)):
        if kind := irregular_kind(src):
            cure = "" if kind in UNREADABLE else ": open it, and give the file object or the bytes that it holds"
            raise MediaError(f"{name} is {kind}, but a path must be that of a regular file{cure}")
        return cast(Source, src)
    if isinstance(src, (bytes, bytearray, CheckedFile)):
        return cast(Source, src)
    if hasattr(src, "read"):
        return cast(Source, CheckedFile(src, name))
    if hasattr(src, "dtype"):
        with suppress(TypeError, ValueError):
            src = memoryview(cast(Any, np.asarray(src)))
    try:
        view = memoryview(src)
    except TypeError:
        raise TypeError(f"src is a {type(src).__name__}, but must be a path, bytes or a file object") from None
    if view.ndim != 1 or view.itemsize != 1:
        raise TypeError(f"src has items of format {view.format!r} and shape {view.shape}, but must be bytes")
    return view if view.c_contiguous else view.tobytes()


def can_rewind(src: Source) -> bool:
    """True if a source that `as_source` returned can be read a second time."""
    return not hasattr(src, "read") or bool(getattr(src, "seekable", lambda: False)())
