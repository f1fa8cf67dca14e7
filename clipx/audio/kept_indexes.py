"""Indexes of files of sound that have been visited, kept in the process for later visits."""

from __future__ import annotations

import threading
from collections import OrderedDict

from clipx.audio.file_bytes import Identity
from clipx.audio.sound_index import SoundIndex

__all__ = ["KEPT", "KeptIndexes"]

MOST_BYTES = 1 << 25


class KeptIndexes:
    """Indexes of at most so many bytes; those that have not been asked for the longest go first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._kept: OrderedDict[tuple[Identity, int | str], SoundIndex] = OrderedDict()
        self._lock = threading.Lock()

    # Nothing waits for the lock, with which a process may have been forked: an index is then neither found nor kept.

    def find(self, file: Identity | None, stream: int | str) -> SoundIndex | None:
        """The index of a stream of a file; None where it is not kept, and of bytes, which have no identity."""
        if file is None or not self._lock.acquire(blocking=False):
            return None
        try:
            found = self._kept.get((file, stream))
            if found is not None:
                self._kept.move_to_end((file, stream))
            return found
        finally:
            self._lock.release()

    def keep(self, file: Identity | None, stream: int | str, index: SoundIndex) -> None:
        """Keep an index, in place of older ones."""
        if file is None or index.nbytes > self._most_bytes or not self._lock.acquire(blocking=False):
            return
        try:
            before = self._kept.pop((file, stream), None)
            self._bytes += index.nbytes - (0 if before is None else before.nbytes)
            self._kept[file, stream] = index
            while self._bytes > self._most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.nbytes
        finally:
            self._lock.release()


KEPT = KeptIndexes()
