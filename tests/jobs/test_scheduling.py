"""Threads that make themselves and others real-time do not stay so."""

import os
import threading

import pytest
from helpers.priority import policy

from clipx.jobs.extraction.scheduling import kept_scheduling


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="the system has no policies of scheduling")
def test_threads_that_are_started_meanwhile_have_the_scheduling_of_the_one_that_starts_them():
    before, found, ready, done = policy(), [], threading.Event(), threading.Event()

    def run():
        ready.set()
        done.wait()
        found.append(policy())

    with kept_scheduling():
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            pytest.skip("only root may be real-time")
        assert policy() != before
        thread = threading.Thread(target=run)
        thread.start()
        ready.wait()
    done.set()
    thread.join()
    assert (policy(), found) == (before, [before])
