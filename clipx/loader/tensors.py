"""Memory of torch tensors that clips and batches are written to; in a DataLoader's worker it is shared memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from clipx.datasets.world import in_worker

__all__ = ["BatchRows", "Tensors", "joined_rows"]

try:
    import torch
except ImportError:
    torch = None


def _has(dtype: np.dtype) -> bool:
    """True where torch has tensors of a dtype."""
    return torch is not None and not dtype.hasobject and hasattr(torch, dtype.name)


def _bytes(nbytes: int) -> Any:
    """A tensor of so many bytes, uint8, not cleared."""
    if not in_worker() or not nbytes:
        return torch.empty(nbytes, dtype=torch.uint8)
    # As torch's own collation does: what is written to shared memory is not copied there when it is sent.
    return torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(nbytes))


def _seen_as(tensor: Any, dtype: np.dtype, shape: tuple[int, ...]) -> Any:
    return tensor.view(getattr(torch, dtype.name)).reshape(shape)


class Tensors:
    """Tensors that arrays are made in."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def make(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array that lies in a tensor, where torch has one of its dtype."""
        if not _has(dtype):
            return np.empty(shape, dtype)
        tensor = _bytes(math.prod(shape) * dtype.itemsize)
        self._made.append(tensor)
        array: np.ndarray = tensor.numpy().view(dtype).reshape(shape)
        return array

    def of(self, value: Any) -> Any:
        """A value with tensors in place of arrays: those that they lie in, or copies."""
        if isinstance(value, dict):
            return {name: self.of(each) for name, each in value.items()}
        if isinstance(value, list) and any(isinstance(each, np.ndarray) for each in value):
            return [self.of(each) for each in value]
        return self._tensor(value) if isinstance(value, np.ndarray) and _has(value.dtype) else value

    def _tensor(self, array: np.ndarray) -> Any:
        for tensor in self._made:
            start = array.ctypes.data - tensor.data_ptr()
            if array.flags.c_contiguous and array.nbytes and 0 <= start <= tensor.nbytes - array.nbytes:
                return _seen_as(tensor[start : start + array.nbytes], array.dtype, array.shape)
        copy = torch.from_numpy(np.array(array, order="C").reshape(-1).view(np.uint8))
        return _seen_as(copy, array.dtype, array.shape)


class BatchRows:
    """Memory for the clips of a batch in a DataLoader's worker: each is written to its row of one tensor.

    It stands where a ClipPool would. Clips that differ from the first in shape or dtype get memory of their own.

    Args:
        count: number of rows.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._rows: np.ndarray | None = None
        self._next: deque[int] = deque()

    @staticmethod
    def pay() -> bool:
        """True where they save a copy: in the worker of a DataLoader."""
        return torch is not None and in_worker()

    def expect(self, rows: Iterable[int]) -> None:
        """Name the rows of the clips that are written next."""
        self._next = deque(rows)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return 0 if self._rows is None else self._rows.nbytes

    def require(self, slots: int, shape: tuple[int, ...] | None = None, dtype: Any = None) -> None:
        """There is room for clips of any shape."""

    def acquire(self, shape: tuple[int, ...] | None = None, dtype: Any = None) -> np.ndarray:
        """Memory of a clip, not cleared."""
        assert shape is not None
        dtype = np.dtype(dtype)
        if self._rows is None and _has(dtype):
            tensor = _bytes(self._count * math.prod(shape) * dtype.itemsize)
            self._rows = tensor.numpy().view(dtype).reshape(self._count, *shape)
        rows = self._rows
        if not self._next or rows is None or rows.shape[1:] != shape or rows.dtype != dtype:
            return np.empty(shape, dtype)
        return rows[self._next.popleft()]


def joined_rows(arrays: Sequence[Any]) -> Any:
    """The tensor of BatchRows whose rows these arrays are, in their order; None for other arrays."""
    first = arrays[0]
    if not isinstance(first, np.ndarray) or not first.nbytes:
        return None
    owner: Any = first
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if torch is None or not isinstance(owner, torch.Tensor) or owner.nbytes != len(arrays) * first.nbytes:
        return None
    start, size = owner.data_ptr(), first.nbytes
    for row, array in enumerate(arrays):
        if not isinstance(array, np.ndarray) or array.shape != first.shape or array.dtype != first.dtype:
            return None
        if not array.flags.c_contiguous or array.ctypes.data != start + row * size:
            return None
    return _seen_as(owner, first.dtype, (len(arrays), *first.shape))
