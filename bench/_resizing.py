"""Rectangles of pictures, resized by other libraries, and how their pixels are compared.

A rectangle is (y, x, height, width) in pixels. Functions take the pictures of a clip, (length, height, width, 3), and
make (length, CROP, CROP, 3) of the rectangle, uint8.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from _tensors import CROP, MEAN, STD, Layout
from _videos import load

Rectangle = tuple[int, int, int, int]
Resize = Callable[[Any, Rectangle, np.ndarray], Any]
SIZE = (CROP, CROP)

MODULES = {
    "Pillow": ("PIL.Image",),
    "OpenCV": ("cv2",),
    "torch": ("torch",),
    "torchvision": ("torch", "torchvision.transforms.v2.functional"),
}


# Libraries


def part(frames: Any, rectangle: Rectangle) -> Any:
    """The rectangle of pictures (..., height, width, channels)."""
    y, x, h, w = rectangle
    return frames[..., y : y + h, x : x + w, :]


def images_of(frames: Iterable[np.ndarray]) -> list[Any]:
    """Pictures as Pillow has them, in four bytes a pixel."""
    return list(map(load("PIL.Image").fromarray, frames))


def by_pillow(images: Iterable[Any], rectangle: Rectangle, target: np.ndarray) -> np.ndarray:
    """Images by `Image.resize(box=)`; its pixels see those around the rectangle, too."""
    y, x, h, w = rectangle
    bilinear = load("PIL.Image").Resampling.BILINEAR
    for image, resized in zip(images, target):
        np.copyto(resized, np.asarray(image.resize(SIZE[::-1], bilinear, (x, y, x + w, y + h))))
    return target


def by_pillow_parts(frames: Any, rectangle: Rectangle, target: np.ndarray) -> np.ndarray:
    """Only the rectangle becomes an Image."""
    return by_pillow(images_of(part(frames, rectangle)), (0, 0, *rectangle[2:]), target)


def by_opencv(interpolation: str, frames: Any, rectangle: Rectangle, target: np.ndarray) -> np.ndarray:
    cv2 = load("cv2")
    for frame, resized in zip(part(frames, rectangle), target):
        cv2.resize(frame, SIZE[::-1], dst=resized, interpolation=getattr(cv2, interpolation))
    return target


def channels_last(frames: np.ndarray) -> Any:
    """A tensor (length, 3, height, width) over pictures, which stay as they are in memory: torch's fast way."""
    return load("torch").from_numpy(frames).permute(0, 3, 1, 2)


def interpolated(pictures: Any) -> Any:
    """A tensor (length, 3, height, width), resized."""
    return load("torch").nn.functional.interpolate(pictures, SIZE, mode="bilinear", antialias=True)


def by_torch(frames: Any, rectangle: Rectangle, target: np.ndarray | None = None) -> Any:
    return interpolated(channels_last(part(frames, rectangle))).permute(0, 2, 3, 1)


def by_torchvision(frames: Any, rectangle: Rectangle, target: np.ndarray | None = None) -> Any:
    resized_crop = load("torchvision.transforms.v2.functional").resized_crop
    return resized_crop(channels_last(frames), *rectangle, SIZE, antialias=True).permute(0, 2, 3, 1)


def torchvision_chain(layout: Layout) -> Callable[[Any], Any]:
    """v2's ToDtype and Normalize, of a tensor (length, CROP, CROP, 3)."""
    torch, functional = load("torch"), load("torchvision.transforms.v2.functional")
    mean, std = MEAN.tolist(), STD.tolist()

    def chain(clip: Any) -> Any:
        numbers = functional.to_dtype(clip.permute(0, 3, 1, 2), torch.float32, scale=True)
        numbers = functional.normalize(numbers, mean, std, inplace=True)
        return numbers.permute(layout.axes("TCHW")).contiguous()

    return chain


def floats_by_torch(layout: Layout, frames: Any, rectangle: Rectangle) -> Any:
    """Pictures become floats before they are resized."""
    torch = load("torch")
    mean, std = (torch.from_numpy(each).view(3, 1, 1) for each in (MEAN, STD))
    planes = channels_last(part(frames, rectangle)).to(torch.float32, memory_format=torch.contiguous_format)
    numbers = interpolated(planes).div_(255).sub_(mean).div_(std)
    return numbers.permute(layout.axes("TCHW")).contiguous()


class Library(NamedTuple):
    """How a library resizes pictures.

    Attributes:
        resize: the function.
        needs: the key of MODULES.
        of_images: it takes Pillow's Images in place of arrays.
        in_torch: it returns a tensor of its own, and writes nothing into the target.
        antialiased: its pixels are Pillow's.
        sees_around: those at the edges are, too: they see the picture around the rectangle.
    """

    resize: Resize
    needs: str
    of_images: bool = False
    in_torch: bool = False
    antialiased: bool = True
    sees_around: bool = False


PILLOW, PILLOW_PARTS = "Pillow, Images made before", "Pillow, of the rectangles"
LINEAR = "OpenCV INTER_LINEAR, not antialiased"
TORCH, TORCHVISION = "torch interpolate", "torchvision v2"
LIBRARIES = {
    PILLOW: Library(by_pillow, "Pillow", of_images=True, sees_around=True),
    PILLOW_PARTS: Library(by_pillow_parts, "Pillow"),
    "OpenCV INTER_AREA": Library(partial(by_opencv, "INTER_AREA"), "OpenCV", antialiased=False),
    LINEAR: Library(partial(by_opencv, "INTER_LINEAR"), "OpenCV", antialiased=False),
    TORCH: Library(by_torch, "torch", in_torch=True),
    TORCHVISION: Library(by_torchvision, "torchvision", in_torch=True),
}


# Comparing


class Closeness(NamedTuple):
    """How near pixels, of 255, must be: at most so far apart on average and, but for a margin, anywhere."""

    mean: float
    most: float = 255
    margin: int = 0


PILLOWS = Closeness(0.5, 1.01)
PILLOWS_INSIDE = Closeness(1, 1.01, margin=6)  # an edge of the rectangle is seen by so many pixels at 6 times the size
SIMILAR = Closeness(6)


def closeness_of(library: Library) -> Closeness:
    if not library.antialiased:
        return SIMILAR
    return PILLOWS if library.sees_around else PILLOWS_INSIDE


def pixels_of(layout: Layout, clip: np.ndarray) -> np.ndarray:
    """The pixels that a tensor was made of, (length, height, width, channels)."""
    numbers = clip.transpose(np.argsort(layout.axes())).astype(np.float32)
    return (numbers * STD + MEAN) * 255 if layout.computes else numbers


def check(name: str, clips: Iterable[Any], right: Sequence[np.ndarray], layout: Layout, near: Closeness) -> float:
    """Raise unless the clips have these pixels, as near as that; returns the largest mean difference of a clip."""
    worst = 0.0
    for count, (clip, pixels) in enumerate(itertools.zip_longest(clips, right)):
        if clip is None or pixels is None:
            raise AssertionError(f"{name} gives {'more' if pixels is None else 'less'} than {len(right)} clips")
        array = np.asarray(clip)
        if array.dtype != layout.dtype or array.shape != layout.clip_shape or not array.flags.c_contiguous:
            raise AssertionError(f"{name} gives {array.dtype} {array.shape}, strides {array.strides} for {layout.name}")
        apart = np.abs(pixels_of(layout, array) - pixels)
        inside = slice(near.margin, CROP - near.margin)
        mean, most = float(apart.mean()), float(apart[:, inside, inside].max())
        if mean > near.mean or most > near.most:
            raise AssertionError(f"{name} gives other pixels for clip {count}: {mean:.2f} apart, up to {most:.2f}")
        worst = max(worst, mean)
        del clip, array
    return worst
