"""Buckets of items that are alike, each of which gives a batch."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

__all__ = ["Buckets", "bucket_of"]

Item = TypeVar("Item")


def bucket_of(row: Mapping[Any, Any]) -> Hashable:
    """The bucket that a sample belongs to: all of one have arrays and tensors of the same shapes and dtypes."""
    return tuple(
        (name, type(value), tuple(value.shape), value.dtype)
        for name, value in row.items()
        if hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, np.generic)
    )


class Buckets(Generic[Item]):
    """Items in buckets of at most `size`; of two buckets, the older one is that whose first item came first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._numbers: dict[Hashable, list[int]] = {}  # of the items of each bucket, the oldest bucket first
        self._items: dict[int, Item] = {}
        self._arrived = 0

    def __len__(self) -> int:
        """Number of items."""
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        """The items in the order in which they came; added in this order, they make the same buckets."""
        return iter(self._items.values())

    def add(self, bucket: Hashable, item: Item) -> list[Item]:
        """Take an item. Returns the items of its bucket, which are given up, where that is full; else none."""
        numbers = self._numbers.setdefault(bucket, [])
        numbers.append(self._arrived)
        self._items[self._arrived] = item
        self._arrived += 1
        return self._take(bucket) if len(numbers) == self._size else []

    def take_fullest(self) -> list[Item]:
        """Give up the items of the bucket that has the most of them, of equals the oldest."""
        return self._take(max(self._numbers, key=lambda bucket: len(self._numbers[bucket])))

    def take_oldest(self) -> list[Item]:
        """Give up the items of the oldest bucket."""
        return self._take(next(iter(self._numbers)))

    def _take(self, bucket: Hashable) -> list[Item]:
        return [self._items.pop(number) for number in self._numbers.pop(bucket)]
