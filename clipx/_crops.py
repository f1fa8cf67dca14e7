"""Crops of a picture: the argument, checked, and the views that it gives."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from clipx._checks import integer

__all__ = ["SEVERAL", "Size", "View", "as_crop", "as_size", "views_of"]

Size = tuple[int, int]

SEVERAL = {"three": 3, "five": 5, "ten": 10}
"""Number of views of the crops that give several."""


class View(NamedTuple):
    """The rectangle of a picture that a clip shows, in pixels, and whether it is flipped, left and right."""

    y: int
    x: int
    h: int
    w: int
    flip: bool


def _integers(name: str, value: Any, lengths: tuple[int, ...], least: int) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or len(value) not in lengths:
        raise ValueError(f"{name} is {value!r}, but must be an integer or {' or '.join(map(str, lengths))} integers")
    return tuple(integer(name, each, least) for each in value)


def as_size(name: str, value: Any) -> Size:
    """(height, width) from two integers, or from one for both."""
    if isinstance(value, (tuple, list)):
        h, w = _integers(name, value, (2,), 1)
        return h, w
    return (integer(name, value, 1),) * 2


def as_crop(value: Any) -> Any:
    """The argument `crop`: (y, x, height, width), (height, width) or (name, (height, width))."""
    if isinstance(value, str):
        raise TypeError(f"crop is {value!r}, but must be integers, or a name and its size, such as ('random', 224)")
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], str):
        if value[0] != "random" and value[0] not in SEVERAL:
            raise ValueError(f"crop is {value!r}, but the names are random, {', '.join(SEVERAL)}")
        return value[0], as_size("crop", value[1])
    if isinstance(value, (tuple, list)):
        crop = _integers("crop", value, (2, 4), 0)
        for side in crop[-2:]:
            integer("crop", side, 1)
        return crop
    return as_size("crop", value)


def views_of(
    crop: Any, flip: bool | float, height: int, width: int, rng: np.random.Generator | None
) -> tuple[View, ...]:
    """The views of a checked crop of a picture of this size; rng draws what is random, without it no view is flipped.

    Raises ValueError for a crop outside the picture.
    """
    name, top, left, h, w = "", 0, 0, height, width
    if crop is None:
        pass
    elif isinstance(crop[0], str):
        name, (h, w) = crop
    elif len(crop) == 4:
        top, left, h, w = crop
    else:
        h, w = crop
        top, left = (height - h) // 2, (width - w) // 2
    y, x = height - h, width - w
    if top > y or left > x or y < 0 or x < 0:
        raise ValueError(f"crop is {crop}, but the picture is {height} by {width} (height by width)")
    if name == "random" and rng is not None:
        top, left = rng.integers(0, (y + 1, x + 1)).tolist()
    if not isinstance(flip, bool):
        flip = rng is not None and bool(rng.random() < flip)
    if name not in SEVERAL:
        return (View(top, left, h, w, flip),)
    corners = _three(y, x) if name == "three" else _five(y, x)
    views = [View(*corner, h, w, flip) for corner in corners]
    if name == "ten":
        # The five of the flipped picture, by where they lie in the picture itself.
        views += [View(each.y, x - each.x, h, w, not flip) for each in views]
    return tuple(views)


def _three(y: int, x: int) -> list[tuple[int, int]]:
    """Corners of PyTorchVideo's uniform crop, for y and x pixels of room: at both ends of the longer, and centred."""
    middle = -(-y // 2), -(-x // 2)
    if y > x:
        return [(0, middle[1]), middle, (y, middle[1])]
    return [(middle[0], 0), middle, (middle[0], x)]


def _five(y: int, x: int) -> list[tuple[int, int]]:
    """Corners of torchvision's FiveCrop, for y and x pixels of room: halves of a pixel go to the even number."""
    return [(0, 0), (0, x), (y, 0), (y, x), (round(y / 2), round(x / 2))]
