"""The tensor that a model takes, and the chains of NumPy, torch and OpenCV that make it from a clip's bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from _videos import LENGTH, load

import clipx
from clipx.format import PRESETS

CROP = 224
MEAN, STD = (np.array(each, np.float32) for each in PRESETS["imagenet"])


class Layout(NamedTuple):
    """The tensor that a model takes."""

    dtype: str
    order: str

    @property
    def name(self) -> str:
        return f"{self.dtype} {self.order}"

    @property
    def computes(self) -> bool:
        return self.dtype != "uint8"

    @property
    def clip_shape(self) -> tuple[int, ...]:
        return tuple({"T": LENGTH, "H": CROP, "W": CROP, "C": 3}[each] for each in self.order)

    @property
    def clip_bytes(self) -> int:
        return LENGTH * CROP * CROP * 3 * np.dtype(self.dtype).itemsize

    def make_format(self, crop: Any = CROP, resize: Any = None) -> clipx.ClipFormat:
        mean = "imagenet" if self.computes else None
        return clipx.ClipFormat(crop=crop, resize=resize, mean=mean, dtype=self.dtype, order=self.order)

    def axes(self, source: str = "THWC") -> tuple[int, ...]:
        """Axes that transpose from the order `source` to this one."""
        return tuple(source.index(each) for each in self.order)

    def per_channel(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of channels, to be broadcast over a clip."""
        return numbers.reshape([3 if each == "C" else 1 for each in self.order])


BYTES, FLOAT = Layout("uint8", "TCHW"), Layout("float32", "CTHW")


def centre(frames: Any) -> Any:
    """The crop of frames (..., height, width, channels)."""
    y, x = (frames.shape[-3] - CROP) // 2, (frames.shape[-2] - CROP) // 2
    return frames[..., y : y + CROP, x : x + CROP, :]


# Chains: from a clip's bytes, cropped, to the tensor


Chain = Callable[..., Any]


def numpy_last(layout: Layout) -> Chain:
    """In one array that is used again and again, and from there to where the clip goes."""
    buffer = np.empty((LENGTH, CROP, CROP, 3), np.float32)

    def chain(clip: np.ndarray, target: np.ndarray) -> np.ndarray:
        if not layout.computes:
            np.copyto(target, clip.transpose(layout.axes()))
            return target
        numbers = target if layout.name == "float32 THWC" else buffer
        np.copyto(numbers, clip)
        numbers *= np.float32(1 / 255)
        numbers -= MEAN
        numbers /= STD
        if numbers is not target:
            np.copyto(target, numbers.transpose(layout.axes()), casting="same_kind")
        return target

    return chain


def numpy_first(layout: Layout) -> Chain:
    """Where the clip goes, or in one float32 array that is used again and again."""
    buffer = np.empty(layout.clip_shape, np.float32)
    mean, std = layout.per_channel(MEAN), layout.per_channel(STD)

    def chain(clip: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
        target = np.empty(layout.clip_shape, layout.dtype) if target is None else target
        numbers = buffer if layout.dtype == "float16" else target
        np.copyto(numbers, clip.transpose(layout.axes()))
        if layout.computes:
            numbers *= np.float32(1 / 255)
            numbers -= mean
            numbers /= std
        if numbers is not target:
            np.copyto(target, numbers, casting="same_kind")
        return target

    return chain


def torch_chain(layout: Layout, first: bool, source: str = "THWC") -> Chain:
    """Computes in place; takes tensors in the order `source`."""
    torch = load("torch")
    mean, std = (torch.from_numpy(layout.per_channel(each)) for each in (MEAN, STD))
    axes, dtype = layout.axes(source), getattr(torch, layout.dtype)

    def chain(clip: Any) -> Any:
        numbers = clip.permute(axes)
        if not layout.computes:
            return numbers.clone(memory_format=torch.contiguous_format)
        if first:
            numbers = numbers.contiguous()
        return numbers.to(torch.float32).div_(255).sub_(mean).div_(std).to(dtype).contiguous()

    return chain


def blob_chain(layout: Layout, bgr: bool = False) -> Chain:
    """blobFromImages makes TCHW; the division by std is the pass that brings it into another order."""
    cv2 = load("cv2")
    cv2.setNumThreads(1)
    std, mean = layout.per_channel(STD), tuple(map(float, MEAN * 255))

    def chain(clip: np.ndarray) -> np.ndarray:
        if not layout.computes:
            return cv2.dnn.blobFromImages(list(clip), swapRB=bgr, ddepth=cv2.CV_8U)
        blob = cv2.dnn.blobFromImages(list(clip), 1 / 255, mean=mean, swapRB=bgr).transpose(layout.axes("TCHW"))
        return np.divide(blob, std, out=np.empty(layout.clip_shape, layout.dtype), casting="same_kind")

    return chain
