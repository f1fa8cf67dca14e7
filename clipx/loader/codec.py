"""Values of states as JSON takes them, by the types that their classes declare."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from clipx.datasets.addresses import Address
from clipx.datasets.dataset import refuse

__all__ = ["Decoder", "Encoder", "whole"]

MOST = 1 << 53

Value = TypeVar("Value")

_hints = cache(typing.get_type_hints)


def whole(name: str, value: Any, least: int = 0, most: int = MOST) -> int:
    """An integer from `least` to `most`. Raises ValueError for anything else."""
    if type(value) is not int or not least <= value <= most:
        raise refuse(name, value, f"must be an integer from {least} to {most}")
    return value


def _is_row(kind: Any) -> bool:
    """Whether a type is a NamedTuple, but not an address, which is a number in a table of all."""
    return isinstance(kind, type) and issubclass(kind, tuple) and kind is not Address and hasattr(kind, "_fields")


def _items_of(kind: Any) -> Any:
    """The type of the items of a list; None for what is not a list."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, Sequence) or (origin is tuple and arguments[1:] == (...,)):
        return arguments[0]
    return None


def _without_none(kind: Any) -> Any:
    """The type X of a type "X | None"; None for what is not one."""
    if typing.get_origin(kind) not in (types.UnionType, typing.Union):
        return None
    return next(each for each in typing.get_args(kind) if each is not type(None))


class Encoder:
    """Encodes values of declared types as JSON takes them.

    Lists of named tuples become columns, a column of truths the indices of those that are true, dicts a list of keys
    and a list of values, and addresses numbers.

    Attributes:
        addresses: the number of each address.
    """

    def __init__(self) -> None:
        self.addresses: dict[Address, int] = {}

    def encode(self, kind: Any, value: Any) -> Any:
        """A value of the type `kind`. Raises TypeError for a key of a dict that is not a string."""
        if value is None:
            return None
        if kind is Address:
            return self.addresses.setdefault(value, len(self.addresses))
        if kind is np.dtype:
            return _encode_dtype(value)
        if kind in (int, bool, str, Any):
            return str(value) if isinstance(value, str) else value
        if (inner := _without_none(kind)) is not None:
            return self.encode(inner, value)
        if (item := _items_of(kind)) is not None:
            if _is_row(item):
                hints = _hints(item)
                return [self._column(hints[name], [row[at] for row in value]) for at, name in enumerate(item._fields)]
            return [self.encode(item, each) for each in value]
        if typing.get_origin(kind) is tuple:
            return [self.encode(each, part) for each, part in zip(typing.get_args(kind), value)]
        if typing.get_origin(kind) is dict:
            keys, values = typing.get_args(kind)
            return [[self.encode(keys, each) for each in value], [self.encode(values, each) for each in value.values()]]
        hints = _hints(kind)
        return {name: self.encode(hints[name], getattr(value, name)) for name in hints}

    def _column(self, kind: Any, values: list[Any]) -> list[Any]:
        # A shuffle may hold many thousands of clips.
        if kind is int:
            return values
        if kind is bool:
            return [at for at, value in enumerate(values) if value]
        if kind is Address:
            for value in dict.fromkeys(values):
                self.encode(Address, value)
            return list(map(self.addresses.__getitem__, values))
        return [self.encode(kind, value) for value in values]


class Decoder:
    """Decodes what Encoder has encoded, and checks it as if a stranger had written it.

    Args:
        addresses: by their numbers.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._plain: dict[Any, Callable[[str, Any], Any]] = {
            int: whole,
            bool: _truth,
            str: _string,
            Address: self._address,
            np.dtype: _decode_dtype,
        }

    def decode(self, kind: type[Value], name: str, value: Any) -> Value:
        """The value of the type `kind` that is called `name` in errors. Raises ValueError."""
        found: Value = self._decode(kind, name, value)
        return found

    def _decode(self, kind: Any, name: str, value: Any) -> Any:
        if kind in self._plain:
            return self._plain[kind](name, value)
        if (inner := _without_none(kind)) is not None:
            return None if value is None else self._decode(inner, name, value)
        if (item := _items_of(kind)) is not None:
            found = self._rows(item, name, value) if _is_row(item) else self._list(item, name, value)
            return tuple(found) if typing.get_origin(kind) is tuple else found
        if typing.get_origin(kind) is tuple:
            kinds = typing.get_args(kind)
            items = _items(name, value, len(kinds))
            return tuple(self._decode(each, f"{name}[{at}]", items[at]) for at, each in enumerate(kinds))
        if typing.get_origin(kind) is dict:
            key_kind, value_kind = typing.get_args(kind)
            keys, values = _items(name, value, 2)
            keys = self._list(key_kind, f"keys of {name}", keys)
            if len(set(keys)) < len(keys):
                raise refuse(f"keys of {name}", keys, "must be different")
            _items(name, values, len(keys))
            return {key: self._decode(value_kind, f"{name}[{key!r}]", each) for key, each in zip(keys, values)}
        return self._record(kind, name, value)

    def _record(self, kind: Any, name: str, value: Any) -> Any:
        """A dataclass or a NamedTuple, from a dict."""
        hints = _hints(kind)
        if not isinstance(value, Mapping):
            raise refuse(name, value, "must be a dict")
        if value.keys() != hints.keys():
            raise refuse(name, value, f"must have the entries {', '.join(hints)}")
        prefix = f"{name}." if name else ""
        return kind(**{each: self._decode(hints[each], f"{prefix}{each}", value[each]) for each in hints})

    def _list(self, item: Any, name: str, value: Any) -> list[Any]:
        return [self._decode(item, f"{name}[{at}]", each) for at, each in enumerate(_items(name, value))]

    def _rows(self, item: Any, name: str, value: Any) -> list[Any]:
        """Named tuples, from their columns."""
        hints = _hints(item)
        columns: list[list[Any]] = []
        for each, column in zip(item._fields, _items(name, value, len(item._fields))):
            length, called = len(columns[0]) if columns else None, f"{name}.{each}"
            if hints[each] is bool:
                true = {whole(called, cell, 0, (length or 0) - 1) for cell in _items(called, column)}
                columns.append([at in true for at in range(length or 0)])
            else:
                columns.append([self._decode(hints[each], called, cell) for cell in _items(called, column, length)])
        return list(map(item, *columns))

    def _address(self, name: str, value: Any) -> Address:
        return self._addresses[whole(name, value, 0, len(self._addresses) - 1)]


def _items(name: str, value: Any, length: int | None = None) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or length not in (None, len(value)):
        raise refuse(name, value, "must be a list" if length is None else f"must be a list of {length}")
    return value


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise refuse(name, value, "must be a string")
    return value


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse(name, value, "must be True or False")
    return value


# Array types


def _encode_dtype(dtype: np.dtype) -> Any:
    # Types that NumPy does not know by their letters, such as bfloat16, it knows by their names.
    for text in (dtype.str, dtype.name):
        try:
            if np.dtype(text) == dtype:
                return text
        except TypeError:
            continue
    return np.lib.format.dtype_to_descr(dtype)


def _decode_dtype(name: str, value: Any) -> np.dtype:
    try:
        return _dtype_of(value)
    except (TypeError, ValueError, ImportError, LookupError, OverflowError, SyntaxError, RecursionError) as exn:
        raise refuse(name, value, f"must name a dtype: {exn}") from exn


def _dtype_of(value: Any) -> np.dtype:
    if isinstance(value, str):
        try:
            return np.dtype(value)
        except TypeError:
            import_module("ml_dtypes")  # which makes its names known to NumPy
            return np.dtype(value)
    return np.lib.format.descr_to_dtype([_dtype_field(*each) for each in value])


def _dtype_field(name: Any, value: Any, *shape: Any) -> tuple[Any, ...]:
    """A field of a structured dtype, whose tuples JSON has made lists."""
    name = tuple(name) if isinstance(name, list) else name
    inner = value if isinstance(value, str) else [_dtype_field(*each) for each in value]
    return (name, inner, *(tuple(each) for each in shape))
