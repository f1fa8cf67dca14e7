"""The rows of a batch of Ray Data, as samples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from clipx.datasets.decoding import encoded_cell
from clipx.datasets.fields import Sample, is_metadata
from clipx.datasets.keys import REPLACED
from clipx.datasets.stored import StoredFile
from clipx.ray.modules import ray_module

__all__ = ["Rows"]


class Rows:
    """The rows of a batch: columns of media, which are read where they lie, and the other columns as a pyarrow table.

    Args:
        batch: a pyarrow table, a dict of NumPy arrays, or a data frame of pandas.
        sources: names of the columns that clips may be taken from; those of paths count among the others.
    """

    def __init__(self, batch: Any, sources: Collection[str]) -> None:
        import pyarrow as pa

        accessor = ray_module("ray.data.block").BlockAccessor
        if not isinstance(batch, (pa.Table, Mapping)):
            batch = accessor.for_block(batch).to_arrow()
        self.names: list[str] = batch.column_names if isinstance(batch, pa.Table) else list(batch)
        self._sources = [name for name in self.names if name in sources]
        self._media = {name: batch[name] for name in self._sources if not _holds_texts(batch[name])}
        if isinstance(batch, pa.Table):
            self._others = batch.drop_columns(list(self._media))
        else:
            others = {name: values for name, values in batch.items() if name not in self._media}
            self._others = accessor.for_block(accessor.batch_to_block(others)).to_arrow()
        self._count = len(batch[self.names[0]]) if self.names else 0

    def __len__(self) -> int:
        return self._count

    def sample(self, row: int, with_others: bool) -> Sample:
        """A row as a sample: the cells that clips may be taken from, and the others where they are asked for.

        Texts that clips may be taken from are paths and addresses of files. Empty cells are left out.
        """
        sample: Sample = {}
        for name in self._sources:
            cell = self._medium(row, name) if name in self._media else self.cell(row, name)
            sample[name] = StoredFile(cell) if isinstance(cell, str) else cell
        if with_others:
            others = (name for name in self._others.column_names if name not in self._sources and not is_metadata(name))
            sample |= {name: encoded_cell(name, self.cell(row, name)) for name in others}
        return {name: value for name, value in sample.items() if value is not None}

    def cell(self, row: int, name: str) -> Any:
        """The value of a cell of the other columns; None where it is empty, and where there is no such column."""
        if name not in self._others.column_names:
            return None
        value = self._others[name][row].as_py()
        return None if value == "" and name in self._sources else value

    def _medium(self, row: int, name: str) -> Any:
        """Bytes, which are not copied, or an array."""
        cell = self._media[name][row]
        if hasattr(cell, "as_buffer"):
            return None if cell.as_buffer() is None else memoryview(cell.as_buffer())
        return cell.as_py() if hasattr(cell, "as_py") else cell

    def others(self, rows: Sequence[int], made: Iterable[str]) -> dict[str, Any]:
        """The other columns with these rows; one that is called as one of `made` becomes "source.{name}"."""
        made, columns = set(made), {}
        for name in self._others.column_names:
            free = name
            while free in made or (free != name and free in self.names):
                free = REPLACED + free
            if name != "__key__":
                columns[free] = self._others[name].take(rows)
        return columns


def _holds_texts(column: Any) -> bool:
    """Whether a column of a batch holds texts."""
    if hasattr(column, "type"):
        return str(column.type) in ("string", "large_string", "string_view")
    return isinstance(next((cell for cell in column if cell is not None), None), str)
