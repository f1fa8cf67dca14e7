"""The share of a dataset that this process reads, by its rank and its DataLoader worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

import webdataset

__all__ = ["Share", "World", "find_ranks", "find_world", "in_worker", "share"]


class World(NamedTuple):
    """The rank and the DataLoader worker of a process, and how many of each share a dataset."""

    rank: int
    ranks: int
    worker: int
    workers: int

    def __str__(self) -> str:
        of_worker = f", worker {self.worker} of {self.workers}" if self.workers > 1 else ""
        return f"rank {self.rank} of {self.ranks}{of_worker}"


def find_ranks() -> tuple[int, int] | None:
    """Rank and world size of torch.distributed; None where it is not initialised."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return None
    return distributed.get_rank(), distributed.get_world_size()


def find_world(ranks: tuple[int, int] | None = None) -> World:
    """The world of this process.

    Ranks are those of torch.distributed where it is initialised, else `ranks`, else those of RANK and WORLD_SIZE; the
    worker is that of a torch DataLoader.

    Raises ValueError where the environment holds no integers, and for a rank outside the world.
    """
    given = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS") if name in os.environ}
    try:
        rank, size, worker, workers = webdataset.utils.pytorch_worker_info()
    except ValueError as exn:
        raise ValueError(f"the environment has {given}, but ranks, workers and their numbers are integers") from exn
    rank, size = find_ranks() or ranks or (rank, size)
    for name, number, count in (("rank", rank, size), ("worker", worker, workers)):
        if not 0 <= number < count:
            raise ValueError(f"{name} is {number}, but must lie from 0 to {count - 1}, in a world of {count}")
    return World(rank, size, worker, workers)


def in_worker() -> bool:
    """True in a worker of a torch DataLoader."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.get_worker_info() is not None


class Share(NamedTuple):
    """The shards that a process reads, and the samples of each: every `step`-th one.

    The shares of all processes of a world hold every sample once.
    """

    shards: list[int]
    step: int = 1
    offset: int = 0

    def takes(self, index: int, sample: int) -> bool:
        """True for samples of shard `shards[index]`, by their numbers in it, that are read.

        The first sample read differs from shard to shard, so that short shards go to all processes.
        """
        return (index + sample) % self.step == self.offset


def share(shards: Sequence[int], world: World) -> Share:
    """The share of a process: shards are dealt out to ranks, then to workers; where there are too few, samples are."""
    found = Share(list(shards))
    for number, count in ((world.rank, world.ranks), (world.worker, world.workers)):
        if found.step == 1 and len(found.shards) >= count:
            found = Share(found.shards[number::count])
        else:
            found = Share(found.shards, found.step * count, found.offset + found.step * number)
    return found
