"""Checks of arguments, each with one message."""

from __future__ import annotations

import math
import operator
import re
import sys
from collections.abc import Iterable
from fractions import Fraction
from importlib import import_module
from typing import Any, SupportsIndex

import numpy as np

__all__ = [
    "as_array",
    "as_bytes",
    "as_dtype",
    "as_fps",
    "as_shape",
    "byte_count",
    "check_kind",
    "check_total",
    "check_writable",
    "exact_number",
    "integer",
    "number",
    "one_of",
    "patience",
]

OF_ML_DTYPES = frozenset(
    f"torch.{name}" for name in ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
)

UNITS = {"": 1, **{p: 1000**i for i, p in enumerate("kmgt", 1)}, **{p + "i": 1024**i for i, p in enumerate("kmgt", 1)}}


def integer(name: str, value: SupportsIndex, least: int, most: int | None = None) -> int:
    """`value` as an int in [least, most]. Raises TypeError if it is not an integer, ValueError if it lies outside."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}, but must be an integer")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, but must be an integer") from None
    if number < least:
        raise ValueError(f"{name} is {number}, but must be at least {least}")
    if most is not None and number > most:
        raise ValueError(f"{name} is {number}, but must be at most {most}")
    return number


def number(name: str, value: Any) -> float:
    """`value` as a finite float. Raises TypeError if it is not a number, ValueError if it is not finite."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name} is {value!r}, but must be a number")
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} is {value!r}, but must be a number") from None
    if not math.isfinite(found):
        raise ValueError(f"{name} is {value!r}, but must be finite")
    return found


def one_of(name: str, value: Any, known: Iterable[str]) -> None:
    """Raise ValueError unless `value` is one of these names."""
    known = tuple(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(known)}")


def check_kind(name: str, value: Any, *kinds: Any) -> None:
    """Raise TypeError unless `value` is of one of `kinds`, each a class or None."""
    if not any(value is None if kind is None else isinstance(value, kind) for kind in kinds):
        known = " or ".join("None" if kind is None else f"a {kind.__name__}" for kind in kinds)
        raise TypeError(f"{name} is {value!r}, but must be {known}")


def patience(name: str, value: Any) -> float | None:
    """Seconds to wait, from 0 on, or None to wait for ever. Raises TypeError and ValueError that name the argument."""
    if value is None:
        return None
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is {value!r}, but must be a number of seconds, or None")
    if not float(value) >= 0:
        raise ValueError(f"{name} is {value!r}, but must be seconds from 0 on, or None")
    return float(value)


def byte_count(name: str, value: int | str) -> int:
    """Bytes from an int or a text such as "2GB" (10**9), "64mb" or "1.5GiB" (2**30).

    Raises TypeError and ValueError that name the argument.
    """
    if not isinstance(value, str):
        if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
            raise TypeError(f"{name} is {value!r}, but must be a number of bytes, an integer or such as '2GB'")
        return integer(name, value, 1)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?|)b\s*", value, re.IGNORECASE)
    if not match:
        raise ValueError(f"{name} is {value!r}, but must be a number of bytes such as '2GB', '64mb' or '1.5GiB'")
    return integer(name, int(Fraction(match[1]) * UNITS[match[2].lower()]), 1)


def as_shape(shape: Any) -> tuple[int, ...]:
    """A shape as integers from 0 on. Raises TypeError and ValueError that name it."""
    dims = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(integer("shape", each, 0) for each in dims)


def as_dtype(dtype: Any) -> np.dtype:
    """A dtype of NumPy. Raises TypeError for a value that is not one, and for Python objects."""
    try:
        found = None if dtype is None else np.dtype(dtype)
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise TypeError(f"dtype is {dtype!r}, but must be a NumPy dtype such as 'uint8'")
    if found.hasobject:
        raise TypeError(f"dtype is {found}, whose elements are Python objects; a slot holds bytes")
    return found


def check_total(name: str, shape: tuple[int, ...], itemsize: int) -> int:
    """Bytes of an array of `shape`. Raises ValueError where they are more than a process can address."""
    total = math.prod(shape) * itemsize
    if total > sys.maxsize:
        raise ValueError(f"{name} of shape {shape} with {itemsize} bytes an element are {total} bytes: too large")
    return total


def check_writable(name: str, array: np.ndarray) -> None:
    """Raise ValueError unless clips can be written to an array: it must be C-contiguous, and not read-only."""
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} has strides {array.strides}, but must be C-contiguous")
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only, but clips are written to it")


def _view(value: Any) -> np.ndarray | None:
    if isinstance(value, np.ndarray):
        return value
    try:
        return np.asarray(memoryview(value))
    except TypeError:
        pass
    if type(value).__module__.partition(".")[0] == "torch" and str(value.dtype) in OF_ML_DTYPES:
        return _small_floats(value)
    if any(hasattr(value, each) for each in ("__array__", "__array_interface__", "__array_struct__")):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    return None


def _small_floats(tensor: Any) -> np.ndarray:
    """A torch tensor of numbers that NumPy does not know by itself, as the package ml_dtypes has them."""
    name = str(tensor.dtype).removeprefix("torch.")
    try:
        dtype = np.dtype(getattr(import_module("ml_dtypes"), name))
    except (ImportError, AttributeError) as exn:
        raise TypeError(f"NumPy knows no {name} without the package ml_dtypes: pip install ml_dtypes") from exn
    torch = sys.modules["torch"]
    return tensor.view(torch.uint8 if dtype.itemsize == 1 else torch.int16).numpy().view(dtype)


def as_bytes(value: Any) -> Any:
    """The bytes of an array or a tensor of bytes, uint8 (n,), as a memoryview; all else as it is."""
    is_bytes = str(getattr(value, "dtype", None)) in ("uint8", "torch.uint8")
    if not is_bytes or not hasattr(value, "shape") or len(value.shape) != 1 or isinstance(value, np.ma.MaskedArray):
        return value
    array: Any = np.ascontiguousarray(as_array("a source of bytes", value))
    return memoryview(array)


def as_array(name: str, value: Any) -> np.ndarray:
    """An ndarray that sees `value` without a copy, where its protocol allows.

    Takes ndarrays, and through the buffer protocol, `__array__` or DLPack whatever lies in the CPU's memory. Raises
    TypeError for anything else, for masked arrays (their mask would be lost) and for arrays of Python objects.
    """
    try:
        array = _view(value)
    except Exception as exn:
        raise TypeError(f"{name}, a {type(value).__name__}, cannot be read as an array: {exn}") from exn
    if array is None:
        raise TypeError(f"{name} is a {type(value).__name__}, but must be an array: NumPy, buffer, __array__ or DLPack")
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill it first, its mask would be lost")
    if array.dtype.hasobject:
        raise TypeError(
            f"{name} has dtype {array.dtype}, whose elements are Python objects; their bytes cannot be copied"
        )
    return array


def exact_number(name: str, value: Any, unit: str) -> Fraction:
    """A number as an exact fraction: ints, Fractions, texts such as "30000/1001", and floats as they are written.

    Raises TypeError for a value that is not a finite number, or beyond the range of floats.
    """
    text = value if isinstance(value, str) else None
    if isinstance(value, (bool, np.bool_, bytes)) or (text is not None and (len(text) > 40 or "e" in text.lower())):
        raise TypeError(f"{name} is {value!r}, but must be a number of {unit}")
    try:
        exact = Fraction(value) if isinstance(value, (str, int, Fraction)) else Fraction(str(float(value)))
        float(exact)  # as messages and clip.json have it
        return exact
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise TypeError(f"{name} is {value!r}, but must be a number of {unit}") from None


def as_fps(name: str, value: Any) -> Fraction:
    """A rate as an exact fraction; floats such as 29.97 are taken as they are written.

    Raises TypeError for a value that is not a number, ValueError for a rate that is not above 0 and at most 10**6.
    """
    rate = exact_number(name, value, "frames a second")
    if not 0 < rate <= 10**6:
        raise ValueError(f"{name} is {value!r}, but must be above 0 and at most 10**6 frames a second")
    return rate
