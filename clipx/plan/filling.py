"""The value that fills the positions of a clip that have no frame; numbers as a dtype holds them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.exceptions import ComplexWarning

from clipx.plan.spec import FrameSpec

__all__ = ["element_of", "fill_bytes"]


def fill_bytes(spec: FrameSpec, dtype: np.dtype) -> bytes | None:
    """One element of `spec.fill_value` as the kernel takes it; None where the spec never fills.

    Raises ValueError where an integer or boolean dtype cannot hold the value.

    Stability: provisional.
    """
    if not spec.fills:
        return None
    return element_of(spec.fill_value, dtype, f"fill_value is {spec.fill_value!r},").tobytes()


def element_of(value: Any, dtype: np.dtype, said: str) -> np.ndarray:
    """`value` as an array of no dimensions.

    Raises ValueError where an integer or boolean dtype cannot hold it, which begins with `said`.
    """
    try:
        with np.errstate(invalid="raise"), warnings.catch_warnings():
            warnings.simplefilter("error", ComplexWarning)
            warnings.simplefilter("error", DeprecationWarning)  # NumPy 1 warns of integers out of range
            element = np.array(value, dtype=dtype)
        if dtype.kind in "iub" and element != value:
            raise ValueError("it is not such a number")
    except (TypeError, ValueError, OverflowError, FloatingPointError, Warning) as exn:
        raise ValueError(f"{said} which dtype {dtype} cannot hold: {exn}") from exn
    return element
