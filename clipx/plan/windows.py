"""WindowSpec: clips of one length at regular or drawn starts, and their plan while a stream is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from clipx._checks import as_fps, check_total, exact_number, integer
from clipx._reprs import value_repr
from clipx.plan.draws import Rng, as_generator
from clipx.plan.policies import POLICIES, Policy
from clipx.plan.rows import Plan, Row
from clipx.plan.spec import LARGEST, Extent, FrameSpec, frames_of

__all__ = ["Sampling", "WindowSpec"]

Sampling = Literal["regular", "random"]

MOST_CACHED = 1024  # positions of a clip


def _frames(name: str, seconds: Any, rate: Fraction) -> Fraction:
    """Seconds in frames, exactly."""
    if seconds is None and name == "stride":
        return Fraction(0)
    exact = exact_number(name, seconds, "seconds")
    if not exact > 0:
        raise ValueError(f"{name} is {seconds!r}, but must be above 0 seconds")
    return exact * rate


def _offsets(length: int, dilation: int) -> np.ndarray:
    """Frames from a clip's start to each position, int64 (length,)."""
    return np.arange(length, dtype=np.int64) * dilation


_cached_offsets = lru_cache(64)(_offsets)  # a loop over short arrays asks every time


@dataclass(frozen=True)
class WindowSpec(FrameSpec):
    """Clips of `length` frames, `dilation` apart, that start `stride` frames after one another.

    length 3, dilation 2, stride 4, a source of 11 frames::

        frame   0 1 2 3 4 5 6 7 8 9 10
        clip 0  f . f . f                    span 5
        clip 1          f . f . f
        tail                    f . f .      drop: no clip; repeat_last: 8, 10, 10

    Args:
        length: frames of a clip.
        stride: frames between the starts of neighbouring clips; default `length * dilation`.
        dilation: frames between the frames of a clip.
        policy: what happens where a clip would run past the end of n frames. "drop": there is no such clip. The others
            give just enough clips to cover the last frame, each with a real frame. They take past the end:
            "repeat_last" the last frame; "wrap" frame `i mod n`; "reflect" the mirror image without the edge again;
            "constant" a frame of `fill_value`. "error" raises. "backpad" moves the last clip back to end on
            the last frame; a source below one span gives none.
        fill_value: one value for the elements that "constant" fills, in the source's dtype.
        num_clips: that many clips a source, whatever its length; `stride` must then be None.
        sampling: with `num_clips`, starts in [0, n - span]: "regular" at `i * (n - span) // (num_clips - 1)`, one clip
            at the centre; "random" drawn with replacement, ascending. A source below one span gives no clip for
            "drop" and "backpad", ValueError for "error", else `num_clips` clips from frame 0.
        fps: frames a second that the numbers are meant for, as `of_seconds` sets it; a video is read at that rate, and
            at no other. Default: at any.

    Raises TypeError for numbers that are not integers, ValueError for those below 1 and for unknown names.
    """

    length: int
    stride: int | None = None
    dilation: int = 1
    policy: Policy = "drop"
    fill_value: Any = 0
    num_clips: int | None = None
    sampling: Sampling = "regular"
    fps: Any = None

    __repr__ = value_repr

    def __post_init__(self) -> None:
        length = integer("length", self.length, 1)
        dilation = integer("dilation", self.dilation, 1)
        stride = length * dilation if self.stride is None else integer("stride", self.stride, 1)
        span = dilation * (length - 1) + 1
        if max(span, stride) > LARGEST:
            raise ValueError(f"length {length}, dilation {dilation} and stride {stride} reach past any source")
        if not isinstance(self.policy, str) or self.policy not in POLICIES:
            raise ValueError(f"policy is {self.policy!r}, but must be one of {', '.join(POLICIES)}")
        if not isinstance(self.sampling, str) or self.sampling not in get_args(Sampling):
            raise ValueError(f"sampling is {self.sampling!r}, but must be one of {', '.join(get_args(Sampling))}")
        if self.num_clips is not None:
            object.__setattr__(self, "num_clips", integer("num_clips", self.num_clips, 1, LARGEST))
            if self.stride is not None:
                raise ValueError(f"stride is {self.stride}, but must be None with num_clips, which sets the starts")
        elif self.sampling != "regular":
            raise ValueError(f"sampling is {self.sampling!r}, but num_clips is None; give num_clips to sample")
        if np.ndim(self.fill_value):
            raise ValueError(f"fill_value has shape {np.shape(self.fill_value)}, but must be a single value")
        if self.fps is not None:
            object.__setattr__(self, "fps", as_fps("fps", self.fps))
        object.__setattr__(self, "length", length)
        object.__setattr__(self, "dilation", dilation)
        object.__setattr__(self, "stride", None if self.num_clips is not None else stride)

    @classmethod
    def of_seconds(cls, duration: Any, stride: Any = None, *, fps: Any, dilation: int = 1, **rest: Any) -> WindowSpec:
        """Windows in seconds, of frames (or samples) at `fps` a second.

        A clip covers `duration` seconds: its length is `duration * fps / dilation`, rounded, and at least 1; the starts
        of neighbouring clips are `stride` seconds apart (default: `duration`), rounded to frames. The rate is
        remembered: a video is resampled to it, and `VideoOptions` with another is a ValueError.

        >>> clipx.WindowSpec.of_seconds(2, stride=0.5, fps=8)      # length 16, stride 4

        Raises as WindowSpec, and ValueError for seconds that are not above 0.
        """
        rate = as_fps("fps", fps)
        frames = {name: _frames(name, value, rate) for name, value in (("duration", duration), ("stride", stride))}
        length = max(round(frames["duration"] / integer("dilation", dilation, 1)), 1)
        step = None if stride is None else max(round(frames["stride"]), 1)
        return cls(length, step, dilation, fps=rate, **rest)

    @property
    def max_length(self) -> int:
        """`length`."""
        return self.length

    @property
    def span(self) -> int:
        """Frames from a clip's first to its last, both counted: `dilation * (length - 1) + 1`."""
        return self.dilation * (self.length - 1) + 1

    def count(self, extent: Extent | int) -> int:
        """Number of clips of a source, given as an Extent or a number of frames.

        Raises ValueError where policy "error" meets an incomplete clip.
        """
        return self._count(frames_of(extent))

    def _count(self, n: int) -> int:
        span, rules = self.span, POLICIES[self.policy]
        if n < span:
            if n == 0 and self.stride is not None:
                return 0
            return (self.num_clips or 1) if rules.takes_short(n, span) and n else 0
        return (self.num_clips or 0) if self.stride is None else rules.count(n, span, self.stride)

    def starts(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """Start frames of the clips of a source, given as an Extent or a number of frames.

        rng (a Generator, a seed, or None for a fresh one) is drawn from only where sampling is "random".
        Returns int64 array (clips,), ascending. Raises ValueError as `count` does.
        """
        return self._starts(frames_of(extent), rng)

    def _starts(self, n: int, rng: Rng) -> np.ndarray:
        count = self._count(n)
        check_total("a plan", (count, self.length), 8)
        free = max(n - self.span, 0)
        if self.stride is not None:
            at = np.arange(0, count * self.stride, self.stride, dtype=np.int64)
            return np.minimum(at, free) if POLICIES[self.policy].moves_last else at
        if self.sampling == "random":
            return np.sort(as_generator(rng).integers(0, free + 1, size=count, dtype=np.int64))
        if count == 1:
            return np.array([free // 2], dtype=np.int64)
        # i * free // (count - 1), in parts that stay inside int64.
        whole, rest = divmod(free, count - 1)
        i = np.arange(count, dtype=np.int64)
        return i * whole + i * rest // (count - 1)

    def _positions(self, starts: np.ndarray) -> np.ndarray:
        offsets = _cached_offsets if self.length <= MOST_CACHED else _offsets
        return starts[:, None] + offsets(self.length, self.dilation)

    def rows(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """Source frame of every position, int64 (clips, length); -1 where `fill_value` goes. rng as in `starts`."""
        n = frames_of(extent)
        return self.rows_at(self._starts(n, rng), n)

    indices = rows
    checked_rows = rows

    def rows_at(self, starts: np.ndarray, n: int) -> np.ndarray:
        """Rows of the clips that start at these ascending frames of n."""
        rows = self._positions(starts)
        if rows.size == 0 or rows[-1, -1] < n:
            return rows
        return POLICIES[self.policy].rows(rows, n)

    def padding(self, extent: Extent | int) -> np.ndarray:
        """True where a position lies past the last frame, bool (clips, length)."""
        # Only clips that start at 0 reach past the end of a sampled source, so that the draw does not matter.
        return self._positions(self.starts(extent, rng=0)) >= frames_of(extent)

    # What sources ask for beyond rows.

    @property
    def timeline_fps(self) -> Any:
        return self.fps

    @property
    def fills(self) -> bool:
        return POLICIES[self.policy].fills

    @property
    def is_random(self) -> bool:
        return self.sampling == "random"

    @property
    def needs_extent(self) -> bool:
        return self.num_clips is not None

    @property
    def clips_apart(self) -> bool:
        return self.stride is None or self.stride > self.span

    @property
    def skips_frames(self) -> bool:
        return self.clips_apart or self.dilation > 1

    @property
    def moves_last(self) -> bool:
        return POLICIES[self.policy].moves_last and self.stride is not None

    @property
    def covered(self) -> int:
        return self.length * self.dilation

    @property
    def first_frames(self) -> int:
        return POLICIES[self.policy].first_frames(self.span)

    @property
    def last_frames(self) -> int:
        return POLICIES[self.policy].last_frames(self.span)

    @property
    def max_slots(self) -> int:
        return self.slots() if self.num_clips is None else self.num_clips + 1

    def slots(self, starts: np.ndarray | None = None) -> int:
        """Slots that a source needs while its clips are written: of those open at once, and of one handed out.

        `ceil(span / stride) + 1`; with `num_clips` counted from the clips' ascending starts, at least 2.
        """
        if self.stride is not None:
            return -(-self.span // self.stride) + 1
        if starts is None:
            return 2
        later = np.searchsorted(starts, starts + self.span)
        return int(np.max(later - np.arange(len(starts)), initial=1)) + 1

    def valid(self, rows: np.ndarray, n: int) -> np.ndarray:
        """Positions of each row that come before the end of n frames, int64 (clips,)."""
        if len(rows) == 0 or rows[-1, 0] + self.span <= n:
            return np.full(len(rows), self.length)
        return np.clip(-((rows[:, 0] - n) // self.dilation), 0, self.length)

    def count_until_error(self, extent: Extent | int) -> int:
        """Number of clips that are complete, where one that is not is an error; else `count`."""
        return self.count_complete(extent) if POLICIES[self.policy].raises else self.count(extent)

    def count_complete(self, extent: Extent | int) -> int:
        """Number of clips that lie within so many frames."""
        return replace(self, policy="drop").count(extent)

    def plan(self, extent: Extent | int | None = None, rng: Rng = None) -> WindowPlan:
        """The clips of a stream, of which only those with `num_clips` need an extent."""
        if self.num_clips is None and (extent is None or POLICIES[self.policy].raises):
            return WindowPlan(self, None)
        if extent is None:
            raise ValueError(f"num_clips is {self.num_clips}, which needs the number of frames")
        return WindowPlan(self, self.starts(extent, rng))


class WindowPlan(Plan):
    """The plan of a WindowSpec: starts that are known, or one every `stride` frames until the stream ends."""

    def __init__(self, spec: WindowSpec, starts: np.ndarray | None) -> None:
        self.length, self._windows, self._starts = spec.length, spec, starts

    def opening(self, index: int) -> int | None:
        if self._starts is not None:
            return int(self._starts[index]) if index < len(self._starts) else None
        assert self._windows.stride is not None
        return index * self._windows.stride

    def row(self, index: int) -> Row:
        start, spec = self.opening(index), self._windows
        assert start is not None
        return range(start, start + spec.span, spec.dilation)

    def _final_starts(self, indices: np.ndarray, n: int) -> np.ndarray:
        if self._starts is not None:
            return self._starts[indices]
        starts = indices * (self._windows.stride or 0)
        return np.minimum(starts, n - self._windows.span) if self._windows.moves_last else starts

    def final_rows(self, indices: np.ndarray, n: int) -> np.ndarray:
        return self._windows.rows_at(self._final_starts(indices, n), n)

    def count(self, n: int) -> int:
        return self._windows.count(n) if self._starts is None else int(np.searchsorted(self._starts, n))

    def count_until_error(self, n: int) -> int:
        return self._windows.count_until_error(n) if self._starts is None else len(self._starts)

    def frames_in_order(self, indices: np.ndarray, n: int) -> np.ndarray:
        held = np.zeros(n, dtype=bool)
        starts = self._final_starts(indices, n)
        # Position by position: a table of all rows may take more memory than the clips.
        for position in range(self.length):
            frames = starts + position * self._windows.dilation
            held[frames[frames < n]] = True
        return held

    def bounds(self, count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        lowest = self._final_starts(np.arange(count), n)
        highest = lowest + self._windows.span - 1
        late = np.flatnonzero(highest >= n)
        if len(late):
            rows = self.final_rows(late, n)
            lowest[late], highest[late] = np.where(rows < 0, n, rows).min(axis=1), rows.max(axis=1)
        return lowest, highest

    def slots(self) -> int:
        return self._windows.slots(self._starts)
