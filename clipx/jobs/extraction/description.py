"""job.json: the description of a job, written once, checked before it is believed, and compared."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from clipx.datasets.origins import shorten
from clipx.jobs.extraction.manifest import TABLES

__all__ = ["described", "parse_description", "refuse_changes"]

KIND, VERSION = "clipx.jobs.extract", 1

MOST_NAMED = 5
"""Differences that a message names."""

_PARTS = {"options": dict, "inputs": list, "versions": dict}


def described(facts: Mapping[str, Any]) -> bytes:
    """The bytes of job.json."""
    return json.dumps({"job": KIND, "version": VERSION, **facts}, indent=1, sort_keys=True).encode() + b"\n"


def parse_description(data: bytes, path: str) -> dict[str, Any]:
    """The facts of job.json. Raises ValueError for bytes that are none, or of another version."""
    cure = "give another folder, or, where this was one of clipx, remove what is in it"
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError) as exn:
        raise ValueError(f"{path!r} is not the description of a job, or is truncated ({exn}): {cure}") from exn
    if not isinstance(found, dict) or found.pop("job", None) != KIND:
        raise ValueError(f"{path!r} is of another program: {cure}")
    version = found.pop("version", None)
    if version != VERSION:
        raise ValueError(f"{path!r} has version {version!r}, but this clipx knows {VERSION}: {cure}")
    for name, kind in _PARTS.items():
        if not isinstance(found.get(name), kind):
            raise ValueError(f"{path!r} has no {name}: {cure}")
    if found.get("table") not in TABLES:
        raise ValueError(f"{path!r} has table {found.get('table')!r}, but must have one of {', '.join(TABLES)}: {cure}")
    return found


def refuse_changes(before: Mapping[str, Any], now: Mapping[str, Any], path: str) -> None:
    """Raise ValueError that names what differs of options and inputs; warn of other versions.

    The kind of manifest is that of the job, and is not compared.
    """
    now = json.loads(json.dumps(now))
    changed = [*_differences("", before["options"], now["options"]), *_changed_inputs(before["inputs"], now["inputs"])]
    if changed:
        named = "; ".join(changed[:MOST_NAMED])
        more = f"; and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
        raise ValueError(
            f"{path!r} is of another job: {named}{more}. Give the options and inputs that it was begun with, or "
            f"another folder"
        )
    others = list(_differences("", before["versions"], now["versions"]))
    if others:
        warnings.warn(
            f"{path!r} was begun with other versions, with which clips may have other bytes: {'; '.join(others)}",
            stacklevel=3,
        )


def _changed_inputs(before: list[Any], now: list[Any]) -> Iterator[str]:
    if len(before) != len(now):
        yield f"it has {len(before)} parts, and now there are {len(now)}"
    for part, (old, new) in enumerate(zip(before, now)):
        yield from _differences(f"part {part}", old, new)


def _differences(name: str, before: Any, now: Any) -> Iterator[str]:
    """What differs of two values of JSON, by its name such as "spec.length"."""
    if isinstance(before, dict) and isinstance(now, dict):
        for each in sorted({*before, *now}):
            inner = f"{name}.{each}" if name else each
            yield from _differences(inner, before.get(each), now.get(each))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for at, (old, new) in enumerate(zip(before, now)):
            yield from _differences(f"{name}[{at}]", old, new)
    else:
        old, new = json.dumps(before), json.dumps(now)
        if old != new:
            yield f"{name} was {shorten(old)} and is {shorten(new)}"
