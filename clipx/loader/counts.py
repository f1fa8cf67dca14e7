"""Number of clips that a dataset gives, counted without extracting them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clipx._threads import call, task_executor
from clipx.datasets.addresses import UnreadMember
from clipx.datasets.dataset import SampleReader
from clipx.datasets.streamed_tars import IncompleteSample
from clipx.datasets.world import Share, World
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.config import LoaderConfig

__all__ = ["Counts", "clips_of_each_rank"]

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
        return sum(
            int(self._of_part[shard][(share.offset - at) % share.step :: share.step].sum())
            for at, shard in enumerate(share.shards)
        )


def clips_of_each_rank(counts: Counts, config: LoaderConfig, epoch: int, world: World) -> int:
    """The clips that each rank is to give in an epoch, for all to have the same number of batches.

    Raises ValueError where a rank is to fill up its batches and has no clips.
    """
    clips = [counts.of(config.share(epoch, world._replace(rank=rank))) for rank in range(world.ranks)]
    if not config.drop_last:
        if max(clips) and not min(clips):
            raise ValueError(
                f"equal_batches is True, but rank {clips.index(0)} of {world.ranks} has no clips to fill its batches "
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
