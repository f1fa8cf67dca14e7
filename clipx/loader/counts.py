"""Number of clips that a dataset gives, counted without extracting them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from clipx._threads import call, task_executor
from clipx.datasets.addresses import Address, UnreadMember
from clipx.datasets.dataset import Dataset, SampleReader
from clipx.datasets.mix import Mix
from clipx.datasets.mix_share import Borders, MixShare
from clipx.datasets.shares import Share
from clipx.datasets.streamed_tars import IncompleteSample
from clipx.datasets.world import World
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.config import LoaderConfig
from clipx.loader.indexed import IndexedSamples
from clipx.loader.progress import EpochState, Rest
from clipx.wds.sample_clips import SampleClips

__all__ = ["Counts", "Targets", "clips_of_each_rank"]

logger = logging.getLogger("clipx")


class Counts:
    """Number of clips of every sample of every part of a dataset.

    Args:
        reader: of the parts, which are read once, on threads; of local, uncompressed shards only what shows the length
            of a source.
        parts: their number.
        count: gives the number of a sample's clips; a sample for which it raises an error has none.
    """

    def __init__(self, reader: SampleReader, parts: int, count: Callable[[dict[str, Any]], int], threads: int) -> None:
        def count_all(is_stopped: Callable[[], bool]) -> list[np.ndarray]:
            def count_part(part: int) -> np.ndarray:
                found: list[int] = []
                for _, sample in () if is_stopped() else reader.views(part):
                    if is_stopped():
                        break
                    found.append(0)
                    if isinstance(sample, IncompleteSample) or any(
                        isinstance(value, UnreadMember) for value in sample.values()
                    ):
                        continue  # which gives no clips
                    try:
                        found[-1] = count(sample)
                    except NOT_A_SAMPLES_FAULT:
                        raise
                    except Exception:  # it comes again where clips are extracted
                        continue
                return np.array(found, dtype=np.int64)

            with task_executor(min(threads, parts), "clipx-count") as pool:
                return list(pool.map(count_part, range(parts)))

        self._of_part: Sequence[np.ndarray] = call(count_all, "clipx-counts")

    def of(self, share: Share) -> int:
        """Number of clips of a share."""
        found = 0
        for part in share.from_():
            counts = self._of_part[part.part]
            read = part.numbers(len(counts))
            found += int(counts[read.start : read.stop : read.step].sum())
        return found

    def of_sample(self, address: Address) -> int:
        """The number behind that of the last clip of a sample."""
        return int(self._of_part[address.shard][address.sample : address.sample + 1].sum())

    def each(self, share: Share) -> Iterator[int]:
        """Number of clips of each sample of a share, in its order."""
        for part in share.from_():
            counts = self._of_part[part.part]
            read = part.numbers(len(counts))
            yield from counts[read.start : read.stop : read.step].tolist()


class _ClipCounts(Protocol):
    """Numbers of clips, counted or known."""

    def of(self, share: Share) -> int:
        """Number of clips of a share."""

    def each(self, share: Share) -> Iterator[int]:
        """Number of clips of each sample of a share, in its order."""

    def of_sample(self, address: Address) -> int:
        """The number behind that of the last clip of a sample."""


class _MixCounts:
    """Numbers of clips of a mixture, by those of each of its datasets.

    Where datasets begin anew, every pass counts as the first.
    """

    def __init__(self, borders: Borders, counts: Sequence[_ClipCounts]) -> None:
        self._borders, self._counts = borders, counts

    def of(self, share: Share) -> int:
        """Number of clips of a share: of runs, all that they have; else of those samples that are drawn."""
        if isinstance(share, MixShare):
            return share.total(lambda dataset, own: self._counts[dataset].each(own))
        return sum(counts.of(own) for counts, own in zip(self._counts, self._borders.divide(share)))

    def each(self, share: Share) -> Iterator[int]:
        """Number of clips of each sample of a share, dataset by dataset."""
        for counts, own in zip(self._counts, self._borders.divide(share)):
            yield from counts.each(own)

    def of_sample(self, address: Address) -> int:
        """The number behind that of the last clip of a sample."""
        return self._counts[self._borders.split(address.shard)[0]].of_sample(self._borders.own(address))


def _of_rest(counts: _ClipCounts, rest: Rest, config: LoaderConfig, epoch: int) -> int:
    """Number of clips of the rest of an epoch."""
    opened = sum(max(counts.of_sample(each.address) - each.first, 0) for each in rest.opened if each.first is not None)
    return rest.clips + opened + counts.of(config.joined(epoch, rest.runs))


def clips_of_each_rank(
    counts: _ClipCounts, config: LoaderConfig, epoch: int, world: World, peers: Sequence[Rest] = ()
) -> int:
    """The clips that each rank is to give in an epoch, for all to have the same number of batches.

    `peers` are the rest of each rank, of an epoch that was resharded.

    Raises ValueError where a rank is to fill up its batches and has no clips.
    """
    own = [counts.of(config.share(epoch, world._replace(rank=rank))) for rank in range(world.ranks)]
    clips = [_of_rest(counts, rest, config, epoch) for rest in peers] if peers else own
    if not config.drop_last:
        if max(clips) and not min(own):
            raise ValueError(
                f"equal_batches is True, but rank {own.index(0)} of {world.ranks} has no clips to fill its batches "
                f"with in epoch {epoch}"
            )
        return max(clips)
    if min(clips) < config.batch_size:
        logger.warning(
            "Loader: rank %d of %d has %d clips, fewer than a batch of %d: with equal_batches none has any batches",
            clips.index(min(clips)),
            world.ranks,
            min(clips),
            config.batch_size,
        )
    return min(clips) // config.batch_size * config.batch_size


class Targets:
    """The clips that each rank is to give in an epoch, for all to have the same number of batches.

    An index says how many each sample gives; others are counted when they are asked for first, anew for every epoch
    only where the spec draws their clips.
    """

    def __init__(self, config: LoaderConfig) -> None:
        self._config = config
        self._counts: tuple[int, _ClipCounts] | None = None

    def of(self, epoch: int, world: World, peers: Sequence[Rest] = ()) -> int:
        """Number of clips of each rank in an epoch, or in the rest of one. Raises as `clips_of_each_rank`."""
        return clips_of_each_rank(self._of_epoch(epoch, world), self._config, epoch, world, peers)

    def batches(self, state: EpochState, world: World) -> int | None:
        """Number of batches of a process in the epoch of a state, those before it among them; None where unknown.

        They are known with `equal_batches`, and where indexes say the clips of all samples, without buckets.
        """
        config, dataset, epoch = self._config, self._config.dataset, state.epoch
        if config.equal_batches:
            target = self.of(epoch, world, state.peers) if state.target is None else state.target
            return math.ceil(target / config.batch_size)
        datasets = dataset.datasets.values() if isinstance(dataset, Mix) else [dataset]
        if not all(isinstance(each, IndexedSamples) for each in datasets) or config.ragged == "bucket":
            return None
        is_whole = isinstance(dataset, Mix) and dataset.stop != "all"
        if is_whole and config.sample_clips.spec.count_is_random:
            return None  # each pass draws other numbers
        counts = self._of_epoch(epoch, world)
        if state.runs is None or is_whole:
            clips = counts.of(config.share(epoch, world))
        else:
            clips = state.batch.count * config.batch_size + _of_rest(counts, Rest.of(state), config, epoch)
        return clips // config.batch_size if config.drop_last else math.ceil(clips / config.batch_size)

    def _of_epoch(self, epoch: int, world: World) -> _ClipCounts:
        config = self._config
        counted, known = epoch if config.sample_clips.spec.count_is_random else 0, self._counts
        if known is None or known[0] != counted:
            self._counts = known = counted, self._count(config.dataset, config.sample_clips, epoch, world)
        return known[1]

    def _count(self, dataset: Dataset, sample_clips: SampleClips, epoch: int, world: World) -> _ClipCounts:
        """The numbers of clips of a dataset."""
        if isinstance(dataset, IndexedSamples):
            return dataset.counts(epoch)
        if isinstance(dataset, Mix):
            each = [
                self._count(own, sample_clips.of_dataset(name), epoch, world) for name, own in dataset.datasets.items()
            ]
            return _MixCounts(dataset.borders, each)
        reader, config = dataset.reader(self._config.handler), self._config
        reader.limits = config.limits(world)
        return Counts(reader, len(dataset), partial(sample_clips.count, epoch=epoch), config.threads)
