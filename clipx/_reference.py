"""What the kernel and the plan do, in obvious NumPy: the specification that they are tested against."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["gather", "indices", "padding", "scatter", "starts"]


def starts(
    n: int,
    length: int,
    stride: int | None = None,
    dilation: int = 1,
    policy: str = "drop",
    num_clips: int | None = None,
) -> list[int]:
    """Start frames of the clips of a source of n frames, in a loop."""
    span = dilation * (length - 1) + 1
    if num_clips is not None:
        if n < span and policy == "error":
            raise ValueError("incomplete")
        if n == 0 or (n < span and policy in ("drop", "backpad")):
            return []
        free = max(n - span, 0)
        return [free // 2] if num_clips == 1 else [i * free // (num_clips - 1) for i in range(num_clips)]
    stride = length * dilation if stride is None else stride
    complete = [start for start in range(0, n, stride) if start + span <= n]
    if policy == "drop":
        return complete
    covered = complete[-1] + span if complete else 0
    if covered >= n:
        return complete
    if policy == "error":
        raise ValueError("incomplete")
    if policy == "backpad":
        return [*complete, n - span] if complete else []
    following = complete[-1] + stride if complete else 0
    return [*complete, following] if following < n else complete


def _place(position: int, n: int, policy: str) -> int:
    if position < n:
        return position
    if policy == "repeat_last":
        return n - 1
    if policy == "wrap":
        return position % n
    if policy == "reflect":
        there_and_back = [*range(n), *range(n - 2, 0, -1)]
        return there_and_back[position % len(there_and_back)]
    assert policy == "constant", policy
    return -1


def indices(n: int, at: list[int], length: int, dilation: int = 1, policy: str = "drop") -> np.ndarray:
    """Source frame of each place, (clips, length); -1 where fill_value goes."""
    table = [[_place(start + i * dilation, n, policy) for i in range(length)] for start in at]
    return np.array(table, dtype=np.int64).reshape(len(at), length)


def padding(n: int, at: list[int], length: int, dilation: int = 1) -> np.ndarray:
    """True where a place lies past frame n - 1, (clips, length)."""
    table = [[start + i * dilation >= n for i in range(length)] for start in at]
    return np.array(table, dtype=bool).reshape(len(at), length)


def gather(frames: np.ndarray, table: np.ndarray, fill: Any = 0) -> np.ndarray:
    """frames[table], with `fill` where the table is -1."""
    out = np.empty(table.shape + frames.shape[1:], frames.dtype)
    for place in np.ndindex(table.shape):
        out[place] = fill if table[place] < 0 else frames[table[place]]
    return out


def scatter(frame: np.ndarray, targets: list[np.ndarray]) -> None:
    """Write the frame to every target."""
    for target in targets:
        target[...] = frame
