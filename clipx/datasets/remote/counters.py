"""Number of bytes that came from remote files."""

from __future__ import annotations

import threading

from clipx.datasets.remote.per_process import PerProcess

__all__ = ["ByteCounter", "bytes_read", "count_bytes"]


class ByteCounter:
    """A number of bytes that several threads add to."""

    def __init__(self) -> None:
        self._lock, self._total = threading.Lock(), 0

    def add(self, nbytes: int) -> None:
        """Add to the number."""
        with self._lock:
            self._total += nbytes

    @property
    def total(self) -> int:
        """The number so far."""
        return self._total


_of_process = PerProcess(ByteCounter)


def count_bytes(nbytes: int) -> None:
    """Add to the bytes that this process has read."""
    _of_process.get().add(nbytes)


def bytes_read() -> int:
    """Bytes that this process has got from remote files, by all `open_range`: those of failed requests too."""
    return _of_process.get().total
