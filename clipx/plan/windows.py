"""WindowSpec: clips of one length, at regular or drawn starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np

from clipx._checks import as_fps, check_total, exact_number, integer, one_of
from clipx._reprs import value_repr
from clipx.plan.draws import Rng, as_generator
from clipx.plan.policies import POLICIES, Policy
from clipx.plan.rows import Plan, TablePlan
from clipx.plan.spacing import MOST_POSITIONS
from clipx.plan.spec import LARGEST, Extent, FrameSpec, frames_of
from clipx.plan.starts import MOST_CACHED, STARTS, cached_offsets, offsets, regular_starts
from clipx.plan.window_plan import WindowPlan

__all__ = ["Offset", "Sampling", "WindowSpec"]

Sampling = Literal["regular", "random", "partition", "partition_source"]
"""How a WindowSpec chooses the starts of its clips. Stability: stable."""

Offset = int | Literal["random"]
"""First frame of the first window; "random" draws it. Stability: stable."""


def _frames(name: str, seconds: Any, rate: Fraction) -> Fraction:
    """Seconds in frames, exactly."""
    if seconds is None and name == "stride":
        return Fraction(0)
    exact = exact_number(name, seconds, "seconds")
    if not exact > 0:
        raise ValueError(f"{name} is {seconds!r}, but must be above 0 seconds")
    return exact * rate


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
            at the centre; "random" drawn with replacement, ascending; "partition" one drawn of each of `num_clips`
            equal runs of them, run i from `i * (n - span + 1) // num_clips` on, and where they are fewer than the
            clips as "random". A source below one span gives no clip for "drop" and "backpad", ValueError for "error",
            else `num_clips` clips from frame 0. "partition_source": the source in `num_clips` equal parts, a clip at a
            random start in each. A part is a source of its own for the policy, also where it is shorter than a clip::

                a source of 11 frames, num_clips 2, length 3    frame   0 1 2 3 4 5 6 7 8 9 10
                    dilation 1, starts drawn: 1 and 6           clips     f f f|  f f f
                    dilation 3, "repeat_last": 0 3 4, 5 8 9     clips   f . . f f|f . . f f

            Parts have `n // num_clips` frames; what is left is in none, as V-JEPA 2 divides it.
        offset: frame at which the first clip starts, where `num_clips` is None: what comes before is left out. "random"
            draws it from 0 to `stride - 1`, so that every epoch has other clips. They are counted like those of a
            source that starts there, so that one of fewer than `stride` frames gives none of some draws, whatever the
            policy; "backpad" moves the last one back also to before the offset. The number of clips of "random"
            depends on the draw: `drawn(rng)` gives the spec with its offset.
        fps: frames a second that the numbers are meant for, as `of_seconds` sets it; a video is read at that rate, and
            at no other. Default: at any.

    Raises TypeError for numbers that are not integers, ValueError for those below 1 and for unknown names.

    Stability: stable.
    """

    length: int
    stride: int | None = None
    dilation: int = 1
    policy: Policy = "drop"
    fill_value: Any = 0
    num_clips: int | None = None
    sampling: Sampling = "regular"
    offset: Offset = 0
    fps: Any = None

    __repr__ = value_repr

    def __post_init__(self) -> None:
        length = integer("length", self.length, 1)
        dilation = integer("dilation", self.dilation, 1)
        stride = length * dilation if self.stride is None else integer("stride", self.stride, 1)
        span = dilation * (length - 1) + 1
        if max(span, stride) > LARGEST:
            raise ValueError(f"length {length}, dilation {dilation} and stride {stride} reach past any source")
        one_of("policy", self.policy, POLICIES)
        one_of("sampling", self.sampling, get_args(Sampling))
        if self.offset != "random":
            object.__setattr__(self, "offset", self._checked_offset())
        if self.num_clips is not None:
            most = MOST_POSITIONS if self.sampling.startswith("partition") else LARGEST
            object.__setattr__(self, "num_clips", integer("num_clips", self.num_clips, 1, most))
            if self.offset:
                raise ValueError(f"offset is {self.offset!r}, but must be 0 with num_clips, which sets the starts")
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

    def _checked_offset(self) -> int:
        if isinstance(self.offset, str):
            raise ValueError(f"offset is {self.offset!r}, but must be a number of frames or 'random'")
        return integer("offset", self.offset, 0, LARGEST)

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

    def drawn(self, rng: Rng) -> WindowSpec:
        """The spec with an offset that is drawn, where that is "random"; else the spec itself."""
        if self.offset != "random":
            return self
        return replace(self, offset=int(as_generator(rng).integers(self.stride or 1)))

    def count(self, extent: Extent | int) -> int:
        """Number of clips of a source, given as an Extent or a number of frames.

        Raises ValueError where policy "error" meets an incomplete clip, and for a random offset, which `drawn` draws.
        """
        return self._count(frames_of(extent))

    def _count(self, n: int) -> int:
        span, rules = self.span, POLICIES[self.policy]
        if self.stride is None:
            part = self._part(n)
            return (self.num_clips or 0) if part >= span or (rules.takes_short(part, span) and part) else 0
        if self.offset:
            n = self._from_offset(n)
        if n < span:
            return int(n > 0 and rules.takes_short(n, span))
        return rules.count(n, span, self.stride)

    def _part(self, n: int) -> int:
        """Frames of the part of a source that a clip of `num_clips` is in."""
        return n // (self.num_clips or 1) if self.sampling == "partition_source" else n

    def _short_part(self, n: int) -> int:
        """Positions of a clip that come before the end of a part of fewer frames than it spans."""
        return -(-self._part(n) // self.dilation)

    def _from_offset(self, n: int) -> int:
        """Frames of n that clips are counted in: those from the offset on, of a clip that is moved back its span."""
        if self.offset == "random":
            raise ValueError("offset is 'random', which the number of clips depends on: ask spec.drawn(rng)")
        rest = max(n - self.offset, 0)
        return max(rest, self.span) if rest and self.moves_last and n >= self.span else rest

    def starts(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """Start frames of the clips of a source, given as an Extent or a number of frames.

        rng (a Generator, a seed, or None for a fresh one) is drawn from only where `sampling` or `offset` is random.
        Returns int64 array (clips,), ascending. Raises ValueError as `count` does.
        """
        return self.drawn(rng)._starts(frames_of(extent), rng)

    def _starts(self, n: int, rng: Rng) -> np.ndarray:
        count = self._count(n)
        check_total("a plan", (count, self.length), 8)
        if self.stride is not None:
            assert self.offset != "random"
            at = np.arange(self.offset, self.offset + count * self.stride, self.stride, dtype=np.int64)
            return np.minimum(at, max(n - self.span, 0)) if POLICIES[self.policy].moves_last else at
        free = max(self._part(n) - self.span, 0)
        if self.sampling == "regular" or not count:
            return regular_starts(free, count)
        drawn = STARTS[self.sampling](free, count, as_generator(rng))
        return drawn if self.sampling != "partition_source" else drawn + np.arange(count) * self._part(n)

    def _positions(self, starts: np.ndarray) -> np.ndarray:
        of_clip = cached_offsets if self.length <= MOST_CACHED else offsets
        return starts[:, None] + of_clip(self.length, self.dilation)

    def rows(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """Source frame of every position, int64 (clips, length); -1 where `fill_value` goes. rng as in `starts`."""
        n = frames_of(extent)
        spec = self if self.offset != "random" else self.drawn(rng)
        return self.rows_at(spec._starts(n, rng), n)

    indices = rows
    checked_rows = rows

    def rows_at(self, starts: np.ndarray, n: int) -> np.ndarray:
        """Rows of the clips that start at these ascending frames of n."""
        if self.sampling == "partition_source" and len(starts) and self._part(n) < self.span:
            # Each starts with its part, and has the same frames of it.
            row = POLICIES[self.policy].rows(offsets(self.length, self.dilation), self._part(n))
            return np.where(row < 0, -1, starts[:, None] + row)
        rows = self._positions(starts)
        if rows.size == 0 or rows[-1, -1] < n:
            return rows
        return POLICIES[self.policy].rows(rows, n)

    def _ends(self, starts: np.ndarray, n: int) -> np.ndarray | int:
        """The frame after the last of the source, or of the part, of clips that start at these frames."""
        part = self._part(n)
        return n if part == n else (starts // part + 1) * part

    def padding(self, extent: Extent | int) -> np.ndarray:
        """True where a position lies past the last frame, bool (clips, length)."""
        # Only clips at the beginning reach past the end of a source or part in which starts are drawn: the draw does
        # not matter.
        starts = self._starts(frames_of(extent), rng=0)
        return self._positions(starts) >= np.reshape(self._ends(starts, frames_of(extent)), (-1, 1))

    # What sources ask for beyond rows.

    @property
    def timeline_fps(self) -> Any:
        return self.fps

    @property
    def fills(self) -> bool:
        return POLICIES[self.policy].fills

    @property
    def is_random(self) -> bool:
        return self.sampling != "regular" or self.offset == "random"

    @property
    def count_is_random(self) -> bool:
        return self.offset == "random"

    @property
    def needs_extent(self) -> bool:
        return self.num_clips is not None

    @property
    def clips_apart(self) -> bool:
        return self.stride is None or self.stride > self.span

    @property
    def skips_frames(self) -> bool:
        # Fewer frames before the first clip than a clip has are decoded: an index would cost more.
        return self.clips_apart or self.dilation > 1 or (self.offset != "random" and self.offset > self.span)

    @property
    def moves_last(self) -> bool:
        return POLICIES[self.policy].moves_last and self.stride is not None

    @property
    def covered(self) -> int:
        return self.length * self.dilation

    @property
    def first_frames(self) -> int:
        return 0 if self.sampling == "partition_source" else POLICIES[self.policy].first_frames(self.span)

    @property
    def last_frames(self) -> int:
        return 0 if self.sampling == "partition_source" else POLICIES[self.policy].last_frames(self.span)

    @property
    def max_slots(self) -> int:
        if self.num_clips is None or self.sampling == "partition_source":
            return self.slots()
        return self.num_clips + 1

    def slots(self, starts: np.ndarray | None = None) -> int:
        """Slots that a source needs while its clips are written: of those open at once, and of one handed out.

        `ceil(span / stride) + 1`; with `num_clips` counted from the clips' ascending starts, at least 2.
        """
        if self.stride is not None:
            return -(-self.span // self.stride) + 1
        if starts is None or self.sampling == "partition_source":
            return 2
        later = np.searchsorted(starts, starts + self.span)
        return int(np.max(later - np.arange(len(starts)), initial=1)) + 1

    def valid(self, rows: np.ndarray, n: int) -> np.ndarray:
        """Positions of each row that come before the end of n frames, or of its part, int64 (clips,)."""
        if self.sampling == "partition_source" and self._part(n) < self.span:
            return np.full(len(rows), self._short_part(n))
        if len(rows) == 0 or rows[-1, 0] + self.span <= n:
            return np.full(len(rows), self.length)
        return np.clip(-((rows[:, 0] - n) // self.dilation), 0, self.length)

    def count_until_error(self, extent: Extent | int) -> int:
        """Number of clips that are complete, where one that is not is an error; else `count`."""
        return self.count_complete(extent) if POLICIES[self.policy].raises else self.count(extent)

    def count_complete(self, extent: Extent | int) -> int:
        """Number of clips that lie within so many frames."""
        return replace(self, policy="drop").count(extent)

    def plan(self, extent: Extent | int | None = None, rng: Rng = None) -> Plan:
        """The clips of a stream, of which only those with `num_clips` need an extent."""
        if self.offset == "random":
            return self.drawn(rng).plan(extent, rng)
        if self.num_clips is None and (extent is None or POLICIES[self.policy].raises):
            return WindowPlan(self, None, self.offset)
        if extent is None:
            raise ValueError(f"num_clips is {self.num_clips}, which needs the number of frames")
        if self._part(frames_of(extent)) < self.span and self.sampling == "partition_source":
            # What is past the end of a part is known before the end of the stream.
            return TablePlan(self.rows(extent, rng), self._short_part(frames_of(extent)))
        return WindowPlan(self, self.starts(extent, rng))
