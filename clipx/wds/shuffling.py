"""The WebDataset stage that shuffles samples within a number of bytes."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from clipx import memory
from clipx._checks import byte_count, integer
from clipx.datasets.passes import Passes
from clipx.plan.draws import Epoch, check_epoch, skip_draws, stream_random
from clipx.pool import ClipPool
from clipx.wds.object_memory import extents

__all__ = ["Draw", "ShuffleBuffer", "shuffle", "take_out"]

logger = logging.getLogger("clipx")

Item = TypeVar("Item")


def take_out(items: list[Item], at: int) -> Item:
    """Take an item out of a list; the last one replaces it."""
    items[at], items[-1] = items[-1], items[at]
    return items.pop()


class Draw(Generic[Item]):
    """Items that are drawn one by one, each with the same probability.

    Args:
        rng: what the order is drawn from.
        items: the first ones.
        drawn: number of items drawn before: the order goes on from there.
    """

    def __init__(self, rng: random.Random, items: Iterable[Item] = (), drawn: int = 0) -> None:
        self._rng = rng
        self._items = list(items)
        if drawn:
            skip_draws(rng, drawn)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def add(self, item: Item) -> None:
        """Take an item."""
        self._items.append(item)

    def pick(self) -> tuple[int, Item]:
        """Draw an item: its index, for `take_out`, and the item."""
        at = int(self._rng.random() * len(self._items))
        return at, take_out(self._items, at)


class ShuffleBuffer:
    """Samples to draw from, and how much they hold: bytes, no owner counted twice, and slots of pools."""

    def __init__(self, rng: random.Random) -> None:
        self._samples: Draw[tuple[Any, list[tuple[int, int]], int]] = Draw(rng)
        self._owners: Counter[tuple[int, int]] = Counter()
        self.nbytes = 0
        self.slots = 0

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: Any) -> None:
        """Take a sample; one without any slot counts as one."""
        owners = list(extents(sample))
        slots = max(memory.leases(sample), 1)
        self._samples.add((sample, owners, slots))
        for owner in owners:
            if not self._owners[owner]:
                self.nbytes += owner[1] - owner[0]
            self._owners[owner] += 1
        self.slots += slots

    def pick(self) -> Any:
        """Give up a sample, each with the same probability."""
        _, (sample, owners, slots) = self._samples.pick()
        for owner in owners:
            self._owners[owner] -= 1
            if not self._owners[owner]:
                del self._owners[owner]
                self.nbytes -= owner[1] - owner[0]
        self.slots -= slots
        return sample


class ShuffleStage:
    """`shuffle` with its arguments, as a step of a pipeline."""

    def __init__(
        self, max_bytes: int | None, pool: ClipPool | None, reserve: int | None, seed: int, epoch: Epoch
    ) -> None:
        self._max_bytes, self._pool, self._reserve = max_bytes, pool, reserve
        self._seed, self._epoch = seed, epoch
        self._passes = Passes()

    def __repr__(self) -> str:
        return f"clipx.wds.shuffle({self._max_bytes}, pool={self._pool!r}, reserve={self._reserve}, seed={self._seed})"

    def __call__(self, samples: Iterable[Item]) -> Iterator[Item]:
        return self._run(samples, stream_random(self._seed, self._passes.epoch(self._epoch), "shuffle"))

    def _capacity(self) -> int:
        """Slots that the buffer may hold; known once there is the first clip."""
        assert self._pool is not None
        least = self._pool.reserve + 1
        reserve = least if self._reserve is None else self._reserve
        if reserve < least:
            raise ValueError(
                f"reserve is {reserve}, but {self._pool.reserve} slots are held while clips are written, and one by "
                f"the stage after: at least {least}"
            )
        if self._pool.slots <= reserve:
            raise ValueError(
                f"the pool has {self._pool.slots} slots, but {reserve} are kept free for other stages; give it more"
            )
        self._pool.held_back(reserve)
        return self._pool.slots - reserve

    def _run(self, samples: Iterable[Any], rng: random.Random) -> Iterator[Any]:
        buffer = ShuffleBuffer(rng)
        capacity: int | None = None
        filled = False
        for sample in samples:
            buffer.add(sample)
            del sample
            if self._pool is not None and capacity is None:
                capacity = self._capacity()
            while len(buffer) > 1 and (
                (capacity is not None and buffer.slots > capacity)
                or (self._max_bytes is not None and buffer.nbytes > self._max_bytes)
            ):
                filled = True
                yield buffer.pick()
        if not filled and len(buffer):
            logger.info(
                "shuffle: the source ended after %d samples, %d bytes, before the buffer was full: all of them were "
                "held back",
                len(buffer),
                buffer.nbytes,
            )
        while len(buffer):
            yield buffer.pick()


def shuffle(
    max_bytes: int | str | None = None,
    *,
    pool: ClipPool | None = None,
    reserve: int | None = None,
    seed: int = 0,
    epoch: Epoch = None,
) -> ShuffleStage:
    """A stage that shuffles samples with a buffer of so many bytes, not of so many samples.

    >>> dataset.compose(clipx.wds.clips(spec, pool=pool), clipx.wds.shuffle(pool=pool))

    Args:
        max_bytes: what the samples in the buffer may keep alive, such as "2GB": a view counts as all that it keeps,
            memory that several samples share once. Texts, PIL images, lists and other objects count as Python knows
            their sizes; beside arrays and bytes, numbers and fields such as `__key__` count nothing. One sample is
            held even where it is larger.
        pool: the ClipPool that the samples' clips are slots of: the buffer holds as many of them as the pool has, less
            `reserve`.
        reserve: slots for the clips that are being written and for the stages after this one. Default: those, and one;
            with `batched` after it, `pool.reserve + batch_size`.
        seed, epoch: the order is drawn from both. epoch is a number, a function that gives one, or None to count the
            times that this stage is run, in the workers of a DataLoader as if there were none.

    The buffer fills up before the first sample is passed on; then each one that comes replaces one drawn at random.
    Takes samples of any kind. Raises TypeError and ValueError for arguments, and ValueError at the first sample where
    the pool is too small.

    Stability: stable.
    """
    if max_bytes is None and pool is None:
        raise ValueError("max_bytes and pool are None, but one of them must say how much the buffer may hold")
    if not isinstance(pool, (ClipPool, type(None))):
        raise TypeError(f"pool is {pool!r}, but must be the ClipPool that clips are slots of; for bytes give max_bytes")
    most = None if max_bytes is None else byte_count("max_bytes", max_bytes)
    if reserve is not None:
        reserve = integer("reserve", reserve, 1)
        if pool is None:
            raise ValueError(f"reserve is {reserve}, but there is no pool to reserve slots of")
    return ShuffleStage(most, pool, reserve, integer("seed", seed, 0), check_epoch(epoch))
