"""The times of a clip's frames in a file of its own, from those that "clip.json" has."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

__all__ = ["FrameTimes", "frame_times"]

FINE = 360_000
"""Ticks a second that hold the times of 24, 25, 30, 50 and 60 frames a second, these by 1.001, of milliseconds, and of
MPEG's 90 kHz."""

COARSE = 1000
LONGEST_FINE = 5000  # seconds between two frames that MP4 can count in fine ticks
LONGEST = 2_000_000  # likewise, in coarse ones
DEFAULT_RATE = 25
"""Frames a second of arrays, which have no times."""

RATES = (1, 240)
"""The lowest and the highest average that encoders are told of; they use it for how much a frame may cost."""


class FrameTimes(NamedTuple):
    """When the frames of a file are shown.

    Attributes:
        ticks: a second.
        pts: of each frame, ascending from 0, in ticks.
        durations: of each frame, at least 1.
    """

    ticks: int
    pts: list[int]
    durations: list[int]

    @property
    def rate(self) -> Fraction:
        """Average frames a second, within what encoders take."""
        found = Fraction(len(self.pts) * self.ticks, self.pts[-1] + self.durations[-1])
        return min(max(found.limit_denominator(1001), Fraction(RATES[0])), Fraction(RATES[1]))


def frame_times(facts: Mapping[str, Any], n: int) -> FrameTimes:
    """The times of a clip's n frames; the first is shown at 0.

    Args:
        facts: of the clip, as "clip.json" has them.

    They are as far apart as `pts_seconds` says, and the last lasts as `duration_seconds` says. Copies of a frame share
    the time until the next. Where times go back, and where the policy fills, each frame lasts as long as the one
    before, and what follows is later by so much. Without times there are 25 a second.

    Raises ValueError for frames weeks apart.
    """
    seconds = _seconds(facts, n)
    longest = float(np.diff(seconds).max())
    if longest > LONGEST:
        raise ValueError(f"a frame of the clip lasts {longest:.0f} seconds, but MP4 has at most {LONGEST}")
    ticks = FINE if longest < LONGEST_FINE else COARSE
    # At least one between two times.
    steps = np.arange(n + 1)
    pts = np.maximum.accumulate(np.round(seconds * ticks).astype(np.int64) - steps) + steps
    return FrameTimes(ticks, pts[:-1].tolist(), np.diff(pts).tolist())


def _seconds(facts: Mapping[str, Any], n: int) -> np.ndarray:
    """Seconds from the first frame to each of n, and to the end of the last, ascending."""
    given, lasting = facts.get("pts_seconds"), facts.get("duration_seconds")
    if not isinstance(given, list) or not isinstance(lasting, list) or len(given) != n:
        return np.arange(n + 1) / DEFAULT_RATE
    valid, origin, later = facts.get("valid", n), given[0] or 0.0, 0.0
    step = next(filter(None, lasting), 1 / DEFAULT_RATE)
    # Frames at one time are a run: its first frame, and when it begins.
    firsts, begins = [0], [0.0]
    for k in range(1, n):
        time, before = given[k], given[k - 1]
        is_known = k < valid and time is not None and before is not None
        if is_known and time == before:
            continue
        if is_known and time > before:
            begin = time - origin + later
        else:
            begin = begins[-1] + step
            later = 0.0 if time is None else begin - (time - origin)
        step = (begin - begins[-1]) / (k - firsts[-1])
        firsts.append(k)
        begins.append(begin)
    last = lasting[-1] if n <= valid and lasting[-1] else step
    return np.interp(np.arange(n + 1), [*firsts, n], [*begins, begins[-1] + last])
