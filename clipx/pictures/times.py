"""When the pictures of a clip are shown: the seconds that its facts say, as exact times."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from clipx.media.exact_times import FrameTimes
from clipx.media.rates import DEFAULT_RATE

__all__ = ["KnownTimes", "read_times"]

USUAL_CLOCKS = 1000, 90_000, 10**6
"""Ticks a second that containers and tables count in."""

FINEST_CLOCK = 10**9
"""Ticks a second to which other times are rounded."""

MOST_SECONDS = 2**32
MOST_TICKS = 10**7
EXACT_DENOMINATOR = 10**5
COMPARED = 64
"""Times that show the clock."""

AGREE = 0.01


class KnownTimes(NamedTuple):
    """The times of a source's pictures.

    Attributes:
        times: of all pictures, in ticks.
        time_base: seconds of a tick.
        rate: pictures a second.
    """

    times: FrameTimes
    time_base: Fraction
    rate: Fraction


def read_times(facts: Any, n: int) -> KnownTimes:
    """The times of n pictures, from the facts of the clip that they are, as "clip.json" has them.

    Times that are whole ticks of a clock are exact, others are rounded to nanoseconds.

    Raises ValueError that says why the facts do not give them.
    """
    if not isinstance(facts, Mapping):
        raise ValueError("it is not an object")
    if "pts_seconds" not in facts:
        raise ValueError("it has no pts_seconds")
    pts = _numbers("pts_seconds", facts["pts_seconds"], n)
    if np.any(np.diff(pts) <= 0):
        raise ValueError("its pts_seconds are not ascending")
    lasts = facts.get("duration_seconds")
    durations = np.zeros(n) if lasts is None else _numbers("duration_seconds", lasts, n)
    if np.any(durations < 0):
        raise ValueError("its duration_seconds are below 0")
    clock = next((each for each in _clocks(pts) if np.array_equal(np.rint(pts * each) / each, pts)), FINEST_CLOCK)
    ticks = np.rint(pts * clock).astype(np.int64)
    if np.any(np.diff(ticks) <= 0):
        raise ValueError("its pts_seconds are less than a nanosecond apart")
    times = FrameTimes(ticks, np.rint(durations * clock).astype(np.int64))
    return KnownTimes(times, Fraction(1, clock), _likely_rate(pts, durations, _rate(facts.get("source_fps"))))


def _numbers(name: str, values: Any, n: int) -> np.ndarray:
    """A list of n numbers of seconds, float64 (n,)."""
    if not isinstance(values, list) or len(values) != n:
        found = f"{len(values)} numbers" if isinstance(values, list) else f"a {type(values).__name__}"
        raise ValueError(f"its {name} are {found}, but there are {n} pictures")
    if not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in values):
        raise ValueError(f"its {name} are not all numbers")
    if not all(abs(each) < MOST_SECONDS for each in values):  # nan is not either
        raise ValueError(f"its {name} are not all numbers of seconds below {MOST_SECONDS}")
    return np.array(values, dtype=np.float64)


def _clocks(pts: np.ndarray) -> Iterator[int]:
    """Likely numbers of ticks a second, the likeliest first."""
    some = pts[np.linspace(0, len(pts) - 1, min(len(pts), COMPARED)).astype(int)].tolist()
    common = math.lcm(*(Fraction(each).limit_denominator(EXACT_DENOMINATOR).denominator for each in some))
    if common <= MOST_TICKS:
        yield common
    yield from USUAL_CLOCKS


def _rate(value: Any) -> float | None:
    is_rate = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < MOST_TICKS
    return float(value) if is_rate else None


def _likely_rate(pts: np.ndarray, durations: np.ndarray, stated: float | None) -> Fraction:
    """The stated rate where the times agree with it, else that of the times: a clip may leave frames out."""
    duration = float(pts[-1] - pts[0]) / (len(pts) - 1) if len(pts) > 1 else float(durations[0])
    if stated is None or (duration and abs(duration * stated - 1) > AGREE):
        stated = 1 / duration if duration else None
    if stated is None:
        return DEFAULT_RATE
    exact = Fraction(stated).limit_denominator(1001)
    return exact if float(exact) == stated else Fraction(stated)
