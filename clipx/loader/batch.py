"""The step that makes batches, filled clip by clip."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Number
from typing import Any

import numpy as np
import webdataset

from clipx import memory
from clipx.datasets.fields import Field
from clipx.datasets.origins import locate
from clipx.wds.copying import copy_rows
from clipx.wds.layout import BatchLayout, check_alike, flatten, unlike_error

__all__ = ["Batch", "BatchState", "Batches"]


Make = Callable[[str, tuple[int, ...], np.dtype], np.ndarray]
"""Gives memory for the array of a field, from its name, shape and dtype."""


def _is_tensor(value: Any) -> bool:
    return isinstance(value, webdataset.filters.TorchTensor)


class _Column:
    """The values of a field of a batch: an array that is filled row by row, or a list where not all are arrays.

    Args:
        count: rows that lack the field, before the first that has it.
        make: gives memory for an array of a shape and a dtype.
    """

    def __init__(self, count: int, make: Callable[[tuple[int, ...], np.dtype], np.ndarray]) -> None:
        self._make = make
        self._array: np.ndarray | None = None
        self._values: list[Any] = [None] * count
        self._first: Any = None  # where the values are arrays or tensors: one that all are like
        self._count, self._all_none = count, True

    def differs(self, value: Any) -> str | None:
        """The shape and dtype of the other values, arrays or tensors, where a value has others; else None."""
        first = self._first
        kind = np.ndarray if isinstance(first, np.ndarray) else type(first)
        if first is None or (isinstance(value, kind) and value.shape == first.shape and value.dtype == first.dtype):
            return None
        return f"{tuple(first.shape)} {first.dtype}"

    def add(self, value: Any, size: int) -> None:
        """Take the value of the next row of `size`; None for a row that lacks the field."""
        if self._array is None and isinstance(value, np.ndarray):
            if not self._count:
                self._array = self._make((size, *value.shape), value.dtype)
                self._first = self._array[0, ...]
            elif memory.leases(value):
                value = value.copy()  # what is kept in a list is not to keep a slot
        elif self._array is not None and value is None:
            self._values, self._array = list(self._array[: self._count]), None
        if self._array is not None:
            copy_rows([value], self._array[self._count : self._count + 1], self._array.nbytes)
        else:
            if self._all_none and value is not None:
                self._all_none = False
                self._first = value if isinstance(value, np.ndarray) or _is_tensor(value) else self._first
            self._values.append(value)
        self._count += 1

    def take(self) -> Any:
        """All rows: an array, or, where any lacks the field, a list, with None there; all else as webdataset has it."""
        if self._array is not None:
            return self._array[: self._count]
        kinds = {type(value) for value in self._values}
        numbers = [issubclass(kind, Number) for kind in kinds]
        if type(None) in kinds or (any(numbers) and not all(numbers)):
            return list(self._values)
        return webdataset.filters.combine_values(self._values)


class Batch:
    """A batch that is filled clip by clip, so that each gives its slot back at once.

    It has each field that any of its samples has. An array's field is an array, of one shape and dtype, where all have
    it; else a list, with None where a sample lacks it.

    Args:
        size: samples that it has room for.
        layout: all samples have its clips, and arrays of its shapes and dtypes where they have the field.
        make: gives memory for the array of a field, from its name, shape and dtype.
    """

    def __init__(self, size: int, layout: BatchLayout, make: Make) -> None:
        self.layout, self.count = layout, 0
        self._size, self._make = size, make
        self._columns: dict[Any, _Column] = {}
        self._first = ""

    def add(self, sample: Mapping[Any, Any]) -> None:
        """Copy a sample's arrays, and keep its other fields. Raises ValueError for one that is unlike the others."""
        key, row = str(sample.get("__key__", self.count)), flatten(sample)
        self.layout.check_clips(row, key)
        columns, kinds = self._columns, self.layout.fields
        for name, value in row.items():
            kind, column = kinds.get(name), columns.get(name)
            if value is None:
                continue
            if kind is not None:
                check_alike(name, *kind, self.layout.key, value, key)
            elif column is not None and (differs := column.differs(value)) is not None:
                raise unlike_error(name, differs, self._first, value, key)
        self._first = self._first or key
        for name, value in row.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = _Column(self.count, partial(self._make, name))
            column.add(value, self._size)
        if len(columns) > len(row):
            for name, column in columns.items():
                if name not in row:
                    column.add(None, self._size)
        self.count += 1

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
        return batch


@dataclass(frozen=True)
class BatchState:
    """The batches that have been made.

    Attributes:
        count: their number.
        layout: what their samples have in common; None before the first.
    """

    count: int = 0
    layout: BatchLayout | None = None


class Batches:
    """Makes batches of clips' samples.

    Args:
        size: samples of a batch.
        make: gives memory for an array, from the layout, the field's name, shape and dtype.
        clip_fields: the fields that clips were extracted to.
        most: samples in all; None for as many as come.
        drop_last: whether a last batch of fewer samples is left out.
        handler: called with the error of a sample that does not fit; as webdataset's are.
        state: the batches before.

    Attributes:
        given: samples that are in batches.
    """

    def __init__(
        self,
        size: int,
        make: Callable[[BatchLayout, str, tuple[int, ...], np.dtype], np.ndarray],
        *,
        clip_fields: Iterable[str] = (),
        most: int | None = None,
        drop_last: bool,
        handler: Callable[[Exception], bool],
        state: BatchState,
    ) -> None:
        self._size, self._make, self._clip_fields = size, make, clip_fields
        self._most, self._drop_last, self._handler = sys.maxsize if most is None else most, drop_last, handler
        self._count, self._layout = state.count, state.layout
        self.given = min(state.count * size, self._most)

    @property
    def complete(self) -> bool:
        """Whether there are as many samples as there are to be."""
        return self.given == self._most

    def state(self) -> BatchState:
        """The state behind the batch that was given last."""
        return BatchState(self._count, self._layout)

    def batches(self, samples: Iterable[dict[str, Any]]) -> Iterator[dict[Any, Any]]:
        """The batches of samples, as dicts. Raises what memory for them and the handler raise."""
        batch: Batch | None = None
        for sample in () if self.complete else samples:
            if batch is None:
                batch = self._begin(sample)
            try:
                batch.add(sample)
            except ValueError as exn:
                locate(exn, sample)
                del sample
                traceback.clear_frames(exn.__traceback__)
                if not self._handler(exn):
                    break
                continue
            del sample
            self.given += 1
            if batch.count == self._size or self.complete:
                self._count += 1
                yield batch.take()
                batch = None
                if self.complete:
                    return
        if batch is not None and batch.count and not self._drop_last:
            self._count += 1
            yield batch.take()

    def _begin(self, sample: Mapping[Any, Any]) -> Batch:
        if self._layout is None:
            self._layout = BatchLayout.of(sample, self._clip_fields)
        return Batch(self._size, self._layout, partial(self._make, self._layout))
