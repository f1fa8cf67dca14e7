"""The fields of a sample that are cut: which they are, what kind of source each is, and the arrays of files."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any, cast

import numpy as np

from clipx._checks import as_array
from clipx.npy import read_array, read_header

__all__ = ["BytesFile", "Sample", "array_length", "array_of", "fields_to_cut", "find_field", "load"]

Sample = dict[str, Any]

AUDIO_FIELDS = frozenset({"flac", "m4a", "mp3", "ogg", "opus", "wav"})
VIDEO_FIELDS = frozenset({"avi", "mkv", "mov", "mp4", "mpg", "ts", "webm"})
MOST_DEFLATED = 1032  # times that DEFLATE can make something smaller
BYTES = (bytes, bytearray, memoryview)
NPY_3 = b"\x03"  # the version of .npy whose field names are UTF-8, which `npy` does not read


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
    file = io.BytesIO(value)
    if bytes(memoryview(value)[6:7]) == NPY_3:
        return np.load(file, allow_pickle=False)
    header = read_header(file, memoryview(value).nbytes)
    return header.array(value, file.tell())


def _npz(value: bytes | bytearray | memoryview) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, none larger than the file can hold."""
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(value)) as archive:
        for member in archive.infolist():
            if member.file_size > MOST_DEFLATED * member.compress_size + MOST_DEFLATED:
                raise ValueError(f"member {member.filename!r} says it has {member.file_size} bytes, more than can be")
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = read_array(file, member.file_size)
    return arrays


def load(field: str, value: Any) -> Any:
    """The array or arrays of a field that webdataset has not decoded."""
    if not isinstance(value, BYTES):
        return value
    try:
        if _extension(field) == "npy":
            return _npy(value)
        if _extension(field) == "npz":
            return _npz(value)
    except (ValueError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as exn:
        raise ValueError(f"field {field!r} is no {_extension(field)} file that can be cut: {exn}") from exn
    return value


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
            members = load(field, value)
            if isinstance(members, Mapping):
                arrays += [f"{field}:{member}" for member, array in members.items() if _is_array(array)]
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


def array_of(sample: Sample, field: str, value: Any) -> np.ndarray:
    """The array of a field, or of a member of one."""
    if field not in sample:
        name, _, member = field.partition(":")
        members = load(name, value)
        if not isinstance(members, Mapping) or member not in members:
            raise ValueError(f"there is no member {member!r} in field {name!r}")
        value = members[member]
    array = as_array(f"field {field!r}", load(field, value))
    if array.ndim == 0:
        raise ValueError(f"field {field!r} has no dimensions, but needs a time axis")
    return array


def array_length(sample: Sample, field: str, value: Any) -> int:
    """The length of the array of a field; of an .npy file, only its header is read."""
    if isinstance(value, BYTES) and _extension(field) == "npy" and bytes(memoryview(value)[6:7]) != NPY_3:
        file = BytesFile(memoryview(value))
        shape = read_header(cast(IO[bytes], file), memoryview(value).nbytes).shape
        if shape:
            return shape[0]
    return len(array_of(sample, field, value))
