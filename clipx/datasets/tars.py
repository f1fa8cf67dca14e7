"""The members of a tar file as it comes by, read within bounds; what is damaged loses no member that can be found."""

from __future__ import annotations

import bz2
import io
import lzma
import re
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO, Any, NamedTuple, cast

from webdataset.tariterators import base_plus_ext

from clipx._reading import CHUNK_BYTES, read_all, read_bytes

__all__ = ["ENDS_BYTES", "META", "ReadLimits", "UnreadMember", "read_members"]

META = re.compile(r"__[^/]*__($|/)")  # members that webdataset passes over

ENDS_BYTES = 1024  # of each end of a member, that are kept of one that is not read

MEMBER_BYTES = 512
"""What a member counts beside its bytes: its header."""

MOST_EXTENDED = 1 << 20  # bytes of a header that extends another: a name, a list of fields
MOST_NESTED = 16  # headers that extend one another
BLOCKS_BYTES = 1 << 16  # that are read of a file at a time, where it has them
MOST_HOLES = 1 << 16

EXTENSIONS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}


class UnreadMember(NamedTuple):
    """Stands for the bytes of a member that is too large: how many they are, and both ends."""

    size: int
    head: bytes
    tail: bytes


class ReadLimits:
    """What may be read.

    Attributes:
        sample_bytes: most bytes of a sample that are read; of a larger one, members are UnreadMember.
        sparse_bytes: the size of a member with holes that is gone through, to see its ends.
        wait: called before a member is read, with the bytes of its sample up to its end; may wait.
    """

    def __init__(self, sample_bytes: int = sys.maxsize) -> None:
        self.sample_bytes = self.sparse_bytes = sample_bytes
        self.wait: Callable[[int], None] = lambda size: None


class _Holes(list):
    """The parts of a member with holes, no more than anybody needs."""

    def append(self, part: Any) -> None:
        if len(self) >= MOST_HOLES:
            raise tarfile.InvalidHeaderError(f"a member with more than {MOST_HOLES} holes")  # type: ignore[attr-defined]
        super().append(part)


class _Header(tarfile.TarInfo):
    """A header that is not believed in everything. Where there is none, the next one is looked for."""

    _sparse_structs: Any

    @classmethod
    def fromtarfile(cls, tar: Any) -> _Header:
        while True:
            try:
                return super().fromtarfile(tar)
            except _ENDS:
                raise
            except (tarfile.HeaderError, ValueError, OverflowError, IndexError, RecursionError) as exn:
                if tar.inside or not tar.offset:
                    raise
                tar.damage = tar.damage or f"no header of a member is at byte {tar.offset}: {exn}"
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
        if tar.inside >= MOST_NESTED:
            raise _Invalid(f"more than {MOST_NESTED} headers that extend one another")
        tar.inside += 1
        try:
            found = process(tar)
        finally:
            tar.inside -= 1
        if found.size < 0:
            raise _Invalid(f"a member of {found.size} bytes")
        return found

    def _proc_gnusparse_10(self, found: Any, fields: Any, tar: Any) -> None:
        """Read the parts of a member with holes, which stand before its bytes, a number a line."""
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


_Invalid: Any = tarfile.InvalidHeaderError  # type: ignore[attr-defined]
_ENDS: Any = (
    tarfile.EOFHeaderError,  # type: ignore[attr-defined]
    tarfile.EmptyHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
)


class _Tar(tarfile.TarFile):
    """A tar file that is read as it comes by.

    Attributes:
        inside: headers that the one which is read extends.
        damage: what was wrong before the member that came last; empty where nothing was.
    """

    tarinfo = _Header
    firstmember: Any = None
    inside = 0
    damage = ""

    def skip(self) -> None:
        """Go to the next header. Raises tarfile.ReadError where the file ends before it."""
        if self.firstmember is not None:
            return
        left = self.offset - self.fileobj.tell()
        if left > 0 and read_bytes(cast(Any, self.fileobj), left, len) < left:
            raise tarfile.ReadError("unexpected end of data")


class _Replayed:
    """A stream of which the beginning has been read."""

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head = head
        # What has come is given at once: a pipe may stay open behind the last member.
        self._read: Callable[[int], bytes] = stream.read1 if isinstance(stream, io.BufferedReader) else stream.read

    def read(self, size: int) -> bytes:
        """Some bytes, and none at the end."""
        head, self._head = self._head[:size], self._head[size:]
        return head or self._read(size)


class _Gunzip:
    """A gzip stream, of which no more is unpacked than is asked for; what follows it is passed over."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._rest = stream, b""
        self._unpacker = zlib.decompressobj(wbits=31)

    def read(self, size: int) -> bytes:
        """Some bytes, and none at the end, wherever that is."""
        while True:
            if self._unpacker.eof:
                self._rest = self._unpacker.unused_data or self._stream.read(CHUNK_BYTES)
                if not self._rest.startswith(b"\x1f\x8b"):
                    return b""
                self._unpacker = zlib.decompressobj(wbits=31)
            data = self._rest or self._stream.read(CHUNK_BYTES)
            found = self._unpacker.decompress(data, size)
            self._rest = self._unpacker.unconsumed_tail
            if found or not data:
                return found


def _open(stream: IO[bytes]) -> _Tar:
    """A tar file, plain or compressed.

    tarfile unpacks all that it has read at once, and ten kilobytes of bzip2 can be gigabytes.
    """
    head = stream.read(6)
    while 0 < len(head) < 6 and (more := stream.read(6 - len(head))):
        head += more
    replayed: Any = _Replayed(head, stream)
    if head.startswith(b"\x1f\x8b"):
        return _Tar.open(fileobj=cast(Any, _Gunzip(replayed)), mode="r|")
    if head.startswith(b"BZh"):
        return _Tar.open(fileobj=bz2.BZ2File(replayed), mode="r|")
    if head.startswith((b"\xfd7zXZ", b"\x5d\x00\x00\x80")):
        return _Tar.open(fileobj=lzma.LZMAFile(replayed), mode="r|")
    bufsize = BLOCKS_BYTES if isinstance(stream, io.BufferedReader) else tarfile.RECORDSIZE
    return _Tar.open(fileobj=replayed, mode="r|*", bufsize=bufsize)


def _ends(file: IO[bytes], size: int) -> UnreadMember:
    """Both ends of a member, which is read and forgotten. Raises tarfile.ReadError where it is not all there."""
    head = read_all(file, min(size, ENDS_BYTES))
    tail = head

    def keep(piece: bytes) -> None:
        nonlocal tail
        tail = (tail + piece)[-ENDS_BYTES:]

    if len(head) + read_bytes(file, size - len(head), keep) < size:
        raise tarfile.ReadError("unexpected end of data")
    return UnreadMember(size, head, tail[-ENDS_BYTES:])


def _read(tar: _Tar, member: tarfile.TarInfo, held: int, limits: ReadLimits) -> bytes | UnreadMember:
    """A member's bytes. `held` are those of its sample up to its end."""
    if held > limits.sample_bytes and member.issparse() and member.size > limits.sparse_bytes:
        return UnreadMember(member.size, b"", b"")
    # The bytes of a member without holes come next.
    file = cast(IO[bytes], tar.extractfile(member) if member.issparse() else tar.fileobj)
    if held > limits.sample_bytes:
        return _ends(file, member.size)
    limits.wait(held)
    data = read_all(file, member.size)
    if len(data) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return data


def read_members(
    stream: IO[bytes], url: str, handler: Callable[[Exception], bool], limits: ReadLimits, lost: set[str]
) -> Iterator[dict[str, Any]]:
    """The files of a tar file in the form of webdataset: "fname", "data" and "__url__"; those without an extension and
    those that webdataset passes over are left out.

    `handler` is called with the error of a member that cannot be read, and of a header that cannot: what follows it is
    looked for. Where it says so, all ends. The keys of samples whose members cannot be read are added to `lost`.
    """
    try:
        with closing(_open(stream)) as tar:
            key, held = None, 0
            while True:
                tar.skip()
                member = tar.next()
                tar.members = []  # type: ignore[attr-defined]  # it remembers all that it has passed
                damage, tar.damage = tar.damage, ""
                if damage and not handler(ValueError(f"shard {url!r} is damaged: {damage}")):
                    return
                if member is None:
                    return
                prefix = base_plus_ext(member.name)[0]
                if not member.isreg() or META.match(member.name) or prefix is None:
                    continue
                held = MEMBER_BYTES + member.size + (held if prefix == key else 0)
                key = prefix
                try:
                    data = _read(tar, member, held, limits)
                except MemoryError:
                    raise
                except Exception as exn:
                    exn.args = (f"{exn} @ {member.name!r} in {url!r}", *exn.args[1:])
                    if not handler(exn):
                        return
                    lost.add(prefix)
                    continue
                yield {"fname": member.name, "data": data, "__url__": url}
                del data
    except MemoryError:
        raise
    except Exception as exn:
        exn.args = (*exn.args, url)
        handler(exn)
