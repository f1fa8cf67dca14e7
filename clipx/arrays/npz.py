"""The members of an .npz file, read one by one when they are asked for."""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

from clipx._reading import CHUNK_BYTES, read_all
from clipx.arrays.npy import MAGIC, Header, read_array, read_header

__all__ = ["Npz"]

MOST_TIMES = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}
"""Most times smaller that a method can make a member, where it has a bound."""

MEMBER_BYTES = 512
"""Memory of the entry of a member, with its name."""


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """Turn whatever reading a member raises into a ValueError: decompressors trust its sizes, and raise much."""
    try:
        yield
    except ValueError as exn:
        raise ValueError(f"member {name!r}: {exn}") from exn
    except Exception as exn:
        raise ValueError(f"member {name!r} cannot be read: {type(exn).__name__}: {exn}") from exn


class Npz(Mapping[str, Any]):
    """Members of an .npz file by name, as `np.load` has them: arrays without ".npy" in their names, others as bytes.

    Nothing is unpickled, and nothing kept. Raises ValueError for bytes that are not such a file, and for members that
    are encrypted, packed by a method that is not known, damaged, or say that they are larger than they can be.
    """

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(value))
        except Exception as exn:  # Of its directory alone, which is no larger than the file.
            raise ValueError(f"it is not a zip file that can be read: {exn}") from exn
        self._value = memoryview(value)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._archive.infolist():
            # Of two of one name, NumPy takes the one that is called just so, and of those the last.
            name = member.filename.removesuffix(".npy")
            if name == member.filename or name not in self._archive.NameToInfo:
                self._members[name] = member
        for name, member in self._members.items():
            most = MOST_TIMES.get(member.compress_type)
            if most is not None and member.file_size > most * (member.compress_size + 1):
                raise ValueError(f"member {name!r} says it has {member.file_size} bytes, more than can be")

    @property
    def unpacked_bytes(self) -> int:
        """Bytes of all members together: no more is read, whatever they hold."""
        return sum(member.file_size + MEMBER_BYTES for member in self._members.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, name: str) -> Any:
        with self._opened(name) as (file, size, is_array):
            value = read_array(file, size) if is_array else read_all(file, size)
            file.read(1)  # at its end its checksum is compared
            return value

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a member, by its header; None for one that is not an array."""
        header = self.header(name)
        return None if header is None else header.shape

    def header(self, name: str) -> Header | None:
        """The header of a member; None for one that is not an array."""
        with self._opened(name) as (file, size, is_array):
            return read_header(file, size) if is_array else None

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[IO[bytes], int, bool]]:
        """A member, how many bytes it says it has, and whether an .npy file begins there."""
        member = self._members[name]
        with _failures(name), self._archive.open(member) as opened:
            plain = member.compress_type in MOST_TIMES
            file = cast(IO[bytes], opened if plain else _Packed(member, self._value))
            begins = file.read(len(MAGIC)) == MAGIC
            file.seek(0)
            yield file, member.file_size, begins


def _decompressor(member: zipfile.ZipInfo, data: memoryview) -> tuple[Any, memoryview]:
    """A decompressor for a member, and the bytes to give it."""
    if member.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor(), data
    # Two bytes of version, two of the properties' size, and these: lc, lp and pb in a byte, and the dictionary's size.
    size, packed, dictionary = struct.unpack_from("<2xHBI", data)
    lp, lc = divmod(packed % 45, 9)
    needed = min(dictionary, max(member.file_size, 1 << 12))  # nothing refers to what was before the first byte
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": needed, "lc": lc, "lp": lp, "pb": packed // 45}]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters), data[4 + size :]


class _Packed:
    """A member that is packed by bzip2 or LZMA, as a file: what is not asked for is not unpacked.

    zipfile unpacks all that it has read at once, and a block of bzip2 can be a million times its size.
    """

    def __init__(self, member: zipfile.ZipInfo, value: memoryview) -> None:
        names = struct.unpack_from("<2H", value, member.header_offset + 26)
        start = member.header_offset + 30 + sum(names)
        self._data, self._member = value[start : start + member.compress_size], member
        self._restart()

    def _restart(self) -> None:
        self._unpacker, self._rest = _decompressor(self._member, self._data)
        self._at = self._check = 0

    def tell(self) -> int:
        return self._at

    def seek(self, to: int) -> None:
        if to < self._at:
            self._restart()
        while self._at < to and self.read(to - self._at):
            pass

    def read(self, size: int) -> bytes:
        """At most so many bytes, fewer only at the end."""
        out = io.BytesIO()
        size = min(size, self._member.file_size - self._at)
        while out.tell() < size and not self._unpacker.eof:
            given: Any = b""
            if self._unpacker.needs_input:
                given, self._rest = self._rest[:CHUNK_BYTES], self._rest[CHUNK_BYTES:]
                if not given:
                    break
            out.write(self._unpacker.decompress(given, size - out.tell()))
        found = out.getvalue()
        self._at, self._check = self._at + len(found), zlib.crc32(found, self._check)
        if self._at == self._member.file_size and self._check != self._member.CRC:
            raise ValueError("its checksum is another")
        return found
