cdef extern from "lock.h":
    ctypedef struct clipx_lock:
        pass
    void clipx_acquire(clipx_lock *) noexcept
    void clipx_release(clipx_lock *) noexcept


cdef extern from "free_slots.h":
    ctypedef struct clipx_free_slots:
        Py_ssize_t *stack
        Py_ssize_t free
    int clipx_make_free_slots(clipx_free_slots *, Py_ssize_t slots) noexcept
    Py_ssize_t clipx_take_slot(clipx_free_slots *) noexcept
    int clipx_give_slot_back(clipx_free_slots *, Py_ssize_t slot) noexcept
    void clipx_add_waiting(clipx_free_slots *, Py_ssize_t more) noexcept
    void clipx_count_slots(clipx_free_slots *, Py_ssize_t *free_now, Py_ssize_t *most_leased) noexcept


cdef class Slots:
    cdef readonly object block
    cdef readonly Py_ssize_t slots, slot_bytes
    cdef char *address
    cdef clipx_free_slots free_slots
    cdef bint abandoned
    cdef object wake
    cdef Lease lease(self)
    cdef tuple counts(self)
    cdef void give_back(self, Py_ssize_t slot) noexcept


cdef class Lease:
    cdef Slots slots
    cdef Py_ssize_t slot
    cdef char *address(self) noexcept
