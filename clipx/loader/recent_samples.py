"""Samples of an index that were read last: their long videos are left open for the next of their clips."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections import OrderedDict
from copy import deepcopy
from typing import Any, NamedTuple

from clipx.datasets.fields import Sample
from clipx.datasets.index import Index
from clipx.datasets.remote.per_process import PerProcess
from clipx.datasets.stored import StoredFile
from clipx.loader.needs import encoded_bytes
from clipx.media.kept_container import KeptContainer
from clipx.media.stream_facts import StreamFacts

__all__ = ["RecentSamples"]

LEAST_PACKETS = 2000
"""Packets of a video that takes long enough to open: FFmpeg reads as many entries of its index."""

PACKET_BYTES = 150
"""Bytes of a packet in FFmpeg's index and in ours."""


class _Kept(NamedTuple):
    """A sample, the bytes that it takes while its files are open, and size and time of the last change of these."""

    sample: Sample
    nbytes: int
    changes: list[tuple[str, int, int]]

    def is_unchanged(self) -> bool:
        return all(each == _change(each[0]) for each in self.changes)

    def close(self) -> None:
        """Close its files: containers and their streams refer to each other, and would be open until a collection."""
        for value in self.sample.values():
            if isinstance(value, StoredFile) and isinstance(value.facts, StreamFacts) and value.facts.kept is not None:
                value.facts.kept.close()


def _change(path: str) -> tuple[str, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return path, found.st_size, found.st_mtime_ns


def _video_bytes(value: Any) -> int:
    """Bytes that a video takes while it is open; 0 for what is not worth it."""
    if not isinstance(value, StoredFile) or value.path is None or not isinstance(value.facts, StreamFacts):
        return 0
    packets = value.facts.packets
    if packets is None or len(packets.pts) < LEAST_PACKETS:
        return 0
    pixels, pixel_bytes, references = value.facts.memory
    return int(pixels * pixel_bytes * (references + 4)) + PACKET_BYTES * len(packets.pts)


class _Recent:
    """The samples of one process, the latest last."""

    def __init__(self, nbytes: int) -> None:
        self._limit, self._held = nbytes, 0
        self._samples: OrderedDict[int, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def __del__(self) -> None:
        for each in self._samples.values():
            each.close()

    def get(self, number: int) -> Sample | None:
        with self._lock:
            found = self._samples.get(number)
            if found is None:
                return None
            if not found.is_unchanged():
                self._drop(number)
                return None
            self._samples.move_to_end(number)
        return found.sample

    def _drop(self, number: int) -> None:
        dropped = self._samples.pop(number)
        self._held -= dropped.nbytes
        dropped.close()

    def add(self, number: int, sample: Sample) -> Sample:
        """Keep a sample if it has long videos; returns it, with places for these."""
        sizes = {name: _video_bytes(value) for name, value in sample.items()}
        long, nbytes = [name for name, size in sizes.items() if size], sum(sizes.values()) + encoded_bytes(sample)
        changes = [_change(sample[name].path) for name in long]
        if not long or nbytes > self._limit or None in changes:
            return sample
        for name in long:
            facts = dataclasses.replace(sample[name].facts, kept=KeptContainer())
            sample[name] = dataclasses.replace(sample[name], facts=facts)
        with self._lock:
            if number in self._samples:
                self._drop(number)
            self._samples[number] = _Kept(sample, nbytes, [each for each in changes if each is not None])
            self._held += nbytes
            while self._held > self._limit:
                self._drop(next(iter(self._samples)))
        return sample

    @property
    def held(self) -> int:
        """Bytes of all of them."""
        return self._held


class RecentSamples:
    """The samples of an index, of which those of long videos are kept with their files open; each process has its own.

    Args:
        index: that samples are read from.
        nbytes: that the kept ones may take with their decoders, by their headers; 0 keeps none.
    """

    def __init__(self, index: Index, nbytes: int) -> None:
        self._index, self._nbytes = index, nbytes
        self._recent = self._new()

    def _new(self) -> PerProcess[_Recent]:
        nbytes = self._nbytes
        return PerProcess(lambda: _Recent(nbytes))

    def __getstate__(self) -> dict[str, Any]:
        return {"_index": self._index, "_nbytes": self._nbytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._recent = self._new()

    @property
    def held(self) -> int:
        """Bytes that the kept samples of this process take."""
        return self._recent.get().held

    def sample(self, number: int) -> Sample:
        """A sample by its number. Raises as `Index.sample`."""
        recent = self._recent.get()
        found = recent.get(number)
        if found is None:
            found = recent.add(number, self._index.sample(number))
        return {name: value if isinstance(value, StoredFile) else deepcopy(value) for name, value in found.items()}
