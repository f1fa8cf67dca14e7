"""The WebDataset stage that watches what samples hold."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from clipx import memory
from clipx._checks import integer
from clipx.pool import live_pools

__all__ = ["watch"]

logger = logging.getLogger("clipx")

Item = TypeVar("Item")

LEAST_SECONDS = 1.0
"""Between two lines of the log, however fast samples come."""


class WatchStage:
    """`watch` with its arguments, as a step of a pipeline."""

    def __init__(self, every: int) -> None:
        self._every = every

    def __repr__(self) -> str:
        return f"clipx.wds.watch({self._every})"

    def __call__(self, samples: Iterable[Item]) -> Iterator[Item]:
        import psutil

        process = psutil.Process()
        count = shown = retained = 0
        began, warned = time.monotonic(), False
        for sample in samples:
            count += 1
            shown += memory.payload_bytes(sample)
            retained += memory.retained_bytes(sample)
            if not warned and isinstance(sample, Mapping):
                found = memory.retention(sample)
                if found is not None:
                    warned = True
                    logger.warning("%s (sample %r)", memory.describe_retention(*found), sample.get("__key__"))
            elapsed = time.monotonic() - began
            if count >= self._every and elapsed >= LEAST_SECONDS:
                stats = [pool.stats() for pool in live_pools()]
                logger.info(
                    "%.1f samples/s, %.0f MB resident, %s, %.1f MB shown and %.1f MB retained by %d samples",
                    count / elapsed,
                    process.memory_info().rss / 1e6,
                    ", ".join(f"{each.leased} of {each.slots} slots leased" for each in stats) or "no pool",
                    shown / 1e6,
                    retained / 1e6,
                    count,
                )
                count = shown = retained = 0
                began = time.monotonic()
            yield sample
            del sample


def watch(every: int = 100) -> WatchStage:
    """A stage that passes samples through and logs, on logger "clipx" at INFO, what the pipeline holds.

    Every so many samples, and at most once a second: samples a second, the process's resident memory, how many slots of
    each pool are leased, and the bytes that these samples showed against those that they kept alive. Once it warns,
    with the field's name and both figures, where a sample keeps far more alive than it shows: views of whole videos
    are upstream. `clipx.memory.check` raises where this warns.

    Stability: stable.
    """
    return WatchStage(integer("every", every, 1))
