"""Writes decoded frames into clips: straight from the decoder's planes where the kernel reads them."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from clipx import _kernel
from clipx.errors import MediaError
from clipx.format import ClipFormat, View
from clipx.video.color import NOT_CONVERTED, STATED, color_numbers
from clipx.video.open_pictures import Target
from clipx.video.options import VideoOptions
from clipx.video.orientation import UPRIGHT, Orientation

__all__ = ["PictureWriter"]

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
Stated = tuple[str, int, int, int, int]  # pixel format, height, width, colorspace and range that come with a frame
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# FFmpeg's names of formats of full range: the same planes, named so for old programs.
FULL_RANGE_NAMES = {f"yuvj{each}p": f"yuv{each}p" for each in (411, 420, 422, 440, 444)}


def _readable(frame: av.VideoFrame, gray: bool, resized: bool, fast: bool) -> str:
    """The pixel format in which a frame is read: its own, or the nearest that the kernel reads and swscale gives.

    A picture that is resized gets a chroma sample for each pixel, unless it need only be fast.
    """
    name, kind = frame.format.name, frame.format
    if gray and (name in PACKED or kind.is_rgb):
        return "gray"
    if (not resized and (name in PLANAR or name in PACKED)) or (fast and name in PLANAR):
        return name
    if kind.is_rgb or kind.has_palette:
        return "gray" if gray else "rgb24"
    if len(kind.components) <= 2:
        return "gray"
    if resized or kind.chroma_width(2) == 2:
        return "yuv444p"
    if kind.chroma_height(2) == 2:
        return "yuv422p"
    return "yuv420p10le" if kind.components[0].bits > 8 else "yuv420p"


def _by_views(targets: list[Target]) -> dict[tuple[View, ...], list[np.ndarray]]:
    by_views: dict[tuple[View, ...], list[np.ndarray]] = {}
    for target, views in targets:
        by_views.setdefault(views, []).append(target)
    return by_views


class PictureWriter:
    """Writes the frames of one stream as `format` and `options` say. The first frame sets it up; all must match that.

    Each frame is converted by the matrix and range that are stated with it.

    Attributes:
        size: (height, width) of pictures after rotation and `resize`; None before the first frame.
        channels: of the pictures that are written.
        orientation: how frames are rotated and flipped.
    """

    def __init__(self, format: ClipFormat, options: VideoOptions, name: str) -> None:
        self._format, self._options, self._name = format, options, name
        # One for all frames: a new one costs more than the conversion.
        self._reformatter = VideoReformatter()
        self._kind: tuple[int, int, str] | None = None
        self._stated: Stated | None = None
        self._pictures: dict[Stated, tuple[_kernel.Picture, bool]] = {}
        self._rotated: np.ndarray | None = None
        self.size: tuple[int, int] | None = None
        self.channels = 1 if options.color == "gray" else 3
        self.orientation = UPRIGHT
        self._output = format.output(self.channels, np.dtype(np.uint8))

    def prepare(self, frame: av.VideoFrame, orientation: Orientation | None = None) -> None:
        """Set up for the size and format of the first frame, and for the colors of each.

        orientation: of the first frame of the file; default that of the first frame given. Raises MediaError for a
        frame that differs from the first in size or format, and for colors that are not converted.
        """
        name = frame.format.name
        stated = name, frame.height, frame.width, frame.colorspace, frame.color_range
        if stated == self._stated:
            return
        kind = frame.height, frame.width, FULL_RANGE_NAMES.get(name, name)
        if kind != self._kind:
            if self._kind is not None:
                raise MediaError(
                    f"{self._name} changes midway from {self._kind} to {kind} (height, width, pixel format), "
                    f"but clips need one size and format"
                )
            self._kind = kind
            self._set_up(frame, orientation)
        if stated not in self._pictures:
            full = self._is_full(frame)
            self._pictures[stated] = self._make_picture(frame, full), full
        self._stated = stated
        self._picture, self._full = self._pictures[stated]

    def _set_up(self, frame: av.VideoFrame, orientation: Orientation | None) -> None:
        assert self._kind is not None
        height, width, name = self._kind
        if self._options.rotate:
            self.orientation = orientation or Orientation.of(frame)
        sideways = self.orientation.sideways
        self.size = self._format.resized(*((width, height) if sideways else (height, width)))
        self._decoded = self.size[::-1] if sideways else self.size
        resized = self._decoded != (height, width)
        self._readable = _readable(frame, self.channels == 1, resized, self._options.quality == "fast")
        self._through_swscale = FULL_RANGE_NAMES.get(self._readable, self._readable) != name or resized
        if self.orientation != UPRIGHT:
            # Rows become columns, or run backwards: only then does a frame go through two arrays on its way.
            self._rotated = np.empty((*self._decoded, self.channels), np.uint8)
            self._upright = np.empty((*self.size, self.channels), np.uint8)
            self._bytes = ClipFormat().output(self.channels, self._rotated.dtype)
            offsets = (0, 1, 2) if self.channels == 3 else (0, 0, 0)
            self._upright_picture = _kernel.Picture("packed", self.channels, offsets, False, self.size, NO_COLOR)

    def _is_full(self, frame: av.VideoFrame) -> bool:
        if self._options.color_range is not None:
            return self._options.color_range == "full"
        if self._readable == "gray":
            return True
        # The stated range comes first: where it changes, the decoder keeps the name of the format that it began with.
        stated = int(frame.color_range)
        return stated == FULL_RANGE if stated else frame.format.name in FULL_RANGE_NAMES

    def _make_picture(self, frame: av.VideoFrame, full: bool) -> _kernel.Picture:
        if self._readable in PACKED:
            size, offsets = PACKED[self._readable]
            return _kernel.Picture("packed", size, offsets, False, self._decoded, NO_COLOR)
        layout, sample, chroma_rows, bits, high = PLANAR[self._readable]
        numbers = color_numbers(self._colorspace(frame), "full" if full else "limited", bits, high)
        return _kernel.Picture(layout, sample, (0, 0, 0), chroma_rows, self._decoded, numbers)

    def _colorspace(self, frame: av.VideoFrame) -> str:
        if self._options.colorspace is not None:
            return self._options.colorspace
        number = int(frame.colorspace)
        # All have the same luma.
        if self.channels == 3 and self._readable != "gray" and number in NOT_CONVERTED:
            at = "" if frame.time is None else f" at {frame.time:.3f} s"
            raise MediaError(
                f"{self._name} has a frame{at} whose colors are stated as {NOT_CONVERTED[number]} (matrix coefficients "
                f"{number}), which are not converted; VideoOptions(colorspace=) reads them as others, and "
                f"color='gray' needs none"
            )
        return STATED.get(number, "bt601")

    def write(self, frame: av.VideoFrame, targets: list[Target], footprint: int) -> None:
        """Write views of a frame to each target, a frame of an array that `ClipFormat.time_first` gives.

        footprint: as in `_kernel.Picture.write`. Raises MediaError as `prepare`.
        """
        self.prepare(frame)
        if not targets:
            return
        if self._through_swscale:
            # swscale goes by the name of the format first.
            full = self._full or frame.format.name in FULL_RANGE_NAMES
            color_range = ColorRange.JPEG if full else ColorRange.MPEG
            frame = self._reformatter.reformat(
                frame,
                width=self._decoded[1],
                height=self._decoded[0],
                format=self._readable,
                # The same on both sides: only size and sampling change, the kernel converts.
                src_colorspace=Colorspace.ITU601,
                dst_colorspace=Colorspace.ITU601,
                src_color_range=color_range,
                dst_color_range=color_range,
                threads=1,
            )
        picture = self._picture
        planes: Any = frame.planes
        line_sizes = [plane.line_size for plane in planes]
        if self._rotated is not None:
            whole = View(0, 0, *self._decoded, False)
            picture.write(planes, line_sizes, self._bytes, [whole], [self._rotated])
            _kernel.scatter(self.orientation.apply(self._rotated), [self._upright])
            picture, planes, line_sizes = self._upright_picture, [self._upright.reshape(-1)], [self._upright.strides[0]]
        first = targets[0][1]
        alike = [target for target, views in targets if views is first]
        by_views = {first: alike} if len(alike) == len(targets) else _by_views(targets)
        for views, each in by_views.items():
            picture.write(planes, line_sizes, self._output, views, each, footprint)

    def clip_of(self, frame: av.VideoFrame) -> np.ndarray:
        """A clip of one frame, in an array of its own."""
        self.prepare(frame)
        assert self.size is not None
        views = self._format.views(*self.size)
        dtype = self._format.written_dtype(np.dtype(np.uint8))
        out = np.empty(self._format.clip_shape(1, views[0].h, views[0].w, self.channels), dtype)
        self.write(frame, [(self._format.time_first(out)[0], views)], 0)
        return out
