"""Tables as users have them: CSV, TSV, JSON lines and Parquet files, data frames, and lists of dicts."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["TABLE_EXTENSIONS", "Table", "is_table_name", "read_table_file", "table_of", "table_of_paths"]

TABLE_EXTENSIONS = frozenset({"csv", "tsv", "jsonl", "ndjson", "parquet", "pq"})
"""Extensions of the files that are tables."""

INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
CODE = re.compile(r"[-+]?0[0-9]")
"""Digits that a number would lose, as in "007"."""


class Table(NamedTuple):
    """Rows by columns.

    Attributes:
        columns: the cells of each column, None where a row has none.
        errors: of rows that could not be read; their cells are None.
        name: of the table, in messages.
        lines: number of each row's line in a file; None where rows have no lines.
    """

    columns: dict[str, list[Any]]
    errors: dict[int, ValueError]
    name: str
    lines: Sequence[int] | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def name_of(self, row: int) -> str:
        """The name of a row in messages, such as "line 3"."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]}"


def _columns_of(rows: Iterable[Mapping[str, Any] | None]) -> dict[str, list[Any]]:
    """The columns of rows, in the order in which their names come; a row that is None has no cells."""
    columns: dict[str, list[Any]] = {}
    for before, row in enumerate(rows):
        for name, value in (row or {}).items():
            if name not in columns:
                columns[name] = [None] * before
            columns[name].append(value)
        for cells in columns.values():
            if len(cells) == before:
                cells.append(None)
    return columns


def table_of_paths(paths: Iterable[str], column: str, name: str) -> Table:
    """A table of one column of paths."""
    return Table({column: list(paths)}, {}, name)


def table_of(value: Any, name: str) -> Table:
    """The table of a data frame (pandas, polars or pyarrow) or of dicts.

    Raises TypeError for other values and for column names that are not texts.
    """
    if hasattr(value, "to_pydict"):  # pyarrow
        columns = value.to_pydict()
    elif hasattr(value, "to_dicts"):  # polars
        columns = value.to_dict(as_series=False)
    elif hasattr(value, "to_dict") and hasattr(value, "columns"):  # pandas
        columns = {column: value[column].tolist() for column in value.columns}
    else:
        rows = list(value)
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise TypeError(f"row {number} of {name} is {row!r}, but rows must all be dicts, or all paths")
        columns = _columns_of(rows)
    for column in columns:
        if not isinstance(column, str):
            raise TypeError(f"{name} has a column {column!r}, but names of columns must be texts")
    return Table({column: [_missing(cell) for cell in cells] for column, cells in columns.items()}, {}, name)


def _missing(cell: Any) -> Any:
    """A cell; None for one that a data frame holds as NaN or NaT."""
    return None if (isinstance(cell, float) and math.isnan(cell)) or str(cell) in ("<NA>", "NaT") else cell


def read_table_file(data: bytes, kind: str, name: str) -> Table:
    """The table of a file's bytes.

    Args:
        kind: its extension, one of TABLE_EXTENSIONS.
        name: of the file, in messages.

    A column of CSV whose cells are all whole numbers or all numbers becomes one of int or float; empty cells are
    missing. A line that cannot be read is that row's error.

    Raises ValueError for a file that is not such a table, and ImportError where Parquet's library is missing.
    """
    if kind in ("parquet", "pq"):
        return _parquet(data, name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exn:
        raise ValueError(f"{name} is not a text in UTF-8: {exn}") from exn
    return _csv(text, "\t" if kind == "tsv" else ",", name) if kind in ("csv", "tsv") else _json_lines(text, name)


def _parquet(data: bytes, name: str) -> Table:
    try:
        import pyarrow.parquet
    except ImportError as exn:
        raise ImportError(f'{name} is a Parquet file, which needs pyarrow: pip install "clipx-data[index]"') from exn
    try:
        found = pyarrow.parquet.read_table(io.BytesIO(data))
    except (pyarrow.ArrowException, OSError, ValueError) as exn:
        raise ValueError(f"{name} is not a Parquet file that can be read: {exn}") from exn
    return table_of(found, name)


def _csv(text: str, delimiter: str, name: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[list[str] | None] = []
    lines: list[int] = []
    errors: dict[int, ValueError] = {}
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as exn:
            raise ValueError(f"{name}, line {reader.line_num}: {exn}") from exn
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = [cell.strip() for cell in cells]
            continue
        if len(cells) != len(header):
            errors[len(rows)] = ValueError(
                f"{name}, line {reader.line_num}: it has {len(cells)} cells, but the header has {len(header)}"
            )
            rows.append(None)
        else:
            rows.append(cells)
        lines.append(reader.line_num)
    twice = [cell for cell in header if header.count(cell) > 1]
    if twice:
        raise ValueError(f"{name}, line 1: there are two columns {twice[0]!r}")
    columns = {
        column: _typed([None if row is None else row[at].strip() or None for row in rows])
        for at, column in enumerate(header)
    }
    return Table(columns, errors, name, lines)


def _typed(cells: list[str | None]) -> list[Any]:
    """The cells of a column as numbers, where all are numbers and none begins with a 0 that a number would lose."""
    found = [cell for cell in cells if cell is not None]
    if found and all(INTEGER.fullmatch(cell) for cell in found):
        return [None if cell is None else int(cell) for cell in cells]
    try:
        numbers = [None if cell is None else float(cell) for cell in cells]
    except ValueError:
        return cells
    return numbers if found and not any(CODE.match(cell) for cell in found) else cells


def _json_lines(text: str, name: str) -> Table:
    rows: list[Mapping[str, Any] | None] = []
    lines: list[int] = []
    errors: dict[int, ValueError] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"it is a {type(row).__name__}, but must be an object")
        except (ValueError, RecursionError) as exn:
            errors[len(rows)] = ValueError(f"{name}, line {number}: {exn}")
            row = None
        rows.append(row)
        lines.append(number)
    return Table(_columns_of(rows), errors, name, lines)


def is_table_name(name: str | os.PathLike[str]) -> bool:
    """True for a name with the extension of a table."""
    return os.fspath(name).rpartition(".")[2].lower() in TABLE_EXTENSIONS
