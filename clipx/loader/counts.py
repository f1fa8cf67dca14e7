"""Number of clips that shards give, counted without extracting them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clipx._threads import call, task_executor
from clipx.datasets.addresses import UnreadMember
from clipx.datasets.shards import Shards
from clipx.datasets.streamed_tars import IncompleteSample
from clipx.datasets.world import Share
from clipx.errors import NOT_A_SAMPLES_FAULT

__all__ = ["Counts"]


class Counts:
    """Number of clips of every sample of every shard.

    Args:
        shards: read once, on threads; of local, uncompressed ones only what shows the length of a source.
        count: gives the number of a sample's clips; a sample for which it raises an error has none.
    """

    def __init__(self, shards: Shards, count: Callable[[dict[str, Any]], int], threads: int) -> None:
        def count_all(is_stopped: Callable[[], bool]) -> list[np.ndarray]:
            def count_shard(shard: int) -> np.ndarray:
                found: list[int] = []
                for _, sample in () if is_stopped() else shards.views(shard):
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

            with task_executor(min(threads, len(shards.urls)), "clipx-count") as pool:
                return list(pool.map(count_shard, range(len(shards.urls))))

        self._of_shard: Sequence[np.ndarray] = call(count_all, "clipx-counts")

    def of(self, share: Share) -> int:
        """Number of clips of a share."""
        return sum(
            int(self._of_shard[shard][(share.offset - at) % share.step :: share.step].sum())
            for at, shard in enumerate(share.shards)
        )
