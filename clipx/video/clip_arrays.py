"""The arrays that the clips of a source of pictures are written to, and the views that each takes of its pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from clipx._checks import check_total
from clipx._views import Views
from clipx.format import ClipFormat
from clipx.media.clip_memory import ClipMemory
from clipx.plan import FrameSpec, Selection
from clipx.plan.rows import Plan
from clipx.plan.segmented import SegmentedPlan
from clipx.video.open_pictures import ClipArray, OpenPictures
from clipx.video.writer import PictureWriter

__all__ = ["DTYPE", "open_pictures"]

DTYPE = np.dtype("uint8")
"""Of pictures as they are decoded."""


def open_pictures(
    spec: FrameSpec,
    plan: Plan,
    format: ClipFormat,
    writer: PictureWriter,
    *,
    pool: ClipMemory | None,
    in_step: int,
    selection: Selection,
    seed: tuple[int, ...],
) -> tuple[OpenPictures, Views]:
    """The clips of a plan, none of them begun, and the views that they take.

    Args:
        writer: of the pictures, which has been prepared for the first.
        in_step: sources that hold slots of the pool side by side.
        seed: what views are drawn from.

    Raises ValueError where clips do not fit into the pool.
    """
    size, channels = writer.size, writer.channels
    assert size is not None
    views = Views(format, *size, seed)
    if isinstance(plan, SegmentedPlan):
        views.key = plan.key

    @lru_cache
    def shape(length: int) -> tuple[int, ...]:
        return format.clip_shape(length, *views.size, channels)

    # A slot holds any clip of the spec: others of the pool's sources may be longer.
    most, common = spec.max_length or plan.length, views.common
    longest, dtype = shape(most), format.written_dtype(DTYPE)
    check_total("a clip", longest, dtype.itemsize)
    allocate: Callable[..., np.ndarray] = np.empty
    if pool is not None:
        pool.require(plan.slots() * in_step, longest, dtype)
        allocate = pool.acquire
    time_first = format.time_first

    def make(number: int, length: int) -> ClipArray:
        clip = allocate(longest if length == most else shape(length), dtype)
        return ClipArray(clip, time_first(clip), common or views[number])

    fill_value = np.array(spec.fill_value if spec.fills else 0).astype(DTYPE)
    fill = format.fill(fill_value, channels)
    return OpenPictures(spec, plan, make, fill, selection), views
