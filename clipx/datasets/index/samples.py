"""A sample of an index: its fields, stored where they lie or read, with the facts of its videos."""

from __future__ import annotations

from typing import Any

from clipx.datasets.decoding import KINDS
from clipx.datasets.fields import Sample, extension_of
from clipx.datasets.index.entries import read_values
from clipx.datasets.index.facts import facts_of_row, picture_memory
from clipx.datasets.index.places import resolved_name
from clipx.datasets.index.staleness import Renewed, change_of
from clipx.datasets.index.stores import FILE, SHARD, Source
from clipx.datasets.index.streamed import StreamedShards
from clipx.datasets.index.table import ANEW, IndexTable
from clipx.datasets.origins import locate
from clipx.datasets.remote_names import is_remote
from clipx.datasets.stored import StoredFile

__all__ = ["SampleReading"]

SMALL_BYTES = 1 << 20
"""Bytes up to which other fields of a sample are read with it."""

Row = dict[str, Any]


class SampleReading:
    """Makes samples of the rows of an index.

    Args:
        renewed: reads sources again that have changed; None: they are refused.
        shards: reads shards that have no places of their fields.
    """

    def __init__(self, table: IndexTable, root: str, renewed: Renewed | None, shards: StreamedShards) -> None:
        self._table, self._root, self._renewed, self._shards = table, root, renewed, shards

    def sample(self, rows: list[int]) -> Sample:
        """The sample of these rows. Raises as `Index.sample`."""
        table = self._table
        key = table.text("key", rows[0]) or ""
        sample: Sample = {"__key__": key}
        try:
            if table.text("kind", rows[0]) == "sample":
                error = table.value("error", rows[0]) or "it is broken"
                raise ValueError(error.removeprefix("ValueError: "))
            sample["__url__"] = resolved_name(table.text("source", rows[0]) or "", self._root)
            self._add_fields(sample, rows)
        except (ValueError, OSError) as exn:
            locate(exn, sample)
            raise
        return sample

    def _add_fields(self, sample: Sample, rows: list[int]) -> None:
        table, changed, streamed = self._table, dict[Source, bool](), False
        fields: dict[str, list[int]] = {}
        for row in rows:
            if table.text("kind", row) != "pictures":  # whose fields have rows of their own
                fields.setdefault(table.text("field", row) or "", []).append(row)
        values = table.value("values", rows[0])
        if values is not None:
            sample |= _values(values, self._table, rows[0])
        for field, of_field in fields.items():
            first = of_field[0]
            kind = table.text("source_kind", first) or FILE
            source = Source(kind, resolved_name(table.text("source", first) or "", self._root))
            if source not in changed:
                changed[source] = self._has_changed(source, first)
            if changed[source] and kind == SHARD:
                return self._add_renewed(sample, source)
            whole = self._whole_size(source, first)
            if kind == FILE:
                facts = self._facts(of_field, source, changed[source], sample)
                sample[field] = StoredFile(source.name, facts=facts, whole_size=whole)
                continue
            offset, size = int(table.numbers("offset")[first]), int(table.numbers("size")[first])
            if offset < 0:
                streamed = True
            else:
                facts = self._facts(of_field, source, False, sample)
                stored = StoredFile(source.name, offset, size, facts, whole_size=whole)
                sample[field] = _field(table.text("kind", first), stored)
        if streamed:
            self._add_streamed(sample, rows[0])
        return None

    def _has_changed(self, source: Source, row: int) -> bool:
        """Whether a source is to be read again. Raises ValueError where it has changed and is refused."""
        table = self._table
        before = int(table.numbers("source_size")[row]), int(table.numbers("source_mtime_ns")[row])
        change = change_of(source.name, before)
        if change is None:
            return False
        if self._renewed is None:
            raise ValueError(
                f"{source.name!r} has changed since {table.path!r} was built: {change}. Renew the index with clipx "
                f"index, or open it with stale='renew'"
            )
        return True

    def _whole_size(self, source: Source, row: int) -> int | None:
        """Bytes that a remote source had; None for local ones, which have been looked at."""
        size = int(self._table.numbers("source_size")[row])
        return size if is_remote(source.name) and size >= 0 else None

    def _facts(self, rows: list[int], source: Source, changed: bool, sample: Sample) -> Any:
        """Facts of the best video of a field; None for other fields."""
        table = self._table
        if changed:
            assert self._renewed is not None
            return _facts_of([row for row in self._renewed.rows(source, "") if row["kind"] == "video"])
        videos = [row for row in rows if table.text("kind", row) == "video"]
        if not videos:
            return None
        try:
            return _facts_of([{**table.row(row), "status": table.text("status", row)} for row in videos])
        except ValueError as exn:
            raise table.error(videos[0], str(exn)) from exn

    def _add_renewed(self, sample: Sample, source: Source) -> None:
        """The fields of a sample of a shard that has changed."""
        assert self._renewed is not None
        fields: dict[str, list[Row]] = {}
        for row in self._renewed.rows(source, sample["__key__"]):
            if row["kind"] != "pictures":
                fields.setdefault(row["field"] or "", []).append(row)
        for field, rows in fields.items():
            first = rows[0]
            if first["kind"] == "sample" or first["offset"] is None:
                raise ValueError(f"{source.name!r} has changed, and its sample cannot be read at random: {ANEW}")
            facts = _facts_of([row for row in rows if row["kind"] == "video"])
            sample[field] = _field(first["kind"], StoredFile(source.name, first["offset"], first["size"], facts))

    def _add_streamed(self, sample: Sample, row: int) -> None:
        """The fields of a sample of a shard that is read from its beginning on."""
        number = int(self._table.numbers("shard_sample")[row])
        found = self._shards.sample(sample["__url__"], number)
        if found is None or found["__key__"] != sample["__key__"]:
            raise self._table.error(row, f"is of sample {number} of its shard, which is not there")
        sample |= found


def _facts_of(videos: list[Row]) -> Any:
    if not videos:
        return None
    best = next((row for row in videos if row["is_best"]), videos[0])
    return facts_of_row(best, picture_memory(videos))


def _field(kind: str | None, stored: StoredFile) -> Any:
    return stored.read() if kind == "field" and (stored.size or 0) <= SMALL_BYTES else stored


def _values(text: str, table: IndexTable, row: int) -> Sample:
    try:
        found = read_values(text)
    except ValueError as exn:
        raise table.error(row, f"has values that cannot be read: {exn}") from exn
    return {
        name: value.encode() if isinstance(value, str) and KINDS.get(extension_of(name)) is KINDS["json"] else value
        for name, value in found.items()
    }
