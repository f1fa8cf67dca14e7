# cython: language_level=3, boundscheck=False, wraparound=False
# cython: freethreading_compatible=True
"""Slots on one block of memory, and their leases; `pool.py` says what they are for."""

import numpy as np

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_WRITABLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

cdef object ndarray = np.ndarray
cdef enum:
    ALIGNMENT = 64  # a cache line, and the widest vector


cdef class Slots:
    """The slots of a block, and a stack of the free ones: the one that came back last is still in the cache.

    A lease may end on any thread, also inside a garbage collection: what holds `lock` runs no Python, so that no
    collection and no other thread's work comes between. `wake` is called with None when a slot comes back while someone
    waits; it must be reentrant, as SimpleQueue.put is.
    """

    def __cinit__(self, block, Py_ssize_t slots, Py_ssize_t slot_bytes, wake):
        cdef Py_buffer view
        cdef Py_ssize_t padding, i
        if slots < 1 or slot_bytes < ALIGNMENT or slot_bytes % ALIGNMENT:
            raise ValueError(f"{slots} slots of {slot_bytes} bytes")
        PyObject_GetBuffer(block, &view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        self.address = <char *>view.buf
        padding = -<uintptr_t>view.buf % ALIGNMENT
        size = view.len
        # The block itself is held below; a buffer held for ever would keep a mapping from being closed.
        PyBuffer_Release(&view)
        if slots * slot_bytes + padding > size:
            raise ValueError(f"{slots} slots of {slot_bytes} bytes do not fit into {size}")
        self.address += padding
        self.block, self.slots, self.slot_bytes, self.wake = block, slots, slot_bytes, wake
        self.stack = <Py_ssize_t *>malloc(slots * sizeof(Py_ssize_t))
        if self.stack == NULL:
            raise MemoryError
        for i in range(slots):
            self.stack[i] = slots - 1 - i
        self.free_count = slots

    def __dealloc__(self):
        free(self.stack)

    @property
    def free(self):
        """Number of slots that are free."""
        cdef Py_ssize_t count
        clipx_acquire(&self.lock)
        count = self.free_count
        clipx_release(&self.lock)
        return count

    @property
    def peak_leased(self):
        """Most slots that were leased at once."""
        cdef Py_ssize_t count
        clipx_acquire(&self.lock)
        count = self.most_leased
        clipx_release(&self.lock)
        return count

    cdef Lease lease(self):
        """A lease of a free slot, or None."""
        cdef Lease lease
        cdef Py_ssize_t slot = self.pop()
        if slot < 0:
            return None
        lease = Lease.__new__(Lease)
        lease.slot = slot
        lease.slots = self
        return lease

    cdef Py_ssize_t pop(self) noexcept:
        """A slot that is free, and is no longer; -1 where none is."""
        cdef Py_ssize_t slot = -1
        clipx_acquire(&self.lock)
        if self.free_count:
            self.free_count -= 1
            slot = self.stack[self.free_count]
            self.most_leased = max(self.most_leased, self.slots - self.free_count)
        clipx_release(&self.lock)
        return slot

    def abandon(self):
        """Lease no slot any more, and take none back: a forked child must not touch what it inherited."""
        # Without the lock: a process that has just been forked has one thread.
        self.abandoned = True
        self.free_count = 0

    cdef void give_back(self, Py_ssize_t slot) noexcept:
        cdef bint is_awaited
        if self.abandoned:
            return
        clipx_acquire(&self.lock)
        self.stack[self.free_count] = slot
        self.free_count += 1
        is_awaited = self.waiting > 0
        clipx_release(&self.lock)
        if is_awaited:
            self.wake(None)

    def wait(self, Py_ssize_t more):
        """Add `more` to the number of threads that wait for a slot. A slot that is free afterwards wakes them."""
        clipx_acquire(&self.lock)
        self.waiting += more
        clipx_release(&self.lock)

    def take(self, tuple shape not None, dtype):
        """A free slot as an array of this shape, or None. Raises TypeError where the slot is too small."""
        lease = self.lease()
        return None if lease is None else ndarray(shape, dtype, lease)


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Lease:
    """The right to a slot: the `.base` of its clip's array. The slot is free again when the lease is destroyed.

    Its buffer is the slot. Whatever is made from the array keeps the array, and the array keeps the lease, also after
    its buffer has been released.
    """

    def __init__(self):
        raise TypeError("a lease comes from a pool")

    def __reduce__(self):
        raise TypeError("a lease cannot be copied or pickled; copy the array")

    cdef char *address(self) noexcept:
        return self.slots.address + self.slot * self.slots.slot_bytes

    @property
    def slot_bytes(self):
        """Bytes of the slot."""
        return 0 if self.slots is None else self.slots.slot_bytes

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.slots is None:
            raise BufferError("this lease is of no slot")
        PyBuffer_FillInfo(view, self, self.address(), self.slots.slot_bytes, 0, flags)

    def __dealloc__(self):
        if self.slots is not None:
            self.slots.give_back(self.slot)
