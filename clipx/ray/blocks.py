"""Tables of clips: their arrays as tensors, and the facts of "clip.json" as columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from clipx.ray.modules import ray_module
from clipx.ray.rows import Rows

__all__ = ["Block", "fact_columns"]


@cache
def fact_columns() -> Any:
    """The schema of the facts of clips, the same for all. Facts that may have several values are lists."""
    import pyarrow as pa

    text, integer, number = pa.string(), pa.int64(), pa.float64()
    segment = {"number": integer, "start": number, "end": number, "unit": text, "facts": text}
    return pa.schema(
        {
            "__key__": text,
            "key": text,
            "url": text,
            "index": integer,
            "start": integer,
            "valid": integer,
            "length": integer,
            "frame_indices": pa.list_(integer),
            "pts_seconds": pa.list_(number),
            "duration_seconds": pa.list_(number),
            "fps": number,
            "source_fps": number,
            "rotation": integer,
            "mirrored": pa.bool_(),
            "sample_rate": integer,
            "crop": pa.list_(pa.list_(integer)),
            "flip": pa.list_(pa.bool_()),
            "damaged": pa.list_(pa.list_(integer)),
            "segment": pa.struct(segment),
        }
    )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _cell(name: str, value: Any) -> Any:
    """A fact as its column takes it."""
    if value is None:
        return None
    if name in ("pts_seconds", "duration_seconds", "flip"):
        return _listed(value)
    if name == "crop":
        return value if isinstance(value[0], (list, tuple)) else [value]
    if name == "damaged":
        return [_listed(each) for each in value]
    if name == "segment":
        return {**value, "facts": None if value["facts"] is None else json.dumps(value["facts"])}
    return value


def _tensors(arrays: Sequence[np.ndarray]) -> Any:
    """Arrays as a column: of one fixed shape where they all have it."""
    made = ray_module("ray.data.extensions").ArrowTensorArray
    if len({array.shape for array in arrays}) == 1:
        return made.from_numpy(np.stack(arrays))
    ragged = np.empty(len(arrays), object)
    for number, array in enumerate(arrays):
        ragged[number] = array
    return made.from_numpy(ragged)


class Block:
    """Clips of the rows of a batch, gathered for one table.

    Args:
        rows: of the batch.
        error_column: name of the column of errors; None for none.
        empty: arrays without elements that stand where a row has no clip, by the names of their columns. Those of
            clips replace what was expected before.

    Attributes:
        nbytes: of the arrays.
    """

    def __init__(self, rows: Rows, error_column: str | None, empty: dict[str, np.ndarray]) -> None:
        self._rows, self._error_column, self._empty = rows, error_column, empty
        self.nbytes = 0
        self._numbers: list[int] = []
        self._arrays: list[Mapping[str, np.ndarray]] = []
        self._facts: list[Mapping[str, Any]] = []
        self._errors: list[str | None] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def add(
        self, row: int, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], error: str | None = None
    ) -> None:
        """Add a clip of a row: its arrays by the names of their columns, and its facts, with `__key__`; or an error."""
        self._numbers.append(row)
        self._arrays.append(arrays)
        self._facts.append(facts)
        self._errors.append(error)
        self.nbytes += sum(array.nbytes for array in arrays.values())
        if arrays and arrays.keys() != self._empty.keys():
            self._empty.clear()
        for name, array in arrays.items():
            self._empty[name] = np.empty((0,) * array.ndim, array.dtype)

    def table(self) -> Any:
        """The clips as a pyarrow table: the other columns of their rows, the arrays, and the facts."""
        import pyarrow as pa

        made = {name: _tensors([each.get(name, none) for each in self._arrays]) for name, none in self._empty.items()}
        for fact in fact_columns():
            made[fact.name] = pa.array([_cell(fact.name, facts.get(fact.name)) for facts in self._facts], fact.type)
        if self._error_column is not None:
            made[self._error_column] = pa.array(self._errors, pa.string())
        return pa.table({**self._rows.others(self._numbers, made), **made})
