"""Where samples of one rate lie among those of another, as FFmpeg's resampler has them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, cast

import av

__all__ = ["MOST_DOWNSAMPLED", "MOST_UPSAMPLED", "aligned_start", "resampled_length"]

MOST_UPSAMPLED = 256
MOST_DOWNSAMPLED = 512  # for which FFmpeg takes 64 MiB

FILTER_TAPS, CUTOFF = 32, 0.97
"""Of the filter, whose taps span as many samples of the lower rate."""

SURE_TAPS = 3
"""Lengths of the filter that a run has to have to be like one over all of a sound, its first samples excepted."""

MOST_PHASES = 1024
"""Outputs after which positions between samples recur; they are rounded where it would take more."""


def _taps(rate: int, wanted: int) -> int:
    return math.ceil(FILTER_TAPS / min(wanted * CUTOFF / rate, 1))


def aligned_start(position: int, rate: int, wanted: int) -> tuple[int, int, int]:
    """Where a run can start so that samples from an output position on are, bit for bit, those of a full run.

    A run repeats itself after as many samples as the rates, divided by their common factor, say. From there on its
    first samples, in which the filter reaches before the start, are unlike.

    Returns the sample to start from, how many outputs to leave out, and the position of the first one after them; all 0
    where it has to be the first sample.
    """
    common = math.gcd(rate, wanted)
    step, out_step = rate // common, wanted // common
    taps = _taps(rate, wanted)
    unlike = math.ceil((taps / 2 + 1) * wanted / rate) + 1
    # So early that a run whose position is the last one has filled the filter, too.
    steps = (position - SURE_TAPS * taps * wanted // rate) // out_step
    if steps <= 0 or out_step > MOST_PHASES:
        return 0, 0, 0
    return steps * step, unlike, steps * out_step + unlike


def resampled_length(n: int, rate: int, wanted: int) -> int | None:
    """Number of samples that n samples give at another rate; None where that is not known.

    It depends on how many the filter has left at the end, which a run over as many samples of the end shows.
    """
    if rate == wanted:
        return n
    common = math.gcd(rate, wanted)
    step, out_step = rate // common, wanted // common
    if out_step > MOST_PHASES or wanted > MOST_UPSAMPLED * rate or wanted * MOST_DOWNSAMPLED < rate:
        return None
    steps = max((n - SURE_TAPS * _taps(rate, wanted)) // step, 0)
    return steps * out_step + _length_of_run(n - steps * step, rate, wanted)


@lru_cache(4096)
def _length_of_run(n: int, rate: int, wanted: int) -> int:
    if not n:
        return 0
    resampler = av.AudioResampler("fltp", "mono", wanted)
    frame = av.AudioFrame(format="fltp", layout="mono", samples=n)
    frame.sample_rate = rate
    memoryview(cast(Any, frame.planes[0])).cast("B")[:] = bytes(frame.planes[0].buffer_size)
    made = resampler.resample(frame) + resampler.resample(None)
    return sum(each.samples for each in made if each is not None)
