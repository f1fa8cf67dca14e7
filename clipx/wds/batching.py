"""The WebDataset stage that makes batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
import webdataset

from clipx import _kernel, memory
from clipx._checks import check_kind, integer, patience
from clipx.datasets.fields import Field
from clipx.datasets.origins import locate
from clipx.pool import ClipPool, as_pool

__all__ = ["CURE", "Batch", "Like", "batched", "collate"]

CURE = (
    "give the format resize=(height, width) or a crop; for sound, AudioFormat(sample_rate=, mono=True); other arrays "
    "are for map to make alike, or to drop"
)
"""What makes clips alike."""


def _as_row(sample: Any) -> Mapping[Any, Any]:
    return dict(enumerate(sample)) if isinstance(sample, (list, tuple)) else sample


def _check_fields(first: Mapping[Any, Any], first_key: str, row: Mapping[Any, Any], key: str) -> None:
    if row.keys() != first.keys():
        raise ValueError(
            f"sample {first_key!r} has fields {', '.join(map(str, first))}, but sample {key!r} has "
            f"{', '.join(map(str, row))}: a batch needs the same fields; keys='wav;flac' of the stage that cuts gives "
            f"clips of several kinds one name, and webdataset's rename and select other fields"
        )


def _check_alike(name: Any, shape: tuple[int, ...], dtype: np.dtype, first_key: str, array: Any, key: str) -> None:
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
        raise _unlike(name, f"{shape} {dtype}", first_key, array, key)


def _unlike(name: Any, kind: str, first_key: str, value: Any, key: str) -> ValueError:
    """The error of a value that cannot stand in an array with others of this kind."""
    told = f"{tuple(value.shape)} {value.dtype}" if hasattr(value, "shape") else type(value).__name__
    error = ValueError(
        f"field {name!r} has {kind} in sample {first_key!r}, but {told} in sample {key!r}: a batch needs clips of one "
        f"size and dtype; {CURE}"
    )
    locate(error, key=key, field=name)
    return error


def _bits(array: np.ndarray) -> np.ndarray:
    """Bytes of an array, whatever its dtype: not every dtype has a buffer."""
    return array.reshape(-1).view(np.uint8)


def _copy(arrays: list[np.ndarray], out: np.ndarray, footprint: int) -> None:
    """Copy arrays into out, one after the other."""
    if all(array.flags.c_contiguous for array in arrays) and out.nbytes and not out.dtype.hasobject:
        _kernel.collect([_bits(array) for array in arrays], _bits(out), footprint)
    else:
        np.stack(arrays, out=out)


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
        """Where a value cannot stand beside the others, arrays or tensors: what these are."""
        first = self._first
        kind = np.ndarray if isinstance(first, np.ndarray) else type(first)
        if first is None or (isinstance(value, kind) and value.shape == first.shape and value.dtype == first.dtype):
            return None
        return f"{tuple(first.shape)} {first.dtype}"

    def add(self, value: Any, size: int) -> None:
        """Take the value of the next row of `size`; None stands for one that lacks the field."""
        if self._array is None and isinstance(value, np.ndarray):
            if not self._count:
                self._array = self._make((size, *value.shape), value.dtype)
                self._first = self._array[0, ...]
            elif memory.leases(value):
                value = value.copy()  # what is kept in a list is not to keep a slot
        elif self._array is not None and value is None:
            self._values, self._array = list(self._array[: self._count]), None
        if self._array is not None:
            _copy([value], self._array[self._count : self._count + 1], self._array.nbytes)
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
        like: what samples are like: all have its clips, and its arrays' shapes and dtypes where they have the field.
        make: gives memory for the array of a field, from its name, shape and dtype.
    """

    def __init__(self, size: int, like: Like, make: Callable[[str, tuple[int, ...], np.dtype], np.ndarray]) -> None:
        self.like, self.count = like, 0
        self._size, self._make = size, make
        self._columns: dict[Any, _Column] = {}
        self._first = ""

    def add(self, sample: Mapping[Any, Any]) -> None:
        """Copy a sample's arrays, and keep its other fields. Raises ValueError for one that is unlike the others."""
        key, row = str(sample.get("__key__", self.count)), flatten(sample)
        self.like.check_clips(row, key)
        columns, kinds = self._columns, self.like.fields
        for name, value in row.items():
            kind, column = kinds.get(name), columns.get(name)
            if value is None:
                continue
            if kind is not None:
                _check_alike(name, *kind, self.like.key, value, key)
            elif column is not None and (differs := column.differs(value)) is not None:
                raise _unlike(name, differs, self._first, value, key)
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
        """What has been filled, collated as webdataset does."""
        order = {name: at for at, name in enumerate(self.like.fields)}
        batch: dict[Any, Any] = {}
        for name in sorted(self._columns, key=lambda name: order.get(name, len(order))):
            if isinstance(name, Field):
                batch.setdefault(name.holder, {})[name.member] = self._columns[name].take()
            else:
                batch[name] = self._columns[name].take()
        return batch


def flatten(sample: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A sample with the members of a field that holds clips, such as a decoded npz, as fields of their own."""
    fields = [name for name, value in sample.items() if type(value) not in PLAIN and _holds_clips(value)]
    if not fields:
        return sample
    flat: dict[Any, Any] = {}
    for name, value in sample.items():
        flat |= (
            {Field.of_member(name, member): each for member, each in value.items()} if name in fields else {name: value}
        )
    return flat


PLAIN = frozenset({str, bytes, int, float, list, np.ndarray, type(None)})  # values that are no mappings, to be quick


def _holds_clips(value: Any) -> bool:
    return isinstance(value, Mapping) and any(_is_clip(each) for each in value.values())


def _is_clip(value: Any) -> bool:
    return isinstance(value, np.ndarray) and memory.leases(value) > 0


Kind = tuple[tuple[int, ...], np.dtype] | None
"""Shape and dtype of a field; None where it is no array."""


class Like(NamedTuple):
    """What samples are like: the key of the first, the kind of each of its fields, and which of these hold clips."""

    key: str
    fields: dict[Any, Kind]
    clips: tuple[Any, ...] = ()

    @classmethod
    def of(cls, sample: Mapping[Any, Any], cut: Iterable[str] = ()) -> Like:
        """What this sample is like.

        `cut` names the fields that were cut. These hold clips, and, for those that are gone, fields that were made of
        them.
        """
        row, cut = flatten(sample), tuple(cut)
        arrays = {
            name: (value.shape, value.dtype) if isinstance(value, np.ndarray) else None for name, value in row.items()
        }
        named = [name for name in row if arrays[name] and name in cut]
        clips = [*named, *(name for name, value in row.items() if name not in named and _is_clip(value))]
        return cls(str(sample.get("__key__", 0)), arrays, tuple(clips[: len(cut)]))

    def check_clips(self, row: Mapping[Any, Any], key: str) -> None:
        """Raise ValueError where a sample, flattened, lacks clips that all have."""
        missing = [name for name in self.clips if row.get(name) is None]
        if not missing:
            return
        own = [str(name) for name, value in row.items() if name not in self.clips and _is_clip(value)]
        have = f"has its clips in {', '.join(map(repr, own))}" if own else f"has {', '.join(map(str, row))}"
        cure = ";".join([str(missing[0]), *own[:1]] if own else [str(missing[0]), "..."])
        error = ValueError(
            f"sample {self.key!r} has clips in field {str(missing[0])!r}, but sample {key!r} {have}: in a dataset of "
            f"mixed kinds say which fields are one, keys={cure!r}, or {{'clip': {cure!r}}}, or rename them in map"
        )
        locate(error, key=key, field=own[0] if own else missing[0])
        raise error


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


class _Batched:
    """`batched` with its arguments, as a step of a pipeline."""

    def __init__(self, batch_size: int, partial: bool, pool: ClipPool | None, timeout: float | None) -> None:
        self._batch_size, self._partial, self._pool, self._timeout = batch_size, partial, pool, timeout

    def _make(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if self._pool is None or dtype.hasobject:
            return np.empty(shape, dtype)
        return self._pool.acquire(shape, dtype, timeout=self._timeout)

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
    return _Batched(batch_size, partial, as_pool(pool), patience("timeout", timeout))
