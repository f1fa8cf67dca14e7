"""The WebDataset stage that makes batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import webdataset

from clipx import _kernel
from clipx._checks import check_kind, integer, patience
from clipx.pool import ClipPool

__all__ = ["Batch", "Like", "batched", "collate"]


def _as_row(sample: Any) -> Mapping[Any, Any]:
    return dict(enumerate(sample)) if isinstance(sample, (list, tuple)) else sample


def _check_fields(first: Mapping[Any, Any], first_key: str, row: Mapping[Any, Any], key: str) -> None:
    if row.keys() != first.keys():
        raise ValueError(
            f"sample {first_key!r} has fields {', '.join(map(str, first))}, but sample {key!r} has "
            f"{', '.join(map(str, row))}: a batch needs the same fields"
        )


def _check_alike(name: Any, shape: tuple[int, ...], dtype: np.dtype, first_key: str, array: Any, key: str) -> None:
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
        told = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(
            f"field {name!r} has {shape} {dtype} in sample {first_key!r}, but {told} in sample {key!r}: a "
            f"batch needs clips that are alike"
        )


def _bits(array: np.ndarray) -> np.ndarray:
    """Bytes of an array, whatever its dtype: not every dtype has a buffer."""
    return array.reshape(-1).view(np.uint8)


def _copy(arrays: list[np.ndarray], out: np.ndarray, footprint: int) -> None:
    """Copy arrays into out, one after the other."""
    if all(array.flags.c_contiguous for array in arrays) and out.nbytes and not out.dtype.hasobject:
        _kernel.collect([_bits(array) for array in arrays], _bits(out), footprint)
    else:
        np.stack(arrays, out=out)


class Batch:
    """A batch that is filled clip by clip, so that each gives its slot back at once.

    Args:
        size: samples that it has room for.
        like: a sample that all are to be like: the same fields, and arrays of the same shapes and dtypes.
        make: gives memory for the array of a field, from its name, shape and dtype.
    """

    def __init__(self, size: int, like: Like, make: Callable[[str, tuple[int, ...], np.dtype], np.ndarray]) -> None:
        self.like = like
        self._arrays = {
            name: make(name, (size, *kind[0]), kind[1]) for name, kind in like.fields.items() if kind is not None
        }
        self._lists: dict[Any, list[Any]] = {name: [] for name, kind in like.fields.items() if kind is None}
        self.count = 0

    def add(self, sample: Mapping[Any, Any]) -> None:
        """Copy a sample's arrays, and keep its other fields. Raises ValueError for one that is unlike the others."""
        key = str(sample.get("__key__", self.count))
        self.like.check_fields(sample)
        for name in self._arrays:
            kind = self.like.fields[name]
            assert kind is not None
            _check_alike(name, *kind, self.like.key, sample[name], key)
        for name, out in self._arrays.items():
            _copy([sample[name]], out[self.count : self.count + 1], out.nbytes)
        for name, values in self._lists.items():
            values.append(sample[name])
        self.count += 1

    def take(self) -> dict[Any, Any]:
        """What has been filled, collated as webdataset does."""
        lists = {name: webdataset.filters.combine_values(values) for name, values in self._lists.items()}
        return {name: lists[name] if name in lists else self._arrays[name][: self.count] for name in self.like.fields}


Kind = tuple[tuple[int, ...], np.dtype] | None
"""Shape and dtype of a field; None where it is no array."""


class Like(NamedTuple):
    """What a sample is like: its key, and the kind of each field."""

    key: str
    fields: dict[Any, Kind]

    @classmethod
    def of(cls, sample: Mapping[Any, Any]) -> Like:
        """What this sample is like."""
        arrays = {
            name: (value.shape, value.dtype) if isinstance(value, np.ndarray) else None
            for name, value in sample.items()
        }
        return cls(str(sample.get("__key__", 0)), arrays)

    def check_fields(self, sample: Mapping[Any, Any]) -> None:
        """Raise ValueError where a sample has other fields."""
        _check_fields(self.fields, self.key, sample, str(sample.get("__key__")))


def collate(samples: list[Any], make: Callable[[tuple[int, ...], np.dtype], np.ndarray] = np.empty) -> Any:
    """One batch of samples, dicts or tuples: arrays side by side in memory from `make(shape, dtype)`, all else as
    webdataset collates it.
    """
    rows = [_as_row(sample) for sample in samples]
    keys = [str(row.get("__key__", number)) for number, row in enumerate(rows)]
    for row, key in zip(rows, keys):
        _check_fields(rows[0], keys[0], row, key)
    batch: dict[Any, Any] = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        if isinstance(first, np.ndarray):
            for value, key in zip(values, keys):
                _check_alike(name, first.shape, first.dtype, keys[0], value, key)
            batch[name] = make((len(values), *first.shape), first.dtype)
            _copy(values, batch[name], 0)
        else:
            batch[name] = webdataset.filters.combine_values(values)
    return tuple(batch[i] for i in range(len(batch))) if isinstance(samples[0], (list, tuple)) else batch


def batched(
    batch_size: int, *, partial: bool = True, pool: ClipPool | None = None, timeout: float | None = 0
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """A stage that makes batches, equal to webdataset's `batched`; clips are copied into them without the GIL.

    Args:
        batch_size: samples of a batch.
        partial: whether the last batch may have fewer.
        pool: batches are slots of it, of shape (batch_size, ...); None gives each memory of its own, as arrays of
            objects always have.
        timeout: seconds to wait for a free slot where the consumer holds them all; None waits for ever.

    Raises ValueError for clips that are not alike, with both shapes and keys, and PoolExhausted.
    """
    batch_size = integer("batch_size", batch_size, 1)
    check_kind("partial", partial, bool)
    check_kind("pool", pool, ClipPool, None)
    timeout = patience("timeout", timeout)

    def make(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if pool is None or dtype.hasobject:
            return np.empty(shape, dtype)
        return pool.acquire(shape, dtype, timeout=timeout)

    def stage(samples: Iterable[Any]) -> Iterator[Any]:
        held: list[Any] = []
        for sample in samples:
            held.append(sample)
            del sample
            if len(held) == batch_size:
                batch = collate(held, make)
                held = []
                yield batch
                del batch
        if held and partial:
            yield collate(held, make)

    return stage
