"""Number of clips that a dataset gives, counted without extracting them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from clipx._threads import call, task_executor
from clipx.datasets.addresses import Address, UnreadMember
from clipx.datasets.dataset import SampleReader
from clipx.datasets.shares import Share
from clipx.datasets.streamed_tars import IncompleteSample
from clipx.datasets.world import World
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.config import LoaderConfig
from clipx.loader.indexed import IndexedSamples
from clipx.loader.progress import Rest

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


class _ClipCounts(Protocol):
    """Numbers of clips, counted or known."""

    def of(self, share: Share) -> int:
        """Number of clips of a share."""

    def of_sample(self, address: Address) -> int:
        """The number behind that of the last clip of a sample."""


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
        self._counts: tuple[int, Counts] | None = None

    def of(self, epoch: int, world: World, peers: Sequence[Rest] = ()) -> int:
        """Number of clips of each rank in an epoch, or in the rest of one. Raises as `clips_of_each_rank`."""
        return clips_of_each_rank(self._of_epoch(epoch, world), self._config, epoch, world, peers)

    def batches(self, epoch: int, world: World) -> int | None:
        """Number of batches of a process in an epoch, where the dataset is an index and there are no buckets."""
        config = self._config
        if not isinstance(config.dataset, IndexedSamples) or config.ragged == "bucket":
            return None
        clips = config.dataset.counts(epoch).of(config.share(epoch, world))
        return clips // config.batch_size if config.drop_last else math.ceil(clips / config.batch_size)

    def _of_epoch(self, epoch: int, world: World) -> _ClipCounts:
        config = self._config
        if isinstance(config.dataset, IndexedSamples):
            return config.dataset.counts(epoch)
        counted = epoch if config.sample_clips.spec.count_is_random else 0
        if self._counts is None or self._counts[0] != counted:
            reader, count = config.dataset.reader(config.handler), partial(config.sample_clips.count, epoch=epoch)
            reader.limits = config.limits(world)
            self._counts = counted, Counts(reader, len(config.dataset), count, config.threads)
        return self._counts[1]
