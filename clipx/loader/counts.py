"""How many clips shards give, counted without cutting them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from clipx._threads import call
from clipx.datasets.addresses import UnreadMember
from clipx.datasets.shards import Shards
from clipx.datasets.streamed_tars import IncompleteSample
from clipx.datasets.world import Share
from clipx.errors import NOT_A_SAMPLES_FAULT

__all__ = ["Counts"]


class Counts:
    """The clips of every sample of every shard.

    Args:
        shards: read once, on threads; of local, uncompressed ones only what says how long a source is.
        count: says how many clips a sample gives; one that it raises an error for has none.
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
                        continue  # nor is it cut
                    try:
                        found[-1] = count(sample)
                    except NOT_A_SAMPLES_FAULT:
                        raise
                    except Exception:  # it is told where the sample is cut
                        continue
                return np.array(found, dtype=np.int64)

            with ThreadPoolExecutor(min(threads, len(shards.urls)), thread_name_prefix="clipx-count") as pool:
                return list(pool.map(count_shard, range(len(shards.urls))))

        self._of_shard: Sequence[np.ndarray] = call(count_all, "clipx-counts")

    def of(self, share: Share) -> int:
        """The clips of a share."""
        return sum(
            int(self._of_shard[shard][(share.offset - at) % share.step :: share.step].sum())
            for at, shard in enumerate(share.shards)
        )
