"""The fields beside the clips, decoded, and the function that a user maps clips with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from clipx.datasets.decoding import decode
from clipx.datasets.fields import Field, Sample
from clipx.datasets.sources import fields_of_sources
from clipx.datasets.stored import StoredFile

__all__ = ["Map", "check_map", "decoded_beside", "mapped"]

Map = Callable[[Sample], Sample]


def check_map(function: Any) -> Map | None:
    """The argument `map`. Raises TypeError where it cannot be called."""
    if function is not None and not callable(function):
        raise TypeError(f"map is {function!r}, but must be a function of a sample")
    return function


def decoded_beside(sample: Sample, fields: Iterable[Field], most: int) -> Sample:
    """The fields of a sample beside those that hold its clips, decoded; each takes at most `most` bytes."""
    names = fields_of_sources(sample, fields)
    beside = {
        name: value.read() if isinstance(value, StoredFile) else value
        for name, value in sample.items()
        if name not in names
    }
    return decode(beside, most)


def mapped(function: Map, clip: Sample) -> Sample:
    """The sample of a clip as `map` gives it. Raises TypeError for anything that is not a sample."""
    found = function(clip)
    if not isinstance(found, Mapping):
        raise TypeError(f"map gave {found!r}, but must give a sample, a dict")
    return found
