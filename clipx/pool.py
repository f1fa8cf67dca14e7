"""`ClipPool`: slots for clips in memory that is set aside beforehand, and the leases of them.

Stability: stable.
"""

from __future__ import annotations

import gc
import os
import queue
import threading
import time
from typing import Any, NamedTuple

import numpy as np

from clipx._blocks import check_backing, private_mapping, slot_size
from clipx._checks import as_dtype, as_shape, byte_count, check_total, integer, patience
from clipx._kernel import Slots
from clipx._notebook.pools import pool_html
from clipx._registry import Registry
from clipx._reprs import byte_text
from clipx._wakeups import comes
from clipx.errors import PoolExhausted, PoolTooSmall

__all__ = ["GARBAGE_SECONDS", "ClipPool", "PoolStats"]

LAYOUTS_KEPT = 64  # shapes whose checks are remembered; ragged clips have more, and are checked again
GARBAGE_SECONDS = 1.0
"""Seconds of a wait for a slot, before garbage is collected, whose cycles may hold some. Stability: provisional."""

_POOLS: Registry[ClipPool] = Registry()


class PoolStats(NamedTuple):
    """The state of a pool.

    Attributes:
        slots, free, leased: numbers of slots: all, those that are free, and those that are not.
        peak_leased: most slots that were leased at once.
        slot_bytes: bytes of one slot.
        waits: how many times `acquire` had to wait for a slot.

    Stability: stable.
    """

    slots: int
    free: int
    leased: int
    peak_leased: int
    slot_bytes: int
    waits: int


class ClipPool:
    """Slots for clips on one preallocated block of memory, each leased until nobody can see it any more.

    >>> pool = clipx.ClipPool(slots=256, shape=(16, 224, 224, 3))
    >>> clip = pool.acquire()          # uint8 (16, 224, 224, 3), not cleared
    >>> del clip                       # the slot is free again

    Args:
        slots: number of slots.
        shape, dtype: those of the arrays that `acquire` gives by default; a slot holds any clip of at most their bytes.
        backing: a writable contiguous buffer to use as the block, such as shared memory or a pinned tensor, of at
            least `slots * slot_bytes` bytes and up to 63 more for alignment. Default: private anonymous memory, which
            the system hands out page by page as slots are first written.

    A pool belongs to one process. After fork, or unpickled, it is a new empty pool, made on first use; over `backing`
    it raises RuntimeError then. Threads may share a pool.

    Raises TypeError and ValueError that name the argument, MemoryError where the system has no room.

    Stability: stable.
    """

    reserve: int
    """Slots that others than a shuffle may hold at once; a source raises it to its own need when it starts."""

    _shape: tuple[int, ...] | None
    _dtype: np.dtype
    _backing: np.ndarray | None
    _generation: Slots | None

    def __init__(self, slots: int, shape: tuple[int, ...] | int, dtype: Any = "uint8", *, backing: Any = None) -> None:
        self._setup(slots=integer("slots", slots, 1))
        self._fix_shape(shape, dtype)
        if backing is not None:
            self._backing = check_backing(backing, self._slots, self._slot_bytes)
        self._generation = self._made()

    @classmethod
    def of_bytes(cls, size: int | str, shape: tuple[int, ...] | int | None = None, dtype: Any = "uint8") -> ClipPool:
        """A pool of as many slots as fit into `size` bytes ("2GB", "64mb", "1.5GiB" or an integer).

        Without a shape, the first clip's shape and dtype are taken, and a later one that is larger is a ValueError.
        """
        pool = cls.__new__(cls)
        pool._setup(budget=byte_count("size", size))
        pool._dtype = as_dtype(dtype)
        if shape is not None:
            pool._fix_shape(shape, dtype)
            pool._generation = pool._made()
        return pool

    def _setup(self, slots: int = 0, budget: int = 0) -> None:
        self._slots, self._budget = slots, budget
        self._shape = None
        self._dtype = np.dtype("uint8")
        self._slot_bytes = 0
        self._backing = None
        self._lost_backing = False
        self._start()
        _POOLS.add(self)

    def _start(self) -> None:
        self._generation = None
        self._lock = threading.Lock()
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._layouts: dict[Any, tuple[tuple[int, ...], np.dtype]] = {}
        self._waits = self.reserve = 0
        self._reserved: int | None = None

    def _forked(self) -> None:
        if self._generation is not None:
            self._generation.abandon()
        self._lost_backing |= self._backing is not None
        self._backing = None
        self._start()

    def _fix_shape(self, shape: tuple[int, ...] | int, dtype: Any) -> None:
        """Set the shape of a slot, and with a budget the number of slots."""
        shape = as_shape(shape)
        dtype = as_dtype(dtype)
        slot_bytes = slot_size(check_total("a slot", shape, dtype.itemsize))
        if self._budget:
            self._slots = self._budget // slot_bytes
            if not self._slots:
                raise PoolTooSmall(
                    f"size is {self._budget} bytes, but one clip of shape {shape} and dtype {dtype} takes {slot_bytes}"
                )
        check_total("the pool", (self._slots,), slot_bytes)
        self._shape, self._dtype, self._slot_bytes = shape, dtype, slot_bytes

    @property
    def slots(self) -> int:
        """Number of slots; 0 while a pool `of_bytes` waits for its first clip's shape."""
        return self._slots

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot, a multiple of 64; 0 while a pool `of_bytes` waits for its first clip's shape."""
        return self._slot_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of all slots."""
        return self._slots * self._slot_bytes

    def _made(self) -> Slots:
        if self._lost_backing:
            raise RuntimeError("the pool's backing stayed in the process that made the pool; make a pool here")
        block = private_mapping(self._slots * self._slot_bytes) if self._backing is None else self._backing
        return Slots(block, self._slots, self._slot_bytes, self._woken.put)

    def _current(self, shape: Any = None, dtype: Any = None) -> Slots:
        """The slots of this process, made if there are none."""
        if self._generation is not None:
            return self._generation
        with self._lock:
            if self._generation is None:
                if self._shape is None:
                    if shape is None:
                        raise ValueError("shape is None, but this pool takes its slots' shape from the first clip")
                    self._fix_shape(shape, self._dtype if dtype is None else dtype)
                self._generation = self._made()
            return self._generation

    def _layout(self, shape: Any, dtype: Any) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype of a clip. Raises PoolTooSmall where it does not fit into a slot."""
        key = shape, dtype
        try:
            return self._layouts[key]
        except (KeyError, TypeError):
            pass
        assert self._shape is not None
        dims = self._shape if shape is None else as_shape(shape)
        dtype = self._dtype if dtype is None else as_dtype(dtype)
        size = check_total("a clip", dims, dtype.itemsize)
        if size > self._slot_bytes:
            error = PoolTooSmall(
                f"a clip of shape {dims} and dtype {dtype} has {size} bytes, but a slot {self._slot_bytes}; make the "
                f"pool with shape={dims}, dtype={str(dtype)!r}, or clips of one size with the format's resize= or crop="
            )
            error.shape = dims
            raise error
        if isinstance(shape, (tuple, int, type(None))) and len(self._layouts) < LAYOUTS_KEPT:
            self._layouts[key] = dims, dtype
        return dims, dtype

    def slots_for(self, shape: tuple[int, ...], dtype: np.dtype) -> Slots:
        """The slots, for the kernel, after the check that clips of this shape fit."""
        slots = self._current(shape, dtype)
        self._layout(shape, dtype)
        return slots

    def require(self, slots: int, shape: tuple[int, ...] | None = None, dtype: Any = None) -> None:
        """Check, before a source is read, that clips of this shape fit and that the source can hold `slots` at once.

        A pool `of_bytes` that still waits for its first clip's shape is checked only where a shape is given. Raises
        ValueError that names both numbers.
        """
        if self._shape is None and shape is None:
            return
        self._current(shape, dtype)
        self._layout(shape, dtype)
        if self._slots < slots:
            raise PoolTooSmall(
                f"the pool has {self._slots} slots, but a source holds up to {slots} of them while it is read; "
                f"{self._knob(slots)}"
            )
        with self._lock:
            self.reserve = max(self.reserve, slots)

    def acquire(
        self, shape: tuple[int, ...] | None = None, dtype: Any = None, *, timeout: float | None = 0
    ) -> np.ndarray:
        """A free slot as an array, C-contiguous and writable, not cleared.

        Args:
            shape, dtype: of at most a slot's bytes; default the pool's.
            timeout: seconds to wait for a slot; None waits for ever.

        The slot is free again when the array, and every view, memoryview and tensor made from it, is gone.

        Raises PoolExhausted where no slot comes free, ValueError for a clip that is larger than a slot.
        """
        if timeout != 0:
            timeout = patience("timeout", timeout)
        slots = self._current(shape, dtype)
        layout = self._layout(shape, dtype)
        clip = slots.take(*layout)
        return self._wait(slots, layout, timeout) if clip is None else clip

    def _wait(self, slots: Slots, layout: tuple[tuple[int, ...], np.dtype], timeout: float | None) -> np.ndarray:
        """A slot that comes free in time. Reference cycles may hold some: they are collected once before giving up."""
        woken, began, collected = self._woken, time.monotonic(), False
        slots.wait(1)
        try:
            if timeout != 0:
                with self._lock:
                    self._waits += 1
            while True:
                clip = slots.take(*layout)
                if clip is not None:
                    return clip
                left = None if timeout is None else timeout - (time.monotonic() - began)
                patience = left if collected else GARBAGE_SECONDS if left is None else min(left, GARBAGE_SECONDS)
                if (patience is None or patience > 0) and comes(woken, patience):
                    continue
                if collected:
                    break
                gc.collect()
                collected = True
        finally:
            slots.wait(-1)
        waited = f" after {timeout} s" if timeout else ""
        if self._reserved is not None:
            raise PoolExhausted(
                f"all {self._slots} slots are leased{waited}, and the shuffle before fills all but {self._reserved} of "
                f"them, however many there are; give clipx.wds.shuffle(pool=) a reserve= above {self._reserved}, for "
                f"the {self.reserve} that a source holds while it is read, and what the stages after it hold, such as "
                f"the batch_size of batched"
            )
        held = f"a source holds up to {self.reserve} while it is read, and " if self.reserve else ""
        raise PoolExhausted(
            f"all {self._slots} slots of {self._slot_bytes} bytes are leased{waited}; hold fewer clips, or "
            f"{self._knob(self._slots + 1)}: {held}stages and consumers hold what they keep, such as a shuffle's "
            f"buffer and a batch"
        )

    def _knob(self, slots: int) -> str:
        if self._budget:
            return f"raise the pool's size of {self._budget} bytes to at least {slots * self._slot_bytes}"
        return f"raise slots to at least {slots}"

    def held_back(self, reserve: int) -> None:
        """Note that a shuffle fills all slots but `reserve`: where none is free, the message asks for a larger one."""
        self._reserved = reserve

    def stats(self) -> PoolStats:
        """Numbers of slots, free and leased now, and leased at most so far."""
        made = self._generation
        free, peak = (self._slots, 0) if made is None else (made.free, made.peak_leased)
        return PoolStats(self._slots, free, self._slots - free, peak, self._slot_bytes, self._waits)

    def __repr__(self) -> str:
        if self._shape is None:
            return f"<ClipPool: {byte_text(self._budget)}, slots not known before the first clip>"
        free, slots = self.stats().free, self._slots
        return f"<ClipPool: {free} of {slots} slots free, each {self._dtype} {self._shape}, {byte_text(self.nbytes)}>"

    _repr_html_ = pool_html

    def __getstate__(self) -> dict[str, Any]:
        return {
            "slots": self._slots,
            "budget": self._budget,
            "shape": self._shape,
            "dtype": self._dtype,
            "lost_backing": self._lost_backing or self._backing is not None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._setup(state["slots"], state["budget"])
        self._dtype = state["dtype"]
        self._lost_backing = state["lost_backing"]
        if state["shape"] is not None:
            self._fix_shape(state["shape"], state["dtype"])


def as_pool(pool: ClipPool | int | str | None) -> ClipPool | None:
    """The pool that an argument `pool=` names: a ClipPool itself, or one made of bytes such as "2GB".

    A pool made of bytes takes the shape of its first clip, in the process that extracts it. Raises TypeError for what
    is none of these, and ValueError for a text that is not a number of bytes.
    """
    if pool is None or isinstance(pool, ClipPool):
        return pool
    if isinstance(pool, bool) or not isinstance(pool, (int, np.integer, str)):
        raise TypeError(f"pool is {pool!r}, but must be a ClipPool, bytes such as '2GB', or None")
    return ClipPool.of_bytes(byte_count("pool", pool))


def live_pools() -> list[ClipPool]:
    """The pools of this process that have been used."""
    return [pool for pool in list(_POOLS) if pool._generation is not None]


def _forget_inherited() -> None:
    """In a forked child every pool starts anew; leases it inherited stay readable, in a private copy."""
    for pool in list(_POOLS):
        pool._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)
