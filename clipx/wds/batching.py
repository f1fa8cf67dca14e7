"""The WebDataset stage that makes batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, overload

import numpy as np
import webdataset

from clipx._checks import check_kind, integer, patience
from clipx.datasets.ledger import Ledger
from clipx.pool import ClipPool, as_pool
from clipx.wds.buckets import Buckets, bucket_of
from clipx.wds.copying import copy_padded, copy_rows, pack, packed_bytes
from clipx.wds.layout import (
    Ragged,
    check_alike,
    check_array,
    check_paddable,
    check_ragged,
    gather_lengths,
    length_of,
    lengths_of,
)

__all__ = ["BatchStage", "batched", "collate"]

HELD_BATCHES = 4
"""Batches that the samples in partial buckets may fill, by default."""

Make = Callable[[tuple[int, ...], np.dtype], np.ndarray]


def _as_row(sample: Any) -> Mapping[Any, Any]:
    return dict(enumerate(sample)) if isinstance(sample, (list, tuple)) else sample


def _check_fields(first: Mapping[Any, Any], first_key: str, row: Mapping[Any, Any], key: str) -> None:
    if row.keys() != first.keys():
        raise ValueError(
            f"sample {first_key!r} has fields {', '.join(map(str, first))}, but sample {key!r} has "
            f"{', '.join(map(str, row))}: a batch needs the same fields; keys='wav;flac' of clipx.wds.clips gives "
            f"clips of several kinds one name, and webdataset's rename and select other fields"
        )


def collate(samples: list[Any], make: Make = np.empty, ragged: Ragged = "error") -> Any:
    """One batch of samples, dicts or tuples: arrays side by side in memory from `make(shape, dtype)`, or as `ragged`
    says; all else as webdataset collates it.
    """
    rows = [_as_row(sample) for sample in samples]
    keys = [str(row.get("__key__", number)) for number, row in enumerate(rows)]
    for row, key in zip(rows, keys):
        _check_fields(rows[0], keys[0], row, key)
    batch: dict[Any, Any] = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        if not isinstance(first, np.ndarray):
            batch[name] = webdataset.filters.combine_values(values)
        elif ragged == "list":
            batch[name] = _listed(name, values, keys, make)
        elif ragged == "pad":
            batch[name] = _padded(name, values, keys, [length_of(row) for row in rows], make)
        else:
            for value, key in zip(values, keys):
                check_alike(name, first.shape, first.dtype, keys[0], value, key)
            batch[name] = make((len(values), *first.shape), first.dtype)
            copy_rows(values, batch[name], 0)
    lengths = gather_lengths([lengths_of(row) for row in rows]) if ragged == "pad" else {}
    if isinstance(samples[0], (list, tuple)):
        return (*(batch[i] for i in range(len(batch))), *lengths.values())
    return batch | lengths


def _listed(name: Any, values: list[Any], keys: list[str], make: Make) -> list[np.ndarray]:
    """Copies of arrays of any shapes: in one piece of memory from `make`, or each in memory of its own."""
    for value, key in zip(values, keys):
        check_array(name, keys[0], value, key)
    if make is np.empty or any(value.dtype.hasobject for value in values):
        return [value.copy() for value in values]
    memory, copies = make((packed_bytes(values),), np.dtype(np.uint8)), []
    for value in values:
        copy, memory = pack(value, memory)
        copies.append(copy)
    return copies


def _padded(name: Any, values: list[Any], keys: list[str], lengths: list[int | None], make: Make) -> np.ndarray:
    """Arrays side by side, each padded with zeros to the length of the longest."""
    first = values[0]
    for value, key, length in zip(values, keys, lengths):
        check_paddable(name, first.shape, first.dtype, keys[0], lengths[0], value, key, length)
    shape = tuple(max(sizes) for sizes in zip(*(value.shape for value in values)))
    out = make((len(values), *shape), first.dtype)
    if all(value.shape == shape for value in values):
        copy_rows(values, out, 0)
    else:
        for at, value in enumerate(values):
            copy_padded(value, out[at, ...], out.nbytes)
    return out


class BatchStage:
    """`batched` with its arguments, as a step of a pipeline.

    Attributes:
        errors: a Ledger of the samples that partial buckets have left out.
    """

    def __init__(
        self,
        batch_size: int,
        partial: bool,
        pool: ClipPool | None,
        timeout: float | None,
        ragged: Ragged = "error",
        max_held: int | None = None,
    ) -> None:
        self._batch_size, self._partial, self._pool, self._timeout = batch_size, partial, pool, timeout
        self._ragged = ragged
        self._max_held = HELD_BATCHES * batch_size if max_held is None else max_held
        self.errors = Ledger()

    def _make(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        assert self._pool is not None
        return np.empty(shape, dtype) if dtype.hasobject else self._pool.acquire(shape, dtype, timeout=self._timeout)

    def _collate(self, samples: list[Any]) -> Any:
        return collate(samples, np.empty if self._pool is None else self._make, self._ragged)

    def __repr__(self) -> str:
        ragged = "" if self._ragged == "error" else f", ragged={self._ragged!r}"
        return f"clipx.wds.batched({self._batch_size}, partial={self._partial}, pool={self._pool!r}{ragged})"

    @overload
    def __call__(self, samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]: ...
    @overload
    def __call__(self, samples: Iterable[Any]) -> Iterator[Any]: ...
    def __call__(self, samples: Iterable[Any]) -> Iterator[Any]:
        return self._of_buckets(samples) if self._ragged == "bucket" else self._in_order(samples)

    def _in_order(self, samples: Iterable[Any]) -> Iterator[Any]:
        held: list[Any] = []
        for sample in samples:
            held.append(sample)
            del sample
            if len(held) == self._batch_size:
                batch = self._collate(held)
                held = []
                yield batch
                del batch
        if held and self._partial:
            yield self._collate(held)

    def _of_buckets(self, samples: Iterable[Any]) -> Iterator[Any]:
        buckets: Buckets[Any] = Buckets(self._batch_size)
        for sample in samples:
            given = buckets.add(bucket_of(_as_row(sample)), sample)
            del sample
            if not given and len(buckets) > self._max_held:
                given = buckets.take_fullest()
            if given:
                batch = self._collate(given)
                given = []
                yield batch
                del batch
        while len(buckets):
            given = buckets.take_oldest()
            if self._partial:
                batch = self._collate(given)
                given = []
                yield batch
                del batch
            else:
                self.errors.note_left_out(map(_as_row, given), self._batch_size)


def batched(
    batch_size: int,
    *,
    partial: bool = True,
    pool: ClipPool | int | str | None = None,
    timeout: float | None = 0,
    ragged: Ragged = "error",
    max_held: int | None = None,
) -> BatchStage:
    """A stage that makes batches, equal to webdataset's `batched`; clips are copied into them without the GIL.

    Args:
        batch_size: samples of a batch.
        partial: whether the last batch, or the last of each bucket, may have fewer.
        pool: a ClipPool, or bytes such as "2GB" to make one of: batches are its slots, of shape (batch_size, ...). None
            gives each memory of its own, as arrays of objects always have. Where lengths differ, give the pool the
            shape of the longest: bytes alone make slots for the first batch.
        timeout: seconds to wait for a free slot where the consumer holds them all; None waits for ever.
        ragged: what becomes of arrays of different sizes, such as clips of different lengths.
            "error": ValueError.
            "list": every array field is a list of arrays, of any sizes.
            "pad": arrays are padded with zeros to the longest of the batch, along time: the axis whose size is "length"
            in "clip.json", or without that the first. The batch has "lengths", int64 (batch,), of the clips, and
            "audio.lengths" where there is sound beside them; a tuple has them as its last items. Other axes must have
            one size.
            "bucket": samples wait in buckets, each of arrays of one shape and dtype. A bucket that is full gives a
            batch. When all hold more than `max_held` samples, the fullest (of equals the oldest) gives a short one.
            They hold their clips' slots until then.
        max_held: samples that partial buckets may hold together, at least batch_size; default 4 * batch_size.

    The stage's `errors` is a `clipx.datasets.ledger.Ledger`: the samples that buckets have left out, with
    `partial=False`, are counted as "left out".

    Raises ValueError for clips that are not alike, with both shapes and keys, and PoolExhausted.

    Stability: stable.
    """
    batch_size = integer("batch_size", batch_size, 1)
    check_kind("partial", partial, bool)
    check_ragged(ragged)
    if max_held is not None:
        max_held = integer("max_held", max_held, batch_size)
        if ragged != "bucket":
            raise ValueError(f"max_held is {max_held}, but ragged is {ragged!r}: only 'bucket' holds samples")
    return BatchStage(batch_size, partial, as_pool(pool), patience("timeout", timeout), ragged, max_held)
