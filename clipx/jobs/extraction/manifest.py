"""Manifests: a row for each clip of a part, as Parquet or as JSON lines."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import IO, Any, Protocol

from clipx.jobs.extraction.store import Store

__all__ = [
    "COLUMNS",
    "TABLES",
    "ManifestWriter",
    "as_text",
    "default_table",
    "is_whole",
    "open_manifest",
    "read_columns",
    "read_manifest",
]

COLUMNS: dict[str, type] = {
    "key": str,
    "source": str,
    "source_key": str,
    "segment": int,
    "start_frame": int,
    "end_frame": int,
    "start_seconds": float,
    "end_seconds": float,
    "frames": int,
    "fps": float,
    "width": int,
    "height": int,
    "codec": str,
    "shard": str,
    "bytes": int,
    "sha256": str,
    "status": str,
}
"""The columns and their types; each value may be missing."""

TABLES = ("parquet", "jsonl")
"""Kinds of manifests, which are the extensions of their names."""

ROW_GROUP = 4096
"""Rows that wait in memory to be written."""

MISSING = 'this job has manifests in Parquet, which needs pyarrow: pip install "clipx-data[index]"'

_REPEATED = ["source", "source_key", "codec", "shard", "status"]
_MAGIC = b"PAR1"
_END = bytes(12)  # the least that a Parquet file has


def default_table() -> str:
    """The kind of the manifests of a new job: Parquet where pyarrow is installed, else JSON lines."""
    return "parquet" if find_spec("pyarrow") is not None else "jsonl"


def as_text(text: str) -> str:
    """A text that UTF-8 takes: of a name that is not UTF-8, with the bytes as in "\\udcff"."""
    return text.encode("utf-8", "backslashreplace").decode()


def _values(row: Mapping[str, Any]) -> Iterator[Any]:
    """The values of a row in the order of the columns, each of the column's type; None for nan."""
    for name, kind in COLUMNS.items():
        value = row.get(name)
        if value is None or (kind is float and not math.isfinite(value)):
            yield None
        else:
            yield as_text(str(value)) if kind is str else kind(value)


class ManifestWriter(Protocol):
    """Writes rows into a file."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row; columns that it lacks are missing."""

    def close(self) -> None:
        """Write the end of the file, which stays open."""

    def abandon(self) -> None:
        """Write nothing more; may be called after `close`."""


def open_manifest(file: IO[bytes], table: str) -> ManifestWriter:
    """A writer of a kind of TABLES. Raises ImportError where its library is missing."""
    return _ParquetWriter(file) if table == "parquet" else _LinesWriter(file)


class _LinesWriter:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, row: Mapping[str, Any]) -> None:
        values = dict(zip(COLUMNS, _values(row)))
        self._file.write(json.dumps(values, ensure_ascii=True, allow_nan=False).encode() + b"\n")

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class _Sink(io.RawIOBase):
    """What pyarrow writes to: a file, until it is abandoned. A writer of pyarrow that is dropped writes once more."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file: IO[bytes] | None = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._file is not None:
            self._file.write(data)
        return len(data)

    def abandon(self) -> None:
        self._file = None


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exn:
        raise ImportError(MISSING, name="pyarrow") from exn
    return pyarrow


@cache
def _schema() -> Any:
    pa = _arrow()
    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    return pa.schema([pa.field(name, types[kind]) for name, kind in COLUMNS.items()])


class _ParquetWriter:
    def __init__(self, file: IO[bytes]) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._sink = _Sink(file)
        self._writer = _arrow().parquet.ParquetWriter(
            self._sink, _schema(), compression="zstd", use_dictionary=_REPEATED, version="2.6", write_page_checksum=True
        )

    def add(self, row: Mapping[str, Any]) -> None:
        self._rows.append(tuple(_values(row)))
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            pa, columns = _arrow(), zip(*self._rows)
            arrays = [pa.array(values, type=field.type) for values, field in zip(columns, _schema())]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=_schema()), row_group_size=ROW_GROUP)
            self._rows.clear()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        self._sink.abandon()
        self._writer.close()


def is_whole(store: Store, name: str, table: str) -> bool:
    """True if there is a manifest of this name that has its beginning and its end."""
    ends = store.ends(name, len(_END))
    if ends is None:
        return False
    head, tail = ends
    if table == "parquet":
        return head.startswith(_MAGIC) and tail.endswith(_MAGIC) and len(tail) == len(_END)
    return not tail or tail.endswith(b"\n")


def read_manifest(data: bytes, table: str, names: Sequence[str] = tuple(COLUMNS)) -> Iterator[dict[str, Any]]:
    """The rows of a manifest, with the values of some columns. Raises ValueError for bytes that are no manifest."""
    for columns in read_columns(data, table, names):
        for values in zip(*columns):
            yield dict(zip(names, values))


def read_columns(data: bytes, table: str, names: Sequence[str]) -> Iterator[list[list[Any]]]:
    """The values of some columns of a manifest, of some thousand rows at a time. Raises ValueError likewise."""
    try:
        yield from _parquet_columns(data, names) if table == "parquet" else _line_columns(data, names)
    except ImportError:
        raise
    except Exception as exn:  # of any type, as the content makes it
        raise ValueError(f"it is not a manifest, or is truncated: {exn}") from exn


def _parquet_columns(data: bytes, names: Sequence[str]) -> Iterator[list[list[Any]]]:
    pa = _arrow()
    file = pa.parquet.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    if not file.schema_arrow.remove_metadata().equals(_schema()):
        raise ValueError("its columns are others")
    for batch in file.iter_batches(batch_size=ROW_GROUP, columns=list(names), use_threads=False):
        yield [batch.column(name).to_pylist() for name in names]


def _line_columns(data: bytes, names: Sequence[str]) -> Iterator[list[list[Any]]]:
    if data and not data.endswith(b"\n"):
        raise ValueError("its last line has no end")
    rows: list[list[Any]] = []
    for number, line in enumerate(data.splitlines(), 1):
        rows.append(_line_values(json.loads(line), number, names))
        if len(rows) == ROW_GROUP:
            yield [list(column) for column in zip(*rows)]
            rows = []
    if rows:
        yield [list(column) for column in zip(*rows)]


def _line_values(row: Any, number: int, names: Sequence[str]) -> list[Any]:
    """The values of a line of this number. Raises ValueError where it is not a row of a manifest."""
    if not isinstance(row, dict) or row.keys() != COLUMNS.keys():
        raise ValueError(f"line {number} has other columns")
    for name, kind in COLUMNS.items():
        value = row[name]
        kinds = (int, float) if kind is float else (kind,)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise ValueError(f"line {number} has {name} {value!r}, but it must be a {kind.__name__}")
    return [row[name] for name in names]
