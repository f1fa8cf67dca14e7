"""The step that makes batches, in the order of clips or of buckets."""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from clipx.datasets.ledger import Ledger
from clipx.datasets.origins import locate
from clipx.loader.batch import Batch
from clipx.loader.open_samples import ClipRef, Extracted
from clipx.wds.buckets import Buckets, bucket_of
from clipx.wds.layout import BatchLayout, Ragged, flatten

__all__ = ["BatchRules", "BatchState", "Batches"]


@dataclass(frozen=True)
class BatchState:
    """The batches that have been made, and the clips that wait for others of their shape.

    Attributes:
        count: number of batches.
        layout: what their samples have in common; None before the first.
        held: the clips in partial buckets, in the order in which they came.
        ended: whether the handler has ended the samples.
    """

    count: int = 0
    layout: BatchLayout | None = None
    held: Sequence[ClipRef] = field(default_factory=list)
    ended: bool = False


@dataclass(frozen=True)
class BatchRules:
    """How samples become batches.

    Attributes:
        size: samples of a batch.
        clip_fields: the fields that clips were extracted to.
        drop_last: whether a last batch of fewer samples, or the last of each bucket, is left out.
        ragged: what becomes of clips of different lengths.
        most: samples in all; None for as many as come.
        bucketed: samples that partial buckets hold together.
        bucketed_beside: bytes that they may have beside their slots.
    """

    size: int
    clip_fields: Iterable[str] = ()
    drop_last: bool = False
    ragged: Ragged = "error"
    most: int | None = None
    bucketed: int = 0
    bucketed_beside: int = 0


class Batches:
    """Makes batches of clips.

    Args:
        rules: how.
        make: gives memory for an array, from the layout, the field's name, shape and dtype.
        handler: called with the error of a sample that does not fit; as webdataset's are.
        ledger: where clips are noted that are left out of buckets.
        state: the batches before.

    Attributes:
        given: samples that are in batches.
    """

    def __init__(
        self,
        rules: BatchRules,
        make: Callable[[BatchLayout, str, tuple[int, ...], np.dtype], np.ndarray],
        *,
        handler: Callable[[Exception], bool],
        ledger: Ledger,
        state: BatchState,
    ) -> None:
        self._rules, self._make, self._handler, self._ledger = rules, make, handler, ledger
        self._most = sys.maxsize if rules.most is None else rules.most
        self._count, self._layout, self._ended = state.count, state.layout, state.ended
        self.given = min(state.count * rules.size, self._most)
        self._buckets: Buckets[Extracted] = Buckets(rules.size)
        self._beside = 0
        self._returning = deque(state.held)

    @property
    def complete(self) -> bool:
        """Whether there are as many samples as there are to be."""
        return self.given == self._most

    def state(self) -> BatchState:
        """The state behind the batch that was given last."""
        held = [*(clip.ref for clip in self._buckets), *self._returning]
        return BatchState(self._count, self._layout, held, self._ended)

    def batches(self, clips: Iterable[Extracted]) -> Iterator[dict[Any, Any]]:
        """The batches of clips, as dicts; first of these come those that the state holds in partial buckets.

        Raises what memory for them and the handler raise.
        """
        return self._of_buckets(clips) if self._rules.ragged == "bucket" else self._in_order(clips)

    def _in_order(self, clips: Iterable[Extracted]) -> Iterator[dict[Any, Any]]:
        batch: Batch | None = None
        for clip in () if self.complete or self._ended else clips:
            sample = clip.sample
            del clip
            if batch is None:
                batch = self._begin(sample)
            try:
                batch.add(sample)
            except ValueError as exn:
                locate(exn, sample)
                del sample
                if not self._goes_on(exn):
                    break
                continue
            del sample
            self.given += 1
            if batch.count == self._rules.size or self.complete:
                self._count += 1
                yield batch.take()
                batch = None
                if self.complete:
                    return
        if batch is not None and batch.count and not self._rules.drop_last:
            self._count += 1
            yield batch.take()

    def _of_buckets(self, clips: Iterable[Extracted]) -> Iterator[dict[Any, Any]]:
        rules, buckets, clips = self._rules, self._buckets, iter(clips)
        while True:
            # A state may have been saved between two batches that one clip has displaced.
            while not self._returning and len(buckets) and self._is_over:
                yield self._batch_of(buckets.take_fullest())
            clip = None if self._ended and not self._returning else next(clips, None)
            if clip is None:
                break
            if self._returning:
                self._returning.popleft()
            try:
                bucket = self._bucket(clip.sample)
            except ValueError as exn:
                locate(exn, clip.sample)
                del clip
                self._goes_on(exn)
                continue
            self._beside += clip.beside
            full = buckets.add(bucket, clip)
            del clip
            if full:
                yield self._batch_of(full)
        while len(buckets):
            left = buckets.take_oldest()
            if not rules.drop_last:
                yield self._batch_of(left)
            else:
                self._ledger.note_left_out([clip.sample for clip in left], rules.size)
                left.clear()

    @property
    def _is_over(self) -> bool:
        """Whether partial buckets hold more than they may."""
        rules = self._rules
        return len(self._buckets) > rules.bucketed or self._beside > rules.bucketed_beside

    def _bucket(self, sample: Mapping[Any, Any]) -> Hashable:
        """The bucket of a sample. Raises ValueError where it lacks clips that all have."""
        layout, row = self._layout_of(sample), flatten(sample)
        layout.check_clips(row, str(sample.get("__key__", 0)))
        return bucket_of(row)

    def _batch_of(self, clips: list[Extracted]) -> dict[Any, Any]:
        """The batch of a bucket's clips, which are given up one by one."""
        batch: Batch | None = None
        count = len(clips)
        clips.reverse()
        while clips:
            clip = clips.pop()
            self._beside -= clip.beside
            if batch is None:
                layout = BatchLayout.of(clip.sample, self._rules.clip_fields)
                batch = Batch(count, layout, partial(self._make, layout))
            batch.add(clip.sample)
            del clip
        assert batch is not None
        self.given += count
        self._count += 1
        return batch.take()

    def _goes_on(self, error: Exception) -> bool:
        """Whether the handler takes the error of a sample."""
        traceback.clear_frames(error.__traceback__)
        self._ended = not self._handler(error)
        return not self._ended

    def _begin(self, sample: Mapping[Any, Any]) -> Batch:
        layout = self._layout_of(sample)
        return Batch(self._rules.size, layout, partial(self._make, layout), self._rules.ragged)

    def _layout_of(self, sample: Mapping[Any, Any]) -> BatchLayout:
        """The layout that all samples have in common; the first one shows it."""
        if self._layout is None:
            self._layout = BatchLayout.of(sample, self._rules.clip_fields)
        return self._layout
