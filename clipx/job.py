"""What an epoch of a Loader is to do, and the memory it has for that."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from clipx import memory
from clipx.batching import Like
from clipx.budget import Budget
from clipx.cutting import Cutting, PlannedClip, Sample
from clipx.decoding import decode
from clipx.ledger import Ledger
from clipx.origins import locating
from clipx.plan import ALL, Selection
from clipx.pool import ClipPool
from clipx.progress import Looked, Progress
from clipx.shards import CutShort, Shards, Unread
from clipx.world import Share

__all__ = ["Job", "Pools"]


@dataclass
class Pools:
    """Memory that one epoch leaves to the next.

    Attributes:
        looked: what it was made for.
        clips, batches: the pools.
    """

    looked: Looked
    clips: ClipPool
    batches: ClipPool

    @property
    def budget(self) -> Budget:
        """What the loader's bytes are divided into."""
        return self.looked.budget


@dataclass
class Job:
    """What an epoch is to do.

    Attributes:
        shards, share: what to read.
        progress: where to begin; the consumer moves it on.
        cutting: makes the cutter of samples for a pool.
        divide: the budget for clips of so many bytes in so many fields, so many bytes beside, and so many workers.
        workers: of a DataLoader, that share the bytes.
        kept_bytes: of samples that are read before the first clip is found.
        errors: what is wrong with samples.
        pools: of an epoch before; None until the first clip's size is known.
        finished: called with the number of batches of an epoch that came to its end.
    """

    shards: Shards
    share: Share
    progress: Progress
    cutting: Callable[[ClipPool | None], Cutting]
    divide: Callable[[int, int, int, int], Budget]
    workers: int
    kept_bytes: int
    batch_size: int
    batches: int
    threads: int
    map: Callable[[Sample], Sample] | None
    shuffle: bool
    seed: int
    drop_last: bool
    handler: Callable[[Exception], bool]
    timeout: float | None
    finished: Callable[[int], None]
    keep: Callable[[Pools], None]
    errors: Ledger = field(default_factory=Ledger)
    pools: Pools | None = None

    def look(self, sample: Sample, clip: Sample) -> Looked:
        """What the clip of a sample tells of all others."""
        fields = list(self.cutting(None).fields(sample))
        sizes = [_member(clip, name).nbytes for name in fields]
        beside = memory.payload_bytes(clip) - sum(sizes)
        budget = self.divide(max(sizes), len(sizes), beside, self.workers)
        return Looked(self.workers, fields, max(sizes), budget, Like.of(clip, fields))

    def make_pools(self, looked: Looked) -> Pools:
        """Memory for clips like these."""
        clips = ClipPool(looked.budget.slots, looked.clip_bytes)
        batches = ClipPool(self.batches * len(looked.fields), self.batch_size * looked.clip_bytes)
        return Pools(looked, clips, batches)

    def cut(
        self, pool: ClipPool | None, maps: bool = False, repeated: bool = False, noted: bool = True
    ) -> Callable[..., Generator[PlannedClip]]:
        """A function that gives clips of a sample as slots of `pool`, other fields decoded: an `interleave.Cut`.

        With `maps`, what `map` makes of them. `repeated` says in "clip.json" that they have been given before, `noted`
        whether `errors` is told of samples that give none.
        """
        cutting = self.cutting(pool)
        if noted:
            cutting.errors = self.errors

        def clips(sample: Sample, selection: Selection = ALL) -> Generator[PlannedClip]:
            if isinstance(sample, CutShort):
                return
            with locating(sample, clips=0):
                self._check_read(sample)
                fields = cutting.fields(sample)
                sample = {**sample, **self._decoded(sample, fields.values())}
            for given, clip in enumerate(cutting.cut(sample, self.progress.epoch, selection)):
                self._check(clip.sample, fields)
                if repeated:
                    clip.sample["clip.json"]["repeated"] = True
                if self.map is None or not maps:
                    yield clip
                else:
                    with locating(clip.sample, clips=given):
                        mapped = self.map(clip.sample)
                        if not isinstance(mapped, Mapping):
                            raise TypeError(f"map gave {mapped!r}, but must give a sample, a dict")
                    yield clip._replace(sample=mapped)
                    del mapped
                del clip

        return clips

    def _check_read(self, sample: Sample) -> None:
        """Raise ValueError for a sample of which not everything has been read."""
        sizes = {name: value.size for name, value in sample.items() if isinstance(value, Unread)}
        if sizes:
            told = ", ".join(f"field {name!r} of {size} bytes" for name, size in sizes.items())
            raise ValueError(
                f"{told} is too large: with this memory, a sample may have {self.shards.gate.limit} bytes; raise memory"
            )

    @staticmethod
    def _check(clip: Sample, fields: Iterable[str]) -> None:
        """Raise ValueError for a clip of no bytes, which no batch is made of."""
        for name in fields:
            array = _member(clip, name)
            if not array.nbytes:
                with locating(clip, field=name):
                    raise ValueError(f"field {name!r} has clips of shape {array.shape}, which hold no bytes")

    def _decoded(self, sample: Sample, cut: Iterable[str]) -> Sample:
        """The fields of a sample that are not cut, decoded."""
        fields = {name.partition(":")[0] for name in cut}
        return decode({name: value for name, value in sample.items() if name not in fields}, sys.maxsize)


def _member(clip: Sample, field: str) -> np.ndarray:
    """The array of a field, also of one that is called "npz:member"."""
    name, _, member = field.partition(":")
    array: np.ndarray = clip[field] if field in clip or not member else clip[name][member]
    return array
