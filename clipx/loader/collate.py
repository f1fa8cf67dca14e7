"""Batches of given samples, as a Loader makes them, with torch's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clipx.datasets.fields import Sample
from clipx.loader.batch import Batch
from clipx.loader.tensors import Tensors, joined_rows
from clipx.wds.layout import BatchLayout, Ragged, check_ragged

__all__ = ["collate"]


def collate(samples: Sequence[Sample], ragged: Ragged = "error") -> dict[str, Any]:
    """A batch of samples: arrays become tensors where there is torch.

    Raises ValueError that names both samples where arrays of a field differ and `ragged` does not allow it, and for no
    samples.
    """
    if check_ragged(ragged) == "bucket":
        raise ValueError("ragged is 'bucket', but a batch of given samples has no buckets: use 'list' or 'pad'")
    if not samples:
        raise ValueError("a batch needs at least one sample")
    whole: dict[str, Any] = {}
    if ragged == "error":
        for name in samples[0]:
            tensor = joined_rows([sample.get(name) for sample in samples])
            if tensor is not None:
                whole[name] = tensor
    tensors = Tensors()
    rest = [{name: value for name, value in sample.items() if name not in whole} for sample in samples]
    batch = Batch(len(samples), BatchLayout.of(rest[0]), lambda _, shape, dtype: tensors.make(shape, dtype), ragged)
    for sample in rest:
        batch.add(sample)
    return {**whole, **tensors.of(batch.take())}
