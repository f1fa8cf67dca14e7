/*
 * A lock around a few lines that run no Python. Where the interpreter has a GIL, whose holder runs them, that is enough.
 *
 * A forked process never inherits it locked: Python forks where it has the GIL, or has stopped all other threads, which
 * it does between such lines and not within them.
 */
#ifndef CLIPX_LOCK_H
#define CLIPX_LOCK_H

#include <Python.h>

#ifdef Py_GIL_DISABLED
typedef PyMutex clipx_lock;
#define clipx_acquire(lock) PyMutex_Lock(lock)
#define clipx_release(lock) PyMutex_Unlock(lock)
#else
typedef char clipx_lock;
#define clipx_acquire(lock) ((void)(lock))
#define clipx_release(lock) ((void)(lock))
#endif

#endif
