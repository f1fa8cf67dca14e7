"""Clips of different lengths: a spec that gives them, and what batches of them are, in obvious steps."""

from dataclasses import dataclass

import numpy as np

from clipx.plan import FrameSpec
from clipx.plan.spec import frames_of


@dataclass(frozen=True)
class Parts(FrameSpec):
    """The source in equal parts, each a clip of at most max_length frames."""

    parts: int = 2
    max_length: int = 8
    step: int = 1

    is_random = False

    def count(self, extent):
        return self.parts if frames_of(extent) >= self.parts else 0

    def rows(self, extent, rng=None):
        n = frames_of(extent)
        length = min(max(n // self.parts // self.step, 1), self.max_length)
        starts = np.arange(self.count(extent)) * (n // self.parts)
        return (starts[:, None] + np.arange(length)).astype(np.int64)


def padded(arrays, axis):
    """Arrays side by side, with zeros behind each along an axis."""
    longest = max(array.shape[axis] for array in arrays)
    out = []
    for array in arrays:
        shape = list(array.shape)
        shape[axis] = longest - array.shape[axis]
        out.append(np.concatenate([array, np.zeros(shape, array.dtype)], axis))
    return np.stack(out)


def bucketed(items, bucket_of, size, most, partial):
    """The batches of items and those that are left out, by the rule of buckets."""
    buckets, batches, left = [], [], []
    for item in items:
        found = next((each for each in buckets if bucket_of(each[0]) == bucket_of(item)), None)
        if found is None:
            found = []
            buckets.append(found)
        found.append(item)
        if len(found) < size and sum(map(len, buckets)) > most:
            # The first of the longest.
            found = sorted(buckets, key=len, reverse=True)[0]
        elif len(found) < size:
            continue
        buckets = [each for each in buckets if each is not found]
        batches.append(found)
    for each in buckets:
        (batches if partial else left).append(each)
    return batches, [item for each in left for item in each]
