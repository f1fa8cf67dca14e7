"""How a frame is written: `ClipFormat`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from clipx import _kernel
from clipx._arithmetic import PRESETS, DTypeName, as_dtype_name, as_numbers, check_range, per_channel, resolve_presets
from clipx._checks import number, one_of
from clipx._crops import SEVERAL, RandomResizedCrop, View, as_crop, crop_size, views_of
from clipx._lazy import lazy
from clipx._reprs import value_repr
from clipx._sizes import Resize, Size, as_resize, fixed_size, most_pixels, resized

__all__ = ["PRESETS", "ClipFormat", "RandomResizedCrop", "Size", "View"]

Order = Literal["THWC", "CTHW", "TCHW", "HWC", "CHW"]
ORDERS: tuple[Order, ...] = get_args(Order)
FRAME_ORDERS = {"HWC": "THWC", "CHW": "TCHW"}
Interpolation = Literal["bilinear", "bicubic", "area", "nearest"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)


def _flip(value: Any) -> bool | float:
    if isinstance(value, bool):
        return value
    if not isinstance(value, (float, np.floating)):
        raise TypeError(f"flip is {value!r}, but must be True or False, or a probability such as 0.5")
    if not 0 <= value <= 1:
        raise ValueError(f"flip is {value!r}, but a probability lies from 0 to 1")
    return float(value) if 0 < value < 1 else bool(value)


def _order(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"order is {value!r}, but must be a text such as 'CTHW'")
    if len(set(value)) < len(value):
        raise ValueError(f"order is {value!r}, but names a dimension twice")
    if value not in ORDERS:
        raise ValueError(f"order is {value!r}, but must be one of {', '.join(ORDERS)}")
    return value


@dataclass(frozen=True)
class ClipFormat:
    """How frames are written: resize, crop, flip, numbers `(x * scale - mean) / std` of a dtype, and order.

    >>> clipx.ClipFormat(resize=256, crop=224, dtype="float16", mean="imagenet", std="imagenet", order="CTHW")

    Args:
        crop: (y, x, height, width) in pixels of the resized picture; (height, width) or an integer for a crop from the
            centre, its odd pixel to the right and below; ("random", size) for one anywhere, drawn for each clip; a
            `RandomResizedCrop` for one of random size and shape, in place of `resize`; or several views, along a first
            axis of the clip: ("three", size) at both ends of the longer side and between them, ("five", size) at the
            corners and in the centre, ("ten", size) these and those of the flipped picture.
        resize: of pictures, in pixels: an integer for the shorter side, or ("longer", n) for the longer; the other
            keeps the picture's shape. (height, width) whatever the shape. ("fit", height, width, value) for a picture
            of that size, in whose centre the source's lies as large as its shape allows, between bars of `value`, a
            number of the source. ("pixels", min_pixels, max_pixels, multiple) for sides that are multiples, within
            these limits of their product, as Qwen's `smart_resize`.
        flip: whether pictures are mirrored, left and right; a float is the probability, drawn for each clip. Of several
            views all are.
        dtype: "uint8", "float16", "bfloat16" (with the package ml_dtypes) or "float32"; default float32 where scale,
            mean or std are given, else the source's. float16 and bfloat16 are that float32 rounded to nearest even.
        scale: a factor of all numbers. Default 1, with a preset 1 / 255.
        mean, std: a number, or one for each channel, in units after `scale`; or the name of a preset, "imagenet",
            "kinetics" or "clip", which gives both, and the scale, where these are not given.
        order: of a clip's dimensions (time, height, width, channels): "THWC" (default), "CTHW" or "TCHW"; for clips of
            one frame also "HWC" or "CHW", without a time axis.
        interpolation: how pictures are resized: "bilinear", "bicubic", "area" (the mean of the pixels that a pixel
            covers) or "nearest".
        antialias: whether the filter widens where pictures become smaller, as Pillow's and torchvision's; default True,
            but for "nearest", which has none.

    Several views of a wide picture, crop ("three", size) and ("five", size)::

        +-----+--+-----+     three  0 1 2: left, centre, right; of a tall picture top, centre, bottom. PyTorchVideo's
        | 0   |1 |   2 |            uniform crop: an odd pixel of room goes to the left of and above the centre.
        +-----+--+-----+
        +---+      +---+     five   0 1 2 3 4: as torchvision's FiveCrop; half a pixel goes to the even number.
        | 0 +------+ 1 |     ten    5 to 9: those of the flipped picture, as torchvision's TenCrop.
        +---|  4   |---+
        | 2 +------+ 3 |
        +---+      +---+

    Frames are decoded and converted once, whatever the number of views.

    float32 is within `1e-6 * max(1, abs(value))` of the formula in float64, for every source; the other floats are that
    float32, rounded. Equal numbers become equal bits, whatever their dtype and strides.

    Raises TypeError and ValueError that name the argument. A source that does not suit the format, such as a picture
    smaller than the crop or of another number of channels, is a ValueError before its first clip is written.

    Stability: stable.
    """

    crop: Any = None
    resize: Resize | None = None
    flip: bool | float = False
    dtype: DTypeName | np.dtype | type | None = None
    scale: float | None = None
    mean: Any = None
    std: Any = None
    order: Order | None = None
    interpolation: Interpolation = "bilinear"
    antialias: bool | None = None

    __repr__ = value_repr

    def __post_init__(self) -> None:
        keep = object.__setattr__
        if self.resize is not None:
            keep(self, "resize", as_resize(self.resize))
        if self.crop is not None:
            keep(self, "crop", as_crop(self.crop))
        self._check_resizing()
        keep(self, "flip", _flip(self.flip))
        for name, value in zip(("scale", "mean", "std"), resolve_presets(self.scale, self.mean, self.std)):
            keep(self, name, value)
        if self.scale is not None:
            keep(self, "scale", number("scale", self.scale))
            if self.scale == 0:
                raise ValueError("scale is 0, but every number would become the same")
        for name in ("mean", "std"):
            if getattr(self, name) is not None:
                keep(self, name, as_numbers(name, getattr(self, name)))
        if self.std is not None and 0 in self.std:
            raise ValueError(f"std is {self.std}, but must not hold 0")
        channels = {len(each) for each in (self.mean, self.std) if each is not None and len(each) > 1}
        if len(channels) > 1:
            raise ValueError(f"mean is {self.mean} and std is {self.std}, but both are per channel")
        if self.dtype is not None:
            keep(self, "dtype", as_dtype_name(self.dtype))
        elif self.computes:
            keep(self, "dtype", "float32")
        if self.order is not None:
            keep(self, "order", _order(self.order))
        if self.computes:
            check_range(str(self.dtype), *self.arithmetic(max(len(self.mean or (0,)), len(self.std or (0,)))))

    def _check_resizing(self) -> None:
        one_of("interpolation", self.interpolation, INTERPOLATIONS)
        if not isinstance(self.antialias, (bool, type(None))):
            raise TypeError(f"antialias is {self.antialias!r}, but must be True, False or None")
        if self.antialias and self.interpolation == "nearest":
            raise ValueError("antialias is True, but interpolation is 'nearest', which takes single pixels")
        if self.resize is not None and isinstance(self.crop, RandomResizedCrop):
            raise ValueError(f"resize is {self.resize}, but crop is {self.crop}, which resizes")
        for name, default in (("interpolation", "bilinear"), ("antialias", None)):
            if not self.resizes and getattr(self, name) != default:
                raise ValueError(f"{name} is {getattr(self, name)!r}, but neither resize nor crop resizes pictures")

    @property
    def computes(self) -> bool:
        """Numbers are changed, and not only copied."""
        return not (self.scale is None and self.mean is None and self.std is None)

    @property
    def is_random(self) -> bool:
        """Clips of one source have views of their own, drawn at random."""
        return self._is_anywhere or not isinstance(self.flip, bool)

    @property
    def _is_anywhere(self) -> bool:
        return isinstance(self.crop, RandomResizedCrop) or (self.crop is not None and self.crop[0] == "random")

    @property
    def resizes(self) -> bool:
        """Pictures are resized, or rectangles of them."""
        return self.resize is not None or isinstance(self.crop, RandomResizedCrop)

    def arithmetic(self, channels: int) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
        """scale, and mean and std for each of so many channels. Raises ValueError where their number differs."""
        mean, std = per_channel("mean", self.mean or (0.0,), channels), per_channel("std", self.std or (1.0,), channels)
        return 1.0 if self.scale is None else self.scale, mean, std

    def output(self, channels: int, dtype: np.dtype) -> _kernel.Output:
        """The kernel's description of this format, for frames of so many channels of `dtype`."""
        order = self.order or "THWC"
        kind = str(self.dtype or dtype.name)
        return _kernel.Output(kind, FRAME_ORDERS.get(order, order), *self.arithmetic(channels))

    def written_dtype(self, dtype: np.dtype) -> np.dtype:
        """The dtype of clips of a source of `dtype`."""
        if self.dtype == "bfloat16":
            import ml_dtypes

            return np.dtype(ml_dtypes.bfloat16)
        return dtype if self.dtype is None else np.dtype(self.dtype)

    @lazy
    def num_views(self) -> int:
        """Number of views of a clip; where there are several, they are its first axis."""
        return SEVERAL.get(self.crop[0], 1) if isinstance(self.crop, tuple) else 1

    @lazy
    def time_axis(self) -> int | None:
        """Axis of time in a clip; None in the orders of single frames."""
        order = self.order or "THWC"
        return None if order in FRAME_ORDERS else order.index("T") + (self.num_views > 1)

    def clip_shape(self, length: int, height: int, width: int, channels: int) -> tuple[int, ...]:
        """Shape of a clip of views of this size. Raises ValueError for a longer clip in an order of single frames."""
        order = self.order or "THWC"
        if order in FRAME_ORDERS and length != 1:
            raise ValueError(f"order is {order!r}, which is for clips of one frame, but length is {length}")
        sizes = {"T": length, "H": height, "W": width, "C": channels}
        shape = tuple(sizes[each] for each in order)
        return shape if self.num_views == 1 else (self.num_views, *shape)

    def time_first(self, clip: np.ndarray) -> np.ndarray:
        """A view of a clip's array with time first, as the kernel takes frames; bfloat16 as its bits, uint16."""
        if self.dtype == "bfloat16":
            clip = clip.view(np.uint16)
        axis = self.time_axis
        if axis is None:
            return clip[None]
        return np.moveaxis(clip, axis, 0) if axis > 1 else clip.swapaxes(0, axis) if axis else clip

    def fill(self, value: np.ndarray, channels: int) -> np.ndarray:
        """`value`, a number of the source, as frames of it are written; to be broadcast over those of `time_first`."""
        per_channel = np.full(channels, value)
        if self.computes or self.dtype not in (None, per_channel.dtype.name):
            # The kernel writes it, so that equal numbers of a frame have the same bits.
            frame, one = per_channel.reshape(1, 1, 1, channels), View(0, 0, 1, 1, False)
            per_channel = np.empty(channels, np.uint16 if self.dtype == "bfloat16" else self.dtype)
            _kernel.Formatted(frame, self.output(channels, frame.dtype)).write(
                per_channel, np.zeros((1, 1), np.int64), [one]
            )
        return per_channel if (self.order or "THWC").endswith("C") else per_channel[:, None, None]

    def resized(self, height: int, width: int) -> Size:
        """Size of a picture of this size after `resize`, with its bars."""
        return resized(self.resize, height, width)

    def views(self, height: int, width: int, rng: np.random.Generator | None = None) -> tuple[View, ...]:
        """The views of a picture that has been resized to this size; rng draws what is random.

        Raises ValueError for a crop outside the picture.
        """
        return views_of(self.crop, self.flip, height, width, rng)

    def view_size(self, height: int, width: int) -> Size:
        """Height and width in a clip of the views of a picture that has been resized to this size."""
        return crop_size(self.crop) or (height, width)

    @property
    def fixed_view_size(self) -> Size | None:
        """Height and width in a clip of the views of any picture; None where they depend on the picture.

        Raises ValueError for a crop that lies outside every resized picture.
        """
        picture = fixed_size(self.resize)
        if picture is not None:
            self.views(*picture)
        return crop_size(self.crop) or picture

    @property
    def most_pixels(self) -> int | None:
        """Most pixels of a view where `resize` limits them, but for those of few very long pictures; else None."""
        return most_pixels(self.resize) if self.crop is None else None

    def view_shape(self, clip: np.ndarray) -> Size:
        """Height and width of each view of a clip."""
        order = self.order or "THWC"
        first = clip.ndim - len(order)
        return clip.shape[first + order.index("H")], clip.shape[first + order.index("W")]

    def num_pixels(self, clip: np.ndarray) -> int:
        """Pixels of each view of a clip."""
        height, width = self.view_shape(clip)
        return height * width
