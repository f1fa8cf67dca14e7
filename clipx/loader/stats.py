"""LoaderStats: the counters of a Loader's epoch, as they are at one moment, and the part that bounds it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from clipx._reprs import byte_text
from clipx.loader.config import LoaderConfig
from clipx.loader.counters import Counters
from clipx.loader.probe import Pools

__all__ = ["LoaderStats", "stats_of"]

CONSUMER_SHARE = 0.05
"""Share of the time below which a consumer that waits is one that bounds the Loader."""

BUSY_SHARE = 0.7
"""Share of the time from which on threads are busy."""


@dataclass(frozen=True)
class LoaderStats:
    """Counters of an epoch of a Loader in one process, at one moment.

    Seconds are those of the wall clock; those of threads are summed over them, and include what they wait for a
    processor and for each other's Python.

    Attributes:
        epoch: its number; None before the first.
        seconds: since the iteration began, up to its end. An iterator that was dropped ended with its last batch.
        batches, clips: number of those handed out since then: none of before a state that was loaded.
        clips_per_second: `clips` by `seconds`.
        recent_clips_per_second: clips of the last 10 seconds of these, to half a second.
        waited_seconds: the consumer waited for batches.
        samples: number of those that were read.
        bytes_read: bytes of samples' fields as they were read; of a local video that is opened where it lies, those of
            the packets that were decoded, once its clips have been given; of remote files, those that came.
        reading_seconds: one thread read samples; without its waits for room.
        opening_seconds: headers and packets were read, and clips were planned.
        decoding_seconds: packets were decoded, fields were decoded; of sound, all that is done.
        converting_seconds: pictures were resampled and written to clips; of arrays, all that is done.
        mapping_seconds: `map` ran.
        batching_seconds: one thread shuffled clips and filled batches; without its waits for clips and the consumer.
        threads: number of threads that extract clips.
        sources: number of sources that can be open at a time.
        slots, slots_taken: number of the pool's slots, all and those that hold clips.
        shuffled: number of clips that the shuffle holds.
        batch_slots, batches_out: number of batches that there can be, and of those that are filled or held.
        memory_bytes: the loader's bytes in this process.
        held_bytes: bytes of clips in slots, of batches, of samples as they were read, and of open decoders.
        errors: number of entries of each kind in the loader's `errors`, over all epochs.

    Stability: provisional.
    """

    epoch: int | None = None
    seconds: float = 0.0
    batches: int = 0
    clips: int = 0
    clips_per_second: float = 0.0
    recent_clips_per_second: float = 0.0
    waited_seconds: float = 0.0
    samples: int = 0
    bytes_read: int = 0
    reading_seconds: float = 0.0
    opening_seconds: float = 0.0
    decoding_seconds: float = 0.0
    converting_seconds: float = 0.0
    mapping_seconds: float = 0.0
    batching_seconds: float = 0.0
    threads: int = 0
    sources: int = 0
    slots: int = 0
    slots_taken: int = 0
    shuffled: int = 0
    batch_slots: int = 0
    batches_out: int = 0
    memory_bytes: int = 0
    held_bytes: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def work_seconds(self) -> dict[str, float]:
        """Seconds of the threads that extract clips, by what they did."""
        return {
            "opening": self.opening_seconds,
            "decoding": self.decoding_seconds,
            "converting": self.converting_seconds,
            "mapping": self.mapping_seconds,
        }

    @property
    def bound(self) -> str | None:
        """The part that bounds the rate of clips; None where nothing has been handed out.

        "consumer": it has waited for less than a twentieth of the time. "batching", "reading": the one thread that does
        it is busy. "opening", "decoding", "converting", "mapping": the threads that extract are busy, mostly with it.
        "sources": these threads are not busy, as too few sources are open side by side.
        """
        if not self.clips:
            return None
        if self.waited_seconds < CONSUMER_SHARE * self.seconds:
            return "consumer"
        work, busy = self.work_seconds, BUSY_SHARE * self.seconds
        if self.batching_seconds > busy:
            return "batching"
        if sum(work.values()) > busy * self.threads:
            return max(work, key=lambda name: work[name])
        return "reading" if self.reading_seconds > busy else "sources"

    def __repr__(self) -> str:
        if self.epoch is None:
            return "<LoaderStats: before the first epoch>"
        work = {"reading": self.reading_seconds, **self.work_seconds, "batching": self.batching_seconds}
        lines = [
            f"epoch {self.epoch}: {self.batches} batches, {self.clips} clips in {self.seconds:.1f} s, "
            f"{self.clips_per_second:.1f} clips/s, lately {self.recent_clips_per_second:.1f}",
            f"the consumer waited {self.waited_seconds:.1f} s",
            f"threads, in seconds: {', '.join(f'{name} {spent:.1f}' for name, spent in work.items() if spent)}",
            f"read {self.samples} samples, {byte_text(self.bytes_read)}",
            f"{self.slots_taken} of {self.slots} slots taken, {self.shuffled} clips in the shuffle, "
            f"{self.batches_out} of {self.batch_slots} batches out",
            f"memory {byte_text(self.held_bytes)} of {byte_text(self.memory_bytes)}",
            f"errors: {', '.join(f'{count} {kind}' for kind, count in self.errors.items()) or 'none'}",
        ]
        return f"<LoaderStats of {'; '.join(lines)}>"

    def as_json(self) -> dict[str, Any]:
        """The attributes, as JSON takes them."""
        return {**self.__dict__, "errors": dict(self.errors), "bound": self.bound}


def stats_of(counters: Counters, config: LoaderConfig, pools: Pools | None, errors: Mapping[str, int]) -> LoaderStats:
    """The stats that counters of an epoch show now; those of another process show nothing."""
    if counters.epoch is None or counters.process != os.getpid():
        return LoaderStats(memory_bytes=config.memory, errors=MappingProxyType(dict(errors)))
    steps, seconds = counters.steps, counters.seconds()
    found: dict[str, Any] = {}
    held = 0 if steps is None else steps.held_bytes
    if pools is not None:
        clips, batches, fields = pools.clips.stats(), pools.batches.stats(), len(pools.probed.fields)
        held += clips.leased * clips.slot_bytes + batches.leased * batches.slot_bytes
        found = {
            "threads": min(config.threads, pools.budget.sources),
            "sources": pools.budget.sources,
            "slots": clips.slots,
            "slots_taken": clips.leased,
            "batch_slots": config.batches,
            "batches_out": -(-batches.leased // fields),
            "memory_bytes": config.memory // pools.probed.workers,
        }
    return LoaderStats(
        epoch=counters.epoch,
        seconds=seconds,
        batches=counters.batches,
        clips=counters.clips,
        clips_per_second=counters.clips / seconds if seconds else 0.0,
        recent_clips_per_second=counters.recent_rate(),
        waited_seconds=counters.waited_so_far(),
        samples=counters.samples,
        bytes_read=counters.all_bytes_read(),
        reading_seconds=counters.reading,
        opening_seconds=counters.opening,
        decoding_seconds=counters.decoding,
        converting_seconds=counters.converting,
        mapping_seconds=counters.mapping,
        batching_seconds=counters.batching,
        shuffled=0 if steps is None else steps.shuffled,
        held_bytes=held,
        errors=MappingProxyType(dict(errors)),
        **{"memory_bytes": config.memory, **found},
    )
