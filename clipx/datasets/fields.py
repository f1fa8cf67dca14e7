"""The fields of a sample that are cut: which they are, what kind of source each is, and the arrays of files."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from typing import IO, Any, cast

import numpy as np

from clipx._checks import as_array, as_bytes
from clipx.arrays.npy import read_header
from clipx.arrays.npz import Npz
from clipx.media.opening import open_media, videos

__all__ = [
    "AUDIO_FIELDS",
    "FILES",
    "VIDEO_FIELDS",
    "BytesFile",
    "Sample",
    "array_length",
    "array_of",
    "default_fields",
    "extension_of",
    "find_field",
    "has_field",
    "kind_of_bytes",
    "load",
    "others",
]

Sample = dict[str, Any]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


AUDIO_FIELDS = _names(
    "aac ac3 aif aifc aiff amr ape au caf eac3 flac m4a m4b mka mp2 mp3 mpc oga ogg opus spx tak tta w64 wav wave weba "
    "wma wv"
)
VIDEO_FIELDS = _names(
    "3g2 3gp asf avi divx dv f4v flv h264 h265 hevc ivf m1v m2t m2ts m2v m4v mjpeg mjpg mkv mov mp4 mpe mpeg mpg mts "
    "mxf nut obu ogv qt ts vob webm wmv y4m"
)
FILES = AUDIO_FIELDS | VIDEO_FIELDS | {"npy", "npz"}
NPY_MAGIC, ZIP_MAGIC = b"\x93NUMPY", b"PK\x03\x04"
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


def extension_of(field: str) -> str:
    """What a field's or a file's name says that it is: "wav" of "front.WAV"."""
    return field.rpartition(".")[2].lower()


def kind_of_bytes(field: str, value: bytes | bytearray | memoryview) -> str:
    """What the bytes of a field are, "video", "sound", "npy" or "npz": as its name tells, else as they begin."""
    extension, head = extension_of(field), bytes(memoryview(value)[:8])
    if extension in ("npy", "npz"):
        return extension
    if extension in AUDIO_FIELDS or extension in VIDEO_FIELDS:
        return "sound" if extension in AUDIO_FIELDS else "video"
    if head.startswith((NPY_MAGIC, ZIP_MAGIC)):
        return "npy" if head.startswith(NPY_MAGIC) else "npz"
    try:
        with open_media(value, f"field {field!r}") as container:
            return "video" if videos(container) or not container.streams.audio else "sound"
    except ValueError:  # it is told where it is cut
        return "video"


def _encoded(field: str, value: Any) -> Any:
    """The bytes of a file that is given as an array or a tensor of bytes; all else as it is."""
    return as_bytes(value) if extension_of(field) in FILES else value


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
    value = _encoded(field, value)
    if not isinstance(value, BYTES):
        return value
    kind = kind_of_bytes(field, value)
    try:
        if kind == "npy":
            return _npy(value)
        if kind == "npz":
            return Npz(value)
    except ValueError as exn:
        raise ValueError(f"field {field!r} is no {kind} file that can be cut: {exn}") from exn
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


def default_fields(sample: Sample) -> list[str]:
    """The fields to cut where the user named none; a member of an npz field is called "npz:member"."""
    own = {field: _encoded(field, value) for field, value in sample.items() if not field.startswith("__")}
    for kind in (VIDEO_FIELDS, AUDIO_FIELDS):
        encoded = [field for field, value in own.items() if isinstance(value, BYTES) and extension_of(field) in kind]
        if encoded:
            return encoded
    arrays = []
    for field, value in own.items():
        if _is_array(value) or (isinstance(value, BYTES) and extension_of(field) == "npy"):
            arrays.append(field)
        elif extension_of(field) == "npz":
            arrays += [f"{field}:{member}" for member in _arrays_of(field, value)]
    if len(arrays) != 1:
        found = "no field" if not arrays else f"{len(arrays)} fields ({', '.join(arrays)})"
        raise ValueError(f"{found} of {', '.join(own) or 'none'} to cut; name what to cut with keys=")
    return arrays


def has_field(sample: Sample, field: str) -> bool:
    """Whether a sample has a field, or the member of one that is called "npz:member"."""
    name, _, member = field.partition(":")
    if sample.get(field) is not None:
        return True
    if not member or sample.get(name) is None:
        return False
    members = load(name, sample[name])
    return isinstance(members, Mapping) and member in members


def find_field(sample: Sample, field: str) -> tuple[str, Any]:
    """What a field is cut as, "sound", "video" or "array", and its value, or that of the file it is a member of."""
    name, _, member = field.partition(":")
    value = sample.get(field, sample.get(name) if member else None)
    if value is None:
        raise ValueError(f"there is no field {field!r} among {', '.join(f for f in sample if f[:2] != '__')}")
    if field not in sample:
        return "array", value
    value = _encoded(field, value)
    kind = kind_of_bytes(field, value) if isinstance(value, BYTES) else "array"
    return kind if kind in ("sound", "video") else "array", value


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
    if isinstance(value, BYTES) and field in sample and kind_of_bytes(field, value) == "npy":
        header = read_header(cast(IO[bytes], BytesFile(memoryview(value))), memoryview(value).nbytes)
        if header.shape:
            _check_empty(field, header.shape, header.nbytes)
            return header.shape[0]
    return len(array_of(sample, field, value))
