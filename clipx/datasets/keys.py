"""The argument `keys=`: the fields of a sample that clips are taken from, and the names that the clips get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from clipx.datasets.fields import Field, Sample, is_metadata
from clipx.datasets.origins import locating
from clipx.datasets.sources import fields_of_sources, has_source, remaining_members

__all__ = ["Key", "Keys", "find_fields", "other_fields", "parse_keys"]

Keys = str | Iterable[str] | Mapping[str, str] | None
"""None: `default_fields`. "mp4"; "wav;flac;mp3": the first of these that a sample has, with the first name for the
clips; {"sound": "wav;flac"} names them; several fields share one plan."""

REPLACED = "source."
"""Prefix for the name of a sample's own field that a clip's field would replace."""


class Key(NamedTuple):
    """The name of a clip's field, and the alternative fields that it may be taken from."""

    name: Field
    fields: tuple[Field, ...]


def parse_keys(keys: Keys) -> list[Key] | None:
    """The parsed argument; None for `default_fields`. Raises TypeError and ValueError where it names no fields."""
    if keys is None:
        return None
    if isinstance(keys, str):
        pairs: list[tuple[Any, Any]] = [(None, keys)]
    elif isinstance(keys, Mapping):
        pairs = list(keys.items())
    else:
        try:
            pairs = [(None, each) for each in keys]
        except TypeError:
            raise TypeError(
                f"keys is {keys!r}, but must be a text, a list of texts, or a dict of them by names"
            ) from None
    found = []
    for given, text in pairs:
        fields = [each.strip() for each in text.split(";")] if isinstance(text, str) else []
        if not fields or not all(fields):
            raise ValueError(f"keys is {keys!r}, but must name at least one field, and alternatives as 'wav;flac'")
        name = fields[0] if given is None else given
        if not isinstance(name, str) or not name or ";" in name:
            raise ValueError(f"keys names a clip's field {name!r}, but must name it with a text without ';'")
        found.append(Key(Field(name), tuple(map(Field, fields))))
    if not found:
        raise ValueError(f"keys is {keys!r}, but must name at least one field")
    names = [key.name for key in found]
    _check_once("a clip's field", names, keys)
    _check_once("a field", [field for key in found for field in key.fields], keys)
    for name in names:
        if is_metadata(name) or name == "clip.json":
            raise ValueError(f"keys names a clip's field {name!r}, a name that is reserved in every clip's sample")
    return found


def _check_once(what: str, names: list[Field], keys: Keys) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"keys is {keys!r}, but names {what} {twice[0]!r} twice")


def find_fields(keys: list[Key], sample: Sample) -> dict[Field, Field]:
    """For the name of each clip's field, the first of its alternatives that a sample has.

    Raises ValueError where it has none of them.
    """
    found = {}
    for key in keys:
        if len(key.fields) == 1:
            found[key.name] = key.fields[0]  # an error in it is raised where its clips are asked for
            continue
        for field in key.fields:
            with locating(field=field):
                if has_source(sample, field):
                    found[key.name] = field
                    break
        else:
            wanted = " or ".join(map(repr, key.fields))
            names = ", ".join(name for name in sample if not is_metadata(name)) or "none"
            raise ValueError(f"there is no field {wanted} among {names}")
    return found


def other_fields(sample: Sample, fields: Mapping[Field, Field], added: Iterable[str]) -> Sample:
    """The fields of a sample that no clips are taken from, for each of its clips to keep.

    One whose name is in `added`, the names that clips bring with them, is renamed "source.{name}".
    """
    whole = fields_of_sources(sample, [field for field in fields.values() if not field.is_member_in(sample)])
    rest = {name: value for name, value in sample.items() if name not in whole}
    members: dict[str, list[str]] = {}
    for field in fields.values():
        if field.is_member_in(sample):
            members.setdefault(field.holder, []).append(field.member)
    for holder, taken in members.items():
        with locating(field=holder):
            rest[holder] = remaining_members(holder, sample[holder], taken)
        if not rest[holder]:
            del rest[holder]
    for name in added:
        if name in rest:
            value, free = rest.pop(name), REPLACED + name
            while free in sample:
                free = REPLACED + free
            rest[free] = value
    return rest
