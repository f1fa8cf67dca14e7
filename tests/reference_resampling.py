"""The executable specification of resizing: each pixel as a weighted sum of a few, in obvious NumPy."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Bars", "barred", "colored", "of_dtype", "resampled", "resampled_planes", "taps"]

Taps = list[tuple[int, np.ndarray]]
"""For each position the index of the first number that goes into it, and the weights of that and of those behind it."""

SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "area": 0.5, "nearest": 0.5}


class Bars(NamedTuple):
    """Where resampled pixels lie in a picture of (height, width); the rest of it is `value`."""

    top: int
    left: int
    height: int
    width: int
    value: Any


def _filter(interpolation: str, x: float, a: float) -> float:
    if interpolation == "area":
        return 1.0 if -0.5 < x <= 0.5 else 0.0
    x = abs(x)
    if interpolation == "bilinear":
        return 1.0 - x if x < 1.0 else 0.0
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2.0 else 0.0


def taps(n: int, start: float, extent: float, size: int, interpolation: str, antialias: bool = True) -> Taps:
    """Weights of n numbers, of which `extent` from `start` on become `size`.

    With antialias the filter is stretched where numbers become fewer, and ends at the first and the last of the n, as
    in Pillow. Without, it is never stretched, and takes the first and the last number past the ends, as in torch.
    """
    scale, made = extent / size, []
    stretch = max(scale, 1.0) if antialias else 1.0
    support, a = SUPPORT[interpolation] * stretch, -0.5 if antialias else -0.75
    for i in range(size):
        center = start + (i + 0.5) * scale
        unchanged = scale == 1 and start == int(start)
        if unchanged or interpolation == "nearest" or (interpolation == "area" and not antialias):
            made.append((min(int(center), n - 1), np.ones(1)))
            continue
        if antialias:
            first = min(max(int(center - support + 0.5), 0), n - 1)
            end = max(min(int(center + support + 0.5), n), first + 1)
        else:
            first = int(np.floor(center - 0.5)) - int(support) + 1
            end = first + 2 * int(support)
        weights = [_filter(interpolation, (k - center + 0.5) * (1.0 / stretch), a) for k in range(first, end)]
        # In order: from Python 3.12 on `sum` is more precise.
        total = reduce(add, weights) if antialias else 1.0
        if total == 0:  # where the last center is rounded up to the end
            weights, total = [1.0], 1.0
        inside: dict[int, float] = {}
        for k, weight in enumerate(weights, first):
            position = min(max(k, 0), n - 1)
            inside[position] = inside.get(position, 0.0) + weight / total
        made.append((min(inside), np.array(list(inside.values()))))
    return made


def whole_weights(axis: Taps) -> Taps:
    """Weights in units of 2**-22, halves away from zero, as Pillow has them."""
    return [(first, np.trunc(weights * 2**22 + np.copysign(0.5, weights)).astype(np.int64)) for first, weights in axis]


def fine_weights(axis: Taps) -> Taps:
    """Weights in units of 2**-14: the differences of the rounded running sums, which add up to 1."""
    return [
        (first, np.diff(np.floor(np.cumsum(weights) * 2**14 + 0.5), prepend=0).astype(np.int64))
        for first, weights in axis
    ]


def fold(axis: Taps) -> Taps:
    """The weights of numbers each of which serves two, from the weights of those."""
    made = []
    for first, weights in axis:
        folded = np.zeros((first + len(weights) - 1) // 2 - first // 2 + 1)
        for k, weight in enumerate(weights, first):
            folded[k // 2 - first // 2] += weight
        made.append((first // 2, folded))
    return made


def _sums(numbers: np.ndarray, axis: Taps) -> np.ndarray:
    """Weighted sums along axis 0, each added up in the order of its numbers."""
    made = []
    for first, weights in axis:
        terms = [weight * numbers[k] for k, weight in enumerate(weights, first)]
        made.append(sum(terms[1:], start=terms[0]))
    return np.stack(made)


def _whole_sums(numbers: np.ndarray, axis: Taps, bits: int, top: int) -> np.ndarray:
    return np.clip((_sums(numbers.astype(np.int64), axis) + 2 ** (bits - 1)) >> bits, 0, top)


def _axes(picture: tuple[int, int], box: Any, size: tuple[int, int], *how: Any) -> tuple[Taps, Taps]:
    (height, width), (y, x, h, w) = picture, box
    return taps(height, y, h, size[0], *how), taps(width, x, w, size[1], *how)


def resampled(
    picture: np.ndarray,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    interpolation: str = "bilinear",
    antialias: bool = True,
) -> np.ndarray:
    """The rectangle `box` (y, x, h, w) of a picture (height, width, ...) as `size` (height, width), rows first.

    Bytes become bytes, with weights of 22 bits, rounded after each of the two steps; other numbers float64.
    """
    rows, columns = _axes(picture.shape[:2], box, size, interpolation, antialias)
    if picture.dtype not in (np.uint8, np.bool_):
        with np.errstate(all="ignore"):
            return _sums(_sums(picture.astype(np.float64).swapaxes(0, 1), columns).swapaxes(0, 1), rows)
    across = _whole_sums(picture.swapaxes(0, 1), whole_weights(columns), 22, 255).swapaxes(0, 1)
    return _whole_sums(across, whole_weights(rows), 22, 255).astype(picture.dtype)


def of_dtype(numbers: np.ndarray, dtype: Any) -> np.ndarray:
    """Numbers as those of a dtype: as integers halves to even, and clipped to what it holds."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            return numbers.astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    whole = [min(max(int(each), low), high) for each in np.rint(numbers).ravel()]
    return np.array(whole, dtype).reshape(numbers.shape)


def resampled_planes(
    planes: list[np.ndarray],
    layout: str,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    interpolation: str = "bilinear",
    antialias: bool = True,
    bits: int = 8,
    chroma_rows: bool = False,
) -> list[np.ndarray]:
    """Planes as `reference.picture` takes them, as Y or Y, U and V (h, w) of 15 bits, chroma as if it were repeated."""
    rows, columns = _axes(planes[0].shape[:2], box, size, interpolation, antialias)
    if layout == "interleaved" and len(planes) == 2:
        planes = [planes[0], planes[1][..., 0], planes[1][..., 1]]
    made = []
    for i, plane in enumerate(planes):
        down = fine_weights(fold(rows) if i and chroma_rows else rows)
        along = fine_weights(fold(columns) if i and layout != "full" else columns)
        samples = plane.astype(np.int64) << (15 - bits)
        across = _whole_sums(samples.swapaxes(0, 1), along, 14, 2**15 - 1).swapaxes(0, 1)
        made.append(_whole_sums(across, down, 14, 2**15 - 1))
    return made


def colored(samples: list[np.ndarray], color: tuple[int, ...], channels: int = 3) -> np.ndarray:
    """Samples of 15 bits as uint8 (h, w, channels), to the bit. color: the numbers of `color_numbers`."""
    ky, bias, rv, gu, gv, bu = color[3:]

    def product(a: np.ndarray, b: int) -> np.ndarray:
        return (a * b + 2**14) >> 15

    luma = product(samples[0], ky) + bias
    sums = [luma] * channels
    if len(samples) == 3 and channels == 3:
        u, v = ((each << 1) - 2**15 for each in samples[1:])
        sums = [luma + product(v, rv), luma + product(u, gu) + product(v, gv), luma + product(u, bu)]
    return np.clip(np.stack(sums, axis=-1) >> 5, 0, 255).astype(np.uint8)


def barred(pixels: np.ndarray, bars: Bars) -> np.ndarray:
    """Pixels (h, w, ...) inside a larger picture."""
    made = np.full((bars.height, bars.width, *pixels.shape[2:]), bars.value, pixels.dtype)
    made[bars.top : bars.top + pixels.shape[0], bars.left : bars.left + pixels.shape[1]] = pixels
    return made
