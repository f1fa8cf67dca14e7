"""The scheduling of threads, which SVT-AV1 changes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["kept_scheduling"]


@contextmanager
def kept_scheduling() -> Iterator[None]:
    """This thread goes on with the scheduling that it had, and threads that are started meanwhile have it, too.

    Where root runs it, as in most containers, SVT-AV1 makes itself and the thread that opens it real-time: nothing else
    would run on their cores.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters, before = os.sched_getscheduler(0), os.sched_getparam(0), set(_threads())
    try:
        yield
    finally:
        for thread in (0, *(each for each in _threads() if each not in before)):
            with suppress(ProcessLookupError, PermissionError):
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> list[int]:
    """The threads of this process, by their numbers."""
    return [int(name) for name in os.listdir("/proc/self/task")]
