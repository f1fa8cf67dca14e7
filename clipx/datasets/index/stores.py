"""Rows of sources that have been read before: parts of a build that was interrupted, and an index."""

from __future__ import annotations

import os
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clipx.datasets.index.arrow import DAMAGE, VERSION, arrow, parquet, schema
from clipx.datasets.index.places import resolved_name

__all__ = ["FILE", "SHARD", "Identity", "Source", "Stores"]

FILE, SHARD = "file", "shard"

OPEN_TABLES = 16
"""Parts, and groups of rows of an index, that are kept in memory."""

Identity = tuple[int, int]
"""Bytes of a source, and the time of its last change in nanoseconds; -1 where that is not known."""


class Source(NamedTuple):
    """A source: its kind, FILE or SHARD, and its whole name."""

    kind: str
    name: str


class _Place(NamedTuple):
    """Where the rows of a source lie: in which store, from which row on, how many, and of what they were read."""

    store: int
    first: int
    rows: int
    identity: Identity


class _Part:
    """The rows of a part, in memory where they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.groups = [0, self.read(0).num_rows]

    def read(self, group: int) -> Any:
        """All rows. Raises ValueError for a file that is not a part."""
        pa = arrow()
        with pa.memory_map(str(self._path)) as source:
            found = pa.ipc.open_file(source).read_all()
        if not found.schema.equals(schema()):
            raise ValueError("its columns are others")
        return found


class _Index:
    """The rows of an index, by groups."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = parquet().ParquetFile(path, memory_map=True, page_checksum_verification=True)
        if not self._file.schema_arrow.remove_metadata().equals(schema()):
            raise ValueError("its columns are others")
        metadata = self._file.metadata
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self.groups = [0, *np.cumsum(counts, dtype=np.int64).tolist()]

    def read(self, group: int) -> Any:
        """The rows of a group. Raises ValueError where it is damaged."""
        try:
            return self._file.read_row_group(group)
        except DAMAGE as exn:
            raise ValueError(f"{str(self._path)!r} is damaged: {exn}; remove it, and build the index anew") from exn


class Stores:
    """Rows of sources, in an index and in a folder of parts; new ones go into parts.

    Args:
        folder: of the parts.
        index: path of the index.

    Raises ValueError where the path is that of a Parquet file which is not an index.
    """

    def __init__(self, folder: Path, index: Path) -> None:
        self._folder, self._stores, self._parts = folder, list[Any](), list[Path]()
        self._places: dict[Source, _Place] = {}
        self._read: OrderedDict[tuple[int, int], Any] = OrderedDict()
        if index.exists():
            self._find_index(index)
        for path in sorted(folder.glob("*.arrow")):
            try:
                self._find_part(path)
            except DAMAGE:
                path.unlink(missing_ok=True)  # not written to its end, or by another version
        for path in folder.glob("*.tmp"):
            path.unlink(missing_ok=True)

    def _find_part(self, path: Path) -> None:
        part = _Part(path)
        self._parts.append(path)
        self._find(part, part.read(0), lambda name: name)

    def _find_index(self, path: Path) -> None:
        pq = parquet()
        try:
            metadata = pq.read_metadata(path).metadata or {}
        except DAMAGE:
            return  # truncated, or no Parquet file: it is built anew
        if b"clipx.index" not in metadata:
            raise ValueError(f"{str(path)!r} is a Parquet file, but not an index of clipx: give another path")
        if metadata[b"clipx.index"] != str(VERSION).encode():
            return
        root = metadata.get(b"clipx.root", b"").decode("utf-8", "replace")
        with suppress(*DAMAGE):
            names = ["source", "source_kind", "source_size", "source_mtime_ns", "field", "sample"]
            table = pq.read_table(path, columns=names, page_checksum_verification=True)
            self._find(_Index(path), table, lambda name: resolved_name(name, root))

    def _find(self, store: Any, table: Any, whole: Callable[[str], str]) -> None:
        """Find the rows of each source of a store."""
        self._stores.append(store)
        names, kinds = (table.column(name).to_pylist() for name in ("source", "source_kind"))
        size, time, sample = (
            table.column(name).fill_null(-1).to_numpy() for name in ("source_size", "source_mtime_ns", "sample")
        )
        fields = table.column("field").to_pylist()
        first = 0
        for row in range(1, len(names) + 1):
            is_same = row < len(names) and names[row] == names[first] and kinds[row] == kinds[first]
            # In an index, a file may be of several samples.
            if is_same and (kinds[first] == SHARD or (sample[row], fields[row]) == (sample[first], fields[first])):
                continue
            if names[first] is not None and kinds[first] in (FILE, SHARD):
                identity = int(size[first]), int(time[first])
                place = _Place(len(self._stores) - 1, first, row - first, identity)
                self._places[Source(kinds[first], whole(names[first]))] = place
            first = row

    def has(self, source: Source, identity: Identity) -> bool:
        """True if there are rows of a source as it is now."""
        found = self._places.get(source)
        return found is not None and found.identity == identity and -1 not in identity

    def rows(self, source: Source) -> Any:
        """The rows of a source, as a table."""
        store, first, count, _ = self._places[source]
        groups = self._stores[store].groups
        group = int(np.searchsorted(groups, first, side="right")) - 1
        found = []
        while count:
            here = min(count, groups[group + 1] - first)
            found.append(self._group(store, group).slice(first - groups[group], here))
            first, count, group = first + here, count - here, group + 1
        return found[0] if len(found) == 1 else arrow().concat_tables(found)

    def _group(self, store: int, group: int) -> Any:
        found = self._read.pop((store, group), None)
        if found is None:
            found = self._stores[store].read(group)
        self._read[store, group] = found
        if len(self._read) > OPEN_TABLES:
            self._read.popitem(last=False)
        return found

    def add(self, batches: Iterable[Any]) -> None:
        """Write rows into a part: whole sources."""
        pa = arrow()
        name = uuid.uuid4().hex
        path = self._folder / f"{name}.tmp"
        with pa.OSFile(str(path), "wb") as sink:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            with pa.ipc.new_file(sink, schema(), options=options) as writer:
                for batch in batches:
                    writer.write(batch)
        final = self._folder / f"{name}.arrow"
        os.replace(path, final)
        self._find_part(final)

    def remove_parts(self) -> None:
        """Remove the parts: all is in the index now."""
        for path in self._parts:
            path.unlink(missing_ok=True)
