"""The output of a part: shards, a list of failures, and a manifest, which appear together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import IO, Any

from clipx.jobs.extraction.encoding import Data
from clipx.jobs.extraction.failures import Failure
from clipx.jobs.extraction.manifest import is_whole, open_manifest
from clipx.jobs.extraction.names import failures_name, manifest_name, shard_name
from clipx.jobs.extraction.store import Store
from clipx.jobs.extraction.tars import ShardWriter

__all__ = ["PartCounts", "PartWriter"]


@dataclass
class PartCounts:
    """Numbers of what a part has written.

    Attributes:
        clips, shards: number of them.
        bytes: of the clips' own fields.
        failures: number of each kind.
    """

    clips: int = 0
    shards: int = 0
    bytes: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class PartWriter:
    """Writes the output of a part, or of a retry of its failures.

    >>> with PartWriter(store, 3, shard_bytes=10**9, table=job.table) as writer:
    ...     writer.add(key, encoded.fields, others, row)
    ...     writer.commit()

    The files get their names when it is committed, the manifest last; in an object store, a shard is uploaded when it
    is full. Where the block ends without a commit, nothing is left, but for whole shards in an object store, which the
    next try replaces. A part that another process has finished meanwhile is left as it is.

    Args:
        store: the output.
        part: number of the part.
        shard_bytes: of a shard, about which it is full.
        table: kind of the manifest, "parquet" or "jsonl".
        retry: number of the retry, from 1 on; None or 0 for the part itself.

    Methods raise OutputError where the store cannot be written.
    """

    def __init__(self, store: Store, part: int, *, shard_bytes: int, table: str, retry: int | None = None) -> None:
        self._store, self._part, self._table, self._retry = store, part, table, retry or 0
        self._names = manifest_name(part, table, self._retry), failures_name(part, self._retry)
        self._staging = store.stage()
        try:
            self._manifest_file, self._failures = map(self._staging.open, self._names)
            self._manifest = open_manifest(self._manifest_file, table)
        except BaseException:
            self._staging.discard()
            raise
        self._shards = ShardWriter(self._open_shard, shard_bytes)
        self._keys = set[bytes]()
        self.counts = PartCounts()

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._manifest.abandon()
        self._staging.discard()

    def _shard_name(self, number: int) -> str:
        return shard_name(self._part, number, self._retry)

    def _open_shard(self, number: int) -> IO[bytes]:
        if number and not self._store.keeps_staged and not self._is_done():
            self._staging.publish(self._shard_name(number - 1))
        self.counts.shards += 1
        return self._staging.open(self._shard_name(number))

    def _is_done(self) -> bool:
        """Whether another process has finished this part."""
        return is_whole(self._store, self._names[0], self._table)

    def add(self, key: str, clip: Mapping[str, Data], others: Mapping[str, Data], row: Mapping[str, Any]) -> None:
        """Write the sample of a clip, and its row.

        Args:
            key: of the clip's sample.
            clip: the encoded clip, and its sound, by the names of their fields.
            others: "clip.json" and the source's other fields.
            row: as `row_of` makes it.

        Raises ValueError for a key that another clip of the part has, and for a field that is there twice.
        """
        twice = next((name for name in others if name in clip), None)
        if twice is not None:
            raise ValueError(f"clip {key!r} has two fields {twice!r}")
        short = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if short in self._keys:
            raise ValueError(f"there are two clips of key {key!r} in this part, but keys of samples must differ")
        self._keys.add(short)
        shard = self._shard_name(self._shards.write(key, {**clip, **others}))
        self._manifest.add({**row, "key": key, "shard": shard})
        self.counts.clips += 1
        self.counts.bytes += row["bytes"]

    def fail(self, failure: Failure) -> None:
        """Note a failure."""
        self._failures.write(failure.line())
        self.counts.failures[failure.kind] += 1

    def commit(self) -> PartCounts:
        """Finish the part: shards of an earlier, unfinished try that this one has not written are removed."""
        self._shards.close()
        self._manifest.close()
        self._failures.close()
        self._manifest_file.close()
        shards = [self._shard_name(number) for number in range(self.counts.shards)]
        manifest, failures = self._names
        with self._store.locked():
            if not self._is_done():
                self._staging.publish(*(shards if self._store.keeps_staged else shards[-1:]), failures)
                self._remove_behind(len(shards))
                self._staging.publish(manifest)
        return self.counts

    def _remove_behind(self, count: int) -> None:
        """Remove the shards that an unfinished try has left: as they lie without gaps, the last one first."""
        end = count
        while self._store.exists(self._shard_name(end)):
            end += 1
        for number in reversed(range(count, end)):
            self._store.remove(self._shard_name(number))
