"""Frames of arrays, written into clips as a `ClipFormat` says."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from clipx import _kernel
from clipx._resampling import Resamplings
from clipx._views import Views
from clipx.arrays.pages import Pages
from clipx.format import ClipFormat, View
from clipx.plan import FrameSpec, fill_bytes

__all__ = ["ArrayWriter"]


class ArrayWriter:
    """Writes frames of an array (n, height, width, channels), time axis first, into clips as a format says.

    Attributes:
        shape, dtype: of a clip.
        views: the views that each clip shows of its frames.
        pages: those of the array, where it is mapped.

    Raises ValueError for an array that the format cannot be written from.
    """

    def __init__(self, array: np.ndarray, spec: FrameSpec, length: int, format: ClipFormat) -> None:
        what = "a format" if format.resize is None else "resize"
        if array.ndim != 4:
            raise ValueError(f"frames has shape {array.shape}, but {what} is for (n, height, width, channels)")
        height, width, channels = array.shape[1:]
        if not (height and width and channels):
            raise ValueError(f"frames has shape {array.shape}, but a format needs pictures with pixels")
        if array.dtype.kind not in "buif" and (format.computes or format.dtype is not None or format.resizes):
            raise ValueError(f"frames has dtype {array.dtype}, but {what} is for numbers")
        if format.dtype == "uint8" and array.dtype not in (np.uint8, np.bool_):
            raise ValueError(f"dtype is 'uint8', which cannot hold the frames' {array.dtype}")
        fill_bytes(spec, array.dtype)
        self._fill = np.array(spec.fill_value).astype(array.dtype)
        if format.dtype == "uint8":
            array = array.view(np.uint8)
        self._array, self._format = array, format
        self.pages = Pages(array)
        self.views = Views(format, *format.resized(height, width))
        self.shape = format.clip_shape(length, *self.views.size, channels)
        self.dtype = format.written_dtype(array.dtype)
        self._resamplings = Resamplings(format, height, width, dtype=array.dtype)
        resamples = self._resamplings.own or self._resamplings.common is not None
        # Numbers that are only moved are copied as bytes, unless the kernel has row functions for them.
        self._moves = self.dtype == array.dtype and not format.computes and not resamples
        side_by_side = (array.strides[3] == 1 or channels == 1) and (array.strides[2] == channels or width == 1)
        if not self._moves or (array.dtype == np.uint8 and channels in (1, 3) and side_by_side):
            if array.dtype.char not in "?bBhHiIlLqQefd" or not array.dtype.isnative:
                raise ValueError(
                    f"frames has dtype {array.dtype}, but only integers and floats of up to 64 bits in this machine's "
                    f"byte order are read"
                )
            format.arithmetic(channels)
            self._moves = False
            self._frames = _kernel.Formatted(array, format.output(channels, array.dtype))

    def of_length(self, length: int) -> ArrayWriter:
        """A writer of clips of another length, of the same views."""
        other = copy.copy(self)
        other.shape = self._format.clip_shape(length, *self.views.size, self._array.shape[3])
        return other

    def write(self, out: np.ndarray, rows: np.ndarray, first: int, footprint: int = 0) -> None:
        """Write clips of these rows into out, (clips, *shape), C-contiguous; `first` is the index of the first."""
        common = self.views.common
        if self._moves:
            for i, row in enumerate(rows):
                self._move(out[i], row, self.views[first + i] if common is None else common, footprint or out.nbytes)
            fills = True
        else:
            bits = out.view(np.uint16) if self._format.dtype == "bfloat16" else out
            fills = self._write_numbers(bits, rows, first, footprint)
        if fills:
            self._write_fill(out, rows)

    def _write_numbers(self, out: np.ndarray, rows: np.ndarray, first: int, footprint: int) -> bool:
        """Write clips by the kernel; returns whether positions are left to be filled."""
        common, per_clip = self.views.common, self._format.num_views
        if not self._resamplings.own:
            views = common or [each for i in range(len(rows)) for each in self.views[first + i]]
            return self._frames.write(out, rows, views, footprint, per_clip, self._resamplings.common)
        # Clip by clip, so that the coefficients of few are held at the same time.
        fills = False
        for i in range(len(rows)):
            resampling, views = self._resamplings.of(self.views[first + i])
            one = slice(i, i + 1)
            fills |= self._frames.write(out[one], rows[one], views, footprint or out.nbytes, per_clip, resampling)
        return fills

    def _write_fill(self, out: np.ndarray, rows: np.ndarray) -> None:
        fill = self._format.fill(self._fill.astype(self._array.dtype), self._array.shape[3])
        for i, position in zip(*np.nonzero(rows < 0)):
            self._format.time_first(out[i])[position] = fill

    def _move(self, clip: np.ndarray, row: np.ndarray, views: Sequence[View], footprint: int) -> None:
        for out, view in zip(clip if len(views) > 1 else [clip], views):
            self._move_view(out, row, view, footprint)

    def _move_view(self, clip: np.ndarray, row: np.ndarray, view: View, footprint: int) -> None:
        seen = self._array[:, view.y : view.y + view.h, view.x : view.x + view.w]
        if view.flip:
            seen = seen[:, :, ::-1]
        fill: Any = bytes(self._array.itemsize)
        if self._format.order == "CTHW":
            for c in range(seen.shape[3]):
                _kernel.gather(seen[..., c], clip[c], row, fill, footprint)
        else:
            planar = self._format.order in ("TCHW", "CHW")
            _kernel.gather(seen.transpose(0, 3, 1, 2) if planar else seen, clip, row, fill, footprint)
