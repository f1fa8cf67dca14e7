"""Decoded pictures as the kernel takes them, and resized ones."""

import numpy as np
import reference_resampling

from clipx import _kernel
from clipx.video.color import color_numbers

NUMBERS = color_numbers("bt601", "limited", 8)
ENCODINGS = {"8 bits": (8, False), "10 bits": (10, False), "10 high bits": (10, True)}
PLANAR = [("gray", False)] + [(each, rows) for each in ("full", "paired", "interleaved") for rows in (False, True)]
PACKED = {"rgb24": (3, (0, 1, 2)), "bgr24": (3, (2, 1, 0)), "rgba": (4, (0, 1, 2)), "bgra": (4, (2, 1, 0))}


def random_planes(layout, chroma_rows, size, bits, seed=0):
    """Samples of a picture, in the shapes that the reference takes; for a packed one `bits` are those of a pixel."""
    rng = np.random.default_rng(seed)
    height, width = size
    if layout == "packed":
        return [rng.integers(0, 256, (height, width, bits // 8), dtype=np.uint8)]
    lines, pairs = (height + 1) // 2 if chroma_rows else height, (width + 1) // 2
    chroma = {"full": [(lines, width)] * 2, "paired": [(lines, pairs)] * 2, "interleaved": [(lines, pairs, 2)]}
    return [rng.integers(0, 2**bits, shape) for shape in [(height, width), *chroma.get(layout, [])]]


def stored(samples, bits, high_bits, padding=0):
    """The bytes of a plane, none of them after its last sample and garbage in its padding, and those of a line."""
    bits_of_bytes = samples.astype(np.uint8 if bits == 8 else "<u2") << (6 if high_bits else 0)
    rows = bits_of_bytes.reshape(len(samples), -1).view(np.uint8)
    line = rows.shape[1] + padding
    plane = np.random.default_rng(padding).integers(0, 256, (len(rows), line), dtype=np.uint8)
    plane[:, : rows.shape[1]] = rows
    return plane.reshape(-1)[: plane.size - padding].copy(), line


class Writer:
    """A picture, an output of bytes and a view, as one."""

    def __init__(self, layout, sample_bytes, offsets, chroma_rows, size, crop, flip, channels, color):
        self.picture = _kernel.Picture(layout, sample_bytes, offsets, chroma_rows, size, color)
        self.output = _kernel.Output("uint8", "THWC", 1.0, [0.0] * channels, [1.0] * channels)
        self.views = [(*crop, flip)]

    def write(self, planes, line_sizes, targets, footprint=0):
        return self.picture.write(planes, line_sizes, self.output, self.views, targets, footprint)


def resized(picture, size, interpolation="bilinear", rectangle=None):
    """A picture as (height, width), or a rectangle (y, x, h, w) of it."""
    return reference_resampling.resampled(picture, rectangle or (0, 0, *picture.shape[:2]), size, interpolation)


def unclipped(picture, size):
    """True for the pixels of a picture of (height, width) that nothing goes into which is 0 or 255, if bilinear."""
    return resized(((picture == 0) | (picture == 255)).any(-1).astype(np.float64), size) == 0
