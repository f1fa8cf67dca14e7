"""Numbers of a format: scale, mean and std, the presets, and the dtypes that hold what they make."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal, get_args

import numpy as np

from clipx._checks import number

__all__ = ["PRESETS", "DTypeName", "as_dtype_name", "as_numbers", "check_range", "per_channel", "resolve_presets"]

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


def as_numbers(name: str, value: Any) -> tuple[float, ...]:
    """One number for all channels, or one for each."""
    if isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, but must be numbers or one of {', '.join(PRESETS)}")
    if not isinstance(value, (list, tuple, np.ndarray)) or (isinstance(value, np.ndarray) and not value.ndim):
        return (number(name, value),)
    if not len(value) or any(isinstance(each, (list, tuple)) or np.ndim(each) for each in value):
        raise ValueError(f"{name} is {value!r}, but must be a number, or one for each channel")
    return tuple(number(name, each) for each in value)


def as_dtype_name(value: Any) -> str:
    """The name of a dtype that clips may have."""
    try:
        name = value if isinstance(value, str) else np.dtype(value).name
    except TypeError:
        name = str(value)
    if name not in DTYPES:
        raise ValueError(f"dtype is {value!r}, but must be one of {', '.join(DTYPES)}")
    if name == "bfloat16" and importlib.util.find_spec("ml_dtypes") is None:
        raise ValueError("dtype is 'bfloat16', which needs the package ml_dtypes")
    return name


def resolve_presets(scale: Any, mean: Any, std: Any) -> tuple[Any, Any, Any]:
    """scale, mean and std with the numbers of the preset that mean or std names."""
    names = {each for each in (mean, std) if isinstance(each, str)}
    for name in names - set(PRESETS):
        raise ValueError(f"mean or std is {name!r}, but must be numbers or one of {', '.join(PRESETS)}")
    if len(names) > 1:
        raise ValueError(f"mean is {mean!r} and std is {std!r}, but a preset gives both")
    for name in names:
        of_mean, of_std = PRESETS[name]
        mean = of_mean if mean is None or isinstance(mean, str) else mean
        std = of_std if std is None or isinstance(std, str) else std
        scale = 1 / 255 if scale is None else scale
    return scale, mean, std


def per_channel(name: str, numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """A number for each channel. Raises ValueError where they are neither one nor as many as the channels."""
    if len(numbers) not in (1, channels):
        raise ValueError(f"{name} has {len(numbers)} numbers, but the frames have {channels} channels")
    return numbers * channels if len(numbers) == 1 else numbers


def check_range(dtype: str, scale: float, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Raise ValueError where dtype cannot hold what becomes of bytes, or where only rounding would be left of it."""
    if dtype == "uint8":
        raise ValueError("dtype is 'uint8', which cannot hold what scale, mean and std make; take a float")
    largest = LARGEST[dtype]
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
            raise ValueError(f"dtype is {dtype!r}, which holds up to {largest:g}, but bytes become {most:g}")
