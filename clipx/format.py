"""How a frame is written: `ClipFormat`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clipx._checks import integer

__all__ = ["ClipFormat", "Crop"]

Size = tuple[int, int]
Crop = tuple[int, int, int, int]


def _integers(name: str, value: Any, lengths: tuple[int, ...], least: int) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or len(value) not in lengths:
        raise ValueError(f"{name} is {value!r}, but must be an integer or {' or '.join(map(str, lengths))} integers")
    return tuple(integer(name, each, least) for each in value)


@dataclass(frozen=True)
class ClipFormat:
    """How frames of a video are written: resized, then cropped, then turned.

    Args:
        resize: (height, width) in pixels, or an integer for the shorter side; the longer one keeps the picture's shape.
        crop: (y, x, height, width) in pixels of the resized picture; (height, width) or an integer for a crop from the
            centre, its odd pixel to the right and below.
        flip: whether left and right change places.

    Raises TypeError and ValueError for what is no such number. A crop larger than the picture is a ValueError when the
    picture's size is known.
    """

    crop: int | Size | Crop | None = None
    resize: int | Size | None = None
    flip: bool = False

    def __post_init__(self) -> None:
        if self.resize is not None:
            resize = self.resize
            if isinstance(resize, (tuple, list)):
                object.__setattr__(self, "resize", _integers("resize", resize, (2,), 1))
            else:
                object.__setattr__(self, "resize", integer("resize", resize, 1))
        if self.crop is not None:
            crop: Any = self.crop
            if isinstance(crop, (tuple, list)):
                crop = _integers("crop", crop, (2, 4), 0)
                for side in crop[-2:]:
                    integer("crop", side, 1)
            else:
                crop = (integer("crop", crop, 1),) * 2
            object.__setattr__(self, "crop", crop)
        if not isinstance(self.flip, bool):
            raise TypeError(f"flip is {self.flip!r}, but must be True or False")

    def resized(self, height: int, width: int) -> Size:
        """Size of a picture of this size after `resize`."""
        if self.resize is None:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        short = self.resize
        if height <= width:
            return short, max(round(width * short / height), 1)
        return max(round(height * short / width), 1), short

    def cropped(self, height: int, width: int) -> Crop:
        """The crop (y, x, height, width) of a picture that has been resized to this size."""
        if self.crop is None:
            return 0, 0, height, width
        crop = self.crop
        assert isinstance(crop, tuple)
        h, w = crop[-2:]
        y, x = crop[:2] if len(crop) == 4 else ((height - h) // 2, (width - w) // 2)
        if y < 0 or x < 0 or y + h > height or x + w > width:
            raise ValueError(f"crop is {crop}, but the picture is {height} by {width} (height by width)")
        return y, x, h, w
