"""The header of an .npy file."""

from __future__ import annotations

import ast
import io
import math
import re
import struct
import sys
import threading
from typing import IO, Any, NamedTuple, cast

import numpy as np

from clipx._reading import read_bytes

__all__ = ["MAGIC", "Header", "read_array", "read_header"]

MAGIC = b"\x93NUMPY"
LARGEST = 10_000  # bytes of a header's text, as NumPy has it
MOST_DIMENSIONS = 32
MOST_EMPTY = 1 << 20  # along a dimension of an array without bytes: what is planned for its frames does take memory

# CPython's parser, which headers are read with, can fail where several threads are in it (its issue 106905).
_PARSING = threading.Lock()


class Header(NamedTuple):
    """Shape, order and dtype of the array in an .npy file."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self, data: bytes | bytearray | memoryview, offset: int = 0) -> np.ndarray:
        """The array whose bytes stand in `data` from `offset` on, seen where they lie."""
        if not self.nbytes:
            return np.empty(self.shape, self.dtype)
        flat = np.frombuffer(data, self.dtype, math.prod(self.shape), offset)
        return flat.reshape(self.shape[::-1]).T if self.fortran else flat.reshape(self.shape)


def _read_version_3(file: IO[bytes]) -> tuple[Any, Any, Any]:
    """Shape, order and dtype of a header whose text is UTF-8, which NumPy has no function for that keeps to a size."""
    given = file.read(4)
    if len(given) < 4:
        raise ValueError("it ends inside its header")
    (size,) = struct.unpack("<I", given)
    if size > LARGEST:
        raise ValueError(f"its header has {size} bytes, but at most {LARGEST} are read")
    text = file.read(size)
    if len(text) < size:
        raise ValueError("it ends inside its header")
    header = ast.literal_eval(text.decode("utf-8"))
    if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header has other entries than descr, fortran_order and shape")
    shape, fortran = header["shape"], header["fortran_order"]
    if not isinstance(shape, tuple) or not isinstance(fortran, bool):
        raise ValueError(f"its header gives the shape {shape!r} and fortran_order {fortran!r}")
    return shape, fortran, np.lib.format.descr_to_dtype(header["descr"])


# A backslash, and what makes it the beginning of an escape sequence.
_ESCAPE = re.compile(rb"""\\([\n\\'"abfnrtvxNuU]|[0-3]?[0-7]{1,2}(?![0-7])|[0-3][0-7]{2})?""")


def _check_escapes(head: bytes, version: tuple[int, int]) -> None:
    """Raise ValueError where Python's parser would warn of a header's text, or will not take it one day."""
    width = 2 if version == (1, 0) else 4
    begin = len(MAGIC) + 2 + width
    text = head[begin : begin + int.from_bytes(head[begin - width : begin], "little")]
    if any(not each[1] for each in _ESCAPE.finditer(text)):
        raise ValueError("its header has a backslash that begins no escape sequence")


_READERS: dict[tuple[int, int], Any] = {
    (1, 0): lambda file: np.lib.format.read_array_header_1_0(file, max_header_size=LARGEST),
    (2, 0): lambda file: np.lib.format.read_array_header_2_0(file, max_header_size=LARGEST),
    (3, 0): _read_version_3,
}


def read_header(file: IO[bytes], size: int) -> Header:
    """Read the header of an .npy file of `size` bytes; its array starts where the file then stands.

    Raises ValueError for what is no such file, for Python objects, and for more than the file holds.
    """
    start = file.tell()
    # Of its own bytes alone, which are few: what they make Python's parser do, memory errors included, is their fault.
    head = io.BytesIO(file.read(min(size, LARGEST + 16)))
    try:
        version = np.lib.format.read_magic(head)
        if version not in _READERS:
            raise ValueError(f"version {version} of the format is not read")
        _check_escapes(head.getvalue(), version)
        with _PARSING:
            header = Header(*_READERS[version](head))
        if not all(type(each) is int for each in header.shape):
            raise ValueError(f"its header gives the shape {header.shape}")
    except Exception as exn:
        raise ValueError(f"it is no npy file that is read: {exn}") from exn
    file.seek(start + head.tell())
    if header.dtype.hasobject:
        raise ValueError(f"it holds Python objects (dtype {header.dtype}), which are not unpickled")
    held = size - head.tell()
    if len(header.shape) > MOST_DIMENSIONS or any(not 0 <= each <= sys.maxsize for each in header.shape):
        raise ValueError(f"its header gives the shape {header.shape}")
    if not header.nbytes and any(each > MOST_EMPTY for each in header.shape):
        raise ValueError(f"its header gives the shape {header.shape} and dtype {header.dtype}, which hold nothing")
    if header.nbytes > held:
        raise ValueError(
            f"its header gives shape {header.shape} and dtype {header.dtype}, {header.nbytes} bytes, but it has {held}"
        )
    return header


def read_array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an .npy file of `size` bytes, read into memory. Raises as `read_header`."""
    header = read_header(file, size)
    try:
        data = memoryview(cast(Any, np.empty(header.nbytes, np.uint8)))  # pages come as they are written
    except MemoryError as exn:
        raise ValueError(f"its header gives an array of {header.nbytes} bytes, for which there is no memory") from exn
    at = 0

    def take(piece: bytes) -> None:
        nonlocal at
        data[at : at + len(piece)] = piece
        at += len(piece)

    if read_bytes(file, header.nbytes, take) < header.nbytes:
        raise ValueError(f"it ends after {at} of {header.nbytes} bytes")
    return header.array(data)
