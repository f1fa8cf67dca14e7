"""Tar files read as a stream, plain or compressed, whose headers are checked before they are believed."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable
from typing import IO, Any, cast

from clipx._reading import CHUNK_BYTES, read_bytes

__all__ = ["StreamedTar", "open_tar"]

MOST_EXTENDED = 1 << 20
"""Bytes of a header that extends another: a name, or a list of fields."""

MOST_NESTED = 16
"""Headers that extend one another."""

MOST_HOLES = 1 << 16
"""Parts between the holes of a member."""

BLOCKS_BYTES = 1 << 16
"""Bytes that are read at a time of a file that has them at hand."""

EXTENSIONS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
"""Types of headers that extend the one behind them."""

_Invalid: Any = tarfile.InvalidHeaderError  # type: ignore[attr-defined]
_ENDS: Any = (
    tarfile.EOFHeaderError,  # type: ignore[attr-defined]
    tarfile.EmptyHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
)


class _Holes(list):
    """The parts between the holes of a member, at most MOST_HOLES."""

    def append(self, part: Any) -> None:
        if len(self) >= MOST_HOLES:
            raise _Invalid(f"a member with more than {MOST_HOLES} holes")
        super().append(part)


class _CheckedHeader(tarfile.TarInfo):
    """A header whose sizes and counts are checked. Blocks that are not a header are skipped up to the next one."""

    _sparse_structs: Any

    @classmethod
    def fromtarfile(cls, tar: Any) -> _CheckedHeader:
        while True:
            try:
                return super().fromtarfile(tar)
            except _ENDS:
                raise
            except (tarfile.HeaderError, ValueError, OverflowError, IndexError, RecursionError) as exn:
                if tar.extended or not tar.offset:
                    raise
                tar.damage = tar.damage or f"there is no header of a member at byte {tar.offset}: {exn}"
                tar.offset = tar.fileobj.tell()

    def _proc_member(self, tar: Any) -> Any:
        process = super()._proc_member  # type: ignore[misc]
        if self.size < 0:
            raise _Invalid(f"a member of {self.size} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            parts, more, size = self._sparse_structs
            self._sparse_structs = _Holes(parts), more, size
        if self.type not in EXTENSIONS:
            return process(tar)
        if self.size > MOST_EXTENDED:
            raise _Invalid(f"a header that is extended by {self.size} bytes")
        if tar.extended >= MOST_NESTED:
            raise _Invalid(f"more than {MOST_NESTED} headers that extend one another")
        tar.extended += 1
        try:
            found = process(tar)
        finally:
            tar.extended -= 1
        if found.size < 0:
            raise _Invalid(f"a member of {found.size} bytes")
        return found

    def _proc_gnusparse_10(self, found: Any, fields: Any, tar: Any) -> None:
        """Read where the parts of a member with holes lie: decimal numbers, one a line, before its bytes."""
        lines = tar.fileobj.read(tarfile.BLOCKSIZE)
        count, numbers = None, _Holes()
        while count is None or len(numbers) < 2 * count:
            if b"\n" not in lines:
                more = tar.fileobj.read(tarfile.BLOCKSIZE)
                if not more:
                    raise _Invalid("a list of holes that does not end")
                lines += more
                continue
            line, lines = lines.split(b"\n", 1)
            if count is None:
                count = int(line)
            else:
                numbers.append(int(line))
        found.offset_data = tar.fileobj.tell()
        found.sparse = list(zip(numbers[::2], numbers[1::2]))


class StreamedTar(tarfile.TarFile):
    """A tar file that is read from its beginning to its end, without seeking.

    Attributes:
        extended: number of headers being read that extend one another.
        damage: message about the damage before the latest member; empty where there was none.
    """

    tarinfo = _CheckedHeader
    firstmember: Any = None
    extended = 0
    damage = ""

    def next(self) -> tarfile.TarInfo | None:
        """The next member, or None at the end."""
        # Python 3.10 would seek backwards at the end of an archive that has no members.
        if self.firstmember is None and self.offset == 0 < self.fileobj.tell():
            return None
        return super().next()

    def skip(self) -> None:
        """Go to the next header. Raises tarfile.ReadError where the file ends before it."""
        if self.firstmember is not None:
            return
        left = self.offset - self.fileobj.tell()
        if left > 0 and read_bytes(cast(Any, self.fileobj), left, len) < left:
            raise tarfile.ReadError("unexpected end of data")


class _Replayed:
    """A stream whose first bytes have been read already, and are given once more."""

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head = head
        # Bytes are given as they come, since a pipe may stay open behind the last member.
        self._read: Callable[[int], bytes] = stream.read1 if isinstance(stream, io.BufferedReader) else stream.read

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size`; none at the end."""
        head, self._head = self._head[:size], self._head[size:]
        return head or self._read(size)


class _Gunzip:
    """A gzip stream of which no more is unpacked than is asked for. Bytes behind it that are not gzip are ignored."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._rest = stream, b""
        self._unpacker = zlib.decompressobj(wbits=31)

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size`; none at the end, also where the stream is truncated."""
        while True:
            if self._unpacker.eof:
                self._rest = self._unpacker.unused_data
                while len(self._rest) < 2 and (more := self._stream.read(CHUNK_BYTES)):
                    self._rest += more
                if not self._rest.startswith(b"\x1f\x8b"):
                    return b""
                self._unpacker = zlib.decompressobj(wbits=31)
            data = self._rest or self._stream.read(CHUNK_BYTES)
            found = self._unpacker.decompress(data, size)
            self._rest = self._unpacker.unconsumed_tail
            if found or not data:
                return found


def open_tar(stream: IO[bytes]) -> StreamedTar:
    """Open a tar file, plain or compressed by gzip, bzip2 or xz. Raises tarfile.ReadError where it is neither.

    tarfile's own decompression unpacks whole buffers, and ten kilobytes of bzip2 can be gigabytes.
    """
    head = stream.read(6)
    while 0 < len(head) < 6 and (more := stream.read(6 - len(head))):
        head += more
    replayed: Any = _Replayed(head, stream)
    if head.startswith(b"\x1f\x8b"):
        return StreamedTar.open(fileobj=cast(Any, _Gunzip(replayed)), mode="r|")
    if head.startswith(b"BZh"):
        return StreamedTar.open(fileobj=bz2.BZ2File(replayed), mode="r|")
    if head.startswith((b"\xfd7zXZ", b"\x5d\x00\x00\x80")):
        return StreamedTar.open(fileobj=lzma.LZMAFile(replayed), mode="r|")
    bufsize = BLOCKS_BYTES if isinstance(stream, io.BufferedReader) else tarfile.RECORDSIZE
    return StreamedTar.open(fileobj=replayed, mode="r|*", bufsize=bufsize)
