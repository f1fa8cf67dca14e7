"""Samples of uncompressed tar files that can seek, found by their headers; only the members asked for are read.

Local files are opened by their path, others by a function. Compressed files, and those that come through a pipe, are
read by `streamed_tars`.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import webdataset

from clipx._reading import read_all, size_of
from clipx.datasets.addresses import ENDS_BYTES, checksum
from clipx.datasets.fields import Sample, split_member_name
from clipx.mapped import Member, members, members_in, open_member

__all__ = ["LocalSample", "Opener", "find_samples", "local_samples", "map_member", "read_member", "view_members"]


Opener = Callable[[int, int | None], IO[bytes]]
"""Opens a tar file, or as many of its bytes from a position on, as a file of its own."""


class LocalSample(NamedTuple):
    """A sample of a tar file, of which nothing but the headers has been read.

    Attributes:
        path: of the tar file, or its address.
        key: the sample's key.
        members: its members, in order.
        end: byte where the next sample's first header begins; None for the last sample.
        opener: opens a file that is not local.
    """

    path: str
    key: str
    members: list[Member]
    end: int | None
    opener: Opener | None = None

    def checksum(self) -> int:
        """The checksum of `addresses`, from the ends of the members."""
        fields = []
        with Path(self.path).open("rb") if self.opener is None else self.opener(0, None) as file:
            for member in self.members:
                size = min(member.size, ENDS_BYTES)
                file.seek(member.offset)
                head = file.read(size)
                file.seek(member.offset + member.size - size)
                fields.append((split_member_name(member.name)[1].lower(), member.size, head, file.read(size)))
        return checksum(self.key, fields)

    def files(self, url: str, read: Callable[[str, Member], Any]) -> list[dict[str, Any]]:
        """The members as dicts for WebDataset's `group_by_keys`; `read` gives the data of each, from the path."""
        return [{"fname": each.name, "data": read(self.path, each), "__url__": url} for each in self.members]

    def read(self, url: str, most: int) -> Sample | None:
        """The sample with its members as bytes; None where it has more than `most`, or holes."""
        if any(member.sparse for member in self.members) or sum(member.size for member in self.members) > most:
            return None
        files = self.files(url, partial(read_member, opener=self.opener))
        return next(webdataset.tariterators.group_by_keys(files, handler=webdataset.ignore_and_continue), None)


def _members(path: str, opener: Opener | None) -> Generator[Member]:
    if opener is None:
        yield from members(path)
        return
    with opener(0, None) as file:
        yield from members_in(file, size_of(file), path)


def local_samples(path: str, opener: Opener | None = None) -> Generator[LocalSample]:
    """The samples of an uncompressed tar file, each as soon as the header behind it has been read.

    Raises OSError and ValueError as `clipx.mapped.members` does, without the sample before the damage.

    Args:
        opener: opens a file that is not local; `path` is then its name in messages.
    """
    last: LocalSample | None = None
    with closing(_members(path, opener)) as found:
        for member in found:
            key = split_member_name(member.name)[0]
            if key is None:
                continue
            if last is not None and key == last.key:
                last.members.append(member)
                continue
            if last is not None:
                yield last._replace(end=member.header)
            last = LocalSample(path, key, [member], None, opener)
    if last is not None:
        yield last


def find_samples(path: str, numbers: Iterable[int], opener: Opener | None = None) -> dict[int, LocalSample]:
    """The samples of these numbers, counted from 0, that lie before any damage; empty where the file cannot be read.

    Args:
        opener: opens a file that is not local.
    """
    wanted, found = set(numbers), dict[int, LocalSample]()
    try:
        with closing(local_samples(path, opener)) as samples:
            for number, sample in enumerate(samples):
                if number in wanted:
                    found[number] = sample
                    if len(found) == len(wanted):
                        break
    except (OSError, ValueError):
        pass  # raised again where the sample is read as part of a stream
    return found


def read_member(path: str, member: Member, opener: Opener | None = None) -> bytes:
    """The bytes of a member. Raises ValueError for one that is stored with holes."""
    if member.sparse:
        raise ValueError(f"{member.name!r} in {path!r} is stored with holes, and is not read")
    if opener is not None:
        with opener(member.offset, member.size) as file:
            return read_all(file, member.size)
    with Path(path).open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size)


def map_member(path: str, member: Member) -> Any:
    """The array of an .npy member, mapped from the file; the bytes of any other."""
    return open_member(path, member) if member.name.endswith(".npy") else read_member(path, member)


def view_members(path: str) -> Iterator[dict[str, Any]]:
    """All members of samples as memoryviews of the mapped file, in the form that `LocalSample.files` has.

    Raises OSError and ValueError where the file is damaged, and for members that are stored with holes.
    """
    samples = list(local_samples(path))
    if any(member.sparse for sample in samples for member in sample.members):
        raise ValueError(f"{path!r} has members with holes, which are not mapped")
    with Path(path).open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def view(_: str, member: Member) -> memoryview:
        return data[member.offset : member.offset + member.size]

    return (each for sample in samples for each in sample.files(path, view))
