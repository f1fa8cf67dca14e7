"""The memory of Python's objects, as far as it can be seen: for samples that are not arrays alone."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy as np

from clipx import memory

__all__ = ["extents"]

Extent = tuple[int, int]
"""Addresses at which a piece of memory starts and ends."""

MOST_OBJECTS = 10_000
"""Objects of a sample that are measured; further ones count as if they were as large as these."""

NUMBERS = (int, float, complex, type(None))
PLAIN = frozenset({str, bool, *NUMBERS, dict, list, tuple, set, frozenset, deque})
PASSED_OVER = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, CodeType, FrameType, GeneratorType)
"""Objects that belong to the program, not to a sample."""


def extents(sample: Any) -> set[Extent]:
    """The pieces of memory that a sample keeps alive: those of its arrays, tensors and bytes, as `memory.owners` has
    them, and those of its texts, images, lists and other objects.

    Beside arrays and bytes, numbers and the fields that begin with "__" count nothing; where there are none, the sample
    counts with everything that it has.
    """
    found = memory.owners(sample)
    inner: Iterable[Any] = (sample,)
    if found:
        inner = _fields(sample)
    found.update(_walk(inner))
    return found


def _fields(sample: Any) -> list[Any]:
    """The objects of a sample that has arrays, except for numbers and fields that name its origin."""
    if isinstance(sample, Mapping):
        values = [value for name, value in sample.items() if not (isinstance(name, str) and name.startswith("__"))]
    elif isinstance(sample, (list, tuple)):
        values = list(sample)
    else:
        values = [sample]
    return [value for value in values if not isinstance(value, (*NUMBERS, np.generic))]


def _walk(inner: Iterable[Any]) -> Iterator[Extent]:
    seen: set[int] = set()
    # What is made on the way must live until the end: another object would have its id.
    kept: list[Any] = []
    todo = deque(inner)
    total = count = beyond = 0
    obj: Any = None
    while todo and len(seen) < MOST_OBJECTS:
        obj = todo.popleft()
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        if type(obj) not in PLAIN:
            if isinstance(obj, PASSED_OVER):
                continue
            if memory.is_leaf(obj):
                yield memory.owner(obj)
                continue
        size, attributes = _own(obj)
        yield id(obj), id(obj) + size
        elements = _elements(obj)
        if elements:
            beyond += len(elements) - len(elements[:MOST_OBJECTS])
            todo.extend(elements[:MOST_OBJECTS])
        else:
            total, count = total + size, count + 1
        if attributes:
            kept.append(_attributes(obj))
            todo.extend(kept[-1])
    beyond += len(todo)
    if beyond and count:
        # As a part of the object that was measured last, so that it is counted once a sample.
        yield id(obj) + 1, id(obj) + 1 + total * beyond // count


def _own(obj: Any) -> tuple[int, bool]:
    """Bytes of an object itself, and whether what hangs on its attributes comes on top."""
    if type(obj) in PLAIN:
        return sys.getsizeof(obj), False
    pixels = _pixels(obj)
    if pixels is not None:
        return pixels, True
    parts = _sparse(obj)
    if parts is not None:
        return parts, False
    try:
        size = sys.getsizeof(obj)
        nbytes = None if isinstance(obj, np.generic) else getattr(obj, "nbytes", None)
    except Exception:  # whatever an object's own methods raise
        return 0, True
    if isinstance(nbytes, int) and nbytes >= 0:
        return size + nbytes, False
    # A class that says its size in Python says all of it.
    return size, not isinstance(getattr(type(obj), "__sizeof__", None), FunctionType)


def _pixels(obj: Any) -> int | None:
    """Bytes of a PIL image, also of one that is not loaded yet: it will be."""
    image = sys.modules.get("PIL.Image")
    if image is None or not isinstance(obj, image.Image):
        return None
    width, height = obj.size
    each = 1 if obj.mode in ("1", "L", "P") else 2 if obj.mode.startswith("I;16") else 4
    return int(width) * int(height) * each


def _sparse(obj: Any) -> int | None:
    """Bytes of a torch tensor that is not strided."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(obj, torch.Tensor):
        return None
    parts = 0
    for name in ("_indices", "_values", "crow_indices", "ccol_indices", "col_indices", "row_indices", "values"):
        try:
            part = getattr(obj, name)()
            parts += part.untyped_storage().nbytes()
        except (AttributeError, RuntimeError, NotImplementedError):  # of another layout
            continue
    return parts


def _elements(obj: Any) -> list[Any]:
    if isinstance(obj, dict):
        return [*obj.keys(), *obj.values()]
    return list(obj) if isinstance(obj, (list, tuple, set, frozenset, deque)) else []


def _attributes(obj: Any) -> list[Any]:
    """The values of an object's attributes: of its `__dict__`, and of the `__slots__` of its classes."""
    held = list(getattr(obj, "__dict__", {}).values())
    for kind in type(obj).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            member = kind.__dict__.get(name)
            if member is not None and type(member).__name__ == "member_descriptor":
                try:
                    held.append(member.__get__(obj, type(obj)))
                except AttributeError:  # not set
                    continue
    return held
