"""Addresses of samples in a dataset, with checksums that show when a shard has changed since."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from clipx.datasets.fields import is_metadata
from clipx.datasets.stored import StoredFile

__all__ = ["ENDS_BYTES", "START", "Address", "Position", "UnreadMember", "checksum", "checksum_of"]

ENDS_BYTES = 1024
"""Bytes of each end of a field that its checksum covers."""


class Address(NamedTuple):
    """The shard of a sample, as its index in the list of shards, the sample's number in the shard, and its checksum."""

    shard: int
    sample: int
    checksum: int


class Position(NamedTuple):
    """How far the samples of a share have been read.

    Attributes:
        last: the sample that was read last; of a mixture one of each dataset that any was read of. None before.
        samples: how many have been read.
    """

    last: tuple[Address, ...] = ()
    samples: int = 0

    def advance(self, address: Address) -> Position:
        """The position behind one more sample, of a share of one dataset."""
        return Position((address,), self.samples + 1)


START = Position()


class UnreadMember(NamedTuple):
    """The size and both ends of a member of a tar file that is too large to be read, in place of its bytes."""

    size: int
    head: bytes
    tail: bytes


def checksum(key: Any, fields: Iterable[tuple[str, int, bytes, bytes]]) -> int:
    """CRC-32 of a sample's key, and of the name, the size, the head and the tail of each field."""
    total = zlib.crc32(repr(key).encode())
    for name, size, head, tail in fields:
        text = f"{name} {size}".encode(errors="backslashreplace")  # a name need not be UTF-8
        total = zlib.crc32(tail, zlib.crc32(head, zlib.crc32(text, total)))
    return total


def checksum_of(sample: Mapping[str, Any]) -> int:
    """The checksum of a sample that has been read, but not decoded."""
    fields = []
    for name, value in sample.items():
        if isinstance(value, UnreadMember):
            fields.append((name, *value))
        elif isinstance(value, StoredFile):
            fields.append((name, value.known_size, b"", b""))
        elif isinstance(value, bytes) and not is_metadata(name):
            fields.append((name, len(value), value[:ENDS_BYTES], value[-ENDS_BYTES:]))
    return checksum(sample.get("__key__"), fields)
