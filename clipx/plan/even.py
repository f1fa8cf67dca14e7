"""Windows that all lie within their source, evenly apart: three numbers say which, without a table of frames."""

from __future__ import annotations

from typing import NamedTuple

from clipx.plan.windows import WindowSpec

__all__ = ["EvenWindows", "even_windows"]


class EvenWindows(NamedTuple):
    """`clips` windows, the first at frame `first`, each `stride` frames behind the one before."""

    first: int
    stride: int
    clips: int


def even_windows(spec: WindowSpec, n: int) -> EvenWindows | None:
    """The clips of n frames; None where there is none, or one is drawn, incomplete or moved. Raises as `count` does."""
    if spec.sampling != "regular" or spec.offset == "random":
        return None
    span, count, first, stride = spec.span, spec.count(n), spec.offset, spec.stride
    if stride is None:
        first, stride = max(n - span, 0) // 2, 1
        if count > 1:
            return None
    if not count or first + (count - 1) * stride + span > n:
        return None
    return EvenWindows(first, stride, count)
