"""Arrays mapped from files: `.npy` files and `.npy` members of uncompressed tar files, never read as a whole."""

from __future__ import annotations

import contextlib
import mmap
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clipx.npy import read_header

__all__ = ["Member", "Pages", "members", "open", "open_member"]

POPULATE_READ = 22  # MADV_POPULATE_READ (Linux 5.14): maps pages at once, not one fault after the other


class Member(NamedTuple):
    """A regular file in a tar file: its name, and where its bytes start and how many they are."""

    name: str
    offset: int
    size: int


def members(path: str | os.PathLike[str]) -> Iterator[Member]:
    """The regular members of an uncompressed tar file, by one pass over its headers.

    Raises FileNotFoundError, and ValueError for what is no such file or ends inside a member.
    """
    name = os.fspath(path)
    size = os.stat(name).st_size
    try:
        with tarfile.open(name, "r:") as tar:
            for member in tar:
                if member.isreg() and not member.issparse():
                    if member.offset_data + member.size > size:
                        raise ValueError(f"{name!r} ends inside member {member.name!r}")
                    yield Member(member.name, member.offset_data, member.size)
                tar.members = []  # type: ignore[attr-defined]  # it remembers all that it has passed
    except tarfile.TarError as exn:
        raise ValueError(f"{name!r} is no uncompressed tar file: {exn}") from exn


def open_member(path: str | os.PathLike[str], member: Member) -> np.ndarray:
    """The array of an npy member, as `open` gives it."""
    name = os.fspath(path)
    size = os.stat(name).st_size
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
    if not header.nbytes:
        return np.empty(header.shape, header.dtype, order)
    return np.memmap(name, header.dtype, "r", offset, header.shape, order)


def open(path: str | os.PathLike[str], member: str | None = None) -> np.ndarray:
    """An array of a `.npy` file, or of a `.npy` member of an uncompressed tar file, mapped and not read.

    >>> x = clipx.mapped.open("shard-000.tar", "recording17.npy")
    >>> for clip in clipx.windows.iterate(x, 16, 64, pool=pool): ...

    Args:
        path: a local file.
        member: name of the member; default: the file itself is the array.

    Returns a read-only array of any dtype without Python objects, structured ones included, in C or Fortran order.
    Frames are read from the disk when they are cut, and their pages given back behind the last clip that needs them.

    Raises FileNotFoundError, KeyError for a member that is not there, and ValueError for what is no npy file, for
    Python objects, and for a header that claims more than the file holds. The file must not be cut short while it is
    mapped: its size is checked here, and before each source that is cut, but then a system knows only a signal for it.
    """
    name = os.fspath(path)
    if member is None:
        return open_member(name, Member(os.path.basename(name), 0, os.stat(name).st_size))
    for found in members(name):
        if found.name == member:
            return open_member(name, found)
    raise KeyError(f"{name!r} has no member {member!r}")


class Pages:
    """Tells the system which frames of a mapped array come next, and which are done with.

    Only of arrays that were mapped read-only: of others pages may hold what is not in the file. Raises ValueError where
    the file has become shorter than the mapping.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._map: mmap.mmap | None = None
        self._dropped = 0
        behind = _mapped(array)
        if behind is None or not array.size or array.strides[0] <= 0 or not hasattr(mmap, "MADV_DONTNEED"):
            return
        found: mmap.mmap = behind.base if isinstance(behind.base, mmap.mmap) else behind._mmap  # type: ignore[attr-defined]
        _check_size(behind, len(found))
        base = np.frombuffer(found, np.uint8).__array_interface__["data"][0]
        # Where its first frame's lowest byte lies: dimensions other than time may be turned round.
        low = array.__array_interface__["data"][0] + sum(
            min((n - 1) * stride, 0) for n, stride in zip(array.shape, array.strides)
        )
        self._map, self._offset, self._stride = found, low - base, array.strides[0]

    def __bool__(self) -> bool:
        return self._map is not None

    def _advise(self, option: int, start: int, end: int) -> None:
        """Advise on the pages from that of byte `start` up to that of byte `end`, which is left out."""
        assert self._map is not None
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        if end > first:
            with contextlib.suppress(OSError):  # it is only advice
                self._map.madvise(option, first, end - first)

    def need(self, first: int, last: int) -> None:
        """Frames first to last are read next."""
        if self._map is not None:
            end = min(self._offset + (last + 1) * self._stride, len(self._map))
            for option in (mmap.MADV_WILLNEED, POPULATE_READ):
                self._advise(option, self._offset + first * self._stride, end)

    def drop(self, before: int) -> None:
        """Frames before this one are not needed any more."""
        if self._map is not None and before > self._dropped:
            # The last page may hold the beginning of what comes.
            end = (self._offset + before * self._stride) // mmap.PAGESIZE * mmap.PAGESIZE
            self._advise(mmap.MADV_DONTNEED, self._offset + self._dropped * self._stride, end)
            self._dropped = before


def _mapped(array: Any) -> np.memmap | None:
    """The read-only mapped array that an array is, or is a view of."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array.mode == "r" and array.filename is not None:
            return array
        array = array.base
    return None


def _check_size(array: np.memmap, mapped: int) -> None:
    assert array.filename is not None
    with contextlib.suppress(FileNotFoundError):  # a file that has been removed stays as it is while it is mapped
        size = os.stat(array.filename).st_size
        if size < array.offset - array.offset % mmap.ALLOCATIONGRANULARITY + mapped:
            raise ValueError(f"{os.fspath(array.filename)!r} has been cut short to {size} bytes since it was mapped")
