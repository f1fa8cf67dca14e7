"""Objects that are alive are known without a callback in Python."""

import sys

import clipx
from clipx._registry import Registry
from clipx.datasets.ledger import Ledger


class Thing:
    pass


def test_a_registry_has_what_is_alive():
    gone = []
    registry = Registry(lambda *facts: gone.append(facts))
    first, second = Thing(), Thing()
    registry.add(first, "first", 1)
    registry.add(second, "second", 2)
    registry.add(second, "second", 3)
    assert set(registry) == {first, second}
    del second
    assert list(registry) == [first]
    registry.sweep()
    assert gone == [("second", 3)]
    registry.end()
    assert gone == [("second", 3), ("first", 1)]
    assert list(registry) == []
    registry.sweep()
    assert len(gone) == 2


def called_while_going(make):
    made, called = make(), []
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: called.append(frame.f_code) if event == "call" else None)
    try:
        del made
    finally:
        sys.setprofile(before)
    return called


def test_ledgers_and_pools_go_without_a_line_of_python():
    """One in which Ctrl-C would be swallowed."""
    assert called_while_going(Ledger) == []
    assert called_while_going(lambda: clipx.ClipPool(2, (4,))) == []
