"""The pictures of a source that are resampled while they are written: a `ClipFormat` as the kernel takes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from clipx import _kernel
from clipx._sizes import fitted
from clipx.format import ClipFormat, RandomResizedCrop, Size, View
from clipx.plan.filling import element_of

__all__ = ["Resampled", "Resamplings"]

BYTES = np.dtype(np.uint8)
KEPT = 64
"""Rectangles whose coefficients are kept: those of the clips that share a frame, as a rule."""


class Resampled(NamedTuple):
    """How a picture is resampled.

    Attributes:
        picture: its height and width.
        box: its rectangle that is seen, (y, x, height, width).
        size: what the rectangle becomes, (height, width).
        bars: where that lies in a larger picture, (top, left, height, width, value): its corner there, the size of the
            larger picture and the number that is around it. None where it is all of the picture.
    """

    picture: Size
    box: tuple[float, float, float, float]
    size: Size
    bars: tuple[int, int, int, int, float] | None = None


class Resamplings:
    """How the pictures of one source are resampled; threads may share it.

    Args:
        format: of the clips.
        height, width: of the pictures, before they are resized.
        stored: changes how a picture is resampled into how it is as it is stored, where that is not as it is shown.
        dtype: of the source's numbers.

    Attributes:
        common: the resampling of all clips; None where pictures are written as they are, or `own`.
        own: each clip has a rectangle, and a resampling, of its own.

    Raises ValueError where dtype cannot hold the value of bars, and for a picture that `resize` is not for.
    """

    def __init__(
        self,
        format: ClipFormat,
        height: int,
        width: int,
        stored: Callable[[Resampled], Resampled] | None = None,
        dtype: np.dtype = BYTES,
    ) -> None:
        make = partial(_make, format, stored)
        self.own = isinstance(format.crop, RandomResizedCrop)
        self.common: _kernel.Resampling | None = None
        if isinstance(format.crop, RandomResizedCrop):
            self._of_views = lru_cache(KEPT)(partial(_resample_view, make, (height, width), format.crop.size))
        elif format.resize is not None:
            whole = _whole_picture(format, height, width, dtype)
            self.common = None if whole is None else make(whole)

    def of(self, views: tuple[View, ...]) -> tuple[_kernel.Resampling | None, tuple[View, ...]]:
        """The resampling for views of a clip, and where these lie in what it gives; None for pictures as they are."""
        return self._of_views(views) if self.own else (self.common, views)


def _make(
    format: ClipFormat, stored: Callable[[Resampled], Resampled] | None, resampled: Resampled
) -> _kernel.Resampling:
    picture, box, size, bars = resampled if stored is None else stored(resampled)
    antialias = format.interpolation != "nearest" if format.antialias is None else format.antialias
    return _kernel.Resampling(picture, box, size, format.interpolation, antialias, bars)


def _resample_view(
    make: Callable[[Resampled], _kernel.Resampling], picture: Size, size: Size, views: tuple[View, ...]
) -> tuple[_kernel.Resampling, tuple[View, ...]]:
    (view,) = views
    return make(Resampled(picture, view[:4], size)), (View(0, 0, *size, view.flip),)


def _whole_picture(format: ClipFormat, height: int, width: int, dtype: np.dtype) -> Resampled | None:
    """How pictures are resized; None where they have that size."""
    resize: Any = format.resize
    whole, inner, bars = format.resized(height, width), fitted(resize, height, width), None
    if isinstance(resize, tuple) and resize[0] == "fit":
        value = resize[3]
        element_of(value, dtype, f"resize is {resize}, with bars of {value!r},")
        if whole != inner:
            bars = (whole[0] - inner[0]) // 2, (whole[1] - inner[1]) // 2, *whole, value
    if inner == (height, width) and bars is None:
        return None
    return Resampled((height, width), (0.0, 0.0, height, width), inner, bars)
