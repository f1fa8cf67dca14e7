"""Batches from one thread to another, and the counters of both."""

import threading

import numpy as np
import pytest
from helpers.steps import through_json
from helpers.threads import wait_until

from clipx import ClipPool, PoolExhausted
from clipx._threads import Task
from clipx.datasets.addresses import Address, Position
from clipx.loader.batches import BatchState
from clipx.loader.budget import Budget
from clipx.loader.handover import EpochStopped, Handover, Ready
from clipx.loader.interleave_state import InterleaveState
from clipx.loader.open_samples import ClipRef, OpenState
from clipx.loader.progress import Change, EpochState, Probed, Progress
from clipx.wds.layout import BatchLayout

pytestmark = [pytest.mark.usefixtures("no_threads_left")]


def make(timeout=None, slots=None):
    handover = Handover(Task(), timeout)
    if slots:
        handover.pool = ClipPool(slots, (4,))
    return handover


def test_batches_then_the_end():
    handover = make()
    for number in (1, 2):
        handover.wait_until_taken()
        handover.put(Ready({"n": number}, number, 1))
        assert handover.take() == ({"n": number}, number, 1)
    handover.end(None)
    assert handover.take() is None
    assert handover.take() is None


def test_an_error_comes_behind_the_batches():
    handover = make()
    handover.put(Ready({}, 1, 1))
    handover.end(ValueError("broken"))
    assert handover.take() == ({}, 1, 1)
    with pytest.raises(ValueError, match="broken"):
        handover.take()


def test_one_batch_waits():
    handover, put = make(), []

    def work():
        for number in (1, 2, 3):
            handover.wait_until_taken()
            handover.put(Ready({}, number, 1))
            put.append(number)
        handover.end(None)

    thread = threading.Thread(target=work)
    thread.start()
    assert wait_until(lambda: put == [1])
    assert not wait_until(lambda: len(put) > 1, 0.1)
    assert [handover.take().number for _ in range(3)] == [1, 2, 3]
    assert handover.take() is None
    thread.join()


def test_a_stopped_epoch():
    handover = make(slots=1)
    taken = handover.memory((4,), np.dtype("uint8"))
    threading.Timer(0.05, handover.stop).start()
    with pytest.raises(EpochStopped):
        handover.memory((4,), np.dtype("uint8"))
    with pytest.raises(EpochStopped):
        handover.check()
    handover.put(Ready({}, 1, 1))
    with pytest.raises(EpochStopped):
        handover.wait_until_taken()
    del taken


def test_a_closed_one_gives_nothing():
    handover = make()
    handover.put(Ready({}, 1, 1))
    handover.closed = True
    handover.clear()
    assert handover.take() is None


def test_a_consumer_that_holds_all_batches():
    handover = make(timeout=0, slots=1)
    held = handover.memory((4,), np.dtype("uint8"))
    made = []
    thread = threading.Thread(target=lambda: made.append(handover.memory((4,), np.dtype("uint8"))))
    thread.start()
    with pytest.raises(PoolExhausted, match=r"the consumer holds all 1 batches.* needs batch_size=None"):
        handover.take()
    del held  # it goes on once there is memory
    thread.join()
    assert len(made) == 1


def address(sample):
    return Address(0, sample, 1)


PROBED = Probed(
    1,
    ["x"],
    64,
    Budget(2, 1, 2, 10, 3, 0, 1000, 10, 0, 0, 0),
    BatchLayout("k", {"x": ((2, 3), np.dtype("uint8")), "y": None}, ("x",)),
)


def change(number):
    moves = [ClipRef(address(number), 0), ClipRef(address(number), 1, True), 0]
    opened = [OpenState(address(number), 2, False, [], 2)]
    interleave = InterleaveState(opened, 0, Position((address(number),), number), left=[])
    return Change(0, PROBED, interleave, moves, BatchState(number, PROBED.layout))


def test_progress_is_that_of_the_consumer():
    progress, states = Progress(EpochState(3, target=7)), []
    for number in (1, 2, 3):
        progress.add(change(number))
    for number in range(4):
        progress.batches = number
        states.append(progress.state())
    assert [state.batch.count for state in states] == [0, 1, 2, 3]
    assert [state.shuffle.drawn for state in states] == [0, 1, 2, 3]
    assert [len(state.shuffle.held) for state in states] == [0, 1, 2, 3]
    assert {(state.epoch, state.target) for state in states} == {(3, 7)}
    # And whenever the other thread takes up what has been handed out.
    progress = Progress(EpochState(3, target=7))
    for number in (1, 2, 3):
        progress.add(change(number))
        progress.batches = number
        assert progress.state() == states[number]
    progress.finished = True
    assert progress.state().finished


def test_a_state_comes_back_from_json():
    progress = Progress(EpochState(3, target=7))
    progress.add(change(1))
    progress.batches = 1
    assert through_json(EpochState, progress.state()) == progress.state()
