"""The argument `segments=` of the stages: the segments of a sample, from one of its fields, a function or a list."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

from clipx._checks import exact_number
from clipx.datasets.field_paths import MOST_BYTES, FieldPath
from clipx.datasets.fields import Sample, extension_of
from clipx.datasets.origins import locating
from clipx.datasets.segment_tables import read_table
from clipx.plan import Segment
from clipx.plan.segments import Unit

__all__ = ["SEGMENT_BYTES", "BadSegment", "SampleSegments", "SegmentSource", "Segments", "parse_segments"]

Segments = str | Callable[[Sample], Any] | Iterable[Segment | Sequence[Any]] | None
"""None: sources are not divided. "json:segments": of a field of a sample; a function of the sample; a list for all."""

Seconds = float | str | Fraction | None
"""A number of seconds, exactly, also as a text such as "1001/30000"; None for no limit."""

SEGMENT_BYTES = 1024
"""Bytes that a segment counts with: its object, its facts' names, and its part of the plan."""

BOUNDS: tuple[tuple[str, str, Unit], ...] = (
    ("start_frame", "end_frame", "frames"),
    ("start_seconds", "end_seconds", "seconds"),
    ("start", "end", "seconds"),
)
"""Entries of a dict that are the bounds of a segment, the first of these that it has."""

TABLES = frozenset({"csv", "tsv"})


class SampleSegments(NamedTuple):
    """The segments of a sample, by their numbers, and the errors of those that are none.

    Attributes:
        given: how many there are, with those that are filtered out.
    """

    segments: dict[int, Segment]
    errors: list[tuple[int, ValueError]]
    given: int


class BadSegment(NamedTuple):
    """A segment of a sample that gives no clips, or not all that it should; the sample's others do.

    Attributes:
        error: which says why, with the sample, the field and the segment.
    """

    error: ValueError


@dataclass(frozen=True)
class SegmentSource:
    """Where the segments of samples come from, and which of them are taken: a checked description.

    Attributes:
        given: a path into a field, a function of the sample, or the segments of all samples.
        min_seconds, max_seconds: shortest and longest that are taken; None for any.
        trim_seconds: how much is taken off both ends, before that.
    """

    given: FieldPath | Callable[[Sample], Any] | tuple[Any, ...]
    min_seconds: Fraction | None = None
    max_seconds: Fraction | None = None
    trim_seconds: Fraction | None = None

    @property
    def field(self) -> FieldPath | None:
        """The path into a field; None where segments come from elsewhere."""
        return self.given if isinstance(self.given, FieldPath) else None

    @property
    def needs_decoded(self) -> bool:
        """Whether the fields of a sample must be decoded for it, as a function of the sample expects."""
        return callable(self.given)

    def settings(self) -> Any:
        """The description as JSON takes it; what a function is, is not known."""
        if isinstance(self.given, FieldPath):
            given = self.given.text
        elif callable(self.given):
            given = "a function"
        else:
            digest = hashlib.blake2b(repr(self.given).encode(), digest_size=8).hexdigest()
            given = f"{len(self.given)} segments ({digest})"
        limits = (self.min_seconds, self.max_seconds, self.trim_seconds)
        return [given, *(None if each is None else str(each) for each in limits)]

    def most_bytes(self, sample: Sample, most: int) -> int:
        """An upper bound on the bytes that the segments of a sample take whose field is encoded; `most` at most.

        Of a function it is not known, and 0.
        """
        if isinstance(self.given, tuple):
            return min(len(self.given) * SEGMENT_BYTES, most)
        if not isinstance(self.given, FieldPath):
            return 0
        value = sample.get(self.given.field_in(sample))
        if not isinstance(value, (bytes, bytearray)):
            return 0
        count = sum(value.count(sign) for sign in (b"[", b"{", b"\n"))
        return min(count * SEGMENT_BYTES, most) if extension_of(self.given.field.holder) != "gz" else most

    def of(self, sample: Sample, unit: Unit, most: int = MOST_BYTES) -> SampleSegments:
        """The segments of a sample.

        Args:
            unit: of pairs.
            most: bytes that they may take.

        Raises ValueError where the field is missing, or is not a list of segments, or has more than fit into `most`
        bytes; and what a function raises.
        """
        entries = self._entries(sample, most)
        size = len(entries) * SEGMENT_BYTES
        if size > most:
            raise ValueError(
                f"{self._name} gives {len(entries)} segments of {size} bytes, but {most} are left for them"
            )
        found: dict[int, Segment] = {}
        errors = []
        for number, entry in enumerate(entries):
            try:
                segment = self._filtered(_segment(number, entry, unit))
            except (TypeError, ValueError) as exn:
                error = ValueError(f"segment {number} of {self._name}: {exn}")
                errors.append((number, error))
                continue
            if segment is not None:
                found[number] = segment
        return SampleSegments(found, errors, len(entries))

    @property
    def _name(self) -> str:
        return "segments" if self.field is None else repr(self.field)

    def _entries(self, sample: Sample, most: int) -> Sequence[Any]:
        if isinstance(self.given, tuple):
            return self.given
        if callable(self.given):
            found = self.given(sample)
            found = found.tolist() if hasattr(found, "tolist") else found
            if not isinstance(found, (list, tuple)):
                raise TypeError(f"segments gave {found!r} for the sample, but must give a list of segments")
            return found
        name = self.given.field_in(sample)
        with locating(field=name):
            if extension_of(name) in TABLES:
                return _table(self.given, sample, name, most)
            values = list(self.given.values(sample, most))
            if self.given.has_all and self.given.field not in sample:
                return values
            (value,) = values
            if not isinstance(value, list):
                raise ValueError(f"{self.given} is a {type(value).__name__}, but must be a list of segments")
            return value

    def _filtered(self, segment: Segment) -> Segment | None:
        """The segment, trimmed; None where it is too short or too long."""
        if self.min_seconds is self.max_seconds is self.trim_seconds is None:
            return segment
        if segment.unit != "seconds":
            raise ValueError("it is in frames, but min_seconds, max_seconds and trim_seconds need seconds")
        trim = self.trim_seconds or 0
        start, end = segment.start + trim, segment.end - trim
        if end <= start or not (self.min_seconds or 0) <= end - start:
            return None
        if self.max_seconds is not None and end - start > self.max_seconds:
            return None
        return replace(segment, start=start, end=end) if trim else segment


def _table(path: FieldPath, sample: Sample, name: str, most: int) -> list[Any]:
    """The segments of a field that is a table, and its errors in place of some."""
    value = sample[name]
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value)
        # Each line becomes a segment, a dict of its cells and their texts.
        size = value.count(b"\n") * SEGMENT_BYTES + 64 * (value.count(b",") + value.count(b"\t")) + 4 * len(value)
        if size > most:
            raise ValueError(f"field {name!r} takes {size} bytes when it is decoded, but may take at most {most}")
        value = value.decode("utf-8-sig")
    if not isinstance(value, str):
        raise ValueError(f"field {name!r} is a {type(value).__name__}, but must be a text")
    return [row.segment for row in read_table(value, f"field {name!r}")]


def _segment(number: int, entry: Any, unit: Unit) -> Segment:
    if isinstance(entry, ValueError):
        raise entry
    if isinstance(entry, Segment):
        return replace(entry, number=number)
    if isinstance(entry, Mapping):
        for start, end, of_unit in BOUNDS:
            if start in entry or end in entry:
                for name in (start, end):
                    if name not in entry:
                        raise ValueError(f"it has no {name!r}")
                taken = {name for names in BOUNDS for name in names[:2]}
                facts = {name: value for name, value in entry.items() if name not in taken}
                return Segment(entry[start], entry[end], facts or None, of_unit, number=number)
        raise ValueError(
            f"it has neither start and end nor start_frame and end_frame, but {', '.join(entry) or 'nothing'}"
        )
    entry = entry.tolist() if hasattr(entry, "tolist") else entry
    if not isinstance(entry, (list, tuple)) or len(entry) != 2:
        raise ValueError(f"it is {entry!r:.100}, but must be a pair (start, end), an object with both, or a Segment")
    start, end = entry
    return Segment(start, end, unit=unit, number=number)


def parse_segments(
    segments: Segments, *, min_seconds: Seconds = None, max_seconds: Seconds = None, trim_seconds: Seconds = None
) -> SegmentSource | None:
    """The parsed arguments; None where sources are not divided. Raises TypeError and ValueError that name them."""
    limits = {"min_seconds": min_seconds, "max_seconds": max_seconds, "trim_seconds": trim_seconds}
    exact = {name: None if value is None else exact_number(name, value, "seconds") for name, value in limits.items()}
    for name, value in exact.items():
        if value is not None and (value < 0 or (name == "max_seconds" and not value)):
            rule = "above 0" if name == "max_seconds" else "at least 0"
            raise ValueError(f"{name} is {limits[name]}, but must be {rule}")
        if value is not None and segments is None:
            raise ValueError(f"{name} is {limits[name]}, but segments is None, so that there is nothing to filter")
    low, high = exact["min_seconds"], exact["max_seconds"]
    if low is not None and high is not None and low > high:
        raise ValueError(f"min_seconds is {min_seconds}, but must be at most max_seconds, {max_seconds}")
    if segments is None:
        return None
    if isinstance(segments, str):
        return SegmentSource(FieldPath("segments", segments), **exact)
    if callable(segments):
        return SegmentSource(segments, **exact)
    if isinstance(segments, (bytes, Mapping)) or not isinstance(segments, Iterable):
        raise TypeError(
            f"segments is {segments!r}, but must be a path such as 'json:segments', a function of a sample, or a list"
        )
    found = tuple(segments)
    for number, entry in enumerate(found):
        try:
            _segment(number, entry, "seconds")  # which unit pairs have shows with the kind of a source
        except (TypeError, ValueError) as exn:
            raise type(exn)(f"segment {number} of segments: {exn}") from None
    return SegmentSource(found, **exact)
