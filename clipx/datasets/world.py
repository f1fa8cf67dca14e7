"""The rank and the DataLoader worker of this process, and how many there are."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

import webdataset

__all__ = ["World", "find_ranks", "find_world", "in_worker"]


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
