"""Pillow's resizing."""

import numpy as np
from PIL import Image

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}


def resized(picture, box, size, interpolation):
    """A rectangle (y, x, h, w) of a picture as (height, width), along rows first as Pillow before 13 has it always."""
    how, one = FILTERS[interpolation], Image.fromarray(picture)
    (y, x, h, w), (height, width) = box, size
    if interpolation == "nearest":
        return np.asarray(one.resize((width, height), how, box=(x, y, x + w, y + h)))
    along = one.resize((width, one.height), how, box=(x, 0, x + w, one.height))
    return np.asarray(along.resize((width, height), how, box=(0, y, width, y + h)))
