"""Samples of shards that are read from their beginning on: compressed ones, and those that are damaged."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

from clipx.datasets.fields import Sample
from clipx.datasets.shards import Shards
from clipx.datasets.shares import Share

__all__ = ["StreamedShards"]

MOST_OPEN = 4
"""Shards that are kept open for the samples that follow."""


def _go_on(exn: Exception) -> bool:
    return True


class StreamedShards:
    """Reads samples by their numbers; those in order are read in one pass, whatever threads ask for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, int], tuple[int, Iterator[Any]]] = {}

    def sample(self, url: str, number: int) -> Sample | None:
        """A sample of a shard by its number; None where the shard ends before."""
        key = url, os.getpid()  # a forked process has files of its own
        with self._lock:
            position, samples = self._open.pop(key, (0, iter(())))
        if position == 0 or position > number:
            position, samples = 0, Shards([url], _go_on).samples(Share([0]))
        for _, sample in samples:
            position += 1
            if position > number:
                with self._lock:
                    self._open[key] = position, samples
                    while len(self._open) > MOST_OPEN:
                        self._open.pop(next(iter(self._open)))
                return sample
            del sample
        return None
