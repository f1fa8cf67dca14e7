"""The policies: how clips that would run past the end of their source are counted, and which frames they take there.

`POLICIES` has one entry a policy. Its functions take numbers only: n, the frames of a source; span, those from a clip's
first to its last; stride, those between the starts of neighbouring clips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["POLICIES", "Policy", "PolicyRules"]

Policy = Literal["drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad"]
"""The policies for the end of a source; `WindowSpec` says what each does.

Stability: stable.
"""


@dataclass(frozen=True)
class PolicyRules:
    """The rules of one policy for the end of a source.

    Attributes:
        count: number of clips of n >= span frames, a stride apart.
        takes_short: a source of n < span frames gives clips.
        rows: the frames of clips, from rows that count on past frame n - 1, which it may change.
        first_frames, last_frames: numbers of a stream's first and last frames that `rows` may ask for once they have
            gone by, by the span of its clips.
        moves_last: the last clip is moved back, to end on the last frame.
        raises: a clip that is not complete is an error.
        fills: rows may hold -1, where `fill_value` goes.
    """

    count: Callable[[int, int, int], int]
    takes_short: Callable[[int, int], bool]
    rows: Callable[[np.ndarray, int], np.ndarray]
    first_frames: Callable[[int], int] = lambda span: 0
    last_frames: Callable[[int], int] = lambda span: 0
    moves_last: bool = False
    raises: bool = False
    fills: bool = False


def _complete(n: int, span: int, stride: int) -> int:
    """Clips that lie within the source, as pooling in floor mode counts."""
    return (n - span) // stride + 1


def _covering(n: int, span: int, stride: int) -> int:
    """Clips that cover every frame, each with a frame of its own, as pooling in ceil mode counts."""
    return min(-(-(n - span) // stride), (n - 1) // stride) + 1


def _covering_moved(n: int, span: int, stride: int) -> int:
    """Clips that cover every frame, the last one moved back."""
    return -(-(n - span) // stride) + 1


def _exact(n: int, span: int, stride: int) -> int:
    count = _complete(n, span, stride)
    left = n - ((count - 1) * stride + span)
    if left:
        raise ValueError(f"policy is 'error', but {left} of {n} frames are left after {count} clips")
    return count


def _takes_none(n: int, span: int) -> bool:
    return False


def _takes_any(n: int, span: int) -> bool:
    return True


def _refuses_short(n: int, span: int) -> bool:
    raise ValueError(f"policy is 'error', but {n} frames do not fill one span of {span}")


def _within(rows: np.ndarray, n: int) -> np.ndarray:
    return rows


def _repeat_last(rows: np.ndarray, n: int) -> np.ndarray:
    return np.minimum(rows, n - 1)


def _wrap(rows: np.ndarray, n: int) -> np.ndarray:
    return rows % n


def _reflect(rows: np.ndarray, n: int) -> np.ndarray:
    """The mirror image, without the edge again: of 4 frames 0 1 2 3 2 1 0 1 ..."""
    period = max(2 * (n - 1), 1)
    rows %= period
    return np.minimum(rows, period - rows) if n > 1 else np.zeros_like(rows)


def _fill(rows: np.ndarray, n: int) -> np.ndarray:
    return np.where(rows < n, rows, -1)


POLICIES: Mapping[str, PolicyRules] = {
    "drop": PolicyRules(_complete, _takes_none, _within),
    "repeat_last": PolicyRules(_covering, _takes_any, _repeat_last, last_frames=lambda span: 1),
    "wrap": PolicyRules(_covering, _takes_any, _wrap, first_frames=lambda span: span),
    "reflect": PolicyRules(_covering, _takes_any, _reflect, last_frames=lambda span: span),
    "constant": PolicyRules(_covering, _takes_any, _fill, fills=True),
    "error": PolicyRules(_exact, _refuses_short, _within, raises=True),
    "backpad": PolicyRules(_covering_moved, _takes_none, _within, last_frames=lambda span: span, moves_last=True),
}
