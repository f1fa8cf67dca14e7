"""Paths into the fields of a sample, such as "json:shots.*.times": the values that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clipx._checks import as_bytes
from clipx.datasets.decoding import TooLarge, decode, decoded_bytes
from clipx.datasets.fields import Field, Sample, is_metadata

__all__ = ["MOST_BYTES", "FieldPath"]

MOST_BYTES = 1 << 28
"""Bytes that a field may be decoded to where nothing else limits it."""

ALL = "*"


class FieldPath:
    """A field and a path into its decoded value: "json:shots", "json:meta.spans", "json:shots.*.times" or "npy".

    The parts of a path are names of a dict's entries, or numbers of a list's; `*` stands for each of these.

    Attributes:
        text: the path as it was given.
        field: name of the field.
    """

    def __init__(self, name: str, text: str) -> None:
        """Args: name: of the argument, in messages. Raises ValueError where the text is not a path."""
        self.text, self.field = text, Field(text)
        self._parts = self.field.member.split(".") if self.field.member else []
        if not self.field.holder or is_metadata(text) or not all(self._parts) or text.endswith(":"):
            raise ValueError(f"{name} is {text!r}, but must name a field and a path in it, such as 'json:{name}'")

    def __repr__(self) -> str:
        return repr(self.text)

    @property
    def has_all(self) -> bool:
        """Whether the path names any number of values, by a `*`."""
        return ALL in self._parts

    def field_in(self, sample: Mapping[str, Any]) -> str:
        """The name of the field of a sample: its own of exactly this name comes before the path into another."""
        return self.field if self.field in sample else self.field.holder

    def decoded(self, sample: Sample, most: int = MOST_BYTES) -> Any:
        """The decoded value of the field. Raises ValueError that names it, TooLarge where it takes more than `most`."""
        name = self.field_in(sample)
        value = sample.get(name)
        if value is None:
            raise ValueError(f"there is no field {name!r} among {', '.join(f for f in sample if not is_metadata(f))}")
        value = as_bytes(value) if name.rpartition(".")[2] not in ("npy", "npz") else value
        if isinstance(value, (bytearray, memoryview)):
            value = bytes(value)
        size = sum(decoded_bytes(name, value, most))
        if size > most:
            raise TooLarge(f"field {name!r} takes {size} bytes when it is decoded, but may take at most {most}")
        value = decode({name: value}, most)[name]
        return value.tolist() if hasattr(value, "tolist") else value

    def values(self, sample: Sample, most: int = MOST_BYTES) -> Iterator[Any]:
        """Values that the path names: one without a `*`. Raises ValueError where there is none, else as `decoded`."""
        value = self.decoded(sample, most)
        parts = [] if self.field in sample else self._parts
        if isinstance(value, bytes):
            raise ValueError(f"field {self.field_in(sample)!r} is of a kind that is not decoded")
        yield from _walk(value, parts, self.field_in(sample))


def _walk(value: Any, parts: list[str], where: str) -> Iterator[Any]:
    if not parts:
        yield value
        return
    part, rest = parts[0], parts[1:]
    where = f"{where}{':' if ':' not in where else '.'}{part}"
    if part == ALL:
        if not isinstance(value, (list, dict)):
            raise ValueError(f"{where} is of {_kind(value)}, but must be of a list or an object")
        for each in value.values() if isinstance(value, dict) else value:
            yield from _walk(each, rest, where)
    elif isinstance(value, dict) and part in value:
        yield from _walk(value[part], rest, where)
    elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        yield from _walk(value[int(part)], rest, where)
    else:
        raise ValueError(f"there is no {where}: {_kind(value)} has no {part!r}")


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return f"a list of {len(value)}" if isinstance(value, list) else f"a {type(value).__name__}"
