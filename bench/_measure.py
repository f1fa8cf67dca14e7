"""Contestants timed side by side, and the limits of the memory.

In a repetition each contestant runs once, in an order that shifts from one repetition to the next and is reversed in
every other one, so that drift of the machine and the traces of the one before affect all alike. A contestant's figure
is the median over the repetitions. Ratios are taken within a repetition, where both sides ran close together in time;
their median is shown. Spreads are the lowest and the highest repetition.
"""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


class Sample(NamedTuple):
    """One measurement: seconds of a call (the median, after several calls), and its minor page faults."""

    seconds: float
    faults: float = 0


Samples = Mapping[str, Sequence[Sample]]


class Clock:
    """The clock of `timed`: the wall's or, on a machine that others use too, the CPU time of this process's threads."""

    def __init__(self) -> None:
        self.now: Callable[[], float] = time.perf_counter

    def count_cpu_time(self) -> None:
        self.now = time.process_time

    @property
    def counts_cpu_time(self) -> bool:
        return self.now is time.process_time


CLOCK = Clock()


def minor_faults() -> int:
    """Minor page faults of this process so far; 0 on systems that do not count them."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0


def timed(function: Callable[[], object], calls: int = 1) -> Sample:
    """Time `calls` calls. Several calls follow one that is not timed, which brings the data into the cache.

    The result is dropped inside the timing: a user pays for giving memory back, too.
    """
    if calls > 1:
        function()
    seconds = []
    faults = minor_faults()
    for _ in range(calls):
        start = CLOCK.now()
        function()
        seconds.append(CLOCK.now() - start)
    return Sample(statistics.median(seconds), (minor_faults() - faults) / calls)


def interleave(
    contestants: Mapping[str, Callable[[], Sample]], repeats: int, tick: Callable[[], None]
) -> dict[str, list[Sample]]:
    """Samples of every contestant, one a repetition. `tick` is called between measurements, never during one."""
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    names = list(contestants)
    for repeat in range(repeats):
        first = repeat % len(names)
        order = names[first:] + names[:first]
        for name in order[::-1] if repeat % 2 else order:
            gc.collect()
            samples[name].append(contestants[name]())
            tick()
    return samples


def consume(clips: Iterable[Any]) -> None:
    """Take every clip, and drop it before the next one."""
    for clip in clips:
        del clip


class Spread(NamedTuple):
    """Median, lowest and highest of the repetitions."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Median, lowest and highest of the values."""
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def times_as_fast(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """Speed of `ours` over that of `theirs`: the median over the repetitions. Below 1, ours is slower."""
    return statistics.median(b.seconds / a.seconds for a, b in zip(ours, theirs))


# The limits of the memory


FLAT_COPIES = ("flat block, np.copyto", "flat block, clipx")
FLAT_WRITES = ("flat block, memset", "flat block, clipx's stores")
ALWAYS_STREAM = 1 << 62
WRITTEN_BLOCK = 1 << 16  # stays in the cache while it is written again and again


def flat_copies(out: np.ndarray) -> dict[str, Callable[[], object]]:
    """Copies of one block of as many bytes as `out` has."""
    from clipx import _kernel

    target = out.reshape(1, -1)
    block = np.ones_like(target)
    first = np.zeros(1, np.int64)
    return {
        FLAT_COPIES[0]: partial(np.copyto, target, block),
        FLAT_COPIES[1]: partial(_kernel.gather, block, target, first, None, ALWAYS_STREAM),
    }


def flat_writes(out: np.ndarray) -> dict[str, Callable[[], object]]:
    """Writes of as many bytes as `out` has, to within a block, that read nothing from memory.

    Not of zeros: some processors write these at twice the speed.
    """
    from clipx import _kernel

    target = out.reshape(-1).view(np.uint8)
    target = target[: target.size // WRITTEN_BLOCK * WRITTEN_BLOCK].reshape(-1, WRITTEN_BLOCK)
    block = np.random.default_rng(0).integers(1, 256, (1, WRITTEN_BLOCK), dtype=np.uint8)
    first = np.zeros(len(target), np.int64)
    return {
        FLAT_WRITES[0]: partial(ctypes.memset, target.ctypes.data, 1, target.size),
        FLAT_WRITES[1]: partial(_kernel.gather, block, target, first, None, ALWAYS_STREAM),
    }
