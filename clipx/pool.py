"""Clips in memory set aside beforehand: `ClipPool`, and the leases of its slots."""

from __future__ import annotations

import contextlib
import gc
import math
import mmap
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from clipx._checks import as_array, byte_count, check_total, integer
from clipx.errors import PoolExhausted, PoolTooSmall

__all__ = ["ClipPool", "PoolStats"]

ALIGNMENT = 64  # a cache line, and the widest vector
LAYOUTS_KEPT = 64  # shapes whose checks are remembered; ragged clips have more, and are checked again


_POOLS: weakref.WeakSet[ClipPool] = weakref.WeakSet()


class PoolStats(NamedTuple):
    """What a pool holds: numbers of slots, bytes of one, and how often `acquire` had to wait for one."""

    slots: int
    free: int
    leased: int
    peak_leased: int
    slot_bytes: int
    waits: int


class _Lease:
    """The right to a slot. It is the `.base` of the clip's array, so it ends with the last thing that sees the slot.

    `__array_interface__` hands out the address once; whatever is made from that array keeps the array, and the array
    keeps the lease: views, memoryviews, DLPack capsules and tensors alike.
    """

    __slots__ = ("__array_interface__", "__weakref__", "_block", "_pid", "_release", "_slot", "slot_bytes")

    def __init__(self, generation: _Generation, slot: int, shape: tuple[int, ...], typestr: str) -> None:
        self._slot = slot
        self._block = generation.block
        self._pid = generation.pid
        self._release = generation.free.put
        self.slot_bytes = generation.slot_bytes
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": typestr,
            "data": (generation.address + slot * generation.slot_bytes, False),
        }

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        # May run inside a garbage collection, on any thread: SimpleQueue.put is reentrant. A forked child keeps its
        # hands off; a later generation has a queue of its own.
        if getpid() == self._pid:
            self._release(self._slot)


class _Generation:
    """A block of slots in one process, and the queue of those that are free."""

    def __init__(self, slots: int, slot_bytes: int, backing: np.ndarray | None) -> None:
        self.pid = os.getpid()
        self.slot_bytes = slot_bytes
        self.block = backing if backing is not None else np.frombuffer(_private_mapping(slots * slot_bytes), np.uint8)
        address = self.block.__array_interface__["data"][0]
        self.address = -(-address // ALIGNMENT) * ALIGNMENT
        self.free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(slots):
            self.free.put(slot)


def _private_mapping(size: int) -> mmap.mmap:
    """Anonymous memory that a forked child gets a copy of, in huge pages where the system has them."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size)
    try:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as exn:
        raise MemoryError(f"the system gives no {size} bytes for the pool: {exn}") from exn
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel built without them
            block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _slot_size(nbytes: int) -> int:
    return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT


class ClipPool:
    """Slots for clips on one preallocated block of memory, each leased until nobody can see it any more.

    >>> pool = clipx.ClipPool(slots=256, shape=(16, 224, 224, 3))
    >>> clip = pool.acquire()          # uint8 (16, 224, 224, 3), not cleared
    >>> del clip                       # the slot is free again

    Args:
        slots: how many.
        shape, dtype: of the clips that `acquire` gives by default; a slot holds any clip of at most its bytes.
        backing: a writable contiguous buffer to use as the block, such as shared memory or a pinned tensor, of at
            least `slots * slot_bytes` bytes and up to 63 more for alignment. Default: private anonymous memory, which
            the system hands out page by page as slots are first written.

    A pool belongs to one process. After fork, or unpickled, it is a new empty pool, made on first use; over `backing`
    it raises RuntimeError then. Threads may share a pool.

    Raises ValueError for sizes that do not fit, MemoryError where the system has no room.
    """

    reserve: int
    """Slots that others than a shuffle buffer may hold at once; a source raises it to what it needs when it starts."""

    _shape: tuple[int, ...] | None
    _dtype: np.dtype
    _backing: np.ndarray | None
    _generation: _Generation | None

    def __init__(self, slots: int, shape: tuple[int, ...] | int, dtype: Any = "uint8", *, backing: Any = None) -> None:
        self._setup(slots=integer("slots", slots, 1))
        self._fix_shape(shape, dtype)
        check_total("the pool", (self._slots,), self._slot_bytes)
        if backing is not None:
            self._backing = self._check_backing(backing)
        self._generation = self._made()

    @classmethod
    def of_bytes(cls, size: int | str, shape: tuple[int, ...] | int | None = None, dtype: Any = "uint8") -> ClipPool:
        """A pool of as many slots as fit into `size` bytes ("2GB", "64mb", "1.5GiB" or an integer).

        Without a shape, the first clip's shape and dtype are taken, and a later one that is larger is a ValueError.
        """
        pool = cls.__new__(cls)
        pool._setup(budget=byte_count("size", size))
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
        self._layouts: dict[Any, tuple[tuple[int, ...], str | None]] = {}
        self._peak_leased = self._waits = self.reserve = 0

    def _forked(self) -> None:
        self._lost_backing |= self._backing is not None
        self._backing = None
        self._start()

    def _fix_shape(self, shape: tuple[int, ...] | int, dtype: Any) -> None:
        """Take the shape that slots are made for, and with a budget the number of them."""
        shape = _as_shape(shape)
        dtype = _as_dtype(dtype)
        slot_bytes = _slot_size(check_total("a slot", shape, dtype.itemsize))
        if self._budget:
            self._slots = self._budget // slot_bytes
            if not self._slots:
                raise PoolTooSmall(
                    f"size is {self._budget} bytes, but one clip of shape {shape} and dtype {dtype} takes {slot_bytes}"
                )
        self._shape, self._dtype, self._slot_bytes = shape, dtype, slot_bytes

    def _check_backing(self, backing: Any) -> np.ndarray:
        block = as_array("backing", backing)
        if not block.flags.c_contiguous or not block.flags.writeable:
            raise ValueError("backing must be writable and C-contiguous")
        block = block.reshape(-1).view(np.uint8)
        needed = self._slots * self._slot_bytes + -block.__array_interface__["data"][0] % ALIGNMENT
        if block.nbytes < needed:
            raise ValueError(
                f"backing has {block.nbytes} bytes, but {self._slots} slots of {self._slot_bytes} bytes, aligned to "
                f"{ALIGNMENT}, take {needed}"
            )
        return block

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

    def _made(self) -> _Generation:
        if self._lost_backing:
            raise RuntimeError("the pool's backing stayed in the process that made the pool; make a pool here")
        return _Generation(self._slots, self._slot_bytes, self._backing)

    def _current(self, shape: Any = None, dtype: Any = None) -> _Generation:
        """The block of this process, made if there is none."""
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

    def _layout(self, shape: Any, dtype: Any) -> tuple[tuple[int, ...], str | None]:
        """Shape and typestr of a clip that fits; typestr is None for dtypes that it cannot name."""
        key = shape, dtype
        try:
            return self._layouts[key]
        except (KeyError, TypeError):
            pass
        dims = self._shape if shape is None else _as_shape(shape)
        dtype = self._dtype if dtype is None else _as_dtype(dtype)
        assert dims is not None
        if check_total("a clip", dims, dtype.itemsize) > self._slot_bytes:
            raise PoolTooSmall(
                f"a clip of shape {dims} and dtype {dtype} has {math.prod(dims) * dtype.itemsize} bytes, but a slot "
                f"{self._slot_bytes}; make the pool with shape={dims}, dtype={str(dtype)!r}"
            )
        layout = dims, dtype.str if np.dtype(dtype.str) == dtype else None
        if isinstance(shape, (tuple, int, type(None))) and len(self._layouts) < LAYOUTS_KEPT:
            self._layouts[key] = layout
        return layout

    def require(self, slots: int, shape: tuple[int, ...] | None = None, dtype: Any = None) -> None:
        """Check, before anything is cut, that clips of this shape fit and that a source can hold `slots` at once.

        A pool `of_bytes` that still waits for its first clip's shape is checked only where a shape is given. Raises
        ValueError that names both numbers.
        """
        if self._shape is None and shape is None:
            return
        self._current(shape, dtype)
        self._layout(shape, dtype)
        if self._slots < slots:
            raise PoolTooSmall(
                f"the pool has {self._slots} slots, but a source holds up to {slots} of them while it is cut; "
                f"{self._knob(slots)}"
            )
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
        generation = self._current(shape, dtype)
        dims, typestr = self._layout(shape, dtype)
        try:
            slot = generation.free.get_nowait()
        except queue.Empty:
            slot = self._wait(generation, timeout)
        leased = self._slots - generation.free.qsize()
        if leased > self._peak_leased:
            with self._lock:
                self._peak_leased = max(self._peak_leased, leased)
        if typestr is not None:
            return np.asarray(_Lease(generation, slot, dims, typestr))
        dtype = self._dtype if dtype is None else np.dtype(dtype)
        bytes_ = np.asarray(_Lease(generation, slot, (math.prod(dims) * dtype.itemsize,), "|u1"))
        return np.ndarray(dims, dtype, buffer=bytes_.data)

    def _wait(self, generation: _Generation, timeout: float | None) -> int:
        """A slot that comes free in time. Reference cycles may hold some: they are collected once before giving up."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if timeout != 0:
            with self._lock:
                self._waits += 1
            first = 1.0 if timeout is None else timeout
            try:
                return generation.free.get(timeout=first)
            except queue.Empty:
                pass
        gc.collect()
        try:
            return generation.free.get(block=timeout is None)
        except queue.Empty:
            waited = f" after {timeout} s" if deadline is not None and timeout else ""
            raise PoolExhausted(
                f"all {self._slots} slots of {self._slot_bytes} bytes are leased{waited}; hold fewer clips, or "
                f"{self._knob(self._slots + 1)}"
            ) from None

    def _knob(self, slots: int) -> str:
        if self._budget:
            return f"raise the pool's size of {self._budget} bytes to at least {slots * self._slot_bytes}"
        return f"raise slots to at least {slots}"

    def stats(self) -> PoolStats:
        """How many slots there are, are free and leased now, and were leased at most."""
        free = self._slots if self._generation is None else self._generation.free.qsize()
        return PoolStats(self._slots, free, self._slots - free, self._peak_leased, self._slot_bytes, self._waits)

    def __repr__(self) -> str:
        if self._shape is None:
            return f"ClipPool.of_bytes({self._budget})"
        return f"<ClipPool: {self._slots} slots of {self._shape} {self._dtype}, {self.stats().leased} leased>"

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
        self._lost_backing = state["lost_backing"]
        if state["shape"] is not None:
            self._fix_shape(state["shape"], state["dtype"])


def _as_shape(shape: Any) -> tuple[int, ...]:
    dims = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(integer("shape", each, 0) for each in dims)


def _as_dtype(dtype: Any) -> np.dtype:
    found = np.dtype(dtype)
    if found.hasobject:
        raise TypeError(f"dtype is {found}, whose elements are Python objects; a slot holds bytes")
    return found


def _forget_inherited() -> None:
    """In a forked child every pool starts anew; leases it inherited stay readable, in a private copy."""
    for pool in list(_POOLS):
        pool._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)
