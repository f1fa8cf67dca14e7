"""Segment: a part of a source, from a start to an end, with facts of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal, get_args

from clipx._checks import integer
from clipx.plan.seconds import Rounded, as_seconds

__all__ = ["Segment", "Unit", "as_segments", "json_number"]

Unit = Literal["seconds", "frames"]


def json_number(value: Fraction | int) -> float | int:
    """A start or an end as JSON takes it."""
    if isinstance(value, Rounded) or value != int(value):
        return float(value)
    return int(value)


@dataclass(frozen=True)
class Segment:
    """A part of a source, from `start` up to but without `end`: a source of its own for a spec and its policy.

    >>> clipx.Segment(12.5, 20, {"caption": "a dog runs"})
    >>> clipx.Segment(300, 500, unit="frames")

    Args:
        start, end: a frame belongs to the segment if it begins at start or later, and before end. Seconds are on the
            file's own clock, as `clip.pts_seconds` are: ints, Fractions and texts such as "30000/1001" are exact, a
            float from `pts_seconds` means the exact time of that frame. Frames are those of the source, before `fps`
            of any options, counted from 0.
        facts: a mapping that JSON takes, such as a caption or a label: it stands in `clip.json`. None for none.
        unit: "seconds" or "frames".
        number: position among the segments of its source; set by what takes them.

    Raises TypeError and ValueError that name the argument: an end that is not after its start, NaN, a start before
    frame 0, facts that JSON does not take.

    Stability: stable.
    """

    start: Any
    end: Any
    facts: Mapping[str, Any] | None = field(default=None, hash=False)
    unit: Unit = "seconds"
    number: int | None = field(default=None, compare=False, kw_only=True)

    def __repr__(self) -> str:
        given = [repr(json_number(self.start)), repr(json_number(self.end))]
        given += [] if self.facts is None else [repr(self.facts)]
        given += [] if self.unit == "seconds" else [f"unit={self.unit!r}"]
        given += [] if self.number is None else [f"number={self.number}"]
        return f"Segment({', '.join(given)})"

    def __post_init__(self) -> None:
        if not isinstance(self.unit, str) or self.unit not in get_args(Unit):
            raise ValueError(f"unit is {self.unit!r}, but must be one of {', '.join(get_args(Unit))}")
        for name in ("start", "end"):
            value = getattr(self, name)
            if value is None or value in (math.inf, -math.inf):
                rule = f"a finite number of {self.unit}; an end past the source is its end"
                raise TypeError(f"{name} is {value!r}, but must be {rule}")
            exact = as_seconds(name, value) if self.unit == "seconds" else integer(name, value, 0)
            object.__setattr__(self, name, exact)
        if not self.end > self.start:
            raise ValueError(f"end is {json_number(self.end)}, but must be after start, {json_number(self.start)}")
        if self.facts is not None:
            object.__setattr__(self, "facts", _checked_facts(self.facts))
        if self.number is not None:
            object.__setattr__(self, "number", integer("number", self.number, 0))

    def record(self) -> dict[str, Any]:
        """The segment as JSON takes it, for "clip.json"."""
        return {
            "number": self.number,
            "start": json_number(self.start),
            "end": json_number(self.end),
            "unit": self.unit,
            "facts": deepcopy(self.facts),  # who changes those of a clip does not change those of others
        }

    def __str__(self) -> str:
        """The segment in messages."""
        numbered = "segment" if self.number is None else f"segment {self.number}"
        if self.unit == "frames":
            return f"{numbered}, frames {self.start} to {self.end}"
        return f"{numbered}, {json_number(self.start)} to {json_number(self.end)} s"


def _checked_facts(facts: Any) -> dict[str, Any]:
    if not isinstance(facts, Mapping):
        raise TypeError(f"facts is {facts!r}, but must be a mapping, or None")
    for name in facts:
        if not isinstance(name, str):
            raise TypeError(f"facts has the name {name!r}, but its names must be texts")
    try:
        facts = deepcopy(dict(facts))
        json.dumps(facts, allow_nan=False)
    except RecursionError:
        raise ValueError("facts are nested too deeply") from None
    except (TypeError, ValueError) as exn:
        raise TypeError(f"facts is {facts!r}, which JSON does not take: {exn}") from None
    return facts


def as_segments(segments: Iterable[Any] | None, default_unit: Unit) -> dict[int, Segment] | None:
    """The segments of a source by their numbers, from pairs (start, end) in the default unit and Segments.

    None for None: the source is not divided. Raises TypeError and ValueError that name the number of a segment.

    Stability: provisional.
    """
    if segments is None:
        return None
    if isinstance(segments, (str, bytes, Mapping)) or not isinstance(segments, Iterable):
        raise TypeError(f"segments is {segments!r}, but must be a sequence of pairs (start, end) and Segments")
    return {number: _as_segment(number, each, default_unit) for number, each in enumerate(segments)}


def _as_segment(number: int, value: Any, default_unit: Unit) -> Segment:
    if isinstance(value, Segment):
        return replace(value, number=number)
    is_pair = not isinstance(value, (str, bytes, Mapping)) and hasattr(value, "__len__") and len(value) == 2
    if not is_pair:
        raise TypeError(f"segment {number} is {value!r}, but must be a pair (start, end) or a Segment")
    start, end = value
    try:
        return Segment(start, end, unit=default_unit, number=number)
    except (TypeError, ValueError) as exn:
        raise type(exn)(f"segment {number}: {exn}") from None
