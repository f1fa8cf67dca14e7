"""The frame rate of a stream, chosen among the several that a file states, some of which are impossible."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from statistics import median
from typing import Any, NamedTuple

import av

__all__ = ["DEFAULT_RATE", "MEASURED_PACKETS", "Grace", "grace_of", "likely_rate", "stated_rate", "time_base_of"]

DEFAULT_RATE = Fraction(25)
DEFAULT_TIME_BASE = Fraction(1, 90000)
MEASURED_PACKETS = 32
ORDINARY, MOST = 240, 1000  # frames a second; above the first, only where time is counted in finer steps
MEASURED_MOST = 10**6
AGREE = Fraction(1, 100)
NEAR = Fraction(1, 20)
# Containers in which the time base is not chosen for the stream, so that times may be rounded to it.
FIXED_CLOCKS = frozenset({"matroska", "webm", "flv", "asf", "mpegts", "mpeg", "rm", "wtv"})


def _plausible(rate: Fraction | None, time_base: Fraction) -> bool:
    return rate is not None and 0 < rate <= MOST and (rate <= ORDINARY or 2 * rate * time_base < 1)


def _agree(a: Fraction | None, b: Fraction | None) -> bool:
    return a is not None and b is not None and abs(a - b) <= AGREE * b


def _rate(owner: Any, name: str) -> Fraction | None:
    """A rate of a stream or its codec; None where it is unknown, which av says with None or with 0."""
    rate = getattr(owner, name, None)
    return Fraction(rate) if rate else None


def time_base_of(stream: av.VideoStream) -> Fraction:
    """Seconds of a tick of a stream's times."""
    return Fraction(stream.time_base or DEFAULT_TIME_BASE)


def stated_rate(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    """The stated rate, if it is certain: in a MOV or MP4, which list their frames, or if its answers agree."""
    time_base = time_base_of(stream)
    average, guessed = _rate(stream, "average_rate"), _rate(stream, "guessed_rate")
    of_codec = _rate(stream.codec_context, "framerate")
    if _plausible(average, time_base) and ("mp4" in container.format.name or _agree(average, guessed)):
        return average
    if not average and _plausible(guessed, time_base) and (not of_codec or _agree(of_codec, guessed)):
        return guessed
    return None


def likely_rate(stream: av.VideoStream, packets: Sequence[av.Packet]) -> Fraction:
    """The likeliest rate of a stream: a stated one that fits the times of its first packets, else that of the times.

    Without times, the first stated rate that is possible; and if none is, 25.
    """
    time_base = time_base_of(stream)
    answers = [_rate(stream, "average_rate"), _rate(stream, "guessed_rate")]
    answers += [_rate(stream.codec_context, "framerate"), _rate(stream, "base_rate")]
    measured = [each for each in _measured(packets, time_base) if 0 < each <= MEASURED_MOST]
    near = [(abs(answer / each - 1), answer) for answer in answers if answer for each in measured]
    if near and min(near)[0] <= NEAR:
        return min(near)[1]
    if measured:
        average, typical = measured[0], measured[-1]
        # One long pause among a few frames says nothing of the rest.
        return average if 10 * average > typical else typical
    answers = [answers[1], answers[2], answers[0]]
    return next((each for each in answers if each and _plausible(each, time_base)), DEFAULT_RATE)


def _measured(packets: Sequence[av.Packet], time_base: Fraction) -> list[Fraction]:
    """The average and the typical rate of packets, in this order; one rate where only durations are known."""
    times = sorted({packet.pts for packet in packets if packet.pts is not None})
    if len(times) > 1:
        steps = [b - a for a, b in zip(times, times[1:])]
        return [(len(times) - 1) / ((times[-1] - times[0]) * time_base), 1 / (Fraction(median(steps)) * time_base)]
    durations = [packet.duration for packet in packets if packet.duration]
    return [1 / (Fraction(median(durations)) * time_base)] if durations else []


class Grace(NamedTuple):
    """Ticks by which the container may have rounded the time of a frame.

    That is `ticks`, 0 or 1; but 0 for a time that is a whole number of `period`, the ticks of a frame, after the first.
    """

    ticks: int
    period: int | None

    def of(self, pts: Any, first: int) -> Any:
        """Ticks for frames at `pts`, an int or an array, where the first frame is at `first`."""
        return self.ticks if self.period is None else self.ticks * ((pts - first) % self.period != 0)


def grace_of(container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction) -> Grace:
    """The grace of a stream's times.

    It is 0 if the time base is the stream's own, and either frames last a whole number of ticks or there is no steady
    rate; and 0 if a tick is as long as a frame, as the grace would be a frame.
    """
    time_base = time_base_of(stream)
    ticks = 1 / (rate * time_base)
    if ticks < 2:
        return Grace(0, None)
    if FIXED_CLOCKS & set(container.format.name.split(",")):
        return Grace(1, int(ticks) if ticks.denominator == 1 else None)
    steady = _rate(stream, "base_rate")
    rounds = steady and _plausible(steady, time_base) and (1 / (steady * time_base)).denominator != 1
    return Grace(int(bool(rounds) and ticks.denominator != 1), None)
