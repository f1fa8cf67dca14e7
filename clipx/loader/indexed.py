"""An index as the dataset of a Loader: exact shares by clips, and samples read where the index says they lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clipx.datasets.addresses import START, Address, Position
from clipx.datasets.clip_shares import CLIPS, WHOLE, ClipShare, Piece, share_clips
from clipx.datasets.dataset import Dataset, Handler, shuffled
from clipx.datasets.fields import Sample
from clipx.datasets.index import Index
from clipx.datasets.mix import Mix
from clipx.datasets.origins import locate
from clipx.datasets.shard_list import as_dataset
from clipx.datasets.shares import JoinedShare, Share
from clipx.datasets.single_samples import SingleSamples
from clipx.datasets.world import World
from clipx.wds.sample_clips import SampleClips

__all__ = ["IndexCounts", "IndexReader", "IndexedSamples", "bind"]


class IndexCounts:
    """Numbers of clips as an index says them: `clips` of each sample, int64 (samples,)."""

    def __init__(self, clips: np.ndarray) -> None:
        self.clips = clips

    def of(self, share: Share) -> int:
        """Number of clips of a share."""
        return sum(self.each(share))

    def each(self, share: Share) -> Iterator[int]:
        """Number of clips of each sample of a share, in its order."""
        for part in share.from_():
            number = part.only or 0
            if part.takes(number) and not (part.after is not None and part.after.sample == number):
                stop = self.of_sample(Address(part.part, number, 0))
                yield max(stop - Piece.of(number).first, 0)

    def of_sample(self, address: Address) -> int:
        """The number behind that of the last clip of a sample, or of a piece of it."""
        count, piece = int(self.clips[address.shard]), Piece.of(address.sample)
        return count if piece.stop is None else min(count, piece.stop)


class IndexedSamples:
    """The samples of an index; each is a part, and of those on the borders of shares, some clips alone.

    Args:
        index: of the samples.
        sample_clips: which clips each of them gives.
    """

    noun = "sample"

    def __init__(self, index: Index, sample_clips: SampleClips) -> None:
        self.index, self._clips = index, sample_clips
        self._counted: tuple[int, IndexCounts] | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def is_remote(self) -> bool:
        """Whether some samples are read through fsspec."""
        return self.index.is_remote

    def counts(self, epoch: int) -> IndexCounts:
        """Number of clips of each sample in an epoch."""
        drawn = epoch if self._clips.spec.count_is_random else 0
        counted = self._counted
        if counted is None or counted[0] != drawn:
            self._counted = counted = drawn, IndexCounts(self.index.counts(self._clips, drawn))
        return counted[1]

    def reader(self, handler: Handler) -> IndexReader:
        """A reader of the samples; see `clipx.datasets.dataset.Dataset`."""
        return IndexReader(self.index, handler)

    def share(self, seed: int, epoch: int, shuffle: bool, world: World) -> ClipShare:
        """The samples that a process reads: shards one after the other, each in its order, and files one by one."""
        return share_clips(self._order(seed, epoch, shuffle), self.counts(epoch).clips, world)

    def _order(self, seed: int, epoch: int, shuffle: bool) -> np.ndarray:
        groups = self.index.groups
        if not shuffle:
            return np.arange(len(self), dtype=np.int64)
        order = shuffled(len(groups) - 1, seed, epoch)
        return np.concatenate([np.arange(groups[i], groups[i + 1], dtype=np.int64) for i in order])

    def facts(self) -> dict[str, Any]:
        """Facts of the index; see `clipx.datasets.dataset.Dataset`."""
        return self.index.facts()

    def check(self, saved: Any) -> None:
        """Raise ValueError where a state's facts are not those of the index."""
        self.index.check(saved)


class IndexReader(SingleSamples):
    """Reads the samples of an index, or pieces of them."""

    def __init__(self, index: Index, handler: Handler) -> None:
        super().__init__(handler)
        self._index = index

    def samples(self, share: Share, after: Position = START) -> Iterator[tuple[Address, Sample]]:
        """The samples of a share in order; before them, the first process reports what is damaged as a whole."""
        own = share.own if isinstance(share, JoinedShare) else share
        if after == START and isinstance(own, ClipShare) and own.is_first:
            for source, reason in self._index.problems:
                error = ValueError(f"shard {source!r} was damaged when it was indexed: {reason}")
                locate(error, shard=source)
                if not self._handler(error):
                    return
        yield from super().samples(share, after)

    def look_up(self, part: int, number: int) -> Sample:
        """The sample of a number in the index, with the Piece that `number` says."""
        try:
            sample = self._index.sample(part)
        except (ValueError, OSError) as exn:
            locate(exn, key=self._index.keys[part], shard=self._index.sources[part])
            raise
        piece = Piece.of(number)
        return sample if piece == WHOLE else {**sample, CLIPS: piece}


def bind(dataset: Any, sample_clips: SampleClips) -> Dataset:
    """The dataset that a user gives, as a Loader of such clips reads it. Raises TypeError and ValueError for others."""
    if isinstance(dataset, Index):
        return IndexedSamples(dataset, sample_clips)
    if isinstance(dataset, Mix):
        return dataset.bound(lambda name, each: bind(each, sample_clips.of_dataset(name)))
    return as_dataset("dataset", dataset)
