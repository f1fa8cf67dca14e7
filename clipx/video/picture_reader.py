"""Decoded frames as the kernel reads them: their planes, or what swscale makes of other formats, and their colors."""

from __future__ import annotations

from typing import Any, NamedTuple

import av
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from clipx import _kernel
from clipx.errors import MediaError
from clipx.video.color import NOT_CONVERTED, STATED, color_numbers
from clipx.video.options import VideoOptions

__all__ = ["NO_COLOR", "PictureReader", "Planes"]

# By pixel format: the kernel's layout, bytes of a sample, a chroma row serves two rows, bits, they are the high ones.
PLANAR: dict[str, tuple[str, int, bool, int, bool]] = {
    "gray": ("gray", 1, False, 8, False),
    "nv12": ("interleaved", 1, True, 8, False),
    "p010le": ("interleaved", 2, True, 10, True),
    "yuv420p": ("paired", 1, True, 8, False),
    "yuvj420p": ("paired", 1, True, 8, False),
    "yuv422p": ("paired", 1, False, 8, False),
    "yuvj422p": ("paired", 1, False, 8, False),
    "yuv444p": ("full", 1, False, 8, False),
    "yuvj444p": ("full", 1, False, 8, False),
    "yuv420p10le": ("paired", 2, True, 10, False),
}
# By pixel format: bytes of a pixel, and the bytes of red, green and blue in it.
PACKED = {
    "rgb24": (3, (0, 1, 2)),
    "bgr24": (3, (2, 1, 0)),
    "rgba": (4, (0, 1, 2)),
    "rgb0": (4, (0, 1, 2)),
    "bgra": (4, (2, 1, 0)),
    "bgr0": (4, (2, 1, 0)),
}
NO_COLOR = (0,) * 9
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# FFmpeg's names of formats of full range: the same planes, named so for old programs.
FULL_RANGE_NAMES = {f"yuvj{each}p": f"yuv{each}p" for each in (411, 420, 422, 440, 444)}


class Planes(NamedTuple):
    """A picture, and a buffer and the bytes of a line for each of its planes."""

    picture: _kernel.Picture
    buffers: Any
    line_sizes: list[int]


def _read_as(frame: av.VideoFrame, gray: bool) -> str:
    """The pixel format in which a frame is read: its own, or the nearest that the kernel reads and swscale gives."""
    name, kind = frame.format.name, frame.format
    if gray and (name in PACKED or kind.is_rgb):
        return "gray"
    if name in PLANAR or name in PACKED:
        return name
    if kind.is_rgb or kind.has_palette:
        return "gray" if gray else "rgb24"
    if len(kind.components) <= 2:
        return "gray"
    if kind.chroma_width(2) == 2:
        return "yuv444p"
    if kind.chroma_height(2) == 2:
        return "yuv422p"
    return "yuv420p10le" if kind.components[0].bits > 8 else "yuv420p"


class PictureReader:
    """Gives the planes of one stream's frames as `options` say. The first frame sets it up; all must match that.

    Each frame is read with the matrix and range that are stated with it.

    Attributes:
        channels: of the pictures that are written from them.
    """

    def __init__(self, options: VideoOptions, name: str) -> None:
        self._options, self._name = options, name
        # One for all frames: a new one costs more than the conversion.
        self._reformatter = VideoReformatter()
        self._kind: tuple[int, int, str] | None = None
        # Pixel format, height, width, colorspace and range that come with a frame.
        self._stated: tuple[str, int, int, int, int] | None = None
        self._pictures: dict[tuple, tuple[_kernel.Picture, bool]] = {}
        self.channels = 1 if options.color == "gray" else 3

    def prepare(self, frame: av.VideoFrame) -> None:
        """Set up for the size and format of the first frame, and for the colors of each.

        Raises MediaError for a frame that differs from the first in size or format, and for colors that are not
        converted.
        """
        name = frame.format.name
        stated = name, frame.height, frame.width, frame.colorspace, frame.color_range
        if stated == self._stated:
            return
        plain = FULL_RANGE_NAMES.get(name, name)
        kind = frame.height, frame.width, plain
        if kind != self._kind:
            if self._kind is not None:
                raise MediaError(
                    f"{self._name} changes midway from {self._kind} to {kind} (height, width, pixel format), "
                    f"but clips need one size and format"
                )
            self._kind = kind
            self._read_as = _read_as(frame, self.channels == 1)
            self._through_swscale = FULL_RANGE_NAMES.get(self._read_as, self._read_as) != plain
        if stated not in self._pictures:
            full = self._is_full(frame)
            self._pictures[stated] = self._make_picture(frame, full), full
        self._stated = stated
        self._picture, self._full = self._pictures[stated]

    def _is_full(self, frame: av.VideoFrame) -> bool:
        if self._options.color_range is not None:
            return self._options.color_range == "full"
        if self._read_as == "gray":
            return True
        # The stated range comes first: where it changes, the decoder keeps the name of the format that it began with.
        stated = int(frame.color_range)
        return stated == FULL_RANGE if stated else frame.format.name in FULL_RANGE_NAMES

    def _make_picture(self, frame: av.VideoFrame, full: bool) -> _kernel.Picture:
        size = frame.height, frame.width
        if self._read_as in PACKED:
            pixel, offsets = PACKED[self._read_as]
            return _kernel.Picture("packed", pixel, offsets, False, size, NO_COLOR)
        layout, sample, chroma_rows, bits, high = PLANAR[self._read_as]
        numbers = color_numbers(self._colorspace(frame), "full" if full else "limited", bits, high)
        return _kernel.Picture(layout, sample, (0, 0, 0), chroma_rows, size, numbers)

    def _colorspace(self, frame: av.VideoFrame) -> str:
        if self._options.colorspace is not None:
            return self._options.colorspace
        number = int(frame.colorspace)
        # All have the same luma.
        if self.channels == 3 and self._read_as != "gray" and number in NOT_CONVERTED:
            at = "" if frame.time is None else f" at {frame.time:.3f} s"
            raise MediaError(
                f"{self._name} has a frame{at} whose colors are stated as {NOT_CONVERTED[number]} (matrix coefficients "
                f"{number}), which are not converted; VideoOptions(colorspace=) reads them as others, and "
                f"color='gray' needs none"
            )
        return STATED.get(number, "bt601")

    def read(self, frame: av.VideoFrame) -> Planes:
        """The planes of a frame that has been prepared for."""
        if self._through_swscale:
            # swscale goes by the name of the format first.
            full = self._full or frame.format.name in FULL_RANGE_NAMES
            color_range = ColorRange.JPEG if full else ColorRange.MPEG
            frame = self._reformatter.reformat(
                frame,
                format=self._read_as,
                # The same on both sides: only depth and sampling change, the kernel converts.
                src_colorspace=Colorspace.ITU601,
                dst_colorspace=Colorspace.ITU601,
                src_color_range=color_range,
                dst_color_range=color_range,
                threads=1,
            )
        planes: Any = frame.planes
        return Planes(self._picture, planes, [plane.line_size for plane in planes])
