"""The layout of a batch: the fields of its samples, the shape and dtype of each array, and how far they may differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from clipx import memory
from clipx.datasets.fields import Field
from clipx.datasets.origins import locate
from clipx.wds.copying import differing_axes

__all__ = [
    "ArrayKind",
    "BatchLayout",
    "Ragged",
    "check_alike",
    "check_array",
    "check_paddable",
    "check_ragged",
    "flatten",
    "gather_lengths",
    "lengths_of",
    "unlike_error",
]

Ragged = Literal["error", "list", "pad", "bucket"]
"""How clips of different lengths come in batches."""

ADVICE = (
    "give the format resize=(height, width) or a crop; for sound, AudioFormat(sample_rate=, mono=True); for clips of "
    "different lengths ragged='pad', 'bucket' or 'list'; other arrays are for map to make alike, or to drop"
)
"""Advice on how to make clips alike."""

MOST_CHANNELS = 64  # of sound, as FFmpeg has it: a longer axis is time

ONE_SIZE = "a batch needs clips of one size and dtype"
ONE_BUT_FOR_TIME = (
    "ragged='pad' needs clips of one dtype and of one size along all axes but time, whose size is \"length\" in "
    "clip.json, or without that the first axis"
)


def check_ragged(ragged: Ragged) -> Ragged:
    """The argument `ragged`. Raises ValueError where it is not one of its values."""
    if ragged not in get_args(Ragged):
        raise ValueError(f"ragged is {ragged!r}, but must be one of {', '.join(map(repr, get_args(Ragged)))}")
    return ragged


def check_alike(name: Any, shape: tuple[int, ...], dtype: np.dtype, first_key: str, array: Any, key: str) -> None:
    """Raise ValueError for a value that is not an array of the shape and dtype that the first sample's has."""
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
        raise unlike_error(name, f"{shape} {dtype}", first_key, array, key)


def check_array(name: Any, first_key: str, value: Any, key: str) -> None:
    """Raise ValueError for a value that is not an array, as the first sample has."""
    if not isinstance(value, np.ndarray):
        raise unlike_error(name, "an array", first_key, value, key, "a list of arrays needs one from each")


def unlike_error(name: Any, kind: str, first_key: str, value: Any, key: str, rule: str = ONE_SIZE) -> ValueError:
    """The error of a value that does not fit into an array with others of this kind."""
    found = f"{tuple(value.shape)} {value.dtype}" if hasattr(value, "shape") else type(value).__name__
    error = ValueError(
        f"field {name!r} has {kind} in sample {first_key!r}, but {found} in sample {key!r}: {rule}; {ADVICE}"
    )
    locate(error, key=key, field=name)
    return error


def length_of(row: Mapping[Any, Any]) -> int | None:
    """Positions of a sample's clips, as its "clip.json" says; None where it does not."""
    facts = row.get("clip.json")
    length = facts.get("length") if isinstance(facts, Mapping) else None
    return length if isinstance(length, int) else None


def is_sound_beside(name: Any) -> bool:
    """Whether a field is the sound of a video's clip, whose length is not the clip's."""
    return isinstance(name, str) and (name == "audio" or name.endswith(".audio"))


def _is_time(name: Any, axis: int, shape: tuple[int, ...], length: int | None) -> bool:
    """Whether an axis of a field's array may be time: it has the clip's length; without one it is the first.

    That of sound beside a clip is longer than there are channels.
    """
    if is_sound_beside(name):
        return shape[axis] > MOST_CHANNELS or shape[axis] == max(shape)
    return axis == 0 if length is None else shape[axis] == length


def lengths_of(row: Mapping[Any, Any]) -> dict[str, int]:
    """The lengths of a sample that a padded batch has as fields: "lengths" of its clips, and of each sound beside them.

    Raises ValueError where the sample has such a field of its own.
    """
    length, arrays = length_of(row), {name: value for name, value in row.items() if isinstance(value, np.ndarray)}
    if length is None:
        length = next((len(value) for value in arrays.values() if value.ndim), 0)
    sounds = {f"{name}.lengths": max(value.shape, default=0) for name, value in arrays.items() if is_sound_beside(name)}
    lengths = {"lengths": length, **sounds}
    for name in lengths.keys() & row.keys():
        raise ValueError(f"sample {row.get('__key__')!r} has a field {name!r}, which ragged='pad' adds: rename it")
    return lengths


def gather_lengths(lengths: list[dict[str, int]]) -> dict[str, np.ndarray]:
    """The lengths of samples as fields of their batch, int64 (batch,); 0 where a sample has no such sound."""
    names = dict.fromkeys(name for each in lengths for name in each)
    return {name: np.array([each.get(name, 0) for each in lengths], dtype=np.int64) for name in names}


def check_paddable(
    name: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    first_key: str,
    first_length: int | None,
    array: Any,
    key: str,
    length: int | None,
) -> None:
    """Raise ValueError for a value that is not an array as the first sample's, of which either may end earlier."""
    if isinstance(array, np.ndarray) and array.ndim == len(shape) and array.dtype == dtype:
        axes = differing_axes(shape, array.shape)
        if not axes or (
            len(axes) == 1
            and _is_time(name, axes[0], shape, first_length)
            and _is_time(name, axes[0], array.shape, length)
        ):
            return
    raise unlike_error(name, f"{shape} {dtype}", first_key, array, key, ONE_BUT_FOR_TIME)


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
        length: positions of its clips; None where that is not known.
    """

    key: str
    fields: dict[str, ArrayKind]
    clips: tuple[str, ...] = ()
    length: int | None = None

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
        return cls(str(sample.get("__key__", 0)), arrays, tuple(clips[: len(wanted)]), length_of(sample))

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
