"""The value that fills the positions of a clip that have no frame."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.exceptions import ComplexWarning

from clipx.plan.spec import FrameSpec

__all__ = ["fill_bytes"]


def fill_bytes(spec: FrameSpec, dtype: np.dtype) -> bytes | None:
    """One element of `spec.fill_value` as the kernel takes it; None where the spec never fills.

    Raises ValueError where an integer or boolean dtype cannot hold the value.
    """
    if not spec.fills:
        return None
    try:
        with np.errstate(invalid="raise"), warnings.catch_warnings():
            warnings.simplefilter("error", ComplexWarning)
            warnings.simplefilter("error", DeprecationWarning)  # NumPy 1 warns of integers out of range
            element = np.array(spec.fill_value, dtype=dtype)
        if dtype.kind in "iub" and element != spec.fill_value:
            raise ValueError("it is not such a number")
    except (TypeError, ValueError, OverflowError, FloatingPointError, Warning) as exn:
        raise ValueError(f"fill_value is {spec.fill_value!r}, which dtype {dtype} cannot hold: {exn}") from exn
    return element.tobytes()
