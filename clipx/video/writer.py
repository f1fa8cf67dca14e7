"""Writes decoded frames into clips: straight from the decoder's planes where the kernel reads them."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any, Protocol

import av
import numpy as np

from clipx import _kernel
from clipx._resampling import Resampled, Resamplings
from clipx._timing import Timings
from clipx.format import ClipFormat, Size, View
from clipx.video.open_pictures import Target
from clipx.video.options import VideoOptions
from clipx.video.orientation import UPRIGHT, Orientation
from clipx.video.picture_reader import NO_COLOR, PictureReader, Planes

__all__ = ["PictureWriter"]

# A box is shorter by this much where its axis is reversed. A pixel of n that are made is no nearer to the edge between
# two pixels than 1 / (2 n), unless it lies on it.
TIE = 2.0**-20
Group = tuple[tuple[View, ...], list[np.ndarray]]
"""Views of a picture, and the targets that they are written to."""


def _by_views(targets: list[Target]) -> dict[tuple[View, ...], list[np.ndarray]]:
    by_views: dict[tuple[View, ...], list[np.ndarray]] = {}
    for target, views in targets:
        by_views.setdefault(views, []).append(target)
    return by_views


def _overlap(groups: list[Group], size: Size) -> bool:
    """True if views of a picture that is resampled to this size are together larger than all of it."""
    return len(groups) > 1 and sum(len(views) * views[0].h * views[0].w for views, _ in groups) > size[0] * size[1]


def _stored(orientation: Orientation, format: ClipFormat, shown: Resampled) -> Resampled:
    """How stored pictures are resampled, so that they are as said when they have been rotated."""
    box, bars = shown.box, shown.bars
    if format.interpolation in ("nearest", "area"):
        # Of two pixels that a pixel may go to, it goes to the first, or on a reversed axis to the second.
        top, left, _, _ = orientation.stored((0, 0, 1, 1), (2, 2))
        down, across = (left, top) if orientation.sideways else (top, left)
        y, x, h, w = box
        box = y + TIE * down, x + TIE * across, h - TIE * down, w - TIE * across
    if bars is not None:
        top, left, height, width, value = bars
        top, left, _, _ = map(int, orientation.stored((top, left, *shown.size), (height, width)))
        bars = top, left, *orientation.stored_size((height, width)), value
    return Resampled(
        orientation.stored_size(shown.picture),
        orientation.stored(box, shown.picture),
        orientation.stored_size(shown.size),
        bars,
    )


class _Bytes:
    """Pictures of one size as bytes, on their way: those that are rotated, and those of which clips show unlike parts.

    size: (height, width) after rotation.
    """

    def __init__(self, size: Size, channels: int, orientation: Orientation) -> None:
        self._orientation = orientation
        self._stored = self._shown = np.empty((*orientation.stored_size(size), channels), np.uint8)
        if orientation != UPRIGHT:
            # Rows become columns, or run backwards: only then are there two arrays.
            self._shown = np.empty((*size, channels), np.uint8)
        self._whole = [View(0, 0, *self._stored.shape[:2], False)]
        self._output = ClipFormat().output(channels, self._stored.dtype)
        offsets = (0, 1, 2) if channels == 3 else (0, 0, 0)
        self._picture = _kernel.Picture("packed", channels, offsets, False, size, NO_COLOR)

    def take(self, planes: Planes, resampling: _kernel.Resampling | None) -> Planes:
        """A picture resampled and rotated, as it is until the next one is taken."""
        planes.picture.write(
            planes.buffers, planes.line_sizes, self._output, self._whole, [self._stored], 0, resampling
        )
        if self._shown is not self._stored:
            _kernel.scatter(self._orientation.apply(self._stored), [self._shown])
        return Planes(self._picture, [self._shown.reshape(-1)], [self._shown.strides[0]])


class Reader(Protocol):
    """Gives the planes of frames, which have a height and a width: a `PictureReader`, or what stands for one."""

    channels: int

    def prepare(self, frame: Any) -> None:
        """Set up for a frame, or raise MediaError where it does not match the first."""

    def read(self, frame: Any) -> Planes:
        """The planes of a frame that has been prepared for."""


class PictureWriter:
    """Writes the frames of one stream as `format` and `options` say. The first frame sets it up; all must match that.

    Args:
        timings: take the seconds of `write`; None for no one.
        reader: of the frames; default of those that a decoder of videos gives.

    Attributes:
        size: (height, width) of pictures after rotation and `resize`; None before the first frame.
        channels: of the pictures that are written.
        orientation: how frames are rotated and flipped.
    """

    def __init__(
        self,
        format: ClipFormat,
        options: VideoOptions,
        name: str,
        timings: Timings | None = None,
        reader: Reader | None = None,
    ) -> None:
        self._timings = timings or Timings()
        self._format, self._rotates = format, options.rotate
        self._reader = reader or PictureReader(options, name)
        self._bytes: _Bytes | None = None
        self.size: Size | None = None
        self.channels = self._reader.channels
        self.orientation = UPRIGHT
        self._output = format.output(self.channels, np.dtype(np.uint8))

    def prepare(self, frame: Any, orientation: Orientation | None = None) -> None:
        """Set up for the size and format of the first frame, and for the colors of each.

        orientation: of the first frame of the file; default that of the first frame given. Raises MediaError for a
        frame that differs from the first in size or format, and for colors that are not converted.
        """
        self._reader.prepare(frame)
        if self.size is None:
            if self._rotates:
                self.orientation = orientation or Orientation.of(frame)
            self._shown = self.orientation.stored_size((frame.height, frame.width))
            self.size = self._format.resized(*self._shown)
            stored = None if self.orientation == UPRIGHT else partial(_stored, self.orientation, self._format)
            self._resamplings = Resamplings(self._format, *self._shown, stored)

    def write(self, frame: Any, targets: list[Target], footprint: int) -> None:
        """Write views of a frame to each target, a frame of an array that `ClipFormat.time_first` gives.

        footprint: as in `_kernel.Picture.write`. Raises MediaError as `prepare`.
        """
        self.prepare(frame)
        if not targets:
            return
        began = perf_counter()
        planes = self._reader.read(frame)
        first = targets[0][1]
        alike = [target for target, views in targets if views is first]
        by_views = {first: alike} if len(alike) == len(targets) else _by_views(targets)
        resampled: dict[_kernel.Resampling | None, list[Group]] = {}
        for views, each in by_views.items():
            resampling, seen = self._resamplings.of(views)
            resampled.setdefault(resampling, []).append((seen, each))
        for resampling, groups in resampled.items():
            source, how = planes, resampling
            if self.orientation != UPRIGHT or (resampling is not None and _overlap(groups, resampling.size)):
                source, how = self._as_bytes(resampling).take(planes, resampling), None
            for views, each in groups:
                source.picture.write(source.buffers, source.line_sizes, self._output, views, each, footprint, how)
        self._timings.converting += perf_counter() - began

    def _as_bytes(self, resampling: _kernel.Resampling | None) -> _Bytes:
        if self._bytes is None:
            size = self._shown if resampling is None else self.orientation.stored_size(resampling.size)
            self._bytes = _Bytes(size, self.channels, self.orientation)
        return self._bytes

    def clip_of(self, frame: av.VideoFrame) -> np.ndarray:
        """A clip of one frame, in an array of its own."""
        self.prepare(frame)
        assert self.size is not None
        views = self._format.views(*self.size)
        dtype = self._format.written_dtype(np.dtype(np.uint8))
        out = np.empty(self._format.clip_shape(1, *self._format.view_size(*self.size), self.channels), dtype)
        self.write(frame, [(self._format.time_first(out)[0], views)], 0)
        return out
