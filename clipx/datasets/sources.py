"""The sources in a sample's fields: what kind each is, which fields clips are taken from, and the arrays of files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import IO, Any, cast

import numpy as np

from clipx._checks import as_array, as_bytes
from clipx._reading import BytesFile
from clipx.arrays.npy import MAGIC as NPY_MAGIC
from clipx.arrays.npy import read_header
from clipx.arrays.npz import Npz
from clipx.datasets.fields import (
    AUDIO_EXTENSIONS,
    SOURCE_EXTENSIONS,
    VIDEO_EXTENSIONS,
    Field,
    Sample,
    extension_of,
    is_metadata,
)
from clipx.datasets.pictures import default_groups, find_group, names_of_groups
from clipx.datasets.stored import StoredFile
from clipx.mapped import Member, open_member
from clipx.media.opening import open_media, videos
from clipx.media.sources import Source
from clipx.media.stream_facts import StreamFacts

__all__ = [
    "BYTES",
    "ENCODED",
    "ZIP_MAGIC",
    "array_length",
    "array_of",
    "default_fields",
    "facts_of",
    "fields_of_sources",
    "find_source",
    "has_source",
    "kind_of_bytes",
    "media_of",
    "open_arrays",
    "remaining_members",
]

ZIP_MAGIC = b"PK\x03\x04"
MOST_EMPTY = 1 << 20
"""Frames of no bytes that an array may have."""

BYTES = (bytes, bytearray, memoryview)
ENCODED = (*BYTES, StoredFile)
"""Values of fields that hold a file."""


def media_of(value: Any) -> Source:
    """The value of a field as a source of video or sound: a stored file as its path or a file object."""
    return value.source() if isinstance(value, StoredFile) else value


def facts_of(value: Any) -> StreamFacts | None:
    """Facts of the video in a field, where its value has them from an index."""
    return value.facts if isinstance(value, StoredFile) and isinstance(value.facts, StreamFacts) else None


def kind_of_bytes(field: str, value: bytes | bytearray | memoryview | StoredFile) -> str:
    """The kind of a field's bytes, "video", "sound", "npy" or "npz": by the field's name, else by how they begin."""
    extension = extension_of(field)
    if extension in ("npy", "npz"):
        return extension
    if extension in AUDIO_EXTENSIONS or extension in VIDEO_EXTENSIONS:
        return "sound" if extension in AUDIO_EXTENSIONS else "video"
    head = value.head(8) if isinstance(value, StoredFile) else bytes(memoryview(value)[:8])
    if head.startswith((NPY_MAGIC, ZIP_MAGIC)):
        return "npy" if head.startswith(NPY_MAGIC) else "npz"
    try:
        with open_media(media_of(value), f"field {field!r}") as container:
            return "video" if videos(container) or not container.streams.audio else "sound"
    except ValueError:  # raised again where its clips are asked for
        return "video"


def _encoded(field: str, value: Any) -> Any:
    """The bytes of a file that is given as an array or a tensor of bytes; all other values as they are."""
    if isinstance(value, StoredFile) or extension_of(field) not in SOURCE_EXTENSIONS:
        return value
    return as_bytes(value)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape) > 0


def _npy(value: bytes | bytearray | memoryview) -> np.ndarray:
    """The array of an .npy file, a view of its bytes."""
    file = BytesFile(memoryview(value))
    header = read_header(cast(IO[bytes], file), memoryview(value).nbytes)
    return header.array(value, file.tell())


def _mapped(path: str, stored: StoredFile) -> np.ndarray:
    """The array of an .npy file or member, mapped and not read."""
    return open_member(path, Member(path, stored.offset, stored.nbytes))


def open_arrays(field: str, value: Any) -> Any:
    """The array of an encoded .npy field, or the members of an .npz field, each read when it is asked for.

    A stored .npy file that is local is mapped; other stored files are read. All other values are returned as they are.
    Raises ValueError for a file that cannot be read, and OSError for one that is not there.
    """
    value = _encoded(field, value)
    if not isinstance(value, ENCODED):
        return value
    kind = kind_of_bytes(field, value)
    if kind not in ("npy", "npz"):
        return value
    try:
        if isinstance(value, StoredFile):
            if kind == "npy" and value.path is not None:
                return _mapped(value.path, value)
            value = value.read()
        if kind == "npy":
            return _npy(value)
        if kind == "npz":
            return Npz(value)
    except ValueError as exn:
        raise ValueError(f"field {field!r} is not a readable {kind} file: {exn}") from exn
    return value


def remaining_members(holder: str, value: Any, taken: Collection[str]) -> dict[str, Any]:
    """The members of a field of which no clips are taken."""
    members = open_arrays(holder, value)
    try:
        return {name: members[name] for name in members if name not in taken}
    except ValueError as exn:
        raise ValueError(f"field {holder!r}: {exn}") from exn


def _array_members(field: str, value: Any) -> list[str]:
    """Names of the members of a field that are arrays with a time axis; of a file, by their headers."""
    members = open_arrays(field, value)
    if not isinstance(members, Mapping):
        return []
    if isinstance(members, Npz):
        try:
            return [name for name in members if members.shape(name)]
        except ValueError as exn:
            raise ValueError(f"field {field!r}: {exn}") from exn
    return [name for name, array in members.items() if _is_array(array)]


def default_fields(sample: Sample) -> list[Field]:
    """The fields that clips are taken from where the user named none: every encoded video, else every sound, else the
    only array, else every group of numbered pictures.

    Raises ValueError where there is no such field, or more than one array.
    """
    own = {field: _encoded(field, value) for field, value in sample.items() if not is_metadata(field)}
    for extensions in (VIDEO_EXTENSIONS, AUDIO_EXTENSIONS):
        encoded = [
            Field(field)
            for field, value in own.items()
            if isinstance(value, ENCODED) and extension_of(field) in extensions
        ]
        if encoded:
            return encoded
    arrays = []
    for field, value in own.items():
        if _is_array(value) or (isinstance(value, ENCODED) and extension_of(field) == "npy"):
            arrays.append(Field(field))
        elif extension_of(field) == "npz":
            arrays += [Field.of_member(field, member) for member in _array_members(field, value)]
    if not arrays and (groups := default_groups(sample)):
        return groups
    if len(arrays) != 1:
        found = "no field" if not arrays else f"{len(arrays)} fields ({', '.join(arrays)})"
        raise ValueError(f"{found} of {', '.join(own) or 'none'} to take clips from; name the field with keys=")
    return arrays


def has_source(sample: Sample, field: Field) -> bool:
    """True for a sample that has a field, a member or a group of numbered pictures of this name."""
    value = field.lookup(sample)
    if value is None:
        return field in names_of_groups(sample)
    if not field.is_member_in(sample):
        return True
    members = open_arrays(field.holder, value)
    return isinstance(members, Mapping) and field.member in members


def find_source(sample: Sample, field: Field) -> tuple[str, Any]:
    """The kind of a source, "sound", "video", "array" or "pictures", and the value of its field, of the field that
    holds it, or the PictureGroup.

    Raises ValueError where the sample has no such source, or its pictures are not numbered one after the other.
    """
    value = field.lookup(sample)
    if value is None and (group := find_group(sample, field)) is not None:
        return "pictures", group
    if value is None:
        raise ValueError(f"there is no field {field!r} among {', '.join(f for f in sample if not is_metadata(f))}")
    if field.is_member_in(sample):
        return "array", value
    value = _encoded(field, value)
    kind = kind_of_bytes(field, value) if isinstance(value, ENCODED) else "array"
    return kind if kind in ("sound", "video") else "array", value


def fields_of_sources(sample: Sample, fields: Iterable[Field]) -> set[str]:
    """The fields of a sample that hold the sources of these names: all pictures of a group, the file of a member."""
    names: set[str] = set()
    groups: dict[str, list[str]] | None = None
    for field in fields:
        if field.lookup(sample) is None:
            groups = names_of_groups(sample) if groups is None else groups
            names.update(groups.get(field, ()))
        names.add(field.holder if field.is_member_in(sample) else field)
    return names


def _check_empty(field: str, shape: tuple[int, ...], nbytes: int) -> None:
    """Raise ValueError for more than MOST_EMPTY frames of no bytes: a file of a few bytes can claim any number."""
    if not nbytes and shape[0] > MOST_EMPTY:
        raise ValueError(f"field {field!r} has shape {shape}, but may have at most {MOST_EMPTY} frames of no bytes")


def array_of(sample: Sample, field: Field, value: Any) -> np.ndarray:
    """The array of a field, or of a member of one. Raises ValueError where there is none with a time axis."""
    if field.is_member_in(sample):
        holder, member = field.holder, field.member
        members = open_arrays(holder, value)
        if not isinstance(members, Mapping) or member not in members:
            raise ValueError(f"there is no member {member!r} in field {holder!r}")
        try:
            value = members[member]
        except ValueError as exn:
            raise ValueError(f"field {holder!r}: {exn}") from exn
        if isinstance(members, Npz) and isinstance(value, bytes):
            raise ValueError(f"member {member!r} of field {holder!r} is not an array")
    array = as_array(f"field {field!r}", open_arrays(field, value))
    if array.ndim == 0:
        raise ValueError(f"field {field!r} has no dimensions, but needs a time axis")
    _check_empty(field, array.shape, array.nbytes)
    return array


def array_length(sample: Sample, field: Field, value: Any) -> int:
    """Number of frames of the array of a field; of an .npy file, only the header is read."""
    if isinstance(value, BYTES) and field in sample and kind_of_bytes(field, value) == "npy":
        header = read_header(cast(IO[bytes], BytesFile(memoryview(value))), memoryview(value).nbytes)
        if header.shape:
            _check_empty(field, header.shape, header.nbytes)
            return header.shape[0]
    return len(array_of(sample, field, value))
