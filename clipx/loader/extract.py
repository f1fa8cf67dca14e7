"""Clips of the samples of an epoch: weighed by their headers, decoded beside the clips, mapped."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from clipx._timing import Timings
from clipx.datasets.clip_shares import CLIPS, WHOLE, Piece
from clipx.datasets.fields import Field, Sample
from clipx.datasets.ledger import Ledger
from clipx.datasets.origins import locating
from clipx.datasets.segments import BadSegment
from clipx.datasets.streamed_tars import IncompleteSample, ReadLimits
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.beside import decoded_beside, mapped
from clipx.loader.budget import Budget
from clipx.loader.config import LoaderConfig
from clipx.loader.counters import Counters, Stopwatch
from clipx.loader.needs import Needs, check_read, encoded_bytes, most_segment_bytes, needs_of
from clipx.loader.room import Weight
from clipx.plan import Selection
from clipx.pool import ClipPool
from clipx.wds.in_step import ClipSample
from clipx.wds.limits import Limits

__all__ = ["Extractor"]


@dataclass(frozen=True)
class Extractor:
    """Extracts the clips of samples for an epoch; on several threads at a time.

    Attributes:
        config: of the loader.
        epoch: number of the epoch.
        limits: how much of a sample is read.
        pool: clips are slots of it; None gives each memory of its own.
        budget: how the loader's bytes are divided; None where that is not known yet.
        ledger: where damage is noted, and samples without clips; None for nowhere.
        maps: whether clips are mapped.
        repeated: whether "clip.json" says that they have been given before.
        counters: take the seconds that are spent.
    """

    config: LoaderConfig
    epoch: int
    limits: ReadLimits
    pool: ClipPool | None = None
    budget: Budget | None = None
    ledger: Ledger | None = None
    maps: bool = False
    repeated: bool = False
    counters: Counters = field(default_factory=Counters)

    def fields(self, sample: Sample) -> dict[Field, Field]:
        """The fields of a sample that clips are made of, by the names of their clips."""
        return self.config.sample_clips.fields(sample)

    def needs(self, sample: Sample, fields: Collection[Field]) -> Needs:
        """Bytes that a sample takes, by its headers."""
        segments = self.config.sample_clips.segments
        of_segments = 0 if segments is None else segments.most_bytes(sample, self._most_segments)
        needs = needs_of(sample, list(fields), self.config.decoder_threads, self._most)
        return needs._replace(decoded=needs.decoded + of_segments)

    def extract(self, sample: Sample, selection: Selection, weight: Weight) -> Generator[ClipSample | BadSegment]:
        """The selected clips of a sample, other fields decoded: an `open_samples.Extract`."""
        if weight.error is not None:
            raise weight.error
        if isinstance(sample, IncompleteSample):
            return
        watch = Stopwatch(self.counters)
        clips = self._extract(sample, selection, weight, watch.timings)
        del sample
        watch.run()
        try:
            for clip in clips:
                watch.pause()
                yield clip
                del clip
                watch.run()
        finally:
            watch.stop()
            clips.close()

    def _extract(
        self, sample: Sample, selection: Selection, weight: Weight, timings: Timings
    ) -> Generator[ClipSample | BadSegment]:
        piece: Piece = sample.get(CLIPS, WHOLE)
        sample = {name: value for name, value in sample.items() if name != CLIPS}
        if selection.first is not None and selection.first < piece.first:
            selection = replace(selection, first=piece.first)
        with locating(sample, clips=0):
            fields = self.fields(sample)
            sample = {**sample, **decoded_beside(sample, fields.values(), self.limits.sample_bytes)}
        clips = self.config.sample_clips.clips(
            sample,
            self.epoch,
            pool=self.pool,
            selection=selection,
            limits=Limits(weight.pixels, self._most_segments, None if self.budget is None else self.budget.held),
            ledger=self.ledger,
            timings=timings,
        )
        function = self.config.map if self.maps else None
        del sample
        given = 0
        for clip in clips:
            if isinstance(clip, BadSegment):
                yield clip
                continue
            if piece.stop is not None and clip.number >= piece.stop:
                return
            _check_clip(clip.sample, fields)
            if self.repeated:
                clip.sample["clip.json"]["repeated"] = True
            if function is None:
                yield clip
            else:
                began = perf_counter()
                with locating(clip.sample, clips=given):
                    made = mapped(function, clip.sample)
                    timings.mapping += perf_counter() - began
                yield clip._replace(sample=made)
                del made
            given += 1
            del clip

    def weigh(self, sample: Sample) -> Weight:
        """Bytes that a sample takes; with the error of one that takes more than the budget has for it."""
        if isinstance(sample, IncompleteSample):
            return Weight(encoded_bytes(sample))
        try:
            with locating(sample, clips=0):
                check_read(sample, self.limits.sample_bytes)
                try:
                    fields = list(self.fields(sample).values())
                except ValueError:
                    return Weight(encoded_bytes(sample))  # the error comes where its clips are extracted
                return self._weight(self.needs(sample, fields), fields)
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            return Weight(error=exn)

    @property
    def _most(self) -> int:
        """Bytes that a sample may take."""
        return self.limits.sample_bytes if self.budget is None else self.budget.sample_bytes

    @property
    def _most_segments(self) -> int:
        """Bytes that the segments of a sample may take: an eighth of what it may, for at least a thousand."""
        return most_segment_bytes(self._most)

    def _weight(self, needs: Needs, fields: list[Field]) -> Weight:
        """Raise ValueError where the budget has not so much for a sample."""
        budget, most = self.budget, self._most
        # Where sources need no decoder, what is set aside for it is at hand.
        decoder = budget.decoder(needs.decoder) if needs.pixels and budget is not None else needs.decoder
        taken = needs.size + decoder
        if taken > most:
            raise ValueError(
                f"field {', '.join(map(repr, fields))} takes {taken} bytes ({needs.describe()}), but with this memory "
                f"a sample may take {most}: raise memory about {taken / most:.1f} times"
            )
        if budget is not None and needs.beside > budget.most_beside:
            raise ValueError(
                f"the fields beside the clips take {needs.beside} bytes, but with this memory at most "
                f"{budget.most_beside} of each clip's may: raise memory, or leave fields out"
            )
        return Weight(needs.size, decoder, needs.beside, needs.most_pixels)


def _check_clip(clip: Sample, fields: Iterable[Field]) -> None:
    """Raise ValueError for a clip without bytes, which a batch cannot hold."""
    for name in fields:
        array: np.ndarray = name.get(clip)
        if not array.nbytes:
            with locating(clip, field=name):
                raise ValueError(f"field {name!r} has clips of shape {array.shape}, which hold no bytes")
