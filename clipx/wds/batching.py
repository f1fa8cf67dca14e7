"""The WebDataset stage that makes batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import webdataset

from clipx import _kernel
from clipx._checks import check_kind, integer, patience
from clipx.pool import ClipPool, as_pool
from clipx.wds.layout import check_alike

__all__ = ["batched", "collate", "copy_rows"]


def _as_row(sample: Any) -> Mapping[Any, Any]:
    return dict(enumerate(sample)) if isinstance(sample, (list, tuple)) else sample


def _check_fields(first: Mapping[Any, Any], first_key: str, row: Mapping[Any, Any], key: str) -> None:
    if row.keys() != first.keys():
        raise ValueError(
            f"sample {first_key!r} has fields {', '.join(map(str, first))}, but sample {key!r} has "
            f"{', '.join(map(str, row))}: a batch needs the same fields; keys='wav;flac' of clipx.wds.clips gives "
            f"clips of several kinds one name, and webdataset's rename and select other fields"
        )


def _bits(array: np.ndarray) -> np.ndarray:
    """Bytes of an array, whatever its dtype: not every dtype has a buffer."""
    return array.reshape(-1).view(np.uint8)


def copy_rows(arrays: list[np.ndarray], out: np.ndarray, footprint: int) -> None:
    """Copy arrays into out, one after the other."""
    if all(array.flags.c_contiguous for array in arrays) and out.nbytes and not out.dtype.hasobject:
        _kernel.collect([_bits(array) for array in arrays], _bits(out), footprint)
    else:
        np.stack(arrays, out=out)


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
                check_alike(name, first.shape, first.dtype, keys[0], value, key)
            batch[name] = make((len(values), *first.shape), first.dtype)
            copy_rows(values, batch[name], 0)
        else:
            batch[name] = webdataset.filters.combine_values(values)
    return tuple(batch[i] for i in range(len(batch))) if isinstance(samples[0], (list, tuple)) else batch


class _BatchStage:
    """`batched` with its arguments, as a step of a pipeline."""

    def __init__(self, batch_size: int, partial: bool, pool: ClipPool | None, timeout: float | None) -> None:
        self._batch_size, self._partial, self._pool, self._timeout = batch_size, partial, pool, timeout

    def _make(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if self._pool is None or dtype.hasobject:
            return np.empty(shape, dtype)
        return self._pool.acquire(shape, dtype, timeout=self._timeout)

    def __repr__(self) -> str:
        return f"clipx.wds.batched({self._batch_size}, partial={self._partial}, pool={self._pool!r})"

    def __call__(self, samples: Iterable[Any]) -> Iterator[Any]:
        held: list[Any] = []
        for sample in samples:
            held.append(sample)
            del sample
            if len(held) == self._batch_size:
                batch = collate(held, self._make)
                held = []
                yield batch
                del batch
        if held and self._partial:
            yield collate(held, self._make)


def batched(
    batch_size: int, *, partial: bool = True, pool: ClipPool | int | str | None = None, timeout: float | None = 0
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """A stage that makes batches, equal to webdataset's `batched`; clips are copied into them without the GIL.

    Args:
        batch_size: samples of a batch.
        partial: whether the last batch may have fewer.
        pool: a ClipPool, or bytes such as "2GB" to make one of: batches are its slots, of shape (batch_size, ...). None
            gives each memory of its own, as arrays of objects always have.
        timeout: seconds to wait for a free slot where the consumer holds them all; None waits for ever.

    Raises ValueError for clips that are not alike, with both shapes and keys, and PoolExhausted.
    """
    batch_size = integer("batch_size", batch_size, 1)
    check_kind("partial", partial, bool)
    return _BatchStage(batch_size, partial, as_pool(pool), patience("timeout", timeout))
