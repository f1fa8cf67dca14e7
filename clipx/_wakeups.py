"""Waiting for a slot that comes back to a pool."""

from __future__ import annotations

import queue
import sysconfig
import time

__all__ = ["comes"]

NAP_SECONDS = 0.02 if sysconfig.get_config_var("Py_GIL_DISABLED") else None
"""Longest that a thread sleeps while it waits for a slot; None for any time.

Without a GIL, an array that another thread drops is freed by the thread that made it, as soon as that runs Python.
"""


def comes(woken: queue.SimpleQueue[None], seconds: float | None) -> bool:
    """Wait until a slot comes back; False after so many seconds, of which None are any number."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if end is None else max(end - time.monotonic(), 0)
        naps = [each for each in (left, NAP_SECONDS) if each is not None]
        try:
            woken.get(timeout=min(naps, default=None))
            return True
        except queue.Empty:
            if end is not None and time.monotonic() >= end:
                return False
