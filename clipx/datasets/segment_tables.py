"""Tables of segments: PySceneDetect's scene lists, and plain ones with a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from clipx.plan import Segment
from clipx.plan.segments import Unit

__all__ = ["TableRow", "read_table"]

CUTS = re.compile(r"(Timecode List:|\d+:\d\d:\d\d(\.\d+)?)")
"""Cells of the line that PySceneDetect writes above the header, unless it is asked not to."""

SCENE = "Scene Number"

DELIMITERS = ",\t;"

MOST_HEAD = 1 << 20
"""Characters in which the header is looked for."""


class TableRow(NamedTuple):
    """A row of a table: its segment, or why it has none, and the cell of the column that rows are grouped by."""

    segment: Segment | ValueError
    group: str


class _Columns(NamedTuple):
    """The two columns that a segment is read from.

    Attributes:
        first: number of the first frame of a source, which PySceneDetect counts from 1; 0 for seconds.
    """

    start: str
    end: str
    unit: Unit
    first: int = 0


SCENE_LIST = (
    # Seconds there are rounded, so that a scene could lose its first frame.
    _Columns("Start Frame", "End Frame", "frames", 1),
    _Columns("Start Time (seconds)", "End Time (seconds)", "seconds"),
)
PLAIN = (
    _Columns("start_frame", "end_frame", "frames"),
    _Columns("start_seconds", "end_seconds", "seconds"),
    _Columns("start", "end", "seconds"),
)


def read_table(text: str, name: str, unit: Unit | None = None, group: str | None = None) -> list[TableRow]:
    """The rows of a table of segments, in order.

    Args:
        name: of the table, in messages.
        unit: of the columns that are read, where the table has both; and of plain columns "start" and "end".
        group: name of a column that is no fact of the segments, but comes with each row.

    Raises ValueError that names the line for what is not a table.
    """
    lines = _lines(text, name)
    header_line, header = next(lines, (1, []))
    if header and all(CUTS.fullmatch(cell.strip()) for cell in header):
        header_line, header = next(lines, (header_line + 1, []))
    header = [cell.strip() for cell in header]
    twice = [cell for cell in header if header.count(cell) > 1]
    if twice:
        raise ValueError(f"{name}, line {header_line}: there are two columns {twice[0]!r}")
    columns = _columns(header, unit, f"{name}, line {header_line}")
    if group is not None and group not in header:
        raise ValueError(f"{name}, line {header_line}: there is no column {group!r} among {_listed(header)}")
    rows = []
    for line, cells in lines:
        if len(cells) != len(header):
            error = ValueError(f"{name}, line {line}: it has {len(cells)} cells, but the header has {len(header)}")
            rows.append(TableRow(error, ""))
            continue
        row = dict(zip(header, (cell.strip() for cell in cells)))
        found = row.pop(group) if group is not None else ""
        rows.append(TableRow(_segment(row, columns, f"{name}, line {line}"), found))
    return rows


def _lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of a table that are not empty, with their numbers."""
    heads = [line for line in text[:MOST_HEAD].splitlines() if line.strip() and not CUTS.match(line)]
    delimiter = max(DELIMITERS, key=heads[0].count) if heads else DELIMITERS[0]
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as exn:
        raise ValueError(f"{name}, line {reader.line_num}: {exn}") from exn


def _listed(header: list[str]) -> str:
    return ", ".join(map(repr, header)) or "none"


def _columns(header: list[str], unit: Unit | None, where: str) -> _Columns:
    for each in (*SCENE_LIST, *PLAIN):
        if each.start in header and each.end in header:
            if each.start == "start" and unit is not None:
                return each._replace(unit=unit)
            if unit in (None, each.unit):
                return each
    of_unit = "" if unit is None else f" in {unit}"
    raise ValueError(
        f"{where}: there are no columns of a start and an end{of_unit} among {_listed(header)}: name them start and "
        f"end, start_seconds and end_seconds or start_frame and end_frame, as the header"
    )


def _segment(row: Mapping[str, str], columns: _Columns, where: str) -> Segment | ValueError:
    """The segment of a row, or the error that names its line and column."""
    bounds: list[Any] = []
    for column in (columns.start, columns.end):
        try:
            bounds.append(_bound(row[column], columns.unit))
        except ValueError as exn:
            return ValueError(f"{where}, column {column!r}: {exn}")
    facts: dict[str, Any]
    if columns in SCENE_LIST:
        facts = {"scene": row[SCENE]} if SCENE in row else {}
    else:
        taken = {name for each in PLAIN for name in (each.start, each.end)}
        facts = {name: value for name, value in row.items() if name not in taken}
    try:
        return Segment(bounds[0] - columns.first, bounds[1], facts or None, columns.unit)
    except (TypeError, ValueError) as exn:
        return ValueError(f"{where}, columns {columns.start!r} and {columns.end!r}: {exn}")


def _bound(cell: str, unit: Unit) -> int | float:
    try:
        return int(cell) if unit == "frames" else float(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not a number of {unit}") from None
