"""The frames of the plan of a video: every frame, or those at a fixed rate, in a part of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from clipx.index import Index
from clipx.options import VideoOptions
from clipx.reader import Frame

__all__ = ["Timeline"]


class _Part(NamedTuple):
    """The part of a video that is cut, in ticks: from `start` on, before `end`."""

    start: Fraction | None
    end: Fraction | None


class Timeline:
    """Which frame of a video is frame p of the plan.

    Without `fps`, the p-th frame in [start_seconds, end_seconds). With it, frame p is what stands at `t0 + p / fps`,
    where t0 is the time of the first such frame: the frame with the latest time that is not more than one tick of the
    time base after it, while `p / fps` is before the end of the last frame. Times are exact fractions; the tick is for
    containers that round them, such as Matroska to milliseconds, and is none where a tick is as long as a frame (AVI).
    """

    def __init__(self, options: VideoOptions, time_base: Fraction, rate: Fraction) -> None:
        self._fps = options.fps
        self._step = None if options.fps is None else 1 / (options.fps * time_base)
        # A tick as long as a frame, as in AVI, rounds nothing, and would be a frame of grace.
        self._grace = 0 if 2 * time_base * rate > 1 else 1
        ticks = (None if each is None else each / time_base for each in (options.start_seconds, options.end_seconds))
        self._part = _Part(*ticks)

    @property
    def whole(self) -> bool:
        """Whether the plan is the video, frame by frame."""
        return self._step is None and self._part == _Part(None, None)

    @property
    def sparse(self) -> bool:
        """Whether frames at the start, or between others, may be left out."""
        return self._step is not None or self._part.start is not None

    def _before(self, pts: int) -> bool:
        return self._part.start is not None and pts < self._part.start

    def _after(self, pts: int) -> bool:
        return self._part.end is not None and pts >= self._part.end

    def follow(self, frames: Iterable[Frame]) -> Iterator[tuple[int, Frame]]:
        """(p, frame) for every frame of the plan, as frames arrive; stops reading after the part."""
        p, t0, last, lost = 0, 0, None, False
        for frame in frames:
            if self._before(frame.pts):
                continue
            if self._after(frame.pts):
                break
            if self._step is None:
                yield p, frame
                p += 1
                continue
            if last is None:
                t0 = frame.pts
            else:
                # What is lost before a frame that is passed over is lost before the next one.
                lost = last.lost
                while self._latest(t0, p) < frame.pts:
                    yield p, last
                    p, lost = p + 1, False
            last = frame._replace(lost=True) if lost else frame
        if last is not None and self._step is not None:
            end = self._end(last.pts + last.duration)
            while p * self._step < end - t0:
                yield p, last
                p += 1

    def _latest(self, t0: int, p: int) -> int:
        """The latest time that a frame may have to stand at frame p of the plan, with its tick of grace."""
        assert self._step is not None
        return t0 + p * self._step.numerator // self._step.denominator + self._grace

    def _end(self, end: int) -> Fraction:
        return Fraction(end) if self._part.end is None else min(Fraction(end), self._part.end)

    def plan(self, index: Index, frame_ticks: int) -> np.ndarray:
        """The frame of the video at each frame of the plan, int64, ascending.

        frame_ticks: how long the last frame is shown where the file does not say.
        """
        pts = index.pts
        # pts is ascending, so that the frames before the part, and those not after it, stand together.
        first = bisect_left(pts, True, key=lambda each: not self._before(int(each)))
        last = max(bisect_left(pts, True, key=lambda each: self._after(int(each))), first)
        if self._step is None or first == last:
            return np.arange(first, last, dtype=np.int64)
        t0 = int(pts[first])
        end = self._end(int(pts[last - 1]) + (int(index.durations[last - 1]) or frame_ticks))
        # ceil((end - t0) / step) frames have p * step < end - t0.
        count = max(-(-(end - t0) // self._step), 0)
        # Python integers: p times the numerator can be past int64.
        latest = np.array([self._latest(t0, p) for p in range(count)], dtype=np.int64)
        return np.searchsorted(pts[:last], latest, side="right") - 1
