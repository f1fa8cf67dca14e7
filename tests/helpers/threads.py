"""Threads of clipx that run, and waiting for what other threads do."""

import threading
import time

LEFT = set()  # threads that a failed test left, which later tests are not to blame for


def clipx_threads():
    found = [thread for thread in threading.enumerate() if thread.name.startswith("clipx-")]
    return sorted(thread.name for thread in found if thread not in LEFT)


def wait_until(true, seconds=5):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()
