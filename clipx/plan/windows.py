"""The plan: which source frame goes to which place of which clip."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.exceptions import ComplexWarning

from clipx._checks import as_fps, check_total, exact_number, integer

__all__ = ["ALL", "Rng", "Selection", "WindowSpec", "fill_bytes"]

POLICIES = ("drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad")
SAMPLINGS = ("regular", "random")
LARGEST = 2**60  # of any number of frames: sums of a few stay inside int64

Rng = np.random.Generator | int | None
"""What random starts are drawn from: a Generator, the seed of a new one, or None for an unseeded one."""


def as_generator(rng: Rng) -> np.random.Generator:
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    try:
        return np.random.default_rng(integer("rng", rng, 0))
    except TypeError:
        raise TypeError(f"rng is {rng!r}, but must be a numpy Generator, a seed or None") from None


def _frames(name: str, seconds: Any, rate: Fraction) -> Fraction:
    """Seconds in frames, exactly."""
    if seconds is None and name == "stride":
        return Fraction(0)
    exact = exact_number(name, seconds, "seconds")
    if not exact > 0:
        raise ValueError(f"{name} is {seconds!r}, but must be above 0 seconds")
    return exact * rate


@dataclass(frozen=True)
class WindowSpec:
    """Which frames go into which clip.

    length 3, dilation 2, stride 4, a source of 11 frames::

        frame   0 1 2 3 4 5 6 7 8 9 10
        clip 0  f . f . f                    span 5
        clip 1          f . f . f
        tail                    f . f .      drop: no clip; repeat_last: 8, 10, 10

    Args:
        length: frames of a clip.
        stride: frames between the starts of neighbouring clips; default `length * dilation`.
        dilation: frames between the frames of a clip.
        policy: what happens where a clip would run past the end of n frames. "drop": no such clip. The others give
            just enough clips to cover the last frame, each with a real frame. Past the end stands: "repeat_last" the
            last frame; "wrap" frame `i mod n`; "reflect" the mirror image without the edge again; "constant" a frame
            of `fill_value`. "error" raises. "backpad" moves the last clip back to end on the last frame; a source
            below one span gives none.
        fill_value: one value for the elements that "constant" fills, in the source's dtype.
        num_clips: that many clips a source, whatever its length; `stride` must then be None.
        sampling: with `num_clips`, starts in [0, n - span]: "regular" at `i * (n - span) // (num_clips - 1)`, one clip
            at the centre; "random" drawn with replacement, ascending. A source below one span gives no clip for
            "drop" and "backpad", ValueError for "error", else `num_clips` clips from frame 0.
        fps: frames a second that the numbers are meant for, as `of_seconds` sets it; a video is cut at that rate, and
            none other. Default: at any.

    Raises TypeError for numbers that are no integers, ValueError for those below 1 and for unknown names.
    """

    length: int
    stride: int | None = None
    dilation: int = 1
    policy: str = "drop"
    fill_value: Any = 0
    num_clips: int | None = None
    sampling: str = "regular"
    fps: Any = None

    def __post_init__(self) -> None:
        length = integer("length", self.length, 1)
        dilation = integer("dilation", self.dilation, 1)
        stride = length * dilation if self.stride is None else integer("stride", self.stride, 1)
        span = dilation * (length - 1) + 1
        if max(span, stride) > LARGEST:
            raise ValueError(f"length {length}, dilation {dilation} and stride {stride} reach past any source")
        if not isinstance(self.policy, str) or self.policy not in POLICIES:
            raise ValueError(f"policy is {self.policy!r}, but must be one of {', '.join(POLICIES)}")
        if not isinstance(self.sampling, str) or self.sampling not in SAMPLINGS:
            raise ValueError(f"sampling is {self.sampling!r}, but must be one of {', '.join(SAMPLINGS)}")
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
    def span(self) -> int:
        """Frames from a clip's first to its last, both counted: `dilation * (length - 1) + 1`."""
        return self.dilation * (self.length - 1) + 1

    def slots(self, starts: np.ndarray | None = None) -> int:
        """Slots that a source needs while it is cut: those of the clips that are open at once, and one handed out.

        `ceil(span / stride) + 1`; with `num_clips` counted from the clips' ascending starts, at least 2.
        """
        if self.stride is not None:
            return -(-self.span // self.stride) + 1
        if starts is None:
            return 2
        later = np.searchsorted(starts, starts + self.span)
        return int(np.max(later - np.arange(len(starts)), initial=1)) + 1

    def start(self, index: int, starts: np.ndarray | None) -> int | None:
        """Start of a clip of a source whose end is not known, or among `starts`; None past the last of these."""
        if starts is not None:
            return int(starts[index]) if index < len(starts) else None
        assert self.stride is not None
        return index * self.stride

    def valid(self, start: int, n: int) -> int:
        """Places of a clip that lie before the end of n frames."""
        return min(max(-((start - n) // self.dilation), 0), self.length)

    def count(self, n: int) -> int:
        """Number of clips that n frames give. Raises ValueError where policy "error" meets an incomplete clip."""
        n = integer("n", n, 0, LARGEST)
        span, stride = self.span, self.stride
        if self.policy == "error" and n < span and (n or self.num_clips):
            raise ValueError(f"policy is 'error', but {n} frames do not fill one span of {span}")
        if n == 0 or (n < span and self.policy in ("drop", "backpad")):
            return 0
        if stride is None:
            return self.num_clips or 0
        if n <= span:
            return 1
        complete = (n - span) // stride + 1
        if self.policy == "drop" or (n - span) % stride == 0:
            return complete
        if self.policy == "error":
            left = n - ((complete - 1) * stride + span)
            raise ValueError(f"policy is 'error', but {left} of {n} frames are left after {complete} clips")
        if self.policy == "backpad":
            return complete + 1
        return min(complete, (n - 1) // stride) + 1

    def starts(self, n: int, rng: Rng = None) -> np.ndarray:
        """Start frames of the clips that n frames give.

        rng (a Generator, a seed, or None for a fresh one) is drawn from only where sampling is "random".
        Returns int64 array (clips,), ascending. Raises ValueError as `count` does.
        """
        count = self.count(n)
        check_total("a plan", (count, self.length), 8)
        free = max(n - self.span, 0)
        if self.stride is not None:
            at = np.arange(count, dtype=np.int64) * self.stride
            return np.minimum(at, free) if self.policy == "backpad" else at
        if self.sampling == "random":
            return np.sort(as_generator(rng).integers(0, free + 1, size=count, dtype=np.int64))
        if count == 1:
            return np.array([free // 2], dtype=np.int64)
        # i * free // (count - 1), in parts that stay inside int64.
        whole, rest = divmod(free, count - 1)
        i = np.arange(count, dtype=np.int64)
        return i * whole + i * rest // (count - 1)

    def _positions(self, at: np.ndarray) -> np.ndarray:
        return at[:, None] + np.arange(self.length, dtype=np.int64) * self.dilation

    def indices(self, n: int, rng: Rng = None) -> np.ndarray:
        """Source frame of every place, int64 (clips, length); -1 where `fill_value` goes. rng as in `starts`."""
        return self.indices_at(self.starts(n, rng), n)

    def indices_at(self, at: np.ndarray, n: int) -> np.ndarray:
        """`indices` of the clips that start at the frames `at`."""
        table = self._positions(at)
        if table.size == 0 or table[-1, -1] < n:
            return table
        if self.policy == "repeat_last":
            return np.minimum(table, n - 1)
        if self.policy == "wrap":
            return table % n
        if self.policy == "reflect":
            period = max(2 * (n - 1), 1)
            table %= period
            return np.minimum(table, period - table) if n > 1 else np.zeros_like(table)
        return np.where(table < n, table, -1)

    def padding(self, n: int) -> np.ndarray:
        """True where a place lies past frame n - 1, bool (clips, length)."""
        # Only clips that start at 0 reach past the end of a sampled source, so that the draw does not matter.
        return self._positions(self.starts(n, rng=0)) >= n


@dataclass(frozen=True)
class Selection:
    """Which clips of a source are cut: `some`, by ascending indices, and all from `first` on, which comes after these.

    Without a `first` there are no others. What is selected equals the same clips of a cut of all, bit for bit; those of
    `some` have been given before, and are given again whatever damage their source has.

    `damaged` says that damage has been seen in the source: it is then decoded from its start.
    """

    some: tuple[int, ...] = ()
    first: int | None = 0
    damaged: bool = False

    @property
    def passes_over(self) -> bool:
        """Whether there are clips before the last of these that are left out."""
        first = len(self.some) if self.first is None else self.first
        return len(self.some) != first or self.some != tuple(range(first))

    def at(self, i: int) -> int | None:
        """Index in the source of the i-th clip that is cut; None where there is none."""
        if i < len(self.some):
            return self.some[i]
        return None if self.first is None else self.first + i - len(self.some)

    def of(self, count: int) -> np.ndarray:
        """The indices that are cut of a source of so many clips, int64, ascending."""
        found = np.array(self.some, dtype=np.int64)
        if self.first is not None:
            found = np.concatenate([found, np.arange(self.first, max(count, self.first), dtype=np.int64)])
        return found[found < count]


ALL = Selection()
"""All clips of a source."""


def fill_bytes(spec: WindowSpec, dtype: np.dtype) -> bytes | None:
    """One element of `spec.fill_value` as the kernel takes it; None where the policy never fills.

    Raises ValueError where an integer or boolean dtype cannot hold the value.
    """
    if spec.policy != "constant":
        return None
    try:
        with np.errstate(invalid="raise"), warnings.catch_warnings():
            warnings.simplefilter("error", ComplexWarning)
            warnings.simplefilter("error", DeprecationWarning)  # NumPy 1 warns of integers out of range
            element = np.array(spec.fill_value, dtype=dtype)
        if dtype.kind in "iub" and element != spec.fill_value:
            raise ValueError("it is no such number")
    except (TypeError, ValueError, OverflowError, FloatingPointError, Warning) as exn:
        raise ValueError(f"fill_value is {spec.fill_value!r}, which dtype {dtype} cannot hold: {exn}") from exn
    return element.tobytes()
