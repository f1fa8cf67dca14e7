"""Decoded pictures as the kernel takes them."""

from clipx import _kernel
from clipx.video.color import color_numbers

NUMBERS = color_numbers("bt601", "limited", 8)


class Writer:
    """A picture, an output of bytes and a view, as one."""

    def __init__(self, layout, sample_bytes, offsets, chroma_rows, size, crop, flip, channels, color):
        self.picture = _kernel.Picture(layout, sample_bytes, offsets, chroma_rows, size, color)
        self.output = _kernel.Output("uint8", "THWC", 1.0, [0.0] * channels, [1.0] * channels)
        self.views = [(*crop, flip)]

    def write(self, planes, line_sizes, targets, footprint=0):
        return self.picture.write(planes, line_sizes, self.output, self.views, targets, footprint)
