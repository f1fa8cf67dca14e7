"""A batch that is filled clip by clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from clipx.datasets.fields import Field
from clipx.loader.columns import Column, First, ListedColumn, PaddedColumn
from clipx.wds.layout import (
    ArrayKind,
    BatchLayout,
    Ragged,
    check_alike,
    check_array,
    check_paddable,
    flatten,
    gather_lengths,
    length_of,
    lengths_of,
    unlike_error,
)

__all__ = ["Batch"]


AnyColumn = Column | ListedColumn | PaddedColumn

Make = Callable[[str, tuple[int, ...], np.dtype], np.ndarray]
"""Gives memory for the array of a field, from its name, shape and dtype; for lists and padding at least so much."""


class Batch:
    """A batch that is filled clip by clip, so that each gives its slot back at once.

    It has each field that any of its samples has. An array's field is an array, of one shape and dtype, where all have
    it; else a list, with None where a sample lacks it.

    Args:
        size: samples that it has room for.
        layout: all samples have its clips, and arrays of its shapes and dtypes where they have the field.
        make: gives memory for the array of a field, from its name, shape and dtype.
        ragged: whether arrays of different sizes come as lists, or padded; "bucket" is like "error".
    """

    def __init__(self, size: int, layout: BatchLayout, make: Make, ragged: Ragged = "error") -> None:
        self.layout, self.count = layout, 0
        self._size, self._make, self._ragged = size, make, ragged
        self._columns: dict[Any, AnyColumn] = {}
        self._first = ""
        self._lengths: list[dict[str, int]] = []

    def add(self, sample: Mapping[Any, Any]) -> None:
        """Copy a sample's arrays, and keep its other fields. Raises ValueError for one that is unlike the others."""
        key, row = str(sample.get("__key__", self.count)), flatten(sample)
        self.layout.check_clips(row, key)
        columns, kinds, is_ragged = self._columns, self.layout.fields, self._ragged in ("list", "pad")
        for name, value in row.items():
            kind, column = kinds.get(name), columns.get(name)
            if value is None:
                continue
            if is_ragged and (first := self._first_of(kind, column)) is not None:
                self._check_ragged(name, first, value, key, row)
            elif kind is not None:
                check_alike(name, *kind, self.layout.key, value, key)
            elif isinstance(column, Column) and (differs := column.differs(value)) is not None:
                raise unlike_error(name, differs, self._first, value, key)
        lengths = lengths_of(row) if self._ragged == "pad" else {}
        self._first = self._first or key
        for name, value in row.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = self._column(name, value, key, row)
            column.add(value, self._size)
        if len(columns) > len(row):
            for name, column in columns.items():
                if name not in row:
                    column.add(None, self._size)
        if lengths:
            self._lengths.append(lengths)
        self.count += 1

    def _first_of(self, kind: ArrayKind, column: AnyColumn | None) -> First | None:
        """The array that those of a field are compared with where their lengths may differ; None for other values."""
        if kind is not None:
            return First(*kind, self.layout.key, self.layout.length)
        return None if column is None else column.first

    def _check_ragged(self, name: Any, first: First, value: Any, key: str, row: Mapping[Any, Any]) -> None:
        if self._ragged == "list":
            check_array(name, first.key, value, key)
        else:
            check_paddable(name, *first, value, key, length_of(row))

    def _column(self, name: Any, value: Any, key: str, row: Mapping[Any, Any]) -> AnyColumn:
        """The column of a field, whose first value this is."""
        make = partial(self._make, name)
        if self._ragged not in ("list", "pad") or not isinstance(value, np.ndarray):
            return Column(self.count, make)
        first = First(value.shape, value.dtype, key, length_of(row))
        return (ListedColumn if self._ragged == "list" else PaddedColumn)(self.count, make, first)

    def take(self) -> dict[Any, Any]:
        """The samples collated as webdataset does; they are then this batch's no more."""
        order = {name: at for at, name in enumerate(self.layout.fields)}
        columns, self._columns = self._columns, {}
        batch: dict[Any, Any] = {}
        for name in sorted(columns, key=lambda name: order.get(name, len(order))):
            if isinstance(name, Field):
                batch.setdefault(name.holder, {})[name.member] = columns[name].take()
            else:
                batch[name] = columns[name].take()
        return batch | gather_lengths(self._lengths)
