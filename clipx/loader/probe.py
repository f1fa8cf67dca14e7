"""The first clip of an epoch, which shows what all others are like, and the memory for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from math import prod
from typing import Any

import numpy as np

from clipx import memory
from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.datasets.segments import BadSegment
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.budget import Budget
from clipx.loader.config import LoaderConfig
from clipx.loader.extract import Extractor
from clipx.loader.handover import EpochStopped
from clipx.loader.needs import Needs, encoded_bytes
from clipx.loader.progress import Probed
from clipx.plan import ALL
from clipx.pool import ClipPool
from clipx.wds.layout import BatchLayout

__all__ = ["Pools", "Probe"]

MOST_COMPARED = 3
"""Samples whose fields show which fields are usual."""


@dataclass
class Pools:
    """Memory that one epoch leaves to the next.

    Attributes:
        probed: what it was made for.
        clips, batches: the pools.
    """

    probed: Probed
    clips: ClipPool
    batches: ClipPool

    @classmethod
    def of(cls, probed: Probed, config: LoaderConfig) -> Pools:
        """Memory for clips like the one that was probed."""
        clips = ClipPool(probed.budget.slots, probed.clip_bytes)
        clip_bytes = clips.slot_bytes if config.ragged == "list" else probed.clip_bytes  # aligned
        batches = ClipPool(config.batches * len(probed.fields), config.batch_size * clip_bytes)
        return cls(probed, clips, batches)

    @property
    def budget(self) -> Budget:
        """The loader's bytes, divided."""
        return self.probed.budget


class _Heap(ClipPool):
    """Memory of its own for each clip, none of which is taken for clips that are larger than the loader's.

    Attributes:
        refused: what is wrong with such clips; None where there were none.
    """

    def __init__(self, config: LoaderConfig, workers: int) -> None:
        self._config, self._workers = config, workers
        self.refused: str | None = None

    @property
    def nbytes(self) -> int:
        return 0

    def slots_for(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        return None

    def require(self, slots: int, shape: tuple[int, ...] | None = None, dtype: Any = None) -> None:
        clip_bytes = 0 if shape is None else prod(shape) * np.dtype(dtype).itemsize
        if clip_bytes <= self._config.memory // self._workers:
            return
        try:
            self._config.divide(clip_bytes, 1, workers=self._workers)
        except ValueError as exn:
            self.refused = str(exn)
            raise

    def acquire(
        self, shape: tuple[int, ...] | None = None, dtype: Any = None, *, timeout: float | None = 0
    ) -> np.ndarray:
        assert shape is not None
        return np.empty(shape, dtype)


class Probe:
    """Finds the first sample that gives a clip.

    What is wrong with samples shows later, when their clips are extracted; but for those that there is no memory to
    keep until then, and for all where none gives a clip.

    Args:
        extractor: extracts clips, and notes what it finds.
        silent: extracts clips, and notes nothing.
        workers: of a DataLoader, that share the loader's bytes.
        handler: called with the error of a sample; as webdataset's are.
        check: raises EpochStopped where the epoch is given up.

    Attributes:
        read: the samples that were read and are to be extracted.
    """

    def __init__(
        self,
        extractor: Extractor,
        silent: Extractor,
        workers: int,
        handler: Callable[[Exception], bool],
        check: Callable[[], None],
    ) -> None:
        self._heap = _Heap(silent.config, workers)
        self._extractor, self._silent = replace(extractor, pool=self._heap), replace(silent, pool=self._heap)
        self._workers, self._handler, self._check = workers, handler, check
        self.read: list[tuple[Address, Sample]] = []

    def run(self, samples: Iterator[tuple[Address, Sample]]) -> Probed | None:
        """Probe samples up to the first that gives a clip; None where there is none."""
        most = self._extractor.config.memory // self._workers // 8
        read, kept = self.read, 0
        for each in islice(samples, MOST_COMPARED):
            read.append(each)
            kept += encoded_bytes(each[1])
            if kept > most:
                break
        # A sample that a damaged shard has truncated does not show what the others are like.
        votes = Counter(frozenset(sample) for _, sample in read)
        usual = max(votes, key=lambda fields: (votes[fields], len(fields)), default=frozenset())
        for _, sample in sorted(read, key=lambda each: frozenset(each[1]) != usual):
            probed = self._probe(sample)
            del sample
            if probed is not None:
                return probed
        for each in samples:
            read.append(each)
            kept += encoded_bytes(each[1])
            while kept > most and len(read) > 1:
                kept -= encoded_bytes(read[0][1])
                self._report(read.pop(0)[1])
            probed = self._probe(each[1])
            del each
            if probed is not None:
                return probed
        for _, sample in read:
            self._report(sample)
        return None

    def samples(self, rest: Iterator[tuple[Address, Sample]]) -> Iterator[tuple[Address, Sample]]:
        """The samples that were read, then the rest; none of them is kept."""
        while self.read:
            yield self.read.pop(0)
        yield from rest

    def _probe(self, sample: Sample) -> Probed | None:
        """Probe the first clip of a sample; None where it has none. Raises ValueError for clips that are too large."""
        self._check()
        clip = None
        with suppress(Exception), closing(self._silent.extract(sample, ALL, self._silent.weigh(sample))) as clips:
            clip = next((each for each in clips if not isinstance(each, BadSegment)), None)
        if self._heap.refused is not None:
            raise ValueError(self._heap.refused)
        return None if clip is None else self._probed(sample, clip.sample)

    def _probed(self, sample: Sample, clip: Sample) -> Probed:
        fields = self._silent.fields(sample)
        config, arrays, length = self._silent.config, [name.get(clip) for name in fields], clip["clip.json"]["length"]
        beside = memory.payload_bytes(clip) - sum(array.nbytes for array in arrays)
        # Other clips may be longer.
        beside = -(-beside * (config.sample_clips.spec.max_length or 0) // length)
        sizes = [config.most_bytes(array, length) for array in arrays]
        budget = self._divide(max(sizes), len(sizes), beside, self._silent.needs(sample, fields.values()))
        return Probed(self._workers, list(map(str, fields)), max(sizes), budget, BatchLayout.of(clip, fields))

    def _divide(self, slot_bytes: int, fields: int, beside: int, needs: Needs) -> Budget:
        """The budget for clips like those of a sample that needs so much."""
        divide = self._silent.config.divide
        try:
            return divide(slot_bytes, fields, beside + needs.beside, self._workers, needs.decoder)
        except ValueError:
            # If there is memory for others, the error of this one comes where its clips are extracted.
            return divide(slot_bytes, fields, beside, self._workers, 0)

    def _report(self, sample: Sample) -> None:
        """Report what is wrong with a sample that gives no clips."""
        errors: list[Exception] = []
        try:
            with closing(self._extractor.extract(sample, ALL, self._extractor.weigh(sample))) as clips:
                for clip in clips:
                    if not isinstance(clip, BadSegment):
                        break
                    errors.append(clip.error)
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            errors.append(exn)
        for error in errors:
            if not self._handler(error):
                raise EpochStopped
