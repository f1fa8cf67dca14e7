"""Shards: tar files whose bytes depend on the samples alone."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping
from typing import IO

from clipx.jobs.extraction.encoding import Data, data_bytes, pieces_of
from clipx.jobs.extraction.keys import safe_field, safe_key

__all__ = ["ShardWriter"]

BLOCK = tarfile.BLOCKSIZE
END = 2 * BLOCK
"""Bytes of zeros at the end of a tar file."""


def _header(name: str, size: int) -> bytes:
    """The header of a member: of a regular file of mode 0644 of root, of 1970."""
    found = tarfile.TarInfo(name)
    found.size = size
    return found.tobuf(tarfile.PAX_FORMAT)


class ShardWriter:
    """Writes samples into tar files, each of about `shard_bytes`.

    Args:
        open_shard: opens the shard of a number, counted from 0.
        shard_bytes: a sample with which a shard would have more begins the next one; of a larger sample, a shard has
            just this one.

    Attributes:
        files: the shards so far; all but the last are closed.
    """

    def __init__(self, open_shard: Callable[[int], IO[bytes]], shard_bytes: int) -> None:
        self._open, self._most = open_shard, shard_bytes
        self.files: list[IO[bytes]] = []
        self._written = 0

    def write(self, key: str, members: Mapping[str, Data]) -> int:
        """Write a sample; returns the number of its shard.

        Args:
            members: the bytes of its fields by their names, in the order in which they are written.
        """
        key = safe_key(key)
        headers = [_header(f"{key}.{safe_field(name)}", data_bytes(data)) for name, data in members.items()]
        sizes = [len(header) + data_bytes(data) for header, data in zip(headers, members.values())]
        total = sum(size + -size % BLOCK for size in sizes)
        if not self.files or (self._written and self._written + total + END > self._most):
            self.close()
            self.files.append(self._open(len(self.files)))
            self._written = 0
        file = self.files[-1]
        for header, data, size in zip(headers, members.values(), sizes):
            file.write(header)
            for piece in pieces_of(data):
                file.write(piece)
            file.write(bytes(-size % BLOCK))
        self._written += total
        return len(self.files) - 1

    def close(self) -> None:
        """End the last shard."""
        if self.files and not self.files[-1].closed:
            self.files[-1].write(bytes(END))
            self.files[-1].close()
