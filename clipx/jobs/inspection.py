"""Inspection of one file, or one field of a sample: what it holds, and whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clipx._reading import size_of
from clipx.arrays.npy import MAGIC as NPY_MAGIC
from clipx.arrays.npy import read_header
from clipx.arrays.npz import Npz
from clipx.datasets.origins import describe_error
from clipx.datasets.sources import ZIP_MAGIC, kind_of_bytes
from clipx.jobs.findings import Finding
from clipx.jobs.media_inspection import Cancelled, inspect_sound, inspect_video, kind_of_media, open_source

__all__ = ["inspect"]

MOST_UNPACKED = 1 << 32
"""Bytes that the members of an npz may unpack to, for them to be read."""


def inspect(found: Finding, src: Any, kind: str, *, headers: bool, is_cancelled: Callable[[], bool]) -> Finding:
    """Inspect a source, and add what it holds, and what is wrong with it, to a finding.

    Args:
        src: path or bytes.
        kind: "video", "sound", "npy" or "npz"; "" to find out from the content.
        headers: whether to read headers and packets only, and decode nothing.
        is_cancelled: asked now and then; if true, Cancelled is raised.

    Returns the finding. All other errors become its error.
    """
    try:
        kind = kind or _kind_of(src)
        found.kind = "array" if kind in ("npy", "npz") else kind
        if kind == "npy":
            _inspect_npy(found, src)
        elif kind == "npz":
            _inspect_npz(found, src, headers)
        elif kind == "video":
            inspect_video(found, src, headers, is_cancelled)
        else:
            inspect_sound(found, src, headers, is_cancelled)
    except Cancelled:
        raise
    except Exception as exn:  # of any type, as the content makes it; other sources are still to be inspected
        found.fail("broken", describe_error(exn))
    return found


def _kind_of(src: Any) -> str:
    if not isinstance(src, (str, os.PathLike)):
        return kind_of_bytes("", src)
    with open(src, "rb") as file:
        head = file.read(8)
    return kind_of_bytes("", head) if head.startswith((NPY_MAGIC, ZIP_MAGIC)) else kind_of_media(src)


def _inspect_npy(found: Finding, src: Any) -> None:
    with open_source(src) as file:
        header = read_header(file, size_of(file))
    found.shape, found.dtype = list(header.shape), str(header.dtype)


def _inspect_npz(found: Finding, src: Any, headers: bool) -> None:
    members = Npz(Path(src).read_bytes() if isinstance(src, (str, os.PathLike)) else src)
    if not headers and members.unpacked_bytes > MOST_UNPACKED:
        raise ValueError(f"it unpacks to {members.unpacked_bytes} bytes; at most {MOST_UNPACKED} are read")
    shapes: dict[str, Any] = {}
    for name in members:
        if headers:
            shapes[name] = [list(members.shape(name) or ()), None]
        else:
            array = members[name]
            shapes[name] = [list(getattr(array, "shape", ())), str(getattr(array, "dtype", "bytes"))]
            del array
    found.shape = shapes
