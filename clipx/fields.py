"""The fields of a sample that are cut: which they are, what kind of source each is, and the arrays of files."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from typing import IO, Any, cast

import numpy as np

from clipx._checks import as_array
from clipx.npy import read_header
from clipx.npz import Npz

__all__ = ["BytesFile", "Sample", "array_length", "array_of", "fields_to_cut", "find_field", "load", "others"]

Sample = dict[str, Any]

AUDIO_FIELDS = frozenset({"flac", "m4a", "mp3", "ogg", "opus", "wav"})
VIDEO_FIELDS = frozenset({"avi", "mkv", "mov", "mp4", "mpg", "ts", "webm"})
MOST_EMPTY = 1 << 20
BYTES = (bytes, bytearray, memoryview)


class BytesFile(io.RawIOBase):
    """A file of bytes that are looked at where they lie: what is not read of a mapped file is not loaded."""

    def __init__(self, value: memoryview) -> None:
        self._value, self._at = value, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, out: Any) -> int:
        found = self._value[self._at : self._at + len(out)]
        out[: len(found)] = found
        self._at += len(found)
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._value)}[whence]
        self._at = max(base + offset, 0)
        return self._at


def _extension(field: str) -> str:
    return field.rpartition(".")[2].lower()


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape) > 0


def _npy(value: bytes | bytearray | memoryview) -> np.ndarray:
    """The array of an .npy file, seen where its bytes lie."""
    file = BytesFile(memoryview(value))
    header = read_header(cast(IO[bytes], file), memoryview(value).nbytes)
    return header.array(value, file.tell())


def load(field: str, value: Any) -> Any:
    """The array of a field that webdataset has not decoded, or its arrays, each of which is read when it is asked for.

    Raises ValueError for what is no such file.
    """
    if not isinstance(value, BYTES):
        return value
    try:
        if _extension(field) == "npy":
            return _npy(value)
        if _extension(field) == "npz":
            return Npz(value)
    except ValueError as exn:
        raise ValueError(f"field {field!r} is no {_extension(field)} file that can be cut: {exn}") from exn
    return value


def others(field: str, value: Any, cut: Collection[str]) -> dict[str, Any]:
    """The members of a field that are not cut."""
    members = load(field, value)
    try:
        return {name: members[name] for name in members if name not in cut}
    except ValueError as exn:
        raise ValueError(f"field {field!r}: {exn}") from exn


def _arrays_of(field: str, value: Any) -> list[str]:
    """The members of a field that are arrays with a time axis; of a file, by their headers."""
    members = load(field, value)
    if not isinstance(members, Mapping):
        return []
    if isinstance(members, Npz):
        try:
            return [name for name in members if members.shape(name)]
        except ValueError as exn:
            raise ValueError(f"field {field!r}: {exn}") from exn
    return [name for name, array in members.items() if _is_array(array)]


def fields_to_cut(sample: Sample) -> list[str]:
    """The fields to cut where the user named none; a member of an npz field is called "npz:member"."""
    own = {field: value for field, value in sample.items() if not field.startswith("__")}
    for kind in (VIDEO_FIELDS, AUDIO_FIELDS):
        encoded = [field for field, value in own.items() if isinstance(value, BYTES) and _extension(field) in kind]
        if encoded:
            return encoded
    arrays = []
    for field, value in own.items():
        if _is_array(value) or (isinstance(value, BYTES) and _extension(field) == "npy"):
            arrays.append(field)
        elif _extension(field) == "npz":
            arrays += [f"{field}:{member}" for member in _arrays_of(field, value)]
    if len(arrays) != 1:
        found = "no field" if not arrays else f"{len(arrays)} fields ({', '.join(arrays)})"
        raise ValueError(f"{found} of {', '.join(own) or 'none'} to cut; name what to cut with keys=")
    return arrays


def find_field(sample: Sample, field: str) -> tuple[str, Any]:
    """What a field is cut as, "sound", "video" or "array", and its value, or that of the file it is a member of."""
    name, _, member = field.partition(":")
    value = sample.get(field, sample.get(name) if member else None)
    if value is None:
        raise ValueError(f"there is no field {field!r} among {', '.join(f for f in sample if f[:2] != '__')}")
    if isinstance(value, BYTES) and _extension(field) in AUDIO_FIELDS:
        return "sound", value
    if isinstance(value, BYTES) and _extension(field) not in ("npy", "npz") and not member:
        return "video", value
    return "array", value


def _check_empty(field: str, shape: tuple[int, ...], nbytes: int) -> None:
    """Raise ValueError for more frames of no bytes than anybody means: a file of a few bytes can say any number."""
    if not nbytes and shape[0] > MOST_EMPTY:
        raise ValueError(f"field {field!r} has shape {shape}: at most {MOST_EMPTY} frames of no bytes are cut")


def array_of(sample: Sample, field: str, value: Any) -> np.ndarray:
    """The array of a field, or of a member of one."""
    if field not in sample:
        name, _, member = field.partition(":")
        members = load(name, value)
        if not isinstance(members, Mapping) or member not in members:
            raise ValueError(f"there is no member {member!r} in field {name!r}")
        try:
            value = members[member]
        except ValueError as exn:
            raise ValueError(f"field {name!r}: {exn}") from exn
        if isinstance(members, Npz) and isinstance(value, bytes):
            raise ValueError(f"member {member!r} of field {name!r} is no array")
    array = as_array(f"field {field!r}", load(field, value))
    if array.ndim == 0:
        raise ValueError(f"field {field!r} has no dimensions, but needs a time axis")
    _check_empty(field, array.shape, array.nbytes)
    return array


def array_length(sample: Sample, field: str, value: Any) -> int:
    """The length of the array of a field; of an .npy file, only its header is read."""
    if isinstance(value, BYTES) and _extension(field) == "npy":
        header = read_header(cast(IO[bytes], BytesFile(memoryview(value))), memoryview(value).nbytes)
        if header.shape:
            _check_empty(field, header.shape, header.nbytes)
            return header.shape[0]
    return len(array_of(sample, field, value))
