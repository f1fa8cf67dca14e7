"""Samples of shards, each with its address, from any address on."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import webdataset
from webdataset.tariterators import base_plus_ext

from clipx.datasets.origins import locate
from clipx.datasets.tars import ENDS_BYTES, META, ReadLimits, UnreadMember, read_members
from clipx.datasets.urls import local_path
from clipx.datasets.world import Share
from clipx.mapped import Member, members

__all__ = ["META", "Address", "IncompleteSample", "ReadLimits", "Shards", "UnreadMember"]


class Address(NamedTuple):
    """Where a sample stands: its shard's number among the urls, its own number in the shard, and its checksum."""

    shard: int
    sample: int
    checksum: int


class IncompleteSample(dict):
    """A sample of which a member could not be read: it is not what its writer meant, and the handler has been told."""


def _checksum(key: Any, fields: Iterable[tuple[str, int, bytes, bytes]]) -> int:
    """CRC-32 of a sample's key, and of the name, the size, the beginning and the end of each field."""
    check = zlib.crc32(repr(key).encode())
    for name, size, head, tail in fields:
        told = f"{name} {size}".encode(errors="backslashreplace")  # a name may be no UTF-8
        check = zlib.crc32(tail, zlib.crc32(head, zlib.crc32(told, check)))
    return check


def _checksum_of(sample: Mapping[str, Any]) -> int:
    fields = []
    for name, value in sample.items():
        if isinstance(value, UnreadMember):
            fields.append((name, *value))
        elif isinstance(value, bytes) and not name.startswith("__"):
            fields.append((name, len(value), value[:ENDS_BYTES], value[-ENDS_BYTES:]))
    return _checksum(sample.get("__key__"), fields)


class _Files(NamedTuple):
    """The members of a local, uncompressed shard that make up a sample, and where the next sample starts, if any."""

    path: str
    members: list[Member]
    end: int | None

    def checksum(self) -> int:
        """The sample's checksum, from the ends of its files alone."""
        fields = []
        with Path(self.path).open("rb") as file:
            for member in self.members:
                seen = min(member.size, ENDS_BYTES)
                file.seek(member.offset)
                head = file.read(seen)
                file.seek(member.offset + member.size - seen)
                fields.append((base_plus_ext(member.name)[1].lower(), member.size, head, file.read(seen)))
        return _checksum(base_plus_ext(self.members[0].name)[0], fields)

    def read(self, url: str, most: int) -> dict[str, Any] | None:
        """The sample as webdataset reads it; None where it cannot be read like this, and past `most` bytes."""
        if any(member.sparse for member in self.members) or sum(member.size for member in self.members) > most:
            return None
        files = []
        with Path(self.path).open("rb") as file:
            for member in self.members:
                file.seek(member.offset)
                files.append({"fname": member.name, "data": file.read(member.size), "__url__": url})
        return next(webdataset.tariterators.group_by_keys(files, handler=webdataset.ignore_and_continue), None)


def _find_files(url: str, wanted: Iterable[int]) -> dict[int, _Files]:
    """The files of samples, as far as the shard's headers tell; nothing of a shard that is not local or compressed."""
    path, left, found = local_path(url), set(wanted), dict[int, _Files]()
    key, number = None, -1
    if path is None:
        return found
    try:
        with closing(members(path)) as headers:
            for member in headers:
                here = None if META.match(member.name) else base_plus_ext(member.name)[0]
                if here is None:
                    continue
                if here != key:
                    if number in found:
                        found[number] = found[number]._replace(end=member.header)
                        if not left:
                            break
                    key, number = here, number + 1
                    if number in left:
                        found[number] = _Files(path, [], None)
                        left.discard(number)
                if number in found:
                    found[number].members.append(member)
    except (OSError, ValueError):
        # It is damaged behind this sample, which is to be told when it is read.
        found.pop(number, None)
    return found


def _mapped(path: str) -> Iterator[dict[str, Any]]:
    """The files of a local, uncompressed shard, as webdataset gives them.

    Raises OSError and ValueError where it is damaged, and for files that are stored with holes.
    """
    found = list(members(path))
    if any(member.sparse for member in found):
        raise ValueError(f"{path!r} has files with holes, which are not mapped")
    with Path(path).open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    return (
        {"fname": member.name, "data": view[member.offset : member.offset + member.size], "__url__": path}
        for member in found
        if not META.match(member.name)
    )


class _ShardHandler:
    """A handler of errors of a shard, which it names, that remembers whether it has asked to stop."""

    def __init__(self, handler: Callable[[Exception], bool], shard: str) -> None:
        self._handler, self._shard = handler, shard
        self.stopped = False

    def __call__(self, exn: Exception) -> bool:
        while len(exn.args) > 1 and self._is_added(exn.args[-1]):
            exn.args = exn.args[:-1]
        locate(exn, shard=self._shard)
        goes_on = bool(self._handler(exn))
        self.stopped = self.stopped or not goes_on
        return goes_on

    def _is_added(self, arg: Any) -> bool:
        """Whether webdataset has added this to an error: a stream, or its address, where they are known."""
        return arg is None or hasattr(arg, "read") or (isinstance(arg, str) and arg == self._shard)


class _Quiet:
    """A handler that goes on after every error, and remembers the last."""

    error: Exception | None = None

    def __call__(self, exn: Exception) -> bool:
        self.error = exn
        return True


class Shards:
    """Shards as webdataset reads them.

    Args:
        urls: of the shards.
        handler: called with the error of a broken shard, as webdataset's are.

    Attributes:
        limits: how much of a sample is read, and when.
    """

    def __init__(self, urls: Sequence[str], handler: Callable[[Exception], bool]) -> None:
        self.urls, self._handler, self.limits = list(urls), handler, ReadLimits()

    def samples(self, share: Share, after: Address | None = None) -> Iterator[tuple[Address, dict[str, Any]]]:
        """The samples of a share in order, with their addresses; those that come after a address.

        What comes before that is not read of local, uncompressed shards. Raises ValueError where the sample at that
        address is another.
        """
        first = 0 if after is None else share.shards.index(after.shard)
        for at in range(first, len(share.shards)):
            shard, handler = share.shards[at], _ShardHandler(self._handler, self.urls[share.shards[at]])
            read = self._read(shard, handler)
            if at == first and after is not None:
                read = self._read_after(after, handler)
            for number, sample in read:
                if share.takes(at, number):
                    yield Address(shard, number, _checksum_of(sample)), sample
                del sample
            if handler.stopped:
                return

    def _read(self, shard: int, handler: Callable[[Exception], bool]) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from enumerate(self._read_from(shard, 0, handler))

    def _read_from(self, shard: int, start: int, handler: Callable[[Exception], bool]) -> Iterator[dict[str, Any]]:
        """The samples of a shard from this byte on, where one starts: as webdataset gives them, as far as it does."""
        url = self.urls[shard]
        try:
            stream = webdataset.tariterators.gopen.gopen(url)
            if start:
                stream.seek(start)
        except Exception as exn:
            exn.args = (*exn.args, url)
            handler(exn)
            return
        lost: set[str] = set()
        files = read_members(stream, url, handler, self.limits, lost)
        del stream
        for sample in webdataset.tariterators.group_by_keys(files, handler=handler):
            if sample["__key__"] in lost:
                lost.discard(sample["__key__"])
                yield IncompleteSample(sample)
            else:
                yield sample
            del sample

    def _read_after(self, address: Address, handler: _ShardHandler) -> Iterator[tuple[int, dict[str, Any]]]:
        """The samples of a shard, with their numbers, that come after this address."""
        url = self.urls[address.shard]
        files = _find_files(url, [address.sample]).get(address.sample)
        if files is not None and files.checksum() == address.checksum:
            if files.end is not None:
                yield from enumerate(self._read_from(address.shard, files.end, handler), address.sample + 1)
            return
        # What is wrong before that address is told once more: the handler may end all that follows.
        same = False
        for number, sample in self._read(address.shard, handler):
            if number == address.sample:
                same = _checksum_of(sample) == address.checksum
            if number >= address.sample and not same:
                break
            if number > address.sample:
                yield number, sample
            del sample
        if not same:
            raise self._changed(address)

    def find(self, addresses: Iterable[Address]) -> Iterator[tuple[Address, dict[str, Any]]]:
        """The samples at these addresses, shard by shard. Raises ValueError where there is another."""
        for shard, group in groupby(sorted(set(addresses)), lambda address: address.shard):
            url, left = self.urls[shard], {address.sample: address for address in group}
            for number, files in _find_files(url, left).items():
                sample = files.read(url, self.limits.sample_bytes)
                if sample is not None and _checksum_of(sample) == left[number].checksum:
                    yield left.pop(number), sample
                del sample
            if not left:
                continue
            quiet = _Quiet()
            for number, sample in self._read(shard, quiet):
                address = left.pop(number, None)
                if address is not None:
                    if _checksum_of(sample) != address.checksum:
                        raise self._changed(address) from quiet.error
                    yield address, sample
                    if not left:
                        break
                del sample
            for address in left.values():
                raise self._changed(address) from quiet.error

    def _changed(self, address: Address) -> ValueError:
        return ValueError(
            f"shard {address.shard}, {self.urls[address.shard]!r}, has changed: its sample {address.sample} is not the "
            f"one that was read when the state was saved"
        )

    def views(self, shard: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The samples of a shard, with their numbers, their fields memoryviews of the file where it can be mapped.

        What is wrong with the shard is not told here, and ends it.
        """
        path, files = local_path(self.urls[shard]), None
        if path is not None:
            with suppress(OSError, ValueError):
                files = _mapped(path)
        if files is None:
            yield from self._read(shard, _Quiet())
        else:
            yield from enumerate(webdataset.tariterators.group_by_keys(files, handler=_Quiet()))
