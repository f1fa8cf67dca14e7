"""The step that makes batches, on small arrays in memory of their own."""

import numpy as np
import pytest
from helpers.steps import check_midpoints

from clipx.datasets.ledger import Ledger
from clipx.loader.batches import Batches, BatchRules, BatchState
from clipx.loader.open_samples import Extracted

SAMPLES = [{"__key__": f"k{n}", "x": np.full((2, 3), n, dtype=np.uint8), "cls": n} for n in range(11)]


def make(samples=SAMPLES, *, size=4, state=None, handler=None, **rest):
    def allocate(layout, name, shape, dtype):
        return np.empty(shape, dtype)

    rules = BatchRules(size, ["x"], **rest)
    step = Batches(rules, allocate, handler=handler or raises, ledger=Ledger(), state=state or BatchState())
    return step.batches(map(extracted, samples)), step


def extracted(sample):
    return Extracted(None, sample, 0)


def raises(exn):
    raise exn


def plain(batches):
    return ({name: np.asarray(value).tolist() for name, value in batch.items()} for batch in batches)


@pytest.mark.parametrize("size", [1, 4, 11, 20])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("most", [None, 0, 8, 9])
def test_midpoints(size, drop_last, most):
    def start(state):
        done = 0 if state is None else state.count * size
        batches, step = make(SAMPLES[done:], size=size, drop_last=drop_last, most=most, state=state)
        return plain(batches), step

    batches = check_midpoints(BatchState, start)
    count = min(11, 11 if most is None else most)
    # What is short of a batch is one where no more samples are wanted.
    if drop_last and most is None:
        count = count // size * size
    if drop_last and size > 11:
        count = 0 if most is None else count
    assert [n for batch in batches for n in batch["cls"]] == list(range(count))
    assert [key for batch in batches for key in batch["__key__"]] == [f"k{n}" for n in range(count)]
    assert all(len(batch["x"]) == size for batch in batches[:-1])


def test_layout():
    batches, step = make()
    assert step.state() == BatchState(0, None)
    next(batches)
    layout = step.state().layout
    assert (layout.key, layout.clips) == ("k0", ("x",))
    assert layout.fields == {"__key__": None, "x": ((2, 3), np.dtype("uint8")), "cls": None}


def test_a_sample_that_does_not_fit():
    errors = []
    odd = [*SAMPLES[:2], {"__key__": "odd", "x": np.zeros(5, np.uint8), "cls": 99}, *SAMPLES[2:]]
    batches, step = make(odd, handler=lambda exn: errors.append(exn) or True)
    assert [n for batch in batches for n in batch["cls"].tolist()] == list(range(11))
    assert step.given == 11
    (error,) = errors
    assert "'odd'" in str(error)
    assert "(5,)" in str(error)
    with pytest.raises(ValueError, match="'odd'"):
        list(make(odd)[0])
    # A handler that ends the epoch leaves the samples before.
    assert [n for batch in make(odd, handler=lambda exn: False)[0] for n in batch["cls"].tolist()] == [0, 1]


def test_no_sample_beyond_the_most_is_asked_for():
    asked = []

    def samples():
        for sample in SAMPLES:
            asked.append(sample["cls"])
            yield sample

    batches, step = make(samples(), most=6)
    assert [len(batch["cls"]) for batch in batches] == [4, 2]
    assert asked == list(range(6))
    assert step.complete
