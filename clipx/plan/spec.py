"""FrameSpec says which frames of a source go into which clip; Extent is all that it may know of the source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from clipx._checks import integer
from clipx.plan.draws import Rng
from clipx.plan.rows import Plan, TablePlan, first_frames

__all__ = ["LARGEST", "Extent", "FrameSpec", "check_bounded", "frames_of", "times_of"]

LARGEST = 2**60  # of any number of frames: sums of a few stay inside int64


class Extent:
    """A source as a FrameSpec sees it: its number of frames and, where known, their times.

    Args:
        n: number of frames.
        times: n + 1 exact numbers of seconds, ascending: when each frame begins, and when the last one ends. None where
            the source has no times, or they are not known.

    Raises TypeError and ValueError that name the argument.

    Stability: provisional.
    """

    __slots__ = ("n", "times")

    def __init__(self, n: int, times: Sequence[Fraction | int | float] | None = None) -> None:
        self.n = integer("n", n, 0, LARGEST)
        if times is not None and len(times) != self.n + 1:
            raise ValueError(f"times has {len(times)} numbers, but {self.n} frames and their end need {self.n + 1}")
        self.times = times

    def __repr__(self) -> str:
        return f"Extent({self.n})" if self.times is None else f"Extent({self.n}, {float(self.end or 0):g} s)"

    @property
    def end(self) -> Fraction | int | float | None:
        """When the last frame ends, in seconds; None without times."""
        return None if self.times is None else self.times[self.n]


def frames_of(extent: Extent | int) -> int:
    """Number of frames of a source. Raises TypeError and ValueError where it is not one."""
    return extent.n if isinstance(extent, Extent) else integer("n", extent, 0, LARGEST)


def times_of(extent: Extent | int, spec: FrameSpec) -> Sequence[Fraction | int | float]:
    """The n + 1 times of a source in seconds. Raises ValueError that names the spec where it has none."""
    times = extent.times if isinstance(extent, Extent) else None
    if times is None:
        raise ValueError(f"{spec!r} needs the times of frames, but its source has none; an Extent may state them")
    return times


class FrameSpec(ABC):
    """Which frames of a source go into which clip.

    A subclass says `rows`, `count` and `max_length`. Arrays, videos, sound and the stages take any: a stream is then
    counted before its clips are planned. The other members say more, so that sources read less; their defaults
    suit every spec.

    Stability: provisional.
    """

    fill_value: Any = 0
    """Value of the elements of a position without a frame, in the source's dtype."""

    @property
    def timeline_fps(self) -> Any:
        """Frames a second that a source is read at; None for its own, or that of the options."""
        return None

    @property
    def fills(self) -> bool:
        """Rows may hold -1."""
        return True

    @property
    def is_random(self) -> bool:
        """`rows` draws from its rng; sources then hand it a Generator."""
        return True

    @property
    def count_is_random(self) -> bool:
        """The number of clips depends on a draw: `count` is that of the spec that `drawn` gives."""
        return False

    def drawn(self, rng: Rng) -> FrameSpec:
        """The spec with what its number of clips depends on drawn from rng; the rest is drawn in `rows`."""
        return self

    @property
    def needs_extent(self) -> bool:
        """No row is known before the number of frames is; else `plan()` gives rows of complete clips without it."""
        return True

    @property
    def needs_times(self) -> bool:
        """Rows depend on the frames' times: a source that has them then puts them into the Extent."""
        return False

    @property
    def skips_frames(self) -> bool:
        """Some frames before the last clip's may be in no clip."""
        return True

    @property
    def clips_apart(self) -> bool:
        """Frames between one clip and the next may be in no clip."""
        return True

    @property
    def moves_last(self) -> bool:
        """The end of a stream may move a clip that has begun back to frames that have gone by."""
        return False

    @property
    def span(self) -> int | None:
        """Frames from a clip's first to its last, both counted; None where clips differ."""
        return None

    @property
    def covered(self) -> int | None:
        """Frames whose time a clip takes, so many that clips side by side leave none out; None where clips differ."""
        return None

    @property
    def first_frames(self) -> int:
        """Number of a stream's first frames that its end may ask for once they have gone by."""
        return 0

    @property
    def last_frames(self) -> int:
        """Number of a stream's last frames that its end may ask for once they have gone by."""
        return 0

    @property
    def rate_varies(self) -> bool:
        """How many frames a second of a source a clip's positions are depends on the source: clips of videos say it."""
        return False

    @property
    def max_slots(self) -> int:
        """Slots that a source may take whose plan is not known yet: of clips open at once, and of one handed out."""
        return 2

    @property
    @abstractmethod
    def max_length(self) -> int | None:
        """Most frames of a clip; None where there is no bound."""

    @abstractmethod
    def count(self, extent: Extent | int) -> int:
        """Number of clips of a source. Raises ValueError for a source that the spec does not allow."""

    @abstractmethod
    def rows(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """Source frame of every position, int64 (clips, length); -1 where `fill_value` goes. Raises as `count` does."""

    def starts(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """Frame that each clip starts at, int64 (clips,)."""
        return first_frames(self.rows(extent, rng))

    def count_until_error(self, extent: Extent | int) -> int:
        """Number of clips that a stream gives before `count` would raise at its end."""
        return self.count(extent)

    def count_complete(self, extent: Extent | int) -> int:
        """Number of clips that lie within a stream of which nothing more is known."""
        return self.count(extent)

    def checked_rows(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """`rows` for a source that relies on them, C-contiguous. Raises TypeError and ValueError that name the spec."""
        n, rows, most = frames_of(extent), self.rows(extent, rng), self.max_length
        if not isinstance(rows, np.ndarray) or rows.dtype != np.int64 or rows.ndim != 2:
            is_array = isinstance(rows, np.ndarray)
            found = f"{rows.dtype} {rows.shape}" if is_array else f"a {type(rows).__name__}"
            raise TypeError(f"rows of {self!r} are {found}, but must be an int64 array (clips, length)")
        count, length = rows.shape
        if not 1 <= length <= (length if most is None else most):
            allowed = "at least 1" if most is None else f"1 to max_length, {most}"
            raise ValueError(f"rows of {self!r} have {length} positions, but must have {allowed}")
        if count != self.count(extent):
            raise ValueError(f"{self!r} has {count} rows, but its count is {self.count(extent)}, for {n} frames")
        for frame in (np.min(rows, initial=-1), np.max(rows, initial=-1)):
            if not (frame == -1 or 0 <= frame < n):
                raise ValueError(f"{self!r} asks for frame {frame}, but there are {n} frames, and -1 to fill")
        return np.ascontiguousarray(rows)

    def plan(self, extent: Extent | int | None = None, rng: Rng = None) -> Plan:
        """The rows of a stream's clips. Without an extent only where the spec does not need one."""
        if extent is None:
            raise ValueError(f"{type(self).__name__} needs the number of frames")
        return TablePlan(self.checked_rows(extent, rng))

    def valid(self, rows: np.ndarray, n: int) -> np.ndarray:
        """Positions of each row that come before the end of a source of n frames, int64 (clips,)."""
        return np.count_nonzero(rows >= 0, axis=1)

    def slots(self, starts: np.ndarray | None = None) -> int:
        """Slots that clips from these first frames take while they are written one after the other, at least 2."""
        return self.max_slots


def check_bounded(spec: FrameSpec) -> None:
    """Raise ValueError for a spec whose clips may have any length: slots of a pool have one size.

    Stability: provisional.
    """
    if spec.max_length is None:
        cure = "; give max_frames" if hasattr(spec, "max_frames") else ""
        raise ValueError(f"spec is {spec!r}, whose clips have no longest length, but a pool needs one{cure}")
