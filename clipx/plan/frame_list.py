"""FrameList: one clip of the frames that are named, by number or by time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from clipx._checks import exact_number, integer
from clipx._reprs import value_repr
from clipx.plan.draws import Rng
from clipx.plan.rows import Plan, TablePlan
from clipx.plan.seconds import Rounded, as_seconds
from clipx.plan.spec import LARGEST, Extent, FrameSpec, frames_of, times_of

__all__ = ["FrameList"]


@dataclass(frozen=True)
class FrameList(FrameSpec):
    """One clip of the frames that are named, in the order given.

    frames=[4, 1, 1] and seconds=[0.13, 0.02], a source of 6 frames at 25 a second::

        frame      0    1    2    3    4    5
        begins at  0.00 0.04 0.08 0.12 0.16 0.20
        frames          2,3            1          [4, 1, 1]
        seconds    2              1               [3, 0]: the frames that begin nearest

    Args:
        frames: numbers of frames, of the rate that the source is read at; any order, also more than once. Or the name
            of a field of the sample that lists them, in a stage or the Loader: "json:frames".
        seconds: in place of `frames`, times on the source's clock, or the name of a field that lists them. Each stands
            for the frame that begins nearest to it, of two the earlier one.
        tolerance_seconds: most seconds between a time and the beginning of its frame. None: any, for a time from the
            beginning of the first frame to before the end of the last.
        max_frames: most frames of a clip; pools and the Loader need it where a field lists them.

    Seconds are exact, and floats are taken as they are written, except that a float equal to a clip's `pts_seconds`, or
    to that rounded to 32 bits, means that very frame.

    Raises TypeError and ValueError that name the argument, the position and the value; a ValueError in `rows` and
    `count` for a frame or a time that the source does not have, and for seconds where it has no times.

    Stability: stable.
    """

    frames: Any = None
    seconds: Any = None
    tolerance_seconds: Any = None
    max_frames: int | None = None

    __repr__ = value_repr

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.seconds is None):
            raise ValueError(
                f"frames is {self.frames!r} and seconds is {self.seconds!r}, but exactly one must be given"
            )
        if self.tolerance_seconds is not None:
            if self.frames is not None:
                raise ValueError(f"tolerance_seconds is {self.tolerance_seconds!r}, but frames are given by number")
            tolerance = exact_number("tolerance_seconds", self.tolerance_seconds, "seconds")
            if tolerance < 0:
                raise ValueError(f"tolerance_seconds is {self.tolerance_seconds!r}, but must be at least 0")
            object.__setattr__(self, "tolerance_seconds", tolerance)
        if self.max_frames is not None:
            object.__setattr__(self, "max_frames", integer("max_frames", self.max_frames, 1))
        if isinstance(self._given, str) and not self._given:
            raise ValueError(f"{self._name} is '', but must be the name of a field, or a list of numbers")
        if self.field is None:
            object.__setattr__(self, self._name, self._checked())

    @property
    def _name(self) -> str:
        return "frames" if self.frames is not None else "seconds"

    @property
    def _given(self) -> Any:
        return self.frames if self.frames is not None else self.seconds

    def _checked(self) -> tuple[Any, ...]:
        """The list as numbers."""
        name = self._name
        values = _listed(name, self._given)
        if not values:
            raise ValueError(f"{name} is empty, but a clip has at least one frame")
        if self.max_frames is not None and len(values) > self.max_frames:
            raise ValueError(f"{name} has {len(values)} numbers, but max_frames is {self.max_frames}")
        if name == "frames":
            return tuple(integer(f"frames[{i}]", value, 0, LARGEST) for i, value in enumerate(values))
        return tuple(_second(f"seconds[{i}]", value) for i, value in enumerate(values))

    @property
    def field(self) -> str | None:
        """Name of the field of a sample that lists the frames or times; None where they are given."""
        return self._given if isinstance(self._given, str) else None

    @property
    def max_length(self) -> int | None:
        """Number of frames that are named; of a field `max_frames`."""
        return self.max_frames if self.field is not None else len(self._given)

    @property
    def needs_times(self) -> bool:
        return self.seconds is not None

    @property
    def needs_extent(self) -> bool:
        return self.frames is None or self.field is not None

    @property
    def rate_varies(self) -> bool:
        return True

    @property
    def fills(self) -> bool:
        return False

    @property
    def is_random(self) -> bool:
        return False

    def count(self, extent: Extent | int) -> int:
        """1. Raises as `rows`."""
        return len(self.rows(extent))

    def count_until_error(self, extent: Extent | int) -> int:
        """1, or 0 where `count` raises because the source does not have a frame."""
        if self.needs_extent:
            return self.count(extent)
        return int(max(self.frames) < frames_of(extent))

    def rows(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """Source frame of every position, int64 (1, length).

        Raises ValueError for a frame or a time that the source does not have.
        """
        if self.field is not None:
            raise ValueError(f"{self._name} is {self.field!r}, a field of a sample, which only stages have")
        if self.frames is None:
            times = times_of(extent, self)
            found = [self._nearest(i, second, times) for i, second in enumerate(self.seconds)]
            return np.array([found], dtype=np.int64)
        n = frames_of(extent)
        for i, frame in enumerate(self.frames):
            if frame >= n:
                raise ValueError(f"frames[{i}] is {frame}, but there are {n} frames")
        return np.array([self.frames], dtype=np.int64)

    def _nearest(self, i: int, second: Fraction, times: Sequence[Any]) -> int:
        """The frame that begins nearest to a time."""
        n = len(times) - 1
        if not n:
            raise ValueError(f"seconds[{i}] is {float(second):g}, but there are 0 frames")
        after = bisect_right(times, second, 0, n)
        near = [(abs(Fraction(times[frame]) - second), frame) for frame in (after - 1, after) if 0 <= frame < n]
        distance, frame = min(near)
        if isinstance(second, Rounded) and _is_float_of(float(second), float(times[frame])):
            return frame
        if self.tolerance_seconds is not None:
            if distance > self.tolerance_seconds:
                raise ValueError(
                    f"seconds[{i}] is {float(second):g}, but the nearest frame begins at {float(times[frame]):g}, "
                    f"which is not within tolerance_seconds, {float(self.tolerance_seconds):g}"
                )
        elif not times[0] <= second < times[n]:
            raise ValueError(
                f"seconds[{i}] is {float(second):g}, but the frames are from {float(times[0]):g} to before "
                f"{float(times[n]):g} seconds; tolerance_seconds allows for times close to them"
            )
        return frame

    def plan(self, extent: Extent | int | None = None, rng: Rng = None) -> Plan:
        """The clip's row, of frames without an extent, too."""
        if extent is None and not self.needs_extent:
            return _ListedPlan(self)
        return super().plan(extent, rng)


def _second(name: str, value: Any) -> Fraction:
    """Seconds as an exact fraction."""
    if value is None:
        raise TypeError(f"{name} is None, but must be a number of seconds")
    second = as_seconds(name, value)
    assert second is not None
    return second


def _is_float_of(value: float, time: float) -> bool:
    """True if a float is a time in `pts_seconds`, also rounded to 32 bits."""
    return value in (time, float(np.float32(time)))


def _listed(name: str, given: Any) -> Sequence[Any]:
    """The numbers of a list, a tuple or an array."""
    if isinstance(given, np.ndarray) and given.ndim == 1:
        return list(given)
    if isinstance(given, (list, tuple, range)):
        return given
    raise TypeError(f"{name} is {given!r}, but must be a list of numbers, or the name of a field that lists them")


class _ListedPlan(TablePlan):
    """The plan of a list of frames, some of which the stream may turn out not to have."""

    def __init__(self, spec: FrameList) -> None:
        super().__init__(np.array([spec.frames], dtype=np.int64))
        self._spec = spec

    def count(self, n: int) -> int:
        return self._spec.count(n)

    def count_until_error(self, n: int) -> int:
        return self._spec.count_until_error(n)
