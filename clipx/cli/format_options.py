"""Options of the command line that say how clips are written: texts to arguments of ClipFormat."""

from __future__ import annotations

from typing import Any

import clipx

__all__ = ["read_crop", "read_resize"]


def read_resize(text: str) -> Any:
    """Numbers, or from "longer,256" a name with its numbers."""
    name, numbers = _named(text)
    return (name, *numbers) if name and isinstance(numbers, tuple) else (name, numbers) if name else numbers


def read_crop(text: str) -> Any:
    """Numbers, or from "three,224" a name and its numbers."""
    name, numbers = _named(text)
    if name == "resized":
        return clipx.RandomResizedCrop(numbers)
    return (name, numbers) if name else numbers


def _named(text: str) -> tuple[str, int | tuple[int, ...]]:
    """The name that numbers have before them, "" without one, and the numbers."""
    name, comma, numbers = text.partition(",")
    return (name, _numbers(numbers)) if comma and name.isalpha() else ("", _numbers(text))


def _numbers(text: str) -> int | tuple[int, ...]:
    """An integer from "224", or several from "224,320". Raises ValueError for any other text."""
    try:
        numbers = tuple(int(each) for each in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not a number, or numbers with commas between") from None
    return numbers[0] if len(numbers) == 1 else numbers
