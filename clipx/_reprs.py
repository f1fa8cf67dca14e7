"""Values as texts and as JSON: `repr` without defaults, settings to be compared, and bytes as people read them."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["byte_text", "json_value", "value_repr"]

PREFIXES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def byte_text(count: int) -> str:
    """Bytes to three digits: "2 GB", "154 MB", "64 bytes"."""
    for unit, name in PREFIXES:
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"


def value_repr(value: Any) -> str:
    """The constructor's call that makes a dataclass again, without arguments that are defaults."""
    given = []
    for field in dataclasses.fields(value):
        found = getattr(value, field.name)
        if type(found) is not type(field.default) or found != field.default:
            given.append(f"{field.name}={found!r}")
    return f"{type(value).__name__}({', '.join(given)})"


def json_value(value: Any) -> Any:
    """A value of an argument as JSON takes it, the same for the same value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: json_value(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [json_value(each) for each in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return repr(value)
