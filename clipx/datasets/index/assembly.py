"""The rows of all sources put together: the samples of a dataset, in its order, as one Parquet file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from clipx.datasets.index.arrow import ROW_GROUP, VERSION, arrow, parquet, schema, write_options
from clipx.datasets.index.entries import Entry, SampleEntry
from clipx.datasets.index.field_rows import broken_row, printable
from clipx.datasets.index.places import relative_name
from clipx.datasets.index.stores import FILE, SHARD, Identity, Source, Stores

__all__ = ["write_index"]

SET = "sample", "key", "field", "source", "source_kind", "source_size", "source_mtime_ns", "shard_sample", "values"
"""Columns that are set here, for the same file may be of several samples."""


def write_index(
    path: Path, entries: Iterable[Entry], root: str, stores: Stores, identities: dict[Source, Identity]
) -> None:
    """Write the index of entries, whose sources have rows in stores: the same bytes for the same rows.

    identities: of the sources.
    """
    made_by = import_module("clipx").__version__
    metadata = {"clipx.index": str(VERSION), "clipx.version": made_by, "clipx.root": root}
    with parquet().ParquetWriter(path, schema().with_metadata(metadata), **write_options()) as writer:
        output = _Output(writer, root, stores, identities)
        for entry in entries:
            if isinstance(entry, SampleEntry):
                output.add_sample(entry)
            else:
                output.add_shard(Source(SHARD, entry.name))
        output.finish()
    with path.open("rb") as file:
        os.fsync(file.fileno())


class _Output:
    """Gathers rows, and writes them in groups of ROW_GROUP."""

    def __init__(self, writer: Any, root: str, stores: Stores, identities: dict[Source, Identity]) -> None:
        self._writer, self._root, self._stores, self._identities = writer, root, stores, identities
        self._keys: dict[str, tuple[int, str]] = {}
        self._samples = self._rows = 0
        self._tables: list[Any] = []
        self._set: dict[str, list[Any]] = {name: [] for name in SET}

    def add_shard(self, source: Source) -> None:
        """The samples of a shard."""
        table = self._stores.rows(source)
        keys, numbers, fields = (table.column(name).to_pylist() for name in ("key", "shard_sample", "field"))
        first = begin = 0
        for row in range(1, len(keys) + 1):
            if row < len(keys) and numbers[row] == numbers[first]:
                continue
            count, key, number = row - first, keys[first], numbers[first]
            if number is None:  # of the shard as a whole
                self._put(source, None, [None] * count, [None] * count, [None] * count)
            elif (error := self._seen(key, source)) is None:
                self._put(source, self._samples, [key] * count, fields[first:row], [number] * count)
                self._samples += 1
            else:
                self._tables += [table.slice(begin, first - begin), _table([error])]
                begin = row
                self._put(source, self._samples, [key], [None], [number])
                self._samples += 1
            first = row
        self._tables.append(table.slice(begin))
        self._write_groups()

    def add_sample(self, entry: SampleEntry) -> None:
        """A sample of files; it is broken where its key has come before."""
        first = next(iter(entry.files.values()), None)
        error = None if entry.error is None else broken_row("sample", entry.error)
        key = printable(entry.key)
        if error is None:
            error = self._seen(key, None if first is None else Source(FILE, first))
        if error is not None:
            self._tables.append(_table([error]))
            self._put(None, self._samples, [key], [None], [None])
        else:
            values: str | None = entry.values
            for field, name in entry.files.items():
                source = Source(FILE, name)
                table = self._stores.rows(source)
                self._tables.append(table)
                count = table.num_rows
                self._put(source, self._samples, [key] * count, [printable(field)] * count, [None] * count, values)
                values = None
        self._samples += 1
        self._write_groups()

    def _seen(self, key: str, source: Source | None) -> dict[str, Any] | None:
        """The row of a sample whose key is that of one before; None where it is the first with it."""
        name = "a table" if source is None else relative_name(source.name, self._root)
        row, where = self._keys.setdefault(key, (self._rows, name))
        if row == self._rows:
            return None
        text = f"ValueError: its key is that of row {row}, of {where!r}, but keys must differ: rename one of the two"
        return broken_row("sample", text)

    def _put(
        self,
        source: Source | None,
        sample: int | None,
        keys: list[Any],
        fields: list[Any],
        numbers: list[Any],
        values: str | None = None,
    ) -> None:
        """Values of the columns that are set, for the next rows."""
        count = len(keys)
        self._rows += count
        size, time = (None, None) if source is None else (each if each >= 0 else None for each in self._of(source))
        for name, value in (
            ("sample", sample),
            ("source", None if source is None else relative_name(source.name, self._root)),
            ("source_kind", None if source is None else source.kind),
            ("source_size", size),
            ("source_mtime_ns", time),
        ):
            self._set[name] += [value] * count
        for name, each in (("key", keys), ("field", fields), ("shard_sample", numbers)):
            self._set[name] += each
        self._set["values"] += [values] + [None] * (count - 1)

    def _of(self, source: Source) -> Identity:
        return self._identities[source]

    def _write_groups(self, least: int = ROW_GROUP) -> None:
        """Write all whole groups, and with `least` 1 the last one."""
        waiting = len(self._set["sample"])
        if waiting < least:
            return
        pa = arrow()
        table = pa.concat_tables(self._tables)
        for name in SET:
            values = pa.array(self._set[name], schema().field(name).type)
            table = table.set_column(schema().get_field_index(name), schema().field(name), values)
        table = table.combine_chunks()
        end = waiting if least == 1 else waiting - waiting % ROW_GROUP
        for first in range(0, end, ROW_GROUP):
            self._writer.write_table(table.slice(first, min(ROW_GROUP, end - first)), row_group_size=ROW_GROUP)
        self._tables = [table.slice(end)] if end < waiting else []
        for name in SET:
            self._set[name] = self._set[name][end:]

    def finish(self) -> None:
        """Write the last group."""
        self._write_groups(1)


def _table(rows: list[dict[str, Any]]) -> Any:
    return arrow().Table.from_pylist(rows, schema())
