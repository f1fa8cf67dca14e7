cdef extern from "lock.h":
    ctypedef struct clipx_lock:
        pass
    void clipx_acquire(clipx_lock *) noexcept
    void clipx_release(clipx_lock *) noexcept


cdef class Slots:
    cdef readonly object block
    cdef readonly Py_ssize_t slots, slot_bytes
    cdef Py_ssize_t most_leased
    cdef char *address
    cdef clipx_lock lock
    cdef Py_ssize_t *stack
    cdef Py_ssize_t free_count
    cdef Py_ssize_t waiting
    cdef bint abandoned
    cdef object wake
    cdef Lease lease(self)
    cdef Py_ssize_t pop(self) noexcept
    cdef void give_back(self, Py_ssize_t slot) noexcept


cdef class Lease:
    cdef Slots slots
    cdef Py_ssize_t slot
    cdef char *address(self) noexcept
