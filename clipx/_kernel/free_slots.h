/* The free slots of a pool: a stack under a lock, so that the one that came back last, still in the cache, goes first. */
#ifndef CLIPX_FREE_SLOTS_H
#define CLIPX_FREE_SLOTS_H

#include <stdlib.h>

#include "lock.h"

typedef struct {
    clipx_lock lock;
    Py_ssize_t *stack;
    Py_ssize_t slots, free, most_leased;
    Py_ssize_t waiting; /* threads that wait for one */
} clipx_free_slots;

/* All slots are free; returns 0 where memory is short. */
static inline int clipx_make_free_slots(clipx_free_slots *s, Py_ssize_t slots) {
    Py_ssize_t i;
    s->stack = (Py_ssize_t *)malloc((size_t)slots * sizeof(Py_ssize_t));
    if (s->stack == NULL) return 0;
    for (i = 0; i < slots; i++) s->stack[i] = slots - 1 - i;
    s->slots = s->free = slots;
    return 1;
}

/* A slot, which is no longer free; -1 where none is. */
static inline Py_ssize_t clipx_take_slot(clipx_free_slots *s) {
    Py_ssize_t slot = -1;
    clipx_acquire(&s->lock);
    if (s->free) {
        slot = s->stack[--s->free];
        if (s->slots - s->free > s->most_leased) s->most_leased = s->slots - s->free;
    }
    clipx_release(&s->lock);
    return slot;
}

/* Returns whether a thread waits for it. */
static inline int clipx_give_slot_back(clipx_free_slots *s, Py_ssize_t slot) {
    int is_awaited;
    clipx_acquire(&s->lock);
    s->stack[s->free++] = slot;
    is_awaited = s->waiting > 0;
    clipx_release(&s->lock);
    return is_awaited;
}

/* So many threads more wait. A slot that comes back after this is awaited. */
static inline void clipx_add_waiting(clipx_free_slots *s, Py_ssize_t more) {
    clipx_acquire(&s->lock);
    s->waiting += more;
    clipx_release(&s->lock);
}

/* The number of free slots now, and of those that were leased at most. */
static inline void clipx_count_slots(clipx_free_slots *s, Py_ssize_t *free_now, Py_ssize_t *most_leased) {
    clipx_acquire(&s->lock);
    *free_now = s->free, *most_leased = s->most_leased;
    clipx_release(&s->lock);
}

#endif
