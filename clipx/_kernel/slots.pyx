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
from libc.stdlib cimport free

cdef object ndarray = np.ndarray
cdef enum:
    ALIGNMENT = 64  # a cache line, and the widest vector


cdef class Slots:
    """The slots of a block, and which of them are free.

    A lease may end on any thread, also inside a garbage collection: what holds the lock of `free_slots` runs no Python,
    so that no collection and no other thread's work comes between. `wake` is called with None when a slot comes back
    while someone waits; it must be reentrant, as SimpleQueue.put is.
    """

    def __cinit__(self, block, Py_ssize_t slots, Py_ssize_t slot_bytes, wake):
        cdef Py_buffer view
        cdef Py_ssize_t padding
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
        if not clipx_make_free_slots(&self.free_slots, slots):
            raise MemoryError

    def __dealloc__(self):
        free(self.free_slots.stack)

    @property
    def free(self):
        """Number of slots that are free."""
        return self.counts()[0]

    @property
    def peak_leased(self):
        """Most slots that were leased at once."""
        return self.counts()[1]

    cdef tuple counts(self):
        cdef Py_ssize_t free_now, most_leased
        clipx_count_slots(&self.free_slots, &free_now, &most_leased)
        return free_now, most_leased

    cdef Lease lease(self):
        """A lease of a free slot, or None."""
        cdef Lease lease
        cdef Py_ssize_t slot = clipx_take_slot(&self.free_slots)
        if slot < 0:
            return None
        lease = Lease.__new__(Lease)
        lease.slot = slot
        lease.slots = self
        return lease

    def abandon(self):
        """Lease no slot any more, and take none back: a forked child must not touch what it inherited."""
        # Without the lock: a process that has just been forked has one thread.
        self.abandoned = True
        self.free_slots.free = 0

    cdef void give_back(self, Py_ssize_t slot) noexcept:
        if not self.abandoned and clipx_give_slot_back(&self.free_slots, slot):
            self.wake(None)

    def wait(self, Py_ssize_t more):
        """Add `more` to the number of threads that wait for a slot. A slot that is free afterwards wakes them."""
        clipx_add_waiting(&self.free_slots, more)

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
