"""RateSpec: one clip of as many frames as a source's duration gives at a rate."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np

from clipx._checks import as_fps, integer
from clipx._reprs import value_repr
from clipx.plan.draws import Rng
from clipx.plan.spacing import MOST_POSITIONS, evenly_spaced
from clipx.plan.spec import Extent, FrameSpec, frames_of, times_of

__all__ = ["RateSpec"]


@dataclass(frozen=True)
class RateSpec(FrameSpec):
    """One clip of as many frames as the duration gives at `fps`, within limits, evenly spaced from first to last.

    fps 2, multiple 2, a source of 12 frames at 4 a second, 3 seconds long::

        frame  0 1 2 3 4 5 6 7 8 9 10 11
        clip   f   f   f     f   f    f       3 * 2 = 6 frames: 0, 2, 4, 7, 9, 11

    The number of frames is `duration * fps`, from the beginning of the first frame to the end of the last; raised to
    `min_frames`, rounded up to a `multiple`; lowered to `max_frames`, rounded down to one, and to the frames that there
    are; and rounded down to a `multiple`. The frames are those of `UniformSpec(number, "linspace")`. A source without
    frames gives no clip. All of it is exact.

    Args:
        fps: frames a second of the clip. It does not resample the source, as the `fps` of `VideoOptions` does.
        min_frames: fewest frames, where the source has as many.
        max_frames: most frames, at most 2**30; None for no limit, which pools and the Loader do not allow.
        multiple: what the number of frames is divisible by, such as the frames that a model takes together.

    Raises TypeError and ValueError that name the argument, and for limits that no multiple lies between; a ValueError
    in `rows` where the source has no times, and in `rows` and `count` where it has fewer frames than `multiple`.

    Stability: stable.
    """

    fps: Any
    min_frames: int = 1
    max_frames: int | None = None
    multiple: int = 1

    __repr__ = value_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "fps", as_fps("fps", self.fps))
        for name in ("min_frames", "multiple"):
            object.__setattr__(self, name, integer(name, getattr(self, name), 1, MOST_POSITIONS))
        if self.max_frames is None:
            return
        object.__setattr__(self, "max_frames", integer("max_frames", self.max_frames, 1, MOST_POSITIONS))
        least, most = self._least, self.max_length
        assert most is not None
        if least > most:
            raise ValueError(
                f"no multiple of {self.multiple} lies between min_frames, {self.min_frames}, and max_frames, "
                f"{self.max_frames}"
            )

    @property
    def _least(self) -> int:
        return -(-self.min_frames // self.multiple) * self.multiple

    @property
    def max_length(self) -> int | None:
        """`max_frames`, rounded down to a `multiple`; None without it."""
        return None if self.max_frames is None else self.max_frames // self.multiple * self.multiple

    @property
    def needs_times(self) -> bool:
        return True

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
        """1, or 0 for a source without frames. Raises ValueError for one of fewer frames than `multiple`."""
        n = frames_of(extent)
        if 0 < n < self.multiple:
            raise ValueError(f"multiple is {self.multiple}, but there are {n} frames")
        return min(n, 1)

    def rows(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """Source frame of every position, int64 (1, length), or (0, ...) of a source without frames.

        Raises ValueError where the source has no times, and as `count`.
        """
        times, n = times_of(extent, self), frames_of(extent)
        if not self.count(n):
            return np.empty((0, self._least), dtype=np.int64)
        wanted = max((Fraction(times[n]) - Fraction(times[0])) * self.fps, Fraction(self._least))
        most = n if self.max_length is None else min(self.max_length, n)
        length = floor(min(wanted, most) / self.multiple) * self.multiple
        return evenly_spaced(n, integer(f"the number of frames at {self.fps} fps", length, 1, MOST_POSITIONS))[None]
