"""The values of a field of a batch, filled row by row."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
import webdataset

from clipx import memory
from clipx.wds.copying import copy_padded, copy_rows, pack, packed_bytes

__all__ = ["Column", "First", "ListedColumn", "PaddedColumn"]

Make = Callable[[tuple[int, ...], np.dtype], np.ndarray]


class First(NamedTuple):
    """The array that others of a field are compared with.

    Attributes:
        shape, dtype: its own.
        key: of its sample.
        length: of its clip; None where that is not known.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    key: str
    length: int | None


def _is_tensor(value: Any) -> bool:
    return isinstance(value, webdataset.filters.TorchTensor)


class Column:
    """The values of a field: an array that is filled row by row, or a list where not all are arrays.

    Args:
        count: rows that lack the field, before the first that has it.
        make: gives memory for an array of a shape and a dtype.
    """

    first: First | None = None

    def __init__(self, count: int, make: Make) -> None:
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


class ListedColumn:
    """The arrays of a field, of any shapes, as a list.

    They lie one behind the other in memory that is made for all of them, and where that has no room in their own.

    Args:
        count: rows that lack the field, before the first that has it.
        make: gives memory of at least a shape and a dtype.
        first: what a value must be like.
    """

    def __init__(self, count: int, make: Make, first: First) -> None:
        self.first = first
        self._make = make
        self._memory: np.ndarray | None = None
        self._values: list[np.ndarray | None] = [None] * count

    def add(self, value: np.ndarray | None, size: int) -> None:
        """Take the array of the next row of `size`; None for a row that lacks the field."""
        if value is None or value.dtype.hasobject:
            self._values.append(value if value is None else value.copy())
            return
        needed = packed_bytes([value])
        if self._memory is None:
            self._memory = self._make((needed * size,), np.dtype(np.uint8))
        if needed > len(self._memory):
            self._values.append(value.copy())
            return
        copy, self._memory = pack(value, self._memory)
        self._values.append(copy)

    def take(self) -> list[np.ndarray | None]:
        """The arrays, with None for a row that lacks the field."""
        return self._values


class PaddedColumn:
    """The arrays of a field, padded with zeros to the length of the longest; a list where a row lacks the field.

    The rows lie close together; where a longer one comes, those before it are moved apart. So the memory that is
    made need only be large enough for the longest.

    Args:
        count: rows that lack the field, before the first that has it.
        make: gives memory of at least a shape and a dtype.
        first: what a value must be like.
    """

    def __init__(self, count: int, make: Make, first: First) -> None:
        self.first = first
        self._make = make
        self._shapes: list[tuple[int, ...] | None] = [None] * count
        self._memory = np.empty(0, np.uint8)
        self._rows = np.empty((0, *first.shape), first.dtype)

    def add(self, value: np.ndarray | None, size: int) -> None:
        """Take the array of the next row of `size`; None for a row that lacks the field."""
        row = len(self._shapes)
        self._shapes.append(None if value is None else value.shape)
        if value is None:
            return
        longest = tuple(map(max, self._rows.shape[1:], value.shape)) if len(self._rows) else value.shape
        if not len(self._rows) or longest != self._rows.shape[1:]:
            self._stretch((size, *longest), row)
        copy_padded(value, self._rows[row, ...], self._rows.nbytes)

    def _stretch(self, shape: tuple[int, ...], count: int) -> None:
        """Make this the shape of all rows, of which there are `count`."""
        before, dtype = self._rows, self.first.dtype
        if dtype.hasobject:
            self._rows = np.zeros(shape, dtype)
        else:
            nbytes = math.prod(shape) * dtype.itemsize
            if nbytes > len(self._memory):
                self._memory = self._make((nbytes,), np.dtype(np.uint8))
            self._rows = self._memory[:nbytes].view(dtype).reshape(shape)
        # From the last row on: in the same memory, a row's new place overlaps none but its own and later ones.
        for row in range(min(count, len(before)) - 1, -1, -1):
            found = self._shapes[row]
            if found is not None:
                part = before[row][tuple(map(slice, found))]
                overlaps = np.may_share_memory(part, self._rows[row, ...])
                copy_padded(part.copy() if overlaps else part, self._rows[row, ...], 0)

    def take(self) -> Any:
        """The arrays side by side; a list of them as they came, with None, where any row lacks the field."""
        shapes = self._shapes
        if None not in shapes:
            return self._rows[: len(shapes)]
        return [None if shape is None else row[tuple(map(slice, shape))] for shape, row in zip(shapes, self._rows)]
