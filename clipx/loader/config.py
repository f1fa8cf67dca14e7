"""What an epoch of a Loader is to do, and the memory it has for that."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from clipx import memory
from clipx.datasets.addresses import UnreadMember
from clipx.datasets.decoding import decode
from clipx.datasets.fields import Field, Sample
from clipx.datasets.ledger import Ledger
from clipx.datasets.origins import locating
from clipx.datasets.shards import Shards
from clipx.datasets.streamed_tars import IncompleteSample
from clipx.datasets.world import Share
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.budget import Budget
from clipx.loader.interleave import Weight
from clipx.loader.needs import Needs, encoded_bytes, needs_of
from clipx.loader.position import Looked, Progress
from clipx.plan import Selection
from clipx.pool import ClipPool
from clipx.wds.batching import Like
from clipx.wds.sample_clips import ClipSample, SampleClips

__all__ = ["Job", "Pools"]

LEAST_PIXELS = 1920 * 1152
"""Pixels that any picture may have, whatever the header says."""


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
        sample_clips: extracts the clips of samples.
        divide: the budget for clips of so many bytes in so many fields, so many bytes beside, and so many workers,
            and a decoder of so many bytes beyond what every one takes.
        decoder_threads: of a decoder.
        workers: of a DataLoader, that share the bytes.
        kept_bytes: of samples that are read before the first clip is found.
        errors: what is wrong with samples.
        pools: of an epoch before; None until the first clip's size is known.
        finished: called with the number of batches of an epoch that came to its end.
    """

    shards: Shards
    share: Share
    progress: Progress
    sample_clips: SampleClips
    divide: Callable[[int, int, int, int, int], Budget]
    decoder_threads: int
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
        fields = self.sample_clips.fields(sample)
        sizes = [name.get(clip).nbytes for name in fields]
        beside = memory.payload_bytes(clip) - sum(sizes)
        needs = needs_of(sample, list(fields.values()), self.decoder_threads, self.shards.limits.sample_bytes)
        budget = self._divide(max(sizes), len(sizes), beside, needs)
        return Looked(self.workers, list(map(str, fields)), max(sizes), budget, Like.of(clip, fields))

    def _divide(self, slot_bytes: int, fields: int, beside: int, needs: Needs) -> Budget:
        """The budget for clips like those of a sample that needs so much."""
        try:
            return self.divide(slot_bytes, fields, beside + needs.beside, self.workers, needs.decoder)
        except ValueError:
            # If there is memory for others, what this one takes beyond it is told in its turn.
            return self.divide(slot_bytes, fields, beside, self.workers, 0)

    def make_pools(self, looked: Looked) -> Pools:
        """Memory for clips like these."""
        clips = ClipPool(looked.budget.slots, looked.clip_bytes)
        batches = ClipPool(self.batches * len(looked.fields), self.batch_size * looked.clip_bytes)
        return Pools(looked, clips, batches)

    def cut(
        self, pool: ClipPool | None, maps: bool = False, repeated: bool = False, noted: bool = True
    ) -> Callable[..., Generator[ClipSample]]:
        """A function that gives clips of a sample as slots of `pool`, other fields decoded: an `interleave.Cut`.

        With `maps`, what `map` makes of them. `repeated` says in "clip.json" that they have been given before, `noted`
        whether `errors` is told of samples that give none.
        """
        ledger = self.errors if noted else None

        def clips(sample: Sample, selection: Selection, weight: Weight) -> Generator[ClipSample]:
            if weight.error is not None:
                raise weight.error
            if isinstance(sample, IncompleteSample):
                return
            with locating(sample, clips=0):
                fields = self.sample_clips.fields(sample)
                sample = {**sample, **self._decoded(sample, fields.values())}
            extracted = self.sample_clips.clips(
                sample,
                self.progress.epoch,
                pool=pool,
                selection=selection,
                max_pixels=weight.pixels,
                ledger=ledger,
            )
            for given, clip in enumerate(extracted):
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

    def weigh(self, sample: Sample, budget: Budget | None = None) -> Weight:
        """What a sample takes; with the error of one that takes more than the budget has for it."""
        if isinstance(sample, IncompleteSample):
            return Weight(encoded_bytes(sample))
        try:
            with locating(sample, clips=0):
                self._check_read(sample)
                try:
                    fields = list(self.sample_clips.fields(sample).values())
                except ValueError:
                    return Weight(encoded_bytes(sample))  # which is told where it is cut
                needs = needs_of(sample, fields, self.decoder_threads, self._most(budget))
                return self._weight(needs, fields, budget)
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            return Weight(error=exn)

    def _most(self, budget: Budget | None) -> int:
        """Bytes that a sample may take."""
        return self.shards.limits.sample_bytes if budget is None else budget.sample_bytes

    def _weight(self, needs: Needs, fields: list[Field], budget: Budget | None) -> Weight:
        """Raise ValueError where the budget has not so much for a sample."""
        pixels = max(needs.pixels * 9 // 8, LEAST_PIXELS) if needs.pixels else None
        # Where sources need no decoder, what is set aside for it is at hand.
        decoder = budget.decoder(needs.decoder) if needs.pixels and budget is not None else needs.decoder
        taken, most = needs.size + decoder, self._most(budget)
        if taken > most:
            raise ValueError(
                f"field {', '.join(map(repr, fields))} takes {taken} bytes while it is cut ({needs.describe()}), but "
                f"with this memory a sample may take {most}: raise memory about {taken / most:.1f} times"
            )
        if budget is not None and needs.beside > budget.most_beside:
            raise ValueError(
                f"the fields beside the clips take {needs.beside} bytes, but with this memory at most "
                f"{budget.most_beside} of each clip's may: raise memory, or leave fields out"
            )
        return Weight(needs.size, decoder, needs.beside, pixels)

    def _check_read(self, sample: Sample) -> None:
        """Raise ValueError for a sample of which not everything has been read."""
        sizes = {name: value.size for name, value in sample.items() if isinstance(value, UnreadMember)}
        if sizes:
            sizes |= {name: len(value) for name, value in sample.items() if isinstance(value, bytes)}
            taken, most, largest = (
                sum(sizes.values()),
                self.shards.limits.sample_bytes,
                max(sizes, key=lambda name: sizes[name]),
            )
            raise ValueError(
                f"the sample has {taken} bytes, of which field {largest!r} {sizes[largest]}, but with this memory a "
                f"sample may take {most}: raise memory about {taken / most:.1f} times"
            )

    @staticmethod
    def _check(clip: Sample, fields: Iterable[Field]) -> None:
        """Raise ValueError for a clip of no bytes, which no batch is made of."""
        for name in fields:
            array: np.ndarray = name.get(clip)
            if not array.nbytes:
                with locating(clip, field=name):
                    raise ValueError(f"field {name!r} has clips of shape {array.shape}, which hold no bytes")

    def _decoded(self, sample: Sample, cut: Iterable[Field]) -> Sample:
        """The fields of a sample that are not cut, decoded."""
        fields = {name.holder for name in cut}
        return decode(
            {name: value for name, value in sample.items() if name not in fields}, self.shards.limits.sample_bytes
        )
