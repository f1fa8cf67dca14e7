"""The rows of an index, checked before they are believed: columns as Arrow, and lists read by groups of rows."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

from clipx._lazy import lazy
from clipx.datasets.index.arrow import DAMAGE, ROW_GROUP, VERSION, arrow, columns, parquet, schema
from clipx.datasets.index.packed import PackedLists

__all__ = ["IndexTable"]

MOST_BYTES = 1 << 28
"""Bytes of groups of rows that are kept."""

EAGER = (
    "sample",
    "key",
    "field",
    "source",
    "source_kind",
    "source_size",
    "source_mtime_ns",
    "shard_sample",
    "offset",
    "size",
    "kind",
    "status",
)
"""Columns that are read when an index is opened; the others by groups of rows."""

ANEW = "build the index anew"


class _Group:
    """A group of rows: the columns that are not read when the index is opened.

    Attributes:
        nbytes: of memory.
    """

    def __init__(self, table: Any) -> None:
        lists = set(columns("list"))
        self._lists = {name: PackedLists(table.column(name)) for name in table.column_names if name in lists}
        self._scalars = table.drop_columns(list(self._lists)).combine_chunks()
        self.nbytes = self._scalars.nbytes + sum(each.nbytes for each in self._lists.values())

    def value(self, name: str, at: int) -> Any:
        """A value of a row that is not a list."""
        return self._scalars.column(name)[at].as_py()

    def get(self, at: int) -> dict[str, Any]:
        """The values of a row, lists as int64 (n,)."""
        row = {name: self.value(name, at) for name in self._scalars.column_names}
        return row | {name: lists.get(at) for name, lists in self._lists.items()}


class IndexTable:
    """The rows of an index.

    Args:
        path: of its file.

    Attributes:
        root: that the index was built with.
        rows: their number.
        first: the first row of each sample, and behind the last sample; int64 (samples + 1,).

    Raises FileNotFoundError, and ValueError that names the file, and the row, for a file that is not a whole index of
    this version, and for rows that contradict each other.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        pq = parquet()
        try:
            plain = pq.ParquetFile(path, memory_map=True)
            found = plain.schema_arrow
        except FileNotFoundError:
            raise
        except DAMAGE as exn:
            raise ValueError(f"{path!r} is not a Parquet file, or is truncated: {exn}; {ANEW}") from exn
        self.root = self._check_schema(found)
        names, known = columns("name"), plain.metadata
        try:
            self._file = pq.ParquetFile(
                path, memory_map=True, read_dictionary=names, metadata=known, page_checksum_verification=True
            )
            self._eager = self._file.read(columns=list(EAGER), use_threads=False).combine_chunks()
            self._eager.validate(full=True)
        except DAMAGE as exn:
            raise ValueError(f"{path!r} is damaged: {exn}; {ANEW}") from exn
        self.rows = self._eager.num_rows
        if not self.rows:
            raise ValueError(f"{path!r} has no rows: {ANEW}")
        counts = [self._file.metadata.row_group(each).num_rows for each in range(self._file.num_row_groups)]
        self._groups = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
        if self.rows != self._groups[-1] or self.rows != self._file.metadata.num_rows:
            raise ValueError(f"{path!r} is damaged: its groups have other numbers of rows than it; {ANEW}")
        self._kept: OrderedDict[int, _Group] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()
        _renew_lock(weakref.ref(self))
        self.first = self._find_samples()
        self._check_rows()

    def _check_schema(self, found: Any) -> str:
        metadata = found.metadata or {}
        if b"clipx.index" not in metadata:
            raise ValueError(f"{self.path!r} is a Parquet file, but not an index of clipx; clipx index builds one")
        version = metadata[b"clipx.index"].decode("utf-8", "replace")
        if version != str(VERSION):
            by = metadata.get(b"clipx.version", b"?").decode("utf-8", "replace")
            raise ValueError(
                f"{self.path!r} is an index of version {version}, of clipx {by}, but this clipx reads version "
                f"{VERSION}: {ANEW}"
            )
        for wanted in schema():
            at = found.get_field_index(wanted.name)
            if at < 0:
                raise ValueError(f"{self.path!r} has no column {wanted.name!r}: {ANEW}")
            if found.field(at).type != wanted.type:
                raise ValueError(
                    f"{self.path!r} has column {wanted.name!r} of {found.field(at).type}, but it must be of "
                    f"{wanted.type}: {ANEW}"
                )
        return metadata.get(b"clipx.root", b"").decode("utf-8", "surrogateescape")

    def error(self, row: int, text: str) -> ValueError:
        """The error of a row that breaks a rule."""
        return ValueError(f"row {row} of {self.path!r} {text}: {ANEW}")

    def column(self, name: str) -> Any:
        """A column that was read when the index was opened, as an Arrow array."""
        found = self._eager.column(name)
        return found.chunk(0) if found.num_chunks == 1 else arrow().concat_arrays(found.chunks)

    def numbers(self, name: str) -> np.ndarray:
        """A column of integers that was read when the index was opened; -1 for null."""
        return self._numbers[name]

    @lazy
    def _numbers(self) -> dict[str, np.ndarray]:
        names = "sample", "source_size", "source_mtime_ns", "shard_sample", "offset", "size"
        return {name: self.column(name).fill_null(-1).to_numpy(zero_copy_only=False) for name in names}

    def text(self, name: str, row: int) -> str | None:
        """A text that was read when the index was opened."""
        return self._eager.column(name)[row].as_py()

    def read_columns(self, names: list[str]) -> Any:
        """Other columns of all rows, as a table. Raises ValueError where the file is damaged."""
        with self._lock:
            try:
                found = self._file.read(columns=names, use_threads=False).combine_chunks()
                found.validate(full=True)
            except DAMAGE as exn:
                raise ValueError(f"{self.path!r} is damaged: {exn}; {ANEW}") from exn
            return found

    def all_rows(self, names: list[str] | None) -> Iterator[dict[str, Any]]:
        """The rows, one by one. Raises ValueError where the file is damaged."""
        count = 0
        try:
            with parquet().ParquetFile(self.path, page_checksum_verification=True) as file:
                for batch in file.iter_batches(ROW_GROUP, columns=names, use_threads=False):
                    count += batch.num_rows
                    yield from batch.to_pylist()
        except DAMAGE as exn:
            raise ValueError(f"{self.path!r} is damaged: {exn}; {ANEW}") from exn
        if count != self.rows:
            raise ValueError(f"{self.path!r} is damaged: it has {count} of {self.rows} rows; {ANEW}")

    def value(self, name: str, row: int) -> Any:
        """A value of a row, of another column that has no lists. Raises ValueError where its group is damaged."""
        group = int(np.searchsorted(self._groups, row, side="right")) - 1
        return self._group(group).value(name, row - int(self._groups[group]))

    def row(self, row: int) -> dict[str, Any]:
        """The values of the other columns of a row. Raises ValueError where its group is damaged."""
        group = int(np.searchsorted(self._groups, row, side="right")) - 1
        return self._group(group).get(row - int(self._groups[group]))

    def _group(self, number: int) -> _Group:
        with self._lock:
            found = self._kept.get(number)
            if found is not None:
                self._kept.move_to_end(number)
                return found
            names = [name for name in columns() if name not in EAGER]
            try:
                table = self._file.read_row_group(number, columns=names, use_threads=False)
                table.validate(full=True)
                found = _Group(table)
            except DAMAGE as exn:
                raise ValueError(f"{self.path!r} is damaged: {exn}; {ANEW}") from exn
            self._kept[number] = found
            self._kept_bytes += found.nbytes
            while self._kept_bytes > MOST_BYTES and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= oldest.nbytes
            return found

    # Checks of all rows, each over a column as a whole.

    def _find_samples(self) -> np.ndarray:
        samples = self.numbers("sample")
        rows = np.flatnonzero(samples >= 0)
        steps = np.diff(samples[rows], prepend=-1)
        wrong = np.flatnonzero((steps != 0) & (steps != 1))
        if len(rows) and not len(wrong) and steps[0] != 1:
            wrong = np.array([0])
        if len(wrong):
            at = int(rows[wrong[0]])
            raise self.error(at, f"has sample {samples[at]}, but samples must be numbered from 0 on, row by row")
        begins = rows[steps == 1]
        return np.append(begins, self.rows)

    def _check_rows(self) -> None:
        kinds = {"video", "sound", "array", "picture", "pictures", "field", "sample", "source"}
        self._check_names("kind", kinds)
        self._check_names("source_kind", {"file", "shard"}, nullable=True)
        samples, sizes = self.numbers("sample"), self.numbers("size")
        offsets, ends = self.numbers("offset"), self.numbers("source_size")
        kind, source, field, key = (self.column(each) for each in ("kind", "source", "field", "key"))
        pc = _compute()
        is_whole = pc.is_in(kind.dictionary_decode(), arrow().array(["sample", "source"]))
        is_field = np.logical_not(is_whole.to_numpy(zero_copy_only=False))
        has = {
            "source": source.is_valid().to_numpy(zero_copy_only=False),
            "field": field.is_valid().to_numpy(zero_copy_only=False),
            "key": key.is_valid().to_numpy(zero_copy_only=False),
        }
        self._refuse(is_field & (samples < 0), "is of a field, but of no sample")
        self._refuse((samples >= 0) & ~has["key"], "is of a sample without a key")
        for name in ("source", "field"):
            self._refuse(is_field & ~has[name], f"is of a field, but has no {name}")
        for name, low in (("offset", offsets), ("size", sizes), ("source_size", ends)):
            self._refuse(low < -1, f"has a {name} below 0")
        self._refuse((offsets >= 0) & (sizes < 0), "has an offset, but no size")
        past = (offsets >= 0) & (ends >= 0) & ((offsets > ends) | (sizes > ends - offsets))
        if past.any():
            at = int(np.flatnonzero(past)[0])
            text = f"has {sizes[at]} bytes from byte {offsets[at]} on, but its source has {ends[at]}"
            raise self.error(at, text)
        self._check_keys(key, samples)

    def _check_names(self, column: str, known: set[str], nullable: bool = False) -> None:
        found = self.column(column)
        if found.null_count and not nullable:
            self._refuse(found.is_null().to_numpy(zero_copy_only=False), f"has no {column}")
        for number, name in enumerate(found.dictionary.to_pylist()):
            if name not in known:
                rows = found.indices.fill_null(-1).to_numpy(zero_copy_only=False)
                self._refuse(rows == number, f"has {column} {name!r}, which is not one of {', '.join(sorted(known))}")

    def _check_keys(self, key: Any, samples: np.ndarray) -> None:
        """All rows of a sample have its key, and no two samples the same, but those that are broken."""
        pc = _compute()
        begins = self.first[:-1]
        of_sample = key.take(arrow().array(begins))
        rows = np.flatnonzero(samples >= 0)
        same = pc.equal(key.take(arrow().array(rows)), of_sample.take(arrow().array(samples[rows])))
        other = np.logical_not(same.to_numpy(zero_copy_only=False))
        if other.any():
            raise self.error(int(rows[np.flatnonzero(other)[0]]), "has another key than the first row of its sample")
        kind = self.column("kind").take(arrow().array(begins)).dictionary_decode()
        broken = pc.equal(kind, "sample").to_numpy(zero_copy_only=False)
        only = of_sample.filter(arrow().array(~broken))
        if pc.count_distinct(only).as_py() == len(only):
            return
        rows = begins[~broken]
        seen: dict[str, int] = {}
        for row, name in zip(rows.tolist(), only.to_pylist()):
            if (first := seen.setdefault(name, row)) != row:
                raise self.error(row, f"has key {name!r}, which row {first} has, too, but keys must differ")

    def _refuse(self, wrong: np.ndarray, text: str) -> None:
        if wrong.any():
            raise self.error(int(np.flatnonzero(wrong)[0]), text)


def _compute() -> Any:
    import pyarrow.compute

    return pyarrow.compute


def _renew_lock(table: Any) -> None:
    """Give a table another lock in each forked process: it may be held while forking."""

    def renew() -> None:
        found = table()
        if found is not None:
            found._lock = threading.Lock()

    os.register_at_fork(after_in_child=renew)
