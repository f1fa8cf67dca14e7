"""Decoding of the fields beside the clips, by a fixed list of decoders that run no code from the data."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable
from typing import IO, Any, NamedTuple, cast

import webdataset

from clipx._reading import CHUNK_BYTES, read_all
from clipx.arrays.npy import read_array
from clipx.arrays.npz import Npz
from clipx.datasets.fields import Sample, extension_of, is_metadata
from clipx.datasets.origins import locate

__all__ = ["TooLarge", "decode", "decoded_bytes", "encoded_cell"]

OBJECT_BYTES = 64
"""Least memory of a small Python object, with the reference to it."""

MOST_DEPTH = 256
"""Nested lists and dicts in MessagePack."""


class TooLarge(ValueError):
    """A field that is larger than its limit."""


class _Kind(NamedTuple):
    """A decoder of fields, and an upper bound on the memory that the decoded value takes, in bytes."""

    decode: Callable[[bytes], Any]
    size: Callable[[bytes], int]


# Text and numbers


def _text(data: bytes) -> str:
    return data.decode("utf-8")


def _text_bytes(data: bytes) -> int:
    # One character past U+FFFF makes all take four bytes.
    return OBJECT_BYTES + len(data) * (1 if data.isascii() else 4)


def _number_bytes(data: bytes) -> int:
    return OBJECT_BYTES + len(data)


def _json_bytes(data: bytes) -> int:
    """An upper bound on the memory of the objects, by counting quotes, brackets, colons and commas."""
    texts = len(data) * (1 if data.isascii() and b"\\u" not in data else 4)
    lists, dicts, pairs = data.count(b"["), data.count(b"{"), data.count(b":")
    return texts + 48 * data.count(b'"') + 112 * lists + 240 * dicts + 136 * pairs + 56 * data.count(b",") + 64


# Arrays


def _npy(data: bytes) -> Any:
    return read_array(io.BytesIO(data), len(data))


def _npz(data: bytes) -> dict[str, Any]:
    return dict(Npz(data))


def _npz_bytes(data: bytes) -> int:
    return Npz(data).unpacked_bytes


def _tensors(data: bytes) -> Any:
    at = 0
    while at < len(data):
        # The decoder trusts these sizes, and with a negative one would go back and never end.
        (size,) = struct.unpack_from("@q", data, at + 8) if at + 16 <= len(data) else (-1,)
        if not 0 <= size <= len(data) - at - 16:
            raise ValueError(f"there is no chunk of {size} bytes at byte {at}")
        at += 16 + -(-size // 64) * 64
    return webdataset.autodecode.tenbin_loads(data)


def _tensor_bytes(data: bytes) -> int:
    return 2 * len(data) + OBJECT_BYTES


# MessagePack

_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_FIXED |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1), 0xD9: (1, 0)}
_SIZED |= {0xDA: (2, 0), 0xDB: (4, 0)}
_MANY = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def _packed_bytes(data: bytes) -> int:
    """An upper bound on the memory of a MessagePack value. Raises ValueError where its sizes do not match its bytes.

    The decoder allocates a list of the length that a header claims before it reads the items.
    """
    at, taken, open_ = 0, OBJECT_BYTES, [1]
    while open_:
        if not open_[-1]:
            open_.pop()
            continue
        open_[-1] -= 1
        if at >= len(data):
            raise ValueError("it ends inside a value")
        code, at, inner = data[at], at + 1, 0
        if code <= 0x7F or code >= 0xE0:
            size = 0
        elif code <= 0x9F:
            size, inner = 0, (code & 15) * (2 if code < 0x90 else 1)
        elif code <= 0xBF:
            size = code & 31
        elif code in _FIXED:
            size = _FIXED[code]
        elif code in _SIZED:
            width, more = _SIZED[code]
            size = width + more + int.from_bytes(data[at : at + width], "big")
        elif code in _MANY:
            size, times = _MANY[code]
            inner = int.from_bytes(data[at : at + size], "big") * times
        else:
            raise ValueError(f"byte {at - 1} does not begin a value")
        at += size
        if at + inner > len(data) or len(open_) > MOST_DEPTH:
            raise ValueError(f"the value at byte {at} has more than the bytes can hold, or is nested too deep")
        taken += 5 * OBJECT_BYTES + 4 * size + 120 * inner if inner else OBJECT_BYTES + 4 * size
        if inner:
            open_.append(inner)
    return taken


def _packed(data: bytes) -> Any:
    _packed_bytes(data)
    return webdataset.autodecode.msgpack_loads(data)


_TEXT, _NUMBER = _Kind(_text, _text_bytes), _Kind(int, _number_bytes)
_JSON, _TENSORS, _PACKED = _Kind(json.loads, _json_bytes), _Kind(_tensors, _tensor_bytes), _Kind(_packed, _packed_bytes)

KINDS = {
    **dict.fromkeys(("txt", "text", "transcript"), _TEXT),
    **dict.fromkeys(("cls", "cls2", "index", "inx", "id"), _NUMBER),
    **dict.fromkeys(("json", "jsn"), _JSON),
    **dict.fromkeys(("ten", "tb"), _TENSORS),
    **dict.fromkeys(("mp", "msg"), _PACKED),
    "npy": _Kind(_npy, lambda data: len(data) + OBJECT_BYTES),
    "npz": _Kind(_npz, _npz_bytes),
}
"""Decoders by the last part of a field's name, equal to WebDataset's; all other fields stay bytes."""

UNTOUCHED = frozenset({"pickle", "pkl", "pth", "pyd"})
"""Fields that stay as they are, also where they are compressed."""


def _split(name: str) -> tuple[str, bool]:
    """The key of a field in KINDS, and whether the field is compressed."""
    *_, last = rest = name.lower().split(".")
    return (rest[-2] if len(rest) > 1 else "", True) if last == "gz" else (last, False)


def _unpacked_size(data: bytes, most: int) -> int:
    """Bytes that a compressed field unpacks to. Raises TooLarge for more than `most`."""
    size = 0
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        while piece := file.read1(CHUNK_BYTES):
            size += len(piece)
            if size > most:
                raise TooLarge(f"it unpacks to more than {most} bytes")
    return size


def _unpack(data: bytes, most: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        found = read_all(cast(IO[bytes], file), most + 1)
    if len(found) > most:
        raise TooLarge(f"it unpacks to more than {most} bytes")
    return found


def _is_decoded(name: str, value: Any) -> bool:
    return isinstance(value, bytes) and not is_metadata(name)


def decoded_bytes(name: str, value: Any, most: int) -> tuple[int, int]:
    """Upper bounds, in bytes, on the memory of a decoded field, and on what decoding takes for a while beside it.

    Raises ValueError for a field whose sizes show that it cannot be decoded, and TooLarge for one that unpacks to more
    than `most` bytes.
    """
    if not _is_decoded(name, value):
        return 0, 0
    try:
        return _decoded_bytes(name, value, most)
    except (TooLarge, MemoryError):
        raise
    except Exception as exn:
        raise ValueError(f"field {name!r} cannot be decoded: {exn}") from exn


def _decoded_bytes(name: str, value: bytes, most: int) -> tuple[int, int]:
    kind, packed = _split(name)
    if packed and kind in UNTOUCHED:
        return 0, 0
    found = KINDS.get(kind)
    if packed:
        size = _unpacked_size(value, most)
        if found is None:
            return size, 0
        value = _unpack(value, size)
        return found.size(value), size
    return (0 if found is None else found.size(value)), 0


def _decode_field(name: str, value: bytes, most: int) -> Any:
    kind, packed = _split(name)
    if packed:
        if kind in UNTOUCHED:
            return value
        value = _unpack(value, most)
    return KINDS[kind].decode(value) if kind in KINDS else value


def encoded_cell(name: str, cell: Any) -> Any:
    """The cell of a table as the field of a sample: a text in a column called "json" or "*.json" as its bytes."""
    return cell.encode() if isinstance(cell, str) and KINDS.get(extension_of(name)) is KINDS["json"] else cell


def decode(sample: Sample, most: int) -> Sample:
    """A sample whose fields are decoded where KINDS has a decoder for them, equal to WebDataset's.

    Compressed fields unpack to at most `most` bytes. Raises ValueError that names the field.
    """
    decoded = {}
    for name, value in sample.items():
        try:
            decoded[name] = _decode_field(name, value, most) if _is_decoded(name, value) else value
        except MemoryError:
            raise
        except Exception as exn:
            error = ValueError(f"field {name!r} cannot be decoded: {exn}")
            locate(error, sample, field=name)
            raise error from exn
    return decoded
