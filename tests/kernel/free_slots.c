/*
 * Threads that take the free slots of a pool and give them back, with the lock that there is without a GIL.
 *
 * .ci/tsan compiles this with ThreadSanitizer, and with a Python.h that has a PyMutex of pthreads: the sanitizer sees
 * that a slot which comes back is handed over to whoever takes it next, with all that was written to it.
 */
#include <stdio.h>

#include "free_slots.h"

enum { SLOTS = 24, THREADS = 8, HELD = 6, ROUNDS = 100000 };

static clipx_free_slots pool;
static long memory[SLOTS]; /* written by whoever has the slot */

static void *work(void *argument) {
    long me = (long)argument, tags[HELD], round, wrong = 0;
    Py_ssize_t held[HELD], free_now, most;
    unsigned random = (unsigned)me * 2654435761u + 1;
    int count = 0, i;
    for (round = 0; round < ROUNDS || count; round++) {
        random = random * 1664525u + 1013904223u;
        if (count && (count == HELD || round >= ROUNDS || random >> 31)) {
            i = (int)((random >> 16) % (unsigned)count);
            wrong += memory[held[i]] != tags[i];
            clipx_give_slot_back(&pool, held[i]);
            count--;
            held[i] = held[count], tags[i] = tags[count];
            continue;
        }
        held[count] = clipx_take_slot(&pool);
        if (held[count] < 0) {
            clipx_add_waiting(&pool, 1);
            clipx_count_slots(&pool, &free_now, &most);
            wrong += free_now < 0 || free_now > SLOTS || most > SLOTS;
            clipx_add_waiting(&pool, -1);
            continue;
        }
        tags[count] = memory[held[count]] = me * ROUNDS + round;
        count++;
    }
    return (void *)wrong;
}

int main(void) {
    pthread_t threads[THREADS];
    Py_ssize_t free_now, most;
    void *found;
    long wrong = 0, i;
    if (!clipx_make_free_slots(&pool, SLOTS)) return 2;
    for (i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(i + 1))) return 2;
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &found);
        wrong += (long)found;
    }
    clipx_count_slots(&pool, &free_now, &most);
    printf("%d threads, %d rounds each: %ld wrong, %ld of %d slots free, %ld leased at most\n", THREADS, ROUNDS, wrong,
           (long)free_now, SLOTS, (long)most);
    free(pool.stack);
    return wrong != 0 || free_now != SLOTS || most > SLOTS;
}
