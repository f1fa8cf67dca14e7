"""The step that makes batches of buckets, on small arrays: run to any midpoint and on."""

import random

import numpy as np
import pytest
from helpers.ragged import bucketed
from helpers.steps import check_midpoints

from clipx.datasets.addresses import Address
from clipx.datasets.ledger import Ledger
from clipx.loader.batches import Batches, BatchRules, BatchState
from clipx.loader.open_samples import ClipRef, Extracted

ENOUGH = 10**6


def clips_of(count, shapes, seed=0):
    rng = random.Random(seed)
    return [
        Extracted(
            ClipRef(Address(0, n // 3, 7), n % 3),
            {"__key__": f"k{n}", "x": np.full((rng.randrange(1, shapes + 1), 2), n, dtype=np.uint8), "n": n},
            10 * (n % 4),
        )
        for n in range(count)
    ]


class Run:
    """Batches of clips; what each is made of, and how many clips had come by then."""

    def __init__(self, clips, size, most, most_beside=ENOUGH, drop_last=False):
        self.rules = BatchRules(size, ["x"], drop_last, "bucket", None, most, most_beside)
        self.clips, self.by_ref = clips, {clip.ref: clip for clip in clips}
        self.taken, self.ledger = {0: 0}, Ledger()

    def start(self, state):
        state = state or BatchState()
        come = [self.by_ref[ref] for ref in state.held]
        self.count = self.taken[state.count]

        def rest():
            yield from come
            for clip in self.clips[self.count :]:
                self.count += 1
                yield clip

        def allocate(layout, name, shape, dtype):
            return np.empty(shape, dtype)

        step = Batches(self.rules, allocate, handler=raises, ledger=self.ledger, state=state)
        return self.plain(step, step.batches(rest())), step

    def plain(self, step, batches):
        for batch in batches:
            self.taken[step.state().count] = self.count
            assert (batch["x"] == batch["n"][:, None, None]).all()
            yield batch["n"].tolist()


def raises(exn):
    raise exn


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shapes", [1, 3, 8])
@pytest.mark.parametrize(("size", "more"), [(1, 0), (2, 0), (4, 0), (4, 9), (50, 0)])
def test_midpoints(size, more, shapes, drop_last):
    clips = clips_of(41, shapes)
    run = Run(clips, size, size + more, drop_last=drop_last)
    given = check_midpoints(BatchState, run.start)
    wanted, left = bucketed(clips, lambda clip: clip.sample["x"].shape, size, size + more, not drop_last)
    assert given == [[clip.sample["n"] for clip in group] for group in wanted]
    # Some of the runs from states on have left out the same.
    assert {entry.key for entry in run.ledger} == {clip.sample["__key__"] for clip in left}


@pytest.mark.parametrize("most_beside", [0, 25, 60])
def test_bytes_beside_slots(most_beside):
    """Buckets hold no more than they may: short batches make room, also several at a time."""
    clips = clips_of(41, 5)
    run = Run(clips, 6, 20, most_beside)
    batches, step = run.start(None)
    given = []
    for batch in batches:
        given += batch
        beside = sum(clip.beside for clip in clips if clip.ref in step.state().held)
        assert beside <= most_beside + 30  # of the one that came
    assert sorted(given) == list(range(41))
    check_midpoints(BatchState, Run(clips, 6, 20, most_beside).start)


def test_what_is_held():
    clips = clips_of(200, 30)
    batches, step = Run(clips, 5, 12).start(None)
    for number, _ in enumerate(batches):
        assert len(step.state().held) <= 12
        if number == 20:
            assert len(step.state().held) > 8
