"""The step that shuffles clips, on numbers."""

import random

import pytest
from helpers.steps import check_midpoints

from clipx.datasets.addresses import Address
from clipx.loader.open_samples import ClipRef, Extracted
from clipx.loader.shuffle import Shuffle, ShuffleState

CLIPS = [Extracted(ClipRef(Address(0, n // 3, 7), n % 3), {"n": n}, 10 * (n % 4)) for n in range(40)]
ENOUGH = 10**6


def make(most, most_beside=ENOUGH):
    by_ref = {clip.ref: clip for clip in CLIPS}

    def start(state):
        state = state or ShuffleState()
        held = [by_ref[ref] for ref in state.held]
        shuffle = Shuffle(random.Random(3), most, most_beside, held, state.drawn)
        return shuffle.clips(iter(CLIPS[state.drawn + len(held) :])), shuffle

    return start


@pytest.mark.parametrize("most", [0, 1, 7, 39, 100])
@pytest.mark.parametrize("most_beside", [0, 25, ENOUGH])
def test_midpoints(most, most_beside):
    given = check_midpoints(ShuffleState, make(most, most_beside))
    assert sorted(clip.sample["n"] for clip in given) == list(range(40))


def test_order():
    ordered, shuffled = ([clip.sample["n"] for clip in make(most)(None)[0]] for most in (0, 10))
    assert ordered == list(range(40))
    assert ordered != shuffled
    assert all(n <= number + 10 for number, n in enumerate(shuffled))


def test_what_is_held():
    for most, most_beside in ((5, ENOUGH), (100, 60)):
        clips, shuffle = make(most, most_beside)(None)
        for _ in clips:
            held = shuffle.state().held
            assert len(held) <= most
            assert sum(clip.beside for clip in CLIPS if clip.ref in held) <= most_beside + 30  # of the one that came


def test_moves_lead_from_one_state_to_the_next():
    clips, shuffle = make(6)(None)
    state = shuffle.state()
    for number, _ in enumerate(clips):
        if number % 4 == 0:
            state.apply(shuffle.take_moves())
            assert state == shuffle.state()
    state.apply(shuffle.take_moves())
    assert state == shuffle.state() == ShuffleState([], 40)
    assert shuffle.take_moves() == []


def test_clips_that_were_given_are_not_kept():
    clips, shuffle = make(6)(None)
    assert next(clips).sample["n"] not in [CLIPS.index(clip) for clip in CLIPS if clip.ref in shuffle.state().held]
