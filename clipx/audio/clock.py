"""The times of decoded samples."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from operator import itemgetter
from typing import Any

from clipx.audio.streams import GAP_SECONDS

__all__ = ["SampleClock"]

ANEW_SECONDS = 10
"""A clock that jumps ahead by more, in a format that allows for it, starts anew, as FFmpeg takes it."""


class SampleClock:
    """The times of the samples of a stream, as its frames have them.

    Sound that is missing moves the samples behind it to later times, and so does a clock that goes a little slower than
    the samples. A clock that starts anew, as where files have been joined, does not: the times go on.
    """

    def __init__(self, frame: Any, base: Fraction, restarts: bool) -> None:
        self.rate: int = frame.sample_rate
        self._start, self._restarts = (frame.pts or 0) * base, restarts
        # A tick and a sample, in parts of a second that both are whole numbers of: a Fraction a frame would cost more
        # than its decoding.
        self._ticks, self._parts = base.numerator * self.rate, base.denominator
        self.gap = int(GAP_SECONDS * self.rate * self._parts)
        self._zero = (frame.pts or 0) * self._ticks
        self._arrived = self._late = self._late_before = 0
        self._shifts = [(0, Fraction(0))]

    def follow(self, frame: Any) -> int:
        """By how much a frame is later than the samples before it say, in parts of a second; below 0: earlier."""
        pts, late = frame.pts, self._late
        self._late_before = late
        if pts is not None:
            self._late = late = pts * self._ticks - self._zero - self._arrived * self._parts
        self._arrived += frame.samples
        return late

    def set(self) -> None:
        """The frame that `follow` has seen last is on time, whatever it says."""
        self._zero += self._late
        self._late = 0

    def find_gap(self, position: int, refused: bool) -> Fraction:
        """Seconds of sound that are missing before the frame that `follow` has seen last; 0 where none are.

        position: of the frame's first sample in what is written. refused: whether anything was refused before it.
        """
        second = self.rate * self._parts
        step = Fraction(self._late - self._late_before, second)
        shift = self._shifts[-1][1] + Fraction(self._late, second)
        # Behind a time that was wrong, the clock goes back to where it was.
        anew = (step < -GAP_SECONDS and shift < -GAP_SECONDS) or (self._restarts and step > ANEW_SECONDS)
        if not anew:
            self._shifts.append((position, shift))
        self.set()
        return Fraction(0) if anew or (step <= GAP_SECONDS and not refused) else max(step, Fraction(0))

    def end(self) -> float:
        """When the samples that have come end, in seconds."""
        return float(self._start + Fraction(self._arrived, self.rate) + self._shifts[-1][1])

    def seconds(self, frame: Any) -> float:
        """When the samples before a frame, the last that `follow` has seen, end."""
        return float(self._start + Fraction(self._arrived - frame.samples, self.rate) + self._shifts[-1][1])

    def time(self, position: int, rate: int) -> Fraction:
        """When a sample of what is written, at its rate, begins."""
        latest = bisect_right(self._shifts, position, key=itemgetter(0)) - 1
        return self._start + Fraction(position, rate) + self._shifts[latest][1]
