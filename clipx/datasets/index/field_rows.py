"""A field of a sample as rows of an index: the streams of a video or a sound, an array, or other bytes.

Nothing that is wrong with a field is raised: it becomes the status and the error of its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

from clipx._reading import BytesFile, size_of
from clipx.arrays.npy import read_header
from clipx.arrays.npz import Npz
from clipx.datasets.fields import SOURCE_EXTENSIONS, extension_of
from clipx.datasets.index.media_rows import Row, sound_rows, video_rows
from clipx.datasets.origins import describe_error, shorten
from clipx.datasets.pictures import PictureGroup
from clipx.datasets.sources import kind_of_bytes
from clipx.datasets.stored import StoredFile

__all__ = ["broken_row", "printable", "row_of_pictures", "rows_of_field"]

CODECS = {"jpeg": "mjpeg", "png": "png", "webp": "webp"}
"""FFmpeg's names of the kinds of pictures."""

MOST_ERROR = 1000
"""Characters of an error that are kept."""


def broken_row(kind: str, error: BaseException | str, status: str = "broken") -> Row:
    """A row for what cannot be read."""
    text = error if isinstance(error, str) else describe_error(error)
    return {"kind": kind, "status": status, "error": shorten(printable(text), MOST_ERROR)}


def printable(text: str) -> str:
    """A text that is UTF-8, whatever names and messages hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def rows_of_field(field: str, value: StoredFile | bytes, is_file: bool = False) -> list[Row]:
    """The rows of a field: one at least.

    Args:
        is_file: whether the field is a file of its own, which is looked into where its name says nothing of its kind.
    """
    kind = "field"
    try:
        if is_file or extension_of(field) in SOURCE_EXTENSIONS:
            kind = kind_of_bytes(field, value)
        if kind == "npy":
            return [_array_row(value)]
        if kind == "npz":
            return _member_rows(value)
        if kind == "field":
            return [{"kind": kind, "status": "ok"}]
        with _media(value) as src:
            return video_rows(src, "it") if kind == "video" else sound_rows(src, "it")
    except Exception as exn:  # of any type, as the content makes it; other fields are still to be read
        return [broken_row("array" if kind in ("npy", "npz") else kind, exn)]


def row_of_pictures(name: str, names: list[str], fields: Mapping[str, StoredFile | bytes]) -> Row:
    """The row of a group of numbered pictures, of the fields `names`: their number, and the size of the first."""
    try:
        group = PictureGroup(name, names, fields)
        header = group.header
    except (ValueError, OSError) as exn:
        return broken_row("pictures", exn)
    size = {"height": header.height, "width": header.width}
    return {"kind": "pictures", "codec": CODECS[header.kind], **size, "frames": len(group), "status": "ok"}


@contextmanager
def _media(value: StoredFile | bytes) -> Iterator[Any]:
    """A source of video or sound: a path, a file object or bytes."""
    src: Any = value.source() if isinstance(value, StoredFile) else value
    try:
        yield src
    finally:
        if hasattr(src, "close"):
            src.close()


def _array_row(value: StoredFile | bytes) -> Row:
    with value.open() if isinstance(value, StoredFile) else cast(IO[bytes], BytesFile(memoryview(value))) as file:
        header = read_header(file, size_of(file))
    return {"kind": "array", "dtype": header.dtype.str, "shape": list(header.shape), "status": "ok"}


def _member_rows(value: StoredFile | bytes) -> list[Row]:
    rows: list[Row] = []
    members = Npz(value.read() if isinstance(value, StoredFile) else value)
    for number, name in enumerate(members):
        header = members.header(name)
        row: Row = {"kind": "array", "stream": number, "member": printable(name), "status": "ok"}
        if header is not None:
            row |= {"dtype": header.dtype.str, "shape": list(header.shape)}
        rows.append(row)
    return rows or [{"kind": "array", "status": "ok"}]
