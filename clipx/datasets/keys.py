"""The argument `keys=`: which fields of a sample are cut, and the names under which their clips stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from clipx.datasets.fields import Sample, has_field, others
from clipx.datasets.origins import locating

__all__ = ["Key", "Keys", "beside", "find_fields", "parse_keys", "put"]

Keys = str | Iterable[str] | Mapping[str, str] | None
"""None: what there is. "mp4"; "wav;flac;mp3", of which the first that a sample has is cut and stands under the first
name; {"sound": "wav;flac"} names it; several fields share one plan."""

REPLACED = "source."
"""What stands before the name of a sample's own field that one of its clips' would replace."""


class Key(NamedTuple):
    """The name of a clip's field, and the fields that it may be cut from."""

    name: str
    fields: tuple[str, ...]


def parse_keys(keys: Keys) -> list[Key] | None:
    """What `keys=` says. Raises TypeError and ValueError for what says nothing."""
    if keys is None:
        return None
    if isinstance(keys, str):
        named: list[tuple[Any, Any]] = [(None, keys)]
    elif isinstance(keys, Mapping):
        named = list(keys.items())
    else:
        try:
            named = [(None, each) for each in keys]
        except TypeError:
            raise TypeError(
                f"keys is {keys!r}, but must be a text, a list of texts, or a dict of them by names"
            ) from None
    found = []
    for given, told in named:
        fields = [each.strip() for each in told.split(";")] if isinstance(told, str) else []
        if not fields or not all(fields):
            raise ValueError(f"keys is {keys!r}, but must name at least one field, and alternatives as 'wav;flac'")
        name = fields[0] if given is None else given
        if not isinstance(name, str) or not name or ";" in name:
            raise ValueError(f"keys names a clip's field {name!r}, but must name it with a text without ';'")
        found.append(Key(name, tuple(fields)))
    if not found:
        raise ValueError(f"keys is {keys!r}, but must name at least one field")
    every = [key.name for key in found]
    _check_once("a clip's field", every, keys)
    _check_once("a field", [field for key in found for field in key.fields], keys)
    for name in every:
        if name.startswith("__") or name == "clip.json":
            raise ValueError(f"keys names a clip's field {name!r}, a name that every clip's sample has for itself")
    return found


def _check_once(what: str, names: list[str], keys: Keys) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"keys is {keys!r}, but names {what} {twice[0]!r} twice")


def find_fields(keys: list[Key], sample: Sample) -> dict[str, str]:
    """For the name of each clip's field, the field of a sample that it is cut from: the first that there is."""
    found = {}
    for key in keys:
        one = key.fields[0] if len(key.fields) == 1 else None  # what is wrong with it shows where it is cut
        field = one
        for each in key.fields:
            with locating(field=each):
                field = field or (each if has_field(sample, each) else None)
        if field is None:
            told = " or ".join(map(repr, key.fields))
            have = ", ".join(name for name in sample if name[:2] != "__") or "none"
            raise ValueError(f"there is no field {told} among {have}")
        found[key.name] = field
    return found


def _members(sample: Sample, fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The fields that are members of others: (field, member)."""
    for field in fields:
        name, _, member = field.partition(":")
        if member and field not in sample:
            yield name, member


def beside(sample: Sample, fields: Mapping[str, str], made: Iterable[str]) -> Sample:
    """The fields that stand beside a sample's clips: all that are not cut.

    A field of its own that is called like one of the clips', a name in `made`, stands under "source.{name}".
    """
    rest = {name: value for name, value in sample.items() if name not in fields.values()}
    cut: dict[str, list[str]] = {}
    for name, member in _members(sample, fields.values()):
        cut.setdefault(name, []).append(member)
    for name, members in cut.items():
        with locating(field=name):
            rest[name] = others(name, sample[name], members)
        if not rest[name]:
            del rest[name]  # all of it is cut
    for name in made:
        if name in rest:
            value, free = rest.pop(name), REPLACED + name
            while free in sample:
                free = REPLACED + free
            rest[free] = value
    return rest


def put(sample: Sample, name: str, value: Any) -> None:
    """Put a clip into a sample; one that is called "npz:frames" into the dict of that field."""
    field, _, member = name.partition(":")
    if not member:
        sample[name] = value
        return
    members = sample.get(field)
    sample[field] = {**members, member: value} if isinstance(members, Mapping) else {member: value}
