"""The scheduling of the process, which an encoder changes."""

import os
from contextlib import contextmanager

__all__ = ["kept_policy", "policy"]


def policy():
    """The scheduling policy of this thread; None where the system does not say."""
    return os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None


@contextmanager
def kept_policy():
    """This thread goes on with the scheduling that it had.

    Where root runs it, SVT-AV1 makes the thread that encodes a real-time one. All threads and processes that it starts
    later are so, too: nothing else then runs on their cores, and none of them makes room for another.
    """
    before = policy()
    parameters = None if before is None else os.sched_getparam(0)
    try:
        yield
    finally:
        if before is not None and policy() != before:
            os.sched_setscheduler(0, before, parameters)
