"""Attributes that are computed once, without a lock."""

import threading

from clipx._lazy import lazy


class Value:
    def __init__(self, compute):
        self.compute = compute

    @lazy
    def found(self):
        """It is computed."""
        return self.compute()


def test_it_is_computed_once():
    calls = []
    value = Value(lambda: calls.append(1) or len(calls))
    assert (value.found, value.found, calls) == (1, 1, [1])
    assert Value.found.__doc__ == "It is computed."


def test_no_other_waits_for_one_that_is_computed():
    """Nor does a process that is forked meanwhile."""
    began, release, found = threading.Event(), threading.Event(), []
    slow = Value(lambda: began.set() or (release.wait(30) and "slow"))
    threads = [threading.Thread(target=lambda: slow.found)]
    threads[0].start()
    assert began.wait(30)
    threads.append(threading.Thread(target=lambda: found.append(Value(lambda: "other").found)))
    threads[1].start()
    threads[1].join(10)
    in_time = list(found)
    release.set()
    for thread in threads:
        thread.join()
    assert in_time == ["other"]
    assert slow.found == "slow"
