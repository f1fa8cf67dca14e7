"""The layout of a batch: the fields of its samples, and the shape and dtype of each array."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from clipx import memory
from clipx.datasets.fields import Field
from clipx.datasets.origins import locate

__all__ = ["ArrayKind", "BatchLayout", "check_alike", "flatten", "unlike_error"]

ADVICE = (
    "give the format resize=(height, width) or a crop; for sound, AudioFormat(sample_rate=, mono=True); other arrays "
    "are for map to make alike, or to drop"
)
"""Advice on how to make clips alike."""


def check_alike(name: Any, shape: tuple[int, ...], dtype: np.dtype, first_key: str, array: Any, key: str) -> None:
    """Raise ValueError for a value that is not an array of the shape and dtype that the first sample's has."""
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
        raise unlike_error(name, f"{shape} {dtype}", first_key, array, key)


def unlike_error(name: Any, kind: str, first_key: str, value: Any, key: str) -> ValueError:
    """The error of a value that does not fit into an array with others of this kind."""
    found = f"{tuple(value.shape)} {value.dtype}" if hasattr(value, "shape") else type(value).__name__
    error = ValueError(
        f"field {name!r} has {kind} in sample {first_key!r}, but {found} in sample {key!r}: a batch needs clips of one "
        f"size and dtype; {ADVICE}"
    )
    locate(error, key=key, field=name)
    return error


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


ArrayKind = tuple[tuple[int, ...], np.dtype] | None
"""Shape and dtype of a field; None where it is no array."""


class BatchLayout(NamedTuple):
    """The fields that samples have in common, as the first one shows them.

    Attributes:
        key: of the first sample.
        fields: kind of each of its fields.
        clips: those of the fields that hold clips.
    """

    key: str
    fields: dict[str, ArrayKind]
    clips: tuple[str, ...] = ()

    @classmethod
    def of(cls, sample: Mapping[Any, Any], clip_fields: Iterable[str] = ()) -> BatchLayout:
        """The layout that a sample shows.

        `clip_fields` are the fields that clips were extracted to. Where `map` has replaced one, a field that holds a
        clip counts in its stead.
        """
        row, wanted = flatten(sample), tuple(clip_fields)
        arrays = {
            name: (value.shape, value.dtype) if isinstance(value, np.ndarray) else None for name, value in row.items()
        }
        named = [name for name in row if arrays[name] and name in wanted]
        clips = [*named, *(name for name, value in row.items() if name not in named and _is_clip(value))]
        return cls(str(sample.get("__key__", 0)), arrays, tuple(clips[: len(wanted)]))

    def check_clips(self, row: Mapping[Any, Any], key: str) -> None:
        """Raise ValueError where a sample, flattened, lacks clips that all have."""
        missing = [name for name in self.clips if row.get(name) is None]
        if not missing:
            return
        own = [str(name) for name, value in row.items() if name not in self.clips and _is_clip(value)]
        have = f"has its clips in {', '.join(map(repr, own))}" if own else f"has {', '.join(map(str, row))}"
        names = ";".join([str(missing[0]), *own[:1]] if own else [str(missing[0]), "..."])
        error = ValueError(
            f"sample {self.key!r} has clips in field {str(missing[0])!r}, but sample {key!r} {have}: in a dataset of "
            f"mixed kinds say which fields are one, keys={names!r}, or {{'clip': {names!r}}}, or rename them in map"
        )
        locate(error, key=key, field=own[0] if own else missing[0])
        raise error
