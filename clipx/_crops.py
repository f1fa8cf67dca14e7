"""Crops of a picture: the argument, checked, and the views that it gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from clipx._checks import integer, number
from clipx._reprs import value_repr
from clipx._sizes import Size, as_integers, as_size

__all__ = ["SEVERAL", "RandomResizedCrop", "View", "as_crop", "crop_size", "views_of"]

SEVERAL = {"three": 3, "five": 5, "ten": 10}
"""Number of views of the crops that give several."""

TRIES = 10


class View(NamedTuple):
    """The rectangle of a picture that a clip shows, in pixels, and whether it is flipped, left and right."""

    y: int
    x: int
    h: int
    w: int
    flip: bool


@dataclass(frozen=True)
class RandomResizedCrop:
    """A crop of random area, shape and place, drawn for each clip and resized to one size, as torchvision's.

    >>> clipx.ClipFormat(crop=clipx.RandomResizedCrop(224), flip=0.5, mean="imagenet", order="CTHW")

    The area is drawn evenly, the logarithm of the shape evenly, and then the place among those where it lies in the
    picture. Where it fits into none ten times, it is the largest rectangle in the centre whose shape `ratio` allows.

    Args:
        size: (height, width) in pixels of the clip's pictures, or an integer for both.
        scale: smallest and largest area, in parts of the picture's: 0 < smallest <= largest <= 1.
        ratio: smallest and largest width / height: 0 < smallest <= largest.

    Raises TypeError and ValueError that name the argument.

    Stability: stable.
    """

    size: Any
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    __repr__ = value_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_size("size", self.size))
        object.__setattr__(self, "scale", _range("scale", self.scale, 1.0))
        object.__setattr__(self, "ratio", _range("ratio", self.ratio, math.inf))

    def draw(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """A rectangle (y, x, height, width) of a picture of this size."""
        narrow, wide = map(math.log, self.ratio)
        for _ in range(TRIES):
            side = math.sqrt(height * width * rng.uniform(*self.scale))
            stretch = math.exp(rng.uniform(narrow, wide) / 2)
            h, w = round(side / stretch), round(side * stretch)
            if 0 < h <= height and 0 < w <= width:
                y, x = rng.integers(0, (height - h + 1, width - w + 1)).tolist()
                return y, x, h, w
        return self.central(height, width)

    def central(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The largest rectangle in the centre of a picture of this size whose shape `ratio` allows."""
        narrow, wide = self.ratio
        h, w = max(round(min(height, width / narrow)), 1), max(round(min(width, height * wide)), 1)
        return (height - h) // 2, (width - w) // 2, h, w


def _range(name: str, value: Any, most: float) -> tuple[float, float]:
    """Two numbers, the smallest and the largest, above 0 and at most `most`."""
    limit = "" if math.isinf(most) else f" and at most {most:g}"
    rule = f"must be two numbers, the smallest and the largest, above 0{limit}"
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{name} is {value!r}, but {rule}")
    low, high = (number(name, each) for each in value)
    if not 0 < low <= high <= most:
        raise ValueError(f"{name} is {value!r}, but {rule}")
    return low, high


def as_crop(value: Any) -> Any:
    """The argument `crop`: (y, x, height, width), (height, width), (name, (height, width)) or a RandomResizedCrop."""
    if isinstance(value, RandomResizedCrop):
        return value
    if isinstance(value, str):
        raise TypeError(f"crop is {value!r}, but must be integers, or a name and its size, such as ('random', 224)")
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], str):
        if value[0] != "random" and value[0] not in SEVERAL:
            raise ValueError(f"crop is {value!r}, but the names are random, {', '.join(SEVERAL)}")
        return value[0], as_size("crop", value[1])
    if isinstance(value, (tuple, list)):
        crop = as_integers("crop", value, (2, 4), 0)
        for side in crop[-2:]:
            integer("crop", side, 1)
        return crop
    return as_size("crop", value)


def crop_size(crop: Any) -> Size | None:
    """Height and width of a checked crop, as it is written; None without one."""
    if crop is None:
        return None
    if isinstance(crop, RandomResizedCrop):
        return crop.size
    return crop[1] if isinstance(crop[0], str) else crop[-2:]


def views_of(
    crop: Any, flip: bool | float, height: int, width: int, rng: np.random.Generator | None
) -> tuple[View, ...]:
    """The views of a checked crop of a picture of this size; rng draws what is random.

    Without rng no view is flipped, and a RandomResizedCrop is in the centre. Raises ValueError for a crop outside the
    picture.
    """
    name, top, left = "", 0, 0
    if isinstance(crop, RandomResizedCrop):
        top, left, h, w = crop.central(height, width) if rng is None else crop.draw(height, width, rng)
    else:
        h, w = crop_size(crop) or (height, width)
        if crop is not None and isinstance(crop[0], str):
            name = crop[0]
        elif crop is not None:
            top, left = crop[:2] if len(crop) == 4 else ((height - h) // 2, (width - w) // 2)
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
