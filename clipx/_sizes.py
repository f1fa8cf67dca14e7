"""Sizes of pictures: the argument `resize`, checked, and the size that it gives a picture."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from clipx._checks import integer, number

__all__ = ["Resize", "Size", "as_integers", "as_resize", "as_size", "fitted", "fixed_size", "most_pixels", "resized"]

Size = tuple[int, int]
"""Height and width in pixels."""

Resize = int | Size | tuple[str, int] | tuple[str, int, int, float]
"""A checked `resize`: the shorter side, (height, width), or a name of NAMED and its numbers."""

NAMED = {
    "longer": "('longer', n)",
    "fit": "('fit', height, width, value)",
    "pixels": "('pixels', min_pixels, max_pixels, multiple)",
}
MOST_SIDE = (1 << 24) - 1  # that the kernel writes
MOST_ELONGATED = 200  # one side by the other, in Qwen's `smart_resize`


def as_integers(
    name: str, value: Any, lengths: tuple[int, ...], least: int, most: int | None = None
) -> tuple[int, ...]:
    """So many integers in [least, most], as a tuple."""
    if not isinstance(value, (tuple, list)) or len(value) not in lengths:
        raise ValueError(f"{name} is {value!r}, but must be an integer or {' or '.join(map(str, lengths))} integers")
    return tuple(integer(name, each, least, most) for each in value)


def as_size(name: str, value: Any) -> Size:
    """(height, width) from two integers, or from one for both."""
    if isinstance(value, (tuple, list)):
        h, w = as_integers(name, value, (2,), 1, MOST_SIDE)
        return h, w
    return (integer(name, value, 1, MOST_SIDE),) * 2


def as_resize(value: Any) -> Resize:
    """The argument `resize`: an integer, (height, width), or a name and its numbers."""
    if not isinstance(value, (tuple, list)):
        return integer("resize", value, 1, MOST_SIDE)
    if not value or not isinstance(value[0], str):
        return as_size("resize", value)
    name, *rest = value
    if name not in NAMED:
        raise ValueError(f"resize is {value!r}, but the names are {', '.join(NAMED)}")
    if len(value) != NAMED[name].count(",") + 1:
        raise ValueError(f"resize is {value!r}, but must be {NAMED[name]}")
    if name == "longer":
        return "longer", integer("resize", rest[0], 1, MOST_SIDE)
    if name == "fit":
        return "fit", *as_size("resize", rest[:2]), _plain_number(rest[2])
    least, most, multiple = (integer("resize", each, 1) for each in rest)
    if least > most:
        raise ValueError(f"resize is {value!r}, but min_pixels is above max_pixels")
    if multiple * multiple > most:
        raise ValueError(f"resize is {value!r}, but {multiple} by {multiple} pixels are more than max_pixels")
    return "pixels", least, most, multiple


def _plain_number(value: Any) -> int | float:
    """The value of bars: an int where it is an integer, else a float."""
    checked = number("resize", value)
    return operator.index(value) if isinstance(value, (int, np.integer)) else checked


def fixed_size(resize: Any) -> Size | None:
    """Size of every picture after it has been resized; None where that depends on the picture."""
    if not isinstance(resize, tuple):
        return None
    if resize[0] == "fit":
        return resize[1], resize[2]
    return None if isinstance(resize[0], str) else (resize[0], resize[1])


def most_pixels(resize: Any) -> int | None:
    """The limit that `resize` sets to the pixels of a picture; None without one."""
    return resize[2] if isinstance(resize, tuple) and resize[0] == "pixels" else None


def resized(resize: Any, height: int, width: int) -> Size:
    """Size of a picture of this size after it has been resized, with its bars.

    Raises ValueError for a picture that ("pixels", ...) is not for.
    """
    if resize is None:
        return height, width
    if not isinstance(resize, tuple):
        return _with_side(resize, height, width, height <= width)
    if resize[0] == "longer":
        return _with_side(resize[1], height, width, height >= width)
    if resize[0] == "pixels":
        return _of_pixels(resize, height, width)
    return fixed_size(resize) or (height, width)


def fitted(resize: Any, height: int, width: int) -> Size:
    """Size of a resized picture without its bars."""
    if not isinstance(resize, tuple) or resize[0] != "fit":
        return resized(resize, height, width)
    _, h, w, _ = resize
    by_height = h * width <= w * height
    return _with_side(h if by_height else w, height, width, by_height)


def _with_side(side: int, height: int, width: int, is_height: bool) -> Size:
    """The size of this shape whose height or width is `side`."""
    if is_height:
        return side, max(round(width * side / height), 1)
    return max(round(height * side / width), 1), side


def _of_pixels(resize: Any, height: int, width: int) -> Size:
    """Qwen's `smart_resize`: sides that are multiples, of about the picture's shape, within limits of their product."""
    _, least, most, multiple = resize
    picture = f"resize is {resize}, but the picture is {height} by {width}"
    if min(height, width) < multiple:
        raise ValueError(f"{picture}, smaller than the multiple, {multiple}")
    if max(height, width) > MOST_ELONGATED * min(height, width):
        raise ValueError(f"{picture}, one side more than {MOST_ELONGATED} times as long as the other")
    h, w = round(height / multiple) * multiple, round(width / multiple) * multiple
    if h * w > most:
        by = math.sqrt(height * width / most)
        h = max(math.floor(height / by / multiple), 1) * multiple
        w = max(math.floor(width / by / multiple), 1) * multiple
    elif h * w < least:
        by = math.sqrt(least / (height * width))
        h, w = math.ceil(height * by / multiple) * multiple, math.ceil(width * by / multiple) * multiple
    return h, w
