"""The rank and the DataLoader worker of this process, and how many there are."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

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


def _environment(number: str, count: str) -> tuple[int, int] | None:
    """The integers of two variables of the environment; None unless both are there."""
    if number not in os.environ or count not in os.environ:
        return None
    try:
        return int(os.environ[number]), int(os.environ[count])
    except ValueError as exn:
        given = {name: os.environ[name] for name in (number, count)}
        raise ValueError(f"the environment has {given}, but ranks, workers and their numbers are integers") from exn


def _worker_of_torch() -> tuple[int, int] | None:
    """Number of this DataLoader worker, and how many there are; None elsewhere. A worker has imported torch."""
    data = sys.modules.get("torch.utils.data")
    worker = None if data is None else data.get_worker_info()
    return None if worker is None else (worker.id, worker.num_workers)


def find_world(ranks: tuple[int, int] | None = None) -> World:
    """The world of this process.

    Ranks are those of torch.distributed where it is initialised, else `ranks`, else those of RANK and WORLD_SIZE; the
    worker is that of a torch DataLoader.

    Raises ValueError where the environment holds no integers, and for a rank outside the world.
    """
    rank, size = find_ranks() or ranks or _environment("RANK", "WORLD_SIZE") or (0, 1)
    worker, workers = _environment("WORKER", "NUM_WORKERS") or _worker_of_torch() or (0, 1)
    for name, number, count in (("rank", rank, size), ("worker", worker, workers)):
        if not 0 <= number < count:
            raise ValueError(f"{name} is {number}, but must lie from 0 to {count - 1}, in a world of {count}")
    return World(rank, size, worker, workers)


def in_worker() -> bool:
    """True in a worker of a torch DataLoader."""
    return _worker_of_torch() is not None
