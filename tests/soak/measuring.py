"""Memory, descriptors, threads and leased slots of this process over time, and how much they drift."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass, field

import psutil

MOST_DRIFT = 0.01
"""Of memory, from the tenth behind the warm-up to the last."""


@dataclass(frozen=True)
class Measurement:
    """One moment of a run: seconds from its start and units of work done; bytes; counts."""

    seconds: float
    done: int
    rss: int
    uss: int
    descriptors: int
    threads: int
    children: int
    leased: int
    slots: int
    peak_leased: int


@dataclass
class Trace:
    """The measurements of a run of `total` units of work ("clips", "epochs"), taken `count` times."""

    name: str
    total: int
    count: int = 200
    measurements: list[Measurement] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._process = psutil.Process()
        self._step = max(self.total // self.count, 1)

    @property
    def next(self) -> int:
        """Units of work after which the next measurement is due."""
        return min((len(self.measurements) + 1) * self._step, self.total)

    def measure(self, done: int, leased: int = 0, slots: int = 0, peak_leased: int = 0) -> None:
        gc.collect()
        memory = self._process.memory_full_info()
        self.measurements.append(
            Measurement(
                time.monotonic() - self.began,
                done,
                memory.rss,
                memory.uss,
                self._process.num_fds(),
                self._process.num_threads(),
                len(self._process.children()),
                leased,
                slots,
                peak_leased,
            )
        )

    def median(self, name: str, tenth: int) -> float:
        """The median of a tenth of the measurements, 0 to 9."""
        n = len(self.measurements)
        part = self.measurements[tenth * n // 10 : max((tenth + 1) * n // 10, tenth * n // 10 + 1)]
        return float(statistics.median(getattr(each, name) for each in part))

    def drift(self, name: str) -> float:
        """The median of the last tenth relative to the second's, less 1; 0 where both are 0."""
        before, after = self.median(name, 1), self.median(name, 9)
        return after / before - 1 if before else float(after > 0)

    def problems(self, most_drift: float = MOST_DRIFT) -> list[str]:
        """Texts that say what grew."""
        found = [
            f"{name.upper()} drifts by {self.drift(name):+.2%}, more than {most_drift:.0%}"
            for name in ("rss", "uss")
            if self.drift(name) > most_drift
        ]
        found += [
            f"{name} grow from {self.median(name, 1):g} to {self.median(name, 9):g}"
            for name in ("descriptors", "threads", "children")
            if self.drift(name) > 0
        ]
        return found
