"""Arrays mapped from files: `.npy` files and `.npy` members of uncompressed tar files, never read as a whole.

Stability: stable.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from clipx._reading import irregular_kind
from clipx.arrays.npy import read_header

__all__ = ["Member", "members", "members_in", "open", "open_member"]


class Member(NamedTuple):
    """A regular file in a tar file.

    Attributes:
        name: its name.
        offset, size: where its bytes start, and their number.
        sparse: it is stored with holes.
        header: where its header starts.

    Stability: stable.
    """

    name: str
    offset: int
    size: int
    sparse: bool = False
    header: int = 0


def _path(path: str | os.PathLike[str]) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is {path!r}, but must be the path of a local file")
    name = os.fspath(path)
    if kind := irregular_kind(name):
        raise ValueError(f"{name!r} is {kind}, but must be a regular file")
    return name


def members(path: str | os.PathLike[str]) -> Generator[Member]:
    """The regular members of an uncompressed tar file, by one pass over its headers.

    Raises FileNotFoundError, and ValueError for a file that is not a tar file, is damaged, or ends inside a member.

    Stability: stable.
    """
    name = _path(path)
    with Path(name).open("rb") as file:
        yield from members_in(file, os.stat(name).st_size, name)


def members_in(file: IO[bytes], size: int, name: str) -> Generator[Member]:
    """The regular members of an uncompressed tar file of `size` bytes that can seek; `name` is its name in messages.

    Nothing but headers is read. Raises ValueError as `members` does.

    Stability: provisional.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.size < 0:
                    raise ValueError(f"{name!r} is damaged: member {member.name!r} has a size of {member.size}")
                if member.isreg():
                    if not member.issparse() and member.offset_data + member.size > size:
                        raise ValueError(f"{name!r} ends inside member {member.name!r}")
                    yield Member(member.name, member.offset_data, member.size, member.issparse(), member.offset)
                tar.members = []  # type: ignore[attr-defined]  # it remembers all that it has passed
            # A header that cannot be read ends a tar file without a word; the end is a block of zeros.
            file.seek(tar.offset)
            rest = file.read(tarfile.BLOCKSIZE)
            if rest.strip(b"\0"):
                raise ValueError(f"{name!r} is damaged at byte {tar.offset}: no header of a member is there")
    # Where headers extend others without an end, or by more than there is memory, that is their fault.
    except (tarfile.TarError, OSError, EOFError, OverflowError, IndexError, RecursionError, MemoryError) as exn:
        raise ValueError(f"{name!r} is not an uncompressed tar file: {exn or type(exn).__name__}") from exn


def open_member(path: str | os.PathLike[str], member: Member) -> np.ndarray:
    """The array of an npy member, as `open` gives it.

    Stability: provisional.
    """
    name = _path(path)
    size = os.stat(name).st_size
    if member.sparse:
        raise ValueError(f"{member.name!r} in {name!r} cannot be mapped: it is stored with holes")
    if member.offset + member.size > size:
        raise ValueError(f"{name!r} has {size} bytes, but {member.name!r} ends at {member.offset + member.size}")
    try:
        with Path(name).open("rb") as file:
            file.seek(member.offset)
            header = read_header(file, member.size)
            offset = file.tell()
    except ValueError as exn:
        raise ValueError(f"{member.name!r} in {name!r} cannot be mapped: {exn}") from exn
    order: Any = "F" if header.fortran else "C"
    try:
        if header.nbytes:
            return np.memmap(name, header.dtype, "r", offset, header.shape, order)
        empty = np.empty(header.shape, header.dtype, order)
    except ValueError as exn:
        raise ValueError(f"{member.name!r} in {name!r} cannot be mapped: {exn}") from exn
    empty.flags.writeable = False
    return empty


def open(path: str | os.PathLike[str], member: str | None = None) -> np.ndarray:
    """An array of a `.npy` file, or of a `.npy` member of an uncompressed tar file, mapped and not read.

    >>> x = clipx.mapped.open("shard-000.tar", "recording17.npy")
    >>> for clip in clipx.windows.iterate(x, 16, 64, pool=pool): ...

    Args:
        path: a local file.
        member: name of the member; default: the file itself is the array.

    Returns a read-only array of any dtype without Python objects, structured ones included, in C or Fortran order.
    Frames are read from the disk when clips of them are made, and their pages are given back behind the last clip that
    needs them.

    Raises FileNotFoundError, KeyError for a member that is not there, and ValueError for a file that is not npy, for
    Python objects, and for a header that claims more than the file holds. The file must not become shorter
    while it is mapped: its size is checked here and before each source is read, but later the system can only send a
    signal.

    Stability: stable.
    """
    name = _path(path)
    if member is None:
        return open_member(name, Member(os.path.basename(name), 0, os.stat(name).st_size))
    for found in members(name):
        if found.name == member:
            return open_member(name, found)
    raise KeyError(f"{name!r} has no member {member!r}")
