"""The header of an .npy file."""

from __future__ import annotations

import math
from typing import IO, NamedTuple

import numpy as np

__all__ = ["Header", "read_header"]

LARGEST = 1 << 16  # bytes of a header's text; NumPy's own writer needs a thousandth of it


class Header(NamedTuple):
    """What an .npy file holds."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: IO[bytes], size: int) -> Header:
    """Read the header of an .npy file of `size` bytes; its array starts where the file then stands.

    Raises ValueError for what is no such file, for Python objects, and for more than the file holds.
    """
    start = file.tell()
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            found = np.lib.format.read_array_header_1_0(file, max_header_size=LARGEST)
        elif version == (2, 0):
            found = np.lib.format.read_array_header_2_0(file, max_header_size=LARGEST)
        else:
            # Version 3 differs in the encoding of field names alone.
            found = np.lib.format._read_array_header(file, version, max_header_size=LARGEST)  # type: ignore[attr-defined]
    except (ValueError, SyntaxError, TypeError, AttributeError) as exn:
        raise ValueError(f"it is no npy file: {exn}") from exn
    header = Header(*found)
    if header.dtype.hasobject:
        raise ValueError(f"it holds Python objects (dtype {header.dtype}), which are not unpickled")
    held = size - (file.tell() - start)
    if any(each < 0 for each in header.shape) or header.nbytes > held:
        raise ValueError(
            f"its header gives shape {header.shape} and dtype {header.dtype}, {header.nbytes} bytes, but it has {held}"
        )
    return header
