"""Samples of a tar file read as a stream, within bounds; damage loses no member that can still be found."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO, Any, cast

import webdataset

from clipx._reading import read_all, read_bytes
from clipx.datasets.addresses import ENDS_BYTES, UnreadMember
from clipx.datasets.fields import Sample, split_member_name
from clipx.datasets.remote import RangeCache
from clipx.datasets.tar_format import StreamedTar, open_tar

__all__ = ["IncompleteSample", "ReadLimits", "read_members", "read_samples"]

MEMBER_BYTES = 512
"""Bytes that a member counts beside its own: its header."""


class IncompleteSample(dict):
    """A sample of which a member could not be read, and the handler was called. No clips are taken from it."""


class ReadLimits:
    """Limits to the bytes that are read of a sample, and a way to wait before they are.

    Attributes:
        sample_bytes: of a sample with more bytes, members are UnreadMember.
        sparse_bytes: size up to which a member with holes is read through to find its ends.
        wait: called before a member is read, with the bytes of its sample up to the member's end; may block.
        cache: holds bytes of remote files; None where each has a cache of its own.
    """

    def __init__(self, sample_bytes: int = sys.maxsize) -> None:
        self.sample_bytes = self.sparse_bytes = sample_bytes
        self.wait: Callable[[int], None] = lambda size: None
        self.cache: RangeCache | None = None


def _ends(file: IO[bytes], size: int) -> UnreadMember:
    """Both ends of a member, which is read through. Raises tarfile.ReadError where the file ends before it does."""
    head = read_all(file, min(size, ENDS_BYTES))
    tail = head

    def keep(piece: bytes) -> None:
        nonlocal tail
        tail = (tail + piece)[-ENDS_BYTES:]

    if len(head) + read_bytes(file, size - len(head), keep) < size:
        raise tarfile.ReadError("unexpected end of data")
    return UnreadMember(size, head, tail[-ENDS_BYTES:])


def _read(tar: StreamedTar, member: tarfile.TarInfo, held: int, limits: ReadLimits) -> bytes | UnreadMember:
    """The bytes of a member. `held` is the number of bytes of its sample up to the member's end."""
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
    """The members of samples, as WebDataset has them: dicts with "fname", "data" and "__url__".

    Args:
        handler: called with the error of a member or a header that cannot be read: true goes on with the next one.
        lost: takes the keys of samples of which a member could not be read.
    """
    try:
        with closing(open_tar(stream)) as tar:
            key, held = None, 0
            while True:
                tar.skip()
                member = tar.next()
                tar.members = []  # type: ignore[attr-defined]  # TarFile would keep them all
                damage, tar.damage = tar.damage, ""
                if damage and not handler(ValueError(f"shard {url!r} is damaged: {damage}")):
                    return
                if member is None:
                    return
                prefix = split_member_name(member.name)[0]
                if not member.isreg() or prefix is None:
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


def read_samples(
    stream: IO[bytes], url: str, handler: Callable[[Exception], bool], limits: ReadLimits
) -> Iterator[Sample]:
    """The samples of a tar file as WebDataset groups them; an IncompleteSample where a member could not be read."""
    lost: set[str] = set()
    files = read_members(stream, url, handler, limits, lost)
    del stream
    for sample in webdataset.tariterators.group_by_keys(files, handler=handler):
        if sample["__key__"] in lost:
            lost.discard(sample["__key__"])
            yield IncompleteSample(sample)
        else:
            yield sample
        del sample
