"""The frames of a video that its clips need, as arrays of bool over all frames."""

from __future__ import annotations

import numpy as np

from clipx.media.packet_index import PacketIndex
from clipx.plan import Extent, FrameSpec, Rng, Selection
from clipx.plan.rows import Plan

__all__ = ["needed_frames", "wanted_frames"]


def needed_frames(spec: FrameSpec, n: int, selection: Selection, *, damage: str, rng: Rng) -> np.ndarray:
    """The frames of n that clips hold, bool (n,), with those that the end needs again.

    With damage="stop" they are those of the clips that are selected, and of the one before the selection's `first`.
    """
    needed = np.zeros(n, dtype=bool)
    plan = spec.plan(Extent(n), rng)
    count = plan.count_until_error(n)
    indices = np.arange(count)
    if damage == "stop":
        indices = np.union1d(selection.of(count), _before(selection, count))
    rows = plan.final_rows(indices, n)
    needed[rows[rows >= 0]] = True
    return _with_a_picture(needed, len(indices))


def wanted_frames(plan: Plan, frames: np.ndarray, selection: Selection, index: PacketIndex | None) -> np.ndarray:
    """The frames of the time line that clips hold in their order, bool (n,); the end may need others again.

    frames: frame of the video for each frame of the time line. With an index, the stretches between key frames that
    follow the clip before the selection's `first` are decoded as they are for all clips: damage then shows at the same
    clip.
    """
    n = len(frames)
    count = plan.count_until_error(n)
    indices = selection.of(count)
    selected = _with_a_picture(plan.frames_in_order(indices, n), len(indices))
    before = _before(selection, count)
    if index is None or not len(before):
        return selected
    stretches = np.searchsorted(index.keys, frames, side="right")
    end = np.max(stretches[plan.frames_in_order(before, n)], initial=0)
    here = (stretches == end) | ((stretches > end) & np.isin(stretches, stretches[selected]))
    return selected | (plan.frames_in_order(np.arange(count), n) & here)


def _with_a_picture(frames: np.ndarray, clips: int) -> np.ndarray:
    """These frames, or the first one where the clips are all fill: a picture gives their size."""
    if clips and not frames.any():
        frames[:1] = True
    return frames


def _before(selection: Selection, count: int) -> np.ndarray:
    """The index of the clip before the selection's `first`; none where that is the first of all."""
    first = selection.first or 0
    return np.arange(max(first - 1, 0), min(first, count))
