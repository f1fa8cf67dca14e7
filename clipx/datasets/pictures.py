"""Numbered pictures among the fields of a sample, such as "000.jpg", "001.jpg", ...: together a source, "jpg"."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from clipx.datasets.fields import PICTURE_EXTENSIONS, Field, Sample, extension_of, is_metadata
from clipx.datasets.origins import locating
from clipx.datasets.stored import StoredFile
from clipx.errors import MediaError
from clipx.pictures.decoding import DecodedPicture, decode
from clipx.pictures.headers import HEAD_BYTES, PictureHeader, read_header
from clipx.pictures.times import KnownTimes, read_times

__all__ = ["PictureGroup", "default_groups", "find_group", "names_of_groups"]

NUMBERED = re.compile(r"(?:(?P<prefix>.+)\.)?(?P<number>[0-9]{1,18})\.(?P<extension>[a-z]+)", re.IGNORECASE)
"""Names of pictures: a number and an extension, and anything before them."""

FACTS = "clip.json"
"""The field that says when the pictures are shown, where they are a clip that was extracted before."""

MOST_FACTS, MOST_OF_PICTURE = 1 << 20, 256
"""Bytes of it that are read: so many, and for each picture so many."""

ENCODED = (bytes, bytearray, memoryview, StoredFile)


def group_name(field: str) -> str | None:
    """The name of a field's group: "front.jpg" of "front.000.jpg"; None where the field is no numbered picture."""
    found = NUMBERED.fullmatch(field)
    if found is None or found["extension"].lower() not in PICTURE_EXTENSIONS:
        return None
    return ".".join(part for part in (found["prefix"], found["extension"]) if part)


def names_of_groups(sample: Mapping[str, Any]) -> dict[str, list[str]]:
    """The fields of each group of numbered pictures of a sample, by its name.

    A group whose name is that of a field of its own is not one: the field is meant by it.
    """
    groups: dict[str, list[str]] = {}
    for field, value in sample.items():
        if isinstance(value, ENCODED) and not is_metadata(field):
            name = group_name(field)
            if name is not None and name not in sample:
                groups.setdefault(name, []).append(field)
    return groups


def default_groups(sample: Mapping[str, Any]) -> list[Field]:
    """The groups that clips are taken from where the user named no field: all of at least two pictures.

    Where there is none, those of one picture whose name is a number and an extension.
    """
    groups = names_of_groups(sample)
    several = [Field(name) for name, fields in groups.items() if len(fields) > 1]
    return several or [Field(name) for name in groups if "." not in name]


def find_group(sample: Sample, field: str) -> PictureGroup | None:
    """The group of a name; None where the sample has none.

    Raises ValueError for one whose numbers have gaps, and for pictures that have been decoded.
    """
    if extension_of(field) not in PICTURE_EXTENSIONS:
        return None
    names = names_of_groups(sample).get(field)
    if names is not None:
        return PictureGroup(field, names, sample)
    for name, value in sample.items():
        if group_name(name) == field and hasattr(value, "shape"):
            raise ValueError(
                f"picture {name!r} is decoded, but clips are made of encoded ones: extract before .decode()"
            )
    return None


class PictureGroup:
    """The pictures of a group, in the order of their numbers: `clipx.pictures.clips.Pictures`.

    Attributes:
        names: of their fields.

    Raises ValueError where two have the same number, numbers are missing, or the first is neither 0 nor 1.
    """

    def __init__(self, name: str, fields: list[str], sample: Mapping[str, Any]) -> None:
        self.names = _in_order(name, fields)
        self._values = [sample[field] for field in self.names]
        self._facts = sample.get(FACTS)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def times(self) -> KnownTimes | str:
        """When the pictures are shown, as "clip.json" says; or the reason why that is not known."""
        facts = self._facts
        if facts is None:
            return f"there is no field {FACTS!r}"
        try:
            if isinstance(facts, StoredFile):
                _check_size(facts.nbytes, len(self))
                facts = facts.read()
            if isinstance(facts, (bytes, bytearray, memoryview, str)):
                _check_size(len(facts), len(self))
                facts = json.loads(bytes(facts) if isinstance(facts, memoryview) else facts)
            return read_times(facts, len(self))
        except (ValueError, RecursionError) as exn:
            return f"field {FACTS!r} does not say them: {exn}"

    def decode(self, k: int, *, gray: bool, max_pixels: int) -> DecodedPicture:
        """Picture k. Raises MediaError that names its field where it cannot be decoded; OSError where not read."""
        name, value = self.names[k], self._values[k]
        with locating(field=name):
            data = value.read() if isinstance(value, StoredFile) else bytes(value)
            try:
                return decode(data, name, gray=gray, max_pixels=max_pixels)
            except ValueError as exn:
                raise MediaError(f"picture {name!r}: {exn}") from exn

    @property
    def header(self) -> PictureHeader:
        """The header of the first picture. Raises ValueError for one that is broken, and OSError."""
        value = self._values[0]
        if not isinstance(value, StoredFile):
            return read_header(bytes(value))
        try:
            return read_header(value.head(HEAD_BYTES))
        except ValueError:
            return read_header(value.read())

    @property
    def is_local(self) -> bool:
        """True where pictures are read from where they lie in local files."""
        return any(isinstance(value, StoredFile) and value.path is not None for value in self._values)

    @property
    def largest_stored(self) -> int:
        """Bytes of the largest picture that is read when it is needed; 0 where all are in memory."""
        return max((value.known_size for value in self._values if isinstance(value, StoredFile)), default=0)


def _check_size(size: int, pictures: int) -> None:
    """Raise ValueError for facts of more bytes than those of so many pictures take."""
    most = MOST_FACTS + pictures * MOST_OF_PICTURE
    if size > most:
        raise ValueError(f"it has {size} bytes, of which at most {most} are read for {pictures} pictures")


def _in_order(name: str, fields: list[str]) -> list[str]:
    """The fields of a group, in the order of their numbers. Raises ValueError as PictureGroup."""
    numbers: dict[int, str] = {}
    for field in fields:
        found = NUMBERED.fullmatch(field)
        assert found is not None
        first = numbers.setdefault(int(found["number"]), field)
        if first != field:
            raise ValueError(f"pictures {first!r} and {field!r} of {name!r} have one number, but each needs its own")
    ordered = sorted(numbers)
    if ordered[0] > 1:
        raise ValueError(f"the pictures of {name!r} begin with {numbers[ordered[0]]!r}, but must with number 0 or 1")
    for before, number in zip(ordered, ordered[1:]):
        if number != before + 1:
            pair = f"after {numbers[before]!r} comes {numbers[number]!r}"
            raise ValueError(f"the pictures of {name!r} lack number {before + 1}: {pair}")
    return [numbers[number] for number in ordered]
