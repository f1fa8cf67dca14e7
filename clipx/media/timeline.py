"""The time line of a video: every frame, or those at a fixed rate, in a part of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from copy import copy
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np

from clipx.errors import MediaError
from clipx.media.exact_times import ExactTimes
from clipx.media.frames import Frame
from clipx.media.rates import Grace
from clipx.plan import Segment
from clipx.plan.seconds import Rounded, as_ticks

__all__ = ["MOST_FRAMES", "MOST_REPEATS", "Timeline", "Times"]

MOST_REPEATS = 2**22
"""Most frames of a time line that show one frame: a day and a half at 30 frames a second, six days at 8. More are those
of a clock that jumps, and would need memory and time without bounds."""

MOST_FRAMES = 2**25
"""Most frames of a time line at a fixed rate: 12 days at 30 frames a second."""


class Times(Protocol):
    """The times of all frames of a stream: `PacketIndex`, `FrameTimes`."""

    @property
    def pts(self) -> np.ndarray:
        """Of each frame in ticks of the stream's time base, int64 (n,), ascending."""

    @property
    def durations(self) -> np.ndarray:
        """Ticks that each frame is shown, int64 (n,); 0 where that is not known."""


class _Run(NamedTuple):
    """The frames [first, last) of a part, the time of its first frame p, and when the last frame ends, in ticks."""

    first: int
    last: int
    t0: Fraction
    until: int


class Timeline:
    """The frames that clips of a video are made of: frame p of the time line is a frame k of the video.

    Without `fps`, frame p is the p-th frame in [start_seconds, end_seconds). With it, frame p is the one that is shown
    at `t0 + p / fps`, where t0 is the time of the first frame of the part: the frame with the latest time that is at
    most `grace` after it, while `p / fps` is before the end of the last frame. Times are exact fractions; the grace is
    for containers that round them, such as Matroska to milliseconds.

    With at_start="shown" it begins with the frame that is on screen at start_seconds, where there is one, and t0
    is start_seconds then. A frame is on screen until the next one, the last for its duration.

    Args:
        name: of the source, in messages.
        time_base: seconds of a tick.
        grace: by how much the container may have rounded the times of frames.
        fps, start_seconds, end_seconds, at_start: as in `clipx.VideoOptions`.
    """

    def __init__(
        self,
        name: str,
        time_base: Fraction,
        grace: Grace,
        *,
        fps: Fraction | None = None,
        start_seconds: Fraction | None = None,
        end_seconds: Fraction | None = None,
        at_start: str = "next",
    ) -> None:
        self._name, self._time_base, self._grace, self._fps = name, time_base, grace, fps
        self._step = None if fps is None else 1 / (fps * time_base)
        self._start = None if start_seconds is None else as_ticks(start_seconds, time_base)
        self._stop = None if end_seconds is None else as_ticks(end_seconds, time_base)
        # A time of a frame, which the container may have rounded as it did those of the part.
        self._stop_is_tick = isinstance(end_seconds, Rounded) and self._stop == int(self._stop or 0)
        self._begins_shown = at_start == "shown"

    @property
    def whole(self) -> bool:
        """True if the time line is the video, frame by frame."""
        return self._step is None and self._start is None and self._stop is None

    @property
    def sparse(self) -> bool:
        """True if frames at the start, or between others, may be left out."""
        return self._step is not None or self._start is not None

    def _before(self, pts: int) -> bool:
        return self._start is not None and pts < self._start

    def _after(self, pts: int) -> bool:
        return self._stop is not None and pts >= self._stop

    def follow(self, frames: Iterable[Frame]) -> Iterator[tuple[int, Frame]]:
        """(p, frame) for every frame p of the time line, as frames arrive; stops reading after the part.

        Raises MediaError where the clock jumps, after the frames before.
        """
        if self.whole:
            yield from enumerate(frames)
            return
        part = self._part(frames)
        if self._step is None:
            yield from enumerate(frame for frame, _, _ in part)
            return
        p, t0, first, last, until, lost = 0, Fraction(0), 0, None, 0, False
        for frame, begin, end in part:
            if last is None:
                t0, first = begin, frame.pts
            else:
                # What is lost before a frame that is passed over is lost before the next one.
                lost = last.lost
                following = self._first_at(frame.pts, t0, first)
                self._check(following - p, following, last.k, last.pts, frame.pts)
                while p < following:
                    yield p, last
                    p, lost = p + 1, False
            last, until = frame._replace(lost=True) if lost else frame, end
        if last is not None:
            count = self._count(until, t0, first)
            self._check(count - p, count, last.k, last.pts, until)
            while p < count:
                yield p, last
                p += 1

    def _part(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Fraction, int]]:
        """(frame, begin, end) for the frames of the part; `begin` is t0 if the frame is the first."""
        earlier: Frame | None = None
        for frame in frames:
            if self._start is not None and frame.pts < self._start:
                earlier = frame if self._begins_shown else None
                continue
            if earlier is not None and self._start is not None and frame.pts > self._start:
                yield earlier, self._start, frame.pts
            earlier = None
            if self._after(frame.pts):
                return
            yield frame, Fraction(frame.pts), frame.pts + frame.duration
        if earlier is not None and self._start is not None and self._start < earlier.pts + earlier.duration:
            yield earlier, self._start, earlier.pts + earlier.duration

    def _first_at(self, pts: Any, t0: Fraction, first: int) -> Any:
        """The first frame of the time line that shows the frame at time `pts`, or a later one.

        That is the least p with t0 + p * step >= pts - grace. pts is an int, or an array of ints; `first` is the time
        of the first frame.
        """
        assert self._step is not None
        ahead = ((pts - self._grace.of(pts, first)) * t0.denominator - t0.numerator) * self._step.denominator
        return -(-ahead // (t0.denominator * self._step.numerator))

    def _count(self, end: int, t0: Fraction, first: int) -> int:
        """Number of frames p of the time line with t0 + p * step before the end of the last frame and of the part.

        Where the part ends at the time of a frame, the number is that frame's p, with its grace.
        """
        assert self._step is not None
        count = int(-(-(end - t0) // self._step))
        if self._stop is not None:
            is_tick = self._stop_is_tick
            stop = self._first_at(int(self._stop), t0, first) if is_tick else -(-(self._stop - t0) // self._step)
            count = min(count, int(stop))
        return max(count, 0)

    def _check(self, repeats: int, count: int, k: int, pts: int, until: int) -> None:
        """Raise MediaError if frame k, shown from `pts` until `until`, would make the time line too long."""
        if repeats <= MOST_REPEATS and count <= MOST_FRAMES:
            return
        begin, end = (float(each * self._time_base) for each in (pts, until))
        longest = f"{repeats} frames at {float(self._fps or 0):g} a second, of at most {MOST_REPEATS}"
        if repeats <= MOST_REPEATS:
            longest = f"up to then {count} frames at {float(self._fps or 0):g} a second, of at most {MOST_FRAMES}"
        raise MediaError(
            f"{self._name} shows frame {k} from {begin:.3f} s to {end:.3f} s: {longest}; if its clock jumps, "
            f"start_seconds= and end_seconds= leave out what is before or after"
        )

    def within(self, segment: Segment, times: Times) -> Timeline:
        """The part of this time line that lies in a segment; at a fixed rate it counts from its own first frame on."""
        pts, part = times.pts, copy(self)
        stop: Fraction | None
        if segment.unit == "frames":
            start = Fraction(int(pts[segment.start]) if segment.start < len(pts) else int(pts[-1]) + 1)
            stop, stop_is_tick = Fraction(int(pts[segment.end])) if segment.end < len(pts) else None, True
        else:
            start, stop = as_ticks(segment.start, self._time_base), as_ticks(segment.end, self._time_base)
            stop_is_tick = isinstance(segment.end, Rounded) and stop == int(stop)
        if self._start is None or start >= self._start:
            part._start, part._begins_shown = start, False
        elif self._begins_shown:
            # The frame that is shown at the start of this time line may begin before the segment does.
            shown = bisect_left(pts, self._start) - 1
            part._begins_shown = shown >= 0 and pts[shown] >= start and (stop is None or stop > self._start)
        if stop is not None and (self._stop is None or stop < self._stop):
            part._stop, part._stop_is_tick = stop, stop_is_tick
        return part

    def _run(self, times: Times, frame_ticks: int) -> _Run:
        """The frames of the part; frame_ticks: duration of the last frame where the file does not say."""
        pts = times.pts
        # pts is ascending, so that the frames of the part are one run.
        first = bisect_left(pts, True, key=lambda each: not self._before(int(each)))
        last = max(bisect_left(pts, True, key=lambda each: self._after(int(each))), first)

        def end(k: int) -> int:
            return int(pts[k]) + (int(times.durations[k]) or frame_ticks)

        t0 = Fraction(int(pts[first])) if first < len(pts) else Fraction(0)
        until = end(last - 1) if last else 0
        start = self._start
        if self._begins_shown and start is not None and first and (first == len(pts) or pts[first] > start):
            shown_until = int(pts[first]) if first < len(pts) else end(first - 1)
            if start < shown_until:
                until = until if first < last else shown_until
                first, last, t0 = first - 1, max(last, first), start
        return _Run(first, last, t0, until)

    def exact_times(self, times: Times, n: int, frame_ticks: int) -> ExactTimes:
        """When each of the n frames of the time line begins, and when the last one ends, in seconds.

        The last one ends as it does in the video, also where that is after the end of the part.
        """
        pts, base, step = times.pts, self._time_base, self._step
        first, _, t0, until = self._run(times, frame_ticks)
        if step is None:
            return ExactTimes(n, lambda p: int(pts[first + p]) * base, until * base)
        return ExactTimes(n, lambda p: (t0 + p * step) * base, min(Fraction(until), t0 + n * step) * base)

    def frames(self, times: Times, frame_ticks: int) -> np.ndarray:
        """The frame of the video for each frame of the time line, int64, ascending.

        frame_ticks: duration of the last frame where the file does not say. Raises MediaError where the clock
        jumps.
        """
        pts = times.pts
        first, last, t0, until = self._run(times, frame_ticks)
        if self._step is None or first == last:
            return np.arange(first, last, dtype=np.int64)
        count = self._count(until, t0, int(pts[first]))
        later = pts[first + 1 : last]
        furthest = (max(abs(int(pts[first])), abs(int(pts[last - 1]))) + 1) * t0.denominator + abs(t0.numerator)
        if max(furthest, t0.denominator) * max(self._step.denominator, self._step.numerator) >= 2**62:
            later = later.astype(object)  # Python's integers, of any size
        begins = np.append(self._first_at(later, t0, int(pts[first])), count)
        ends = np.clip(begins, 0, count)
        repeats = np.diff(ends, prepend=0)
        for k in np.flatnonzero((repeats > MOST_REPEATS) | (ends > MOST_FRAMES))[:1].tolist():
            at = first + k
            self._check(repeats[k], ends[k], at, int(pts[at]), int(pts[at + 1]) if at + 1 < last else until)
        return np.repeat(np.arange(first, last, dtype=np.int64), repeats.astype(np.int64))
