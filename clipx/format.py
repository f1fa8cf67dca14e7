"""How a frame is written: `ClipFormat`."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from clipx import _kernel
from clipx._checks import integer
from clipx._crops import SEVERAL, Size, View, as_crop, as_size, views_of
from clipx._reprs import value_repr

__all__ = ["PRESETS", "ClipFormat", "Size", "View"]

# Mean and standard deviation of red, green and blue, after division by 255.
PRESETS = {
    # Those of torchvision's models for images and for video.
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "kinetics": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    # OpenAI CLIP's preprocessing.
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
DTypeName = Literal["uint8", "float16", "bfloat16", "float32"]
DTYPES: tuple[DTypeName, ...] = get_args(DTypeName)
LARGEST = {"float16": 65504.0, "bfloat16": float.fromhex("0x1.fep127"), "float32": float(np.finfo("f4").max)}
LEAST_PART = 2.0**32  # beyond it the rounding of x * scale, 2^-53 of it, is near 1e-6 of std
Order = Literal["THWC", "CTHW", "TCHW", "HWC", "CHW"]
ORDERS: tuple[Order, ...] = get_args(Order)
FRAME_ORDERS = {"HWC": "THWC", "CHW": "TCHW"}


def _flip(value: Any) -> bool | float:
    if isinstance(value, bool):
        return value
    if not isinstance(value, (float, np.floating)):
        raise TypeError(f"flip is {value!r}, but must be True or False, or a probability such as 0.5")
    if not 0 <= value <= 1:
        raise ValueError(f"flip is {value!r}, but a probability lies from 0 to 1")
    return float(value) if 0 < value < 1 else bool(value)


def _number(name: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name} is {value!r}, but must be a number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} is {value!r}, but must be a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}, but must be finite")
    return number


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    """One number for all channels, or one for each."""
    if isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, but must be numbers or one of {', '.join(PRESETS)}")
    if not isinstance(value, (list, tuple, np.ndarray)) or (isinstance(value, np.ndarray) and not value.ndim):
        return (_number(name, value),)
    if not len(value) or any(isinstance(each, (list, tuple)) or np.ndim(each) for each in value):
        raise ValueError(f"{name} is {value!r}, but must be a number, or one for each channel")
    return tuple(_number(name, each) for each in value)


def _dtype(value: Any) -> str:
    try:
        name = value if isinstance(value, str) else np.dtype(value).name
    except TypeError:
        name = str(value)
    if name not in DTYPES:
        raise ValueError(f"dtype is {value!r}, but must be one of {', '.join(DTYPES)}")
    if name == "bfloat16" and importlib.util.find_spec("ml_dtypes") is None:
        raise ValueError("dtype is 'bfloat16', which needs the package ml_dtypes")
    return name


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
            centre, its odd pixel to the right and below; ("random", size) for one anywhere, drawn for each clip; or
            several views, along a first axis of the clip: ("three", size) at both ends of the longer side and between
            them, ("five", size) at the corners and in the centre, ("ten", size) these and those of the flipped picture.
        resize: (height, width) in pixels, or an integer for the shorter side; the longer one keeps the picture's shape.
            For video only.
        flip: whether pictures are mirrored, left and right; a float is the probability, drawn for each clip. Of several
            views all are.
        dtype: "uint8", "float16", "bfloat16" (with the package ml_dtypes) or "float32"; default float32 where scale,
            mean or std are given, else the source's. float16 and bfloat16 are that float32 rounded to nearest even.
        scale: a factor of all numbers. Default 1, with a preset 1 / 255.
        mean, std: a number, or one for each channel, in units after `scale`; or the name of a preset, "imagenet",
            "kinetics" or "clip", which gives both, and the scale, where these are not given.
        order: of a clip's dimensions (time, height, width, channels): "THWC" (default), "CTHW" or "TCHW"; for clips of
            one frame also "HWC" or "CHW", without a time axis.

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

    float32 is within 1e-6 * max(1, |value|) of the formula in float64, for every source; the other floats are that
    float32, rounded. Equal numbers become equal bits, whatever their dtype and strides.

    Raises TypeError and ValueError that name the argument. A source that does not suit the format, such as a picture
    smaller than the crop or of another number of channels, is a ValueError before its first clip is written.
    """

    crop: Any = None
    resize: int | Size | None = None
    flip: bool | float = False
    dtype: DTypeName | np.dtype | type | None = None
    scale: float | None = None
    mean: Any = None
    std: Any = None
    order: Order | None = None

    __repr__ = value_repr

    def __post_init__(self) -> None:
        keep = object.__setattr__
        if self.resize is not None:
            resize: Any = self.resize
            pair = isinstance(resize, (tuple, list))
            keep(self, "resize", as_size("resize", resize) if pair else integer("resize", resize, 1))
        if self.crop is not None:
            keep(self, "crop", as_crop(self.crop))
        keep(self, "flip", _flip(self.flip))
        self._resolve_presets()
        if self.scale is not None:
            keep(self, "scale", _number("scale", self.scale))
            if self.scale == 0:
                raise ValueError("scale is 0, but every number would become the same")
        for name in ("mean", "std"):
            if getattr(self, name) is not None:
                keep(self, name, _numbers(name, getattr(self, name)))
        if self.std is not None and 0 in self.std:
            raise ValueError(f"std is {self.std}, but must not hold 0")
        channels = {len(each) for each in (self.mean, self.std) if each is not None and len(each) > 1}
        if len(channels) > 1:
            raise ValueError(f"mean is {self.mean} and std is {self.std}, but both are per channel")
        if self.dtype is not None:
            keep(self, "dtype", _dtype(self.dtype))
        elif self.computes:
            keep(self, "dtype", "float32")
        if self.order is not None:
            keep(self, "order", _order(self.order))
        self._check_range()

    def _resolve_presets(self) -> None:
        names = {each for each in (self.mean, self.std) if isinstance(each, str)}
        for name in names - set(PRESETS):
            raise ValueError(f"mean or std is {name!r}, but must be numbers or one of {', '.join(PRESETS)}")
        if len(names) > 1:
            raise ValueError(f"mean is {self.mean!r} and std is {self.std!r}, but a preset gives both")
        for name in names:
            for field, value in zip(("mean", "std"), PRESETS[name]):
                given = getattr(self, field)
                if given is None or isinstance(given, str):
                    object.__setattr__(self, field, value)
            if self.scale is None:
                object.__setattr__(self, "scale", 1 / 255)

    def _check_range(self) -> None:
        if not self.computes:
            return
        if self.dtype == "uint8":
            raise ValueError("dtype is 'uint8', which cannot hold what scale, mean and std make; take a float")
        scale, mean, std = self.arithmetic(max(len(self.mean or (0,)), len(self.std or (0,))))
        largest = LARGEST[str(self.dtype)]
        for middle, deviation in zip(mean, std):
            if abs(middle / scale) > LARGEST["float32"] or abs(scale / deviation) > LARGEST["float32"]:
                raise ValueError(f"scale is {scale}, but mean {middle} and std {deviation} are too far from it")
            most = abs(255 * scale)
            if 0 < abs(middle) < 2 * most and most > LEAST_PART * abs(deviation):
                raise ValueError(
                    f"std is {deviation}, so small beside mean {middle} and scale {scale} that even float64 would show "
                    f"nothing but its rounding"
                )
            most = max(abs((x * scale - middle) / deviation) for x in (0, 255))
            if most > largest:
                raise ValueError(f"dtype is {self.dtype!r}, which holds up to {largest:g}, but bytes become {most:g}")

    @property
    def computes(self) -> bool:
        """Numbers are changed, and not only copied."""
        return not (self.scale is None and self.mean is None and self.std is None)

    @property
    def is_random(self) -> bool:
        """Clips of one source have views of their own, drawn at random."""
        return self._anywhere or not isinstance(self.flip, bool)

    @property
    def _anywhere(self) -> bool:
        return self.crop is not None and self.crop[0] == "random"

    def arithmetic(self, channels: int) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
        """scale, and mean and std for each of so many channels. Raises ValueError where their number differs."""
        found = []
        for name, default in (("mean", 0.0), ("std", 1.0)):
            numbers = getattr(self, name) or (default,)
            if len(numbers) not in (1, channels):
                raise ValueError(f"{name} has {len(numbers)} numbers, but the frames have {channels} channels")
            found.append(numbers * channels if len(numbers) == 1 else numbers)
        return 1.0 if self.scale is None else self.scale, found[0], found[1]

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

    @cached_property
    def num_views(self) -> int:
        """Number of views of a clip; where there are several, they are its first axis."""
        return 1 if self.crop is None else SEVERAL.get(self.crop[0], 1)

    @cached_property
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
        """Size of a picture of this size after `resize`."""
        if self.resize is None:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        short = self.resize
        if height <= width:
            return short, max(round(width * short / height), 1)
        return max(round(height * short / width), 1), short

    def views(self, height: int, width: int, rng: np.random.Generator | None = None) -> tuple[View, ...]:
        """The views of a picture that has been resized to this size; rng draws what is random.

        Raises ValueError for a crop outside the picture.
        """
        return views_of(self.crop, self.flip, height, width, rng)
