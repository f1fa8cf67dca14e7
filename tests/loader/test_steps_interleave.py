"""The step that interleaves the clips of samples, on lists of numbers."""

import subprocess
import sys
import threading
from typing import NamedTuple

import pytest
from helpers.steps import check_midpoints
from helpers.threads import wait_until

from clipx.datasets.addresses import START, Address
from clipx.loader.budget import Budget
from clipx.loader.interleave import Interleave
from clipx.loader.interleave_state import BEGINNING, InterleaveState
from clipx.loader.open_samples import OpenSample
from clipx.loader.room import Weight
from clipx.plan import Selection

pytestmark = [pytest.mark.usefixtures("no_threads_left")]

COUNTS = [5, 0, 3, 8, 1, 1, 6, 0, 4]
"""Clips of each sample."""


class Clip(NamedTuple):
    number: int
    damaged: bool
    sample: str


def make_budget(active, waiting=1, ready=2, encoded_bytes=1000):
    return Budget(
        sources=active + waiting,
        active=active,
        ready=ready,
        slots=100,
        shuffled=0,
        bucketed=0,
        encoded_bytes=encoded_bytes,
        decoder_bytes=100,
        clip_beside=0,
        shuffled_beside=0,
        bucketed_beside=0,
    )


def samples(after=START, counts=COUNTS):
    for number, count in enumerate(counts):
        if not after.last or number > after.last[0].sample:
            yield Address(0, number, 100 + number), {"name": "abcdefghijkl"[number], "count": count}


def extract(sample, selection, weight):
    if weight.error is not None:
        raise weight.error
    for number in range(selection.first, sample["count"]):
        yield Clip(number, number > 2, f"{sample['name']}{number}")


def weigh(sample):
    return Weight(10)


def raises(exn):
    raise exn


def make(budget, *, threads=2, state=None, read=samples, extract=extract, weigh=weigh, handler=raises):
    """The step at a state, with the samples that are open there."""
    state = state or BEGINNING
    found = dict(samples())
    opened = []
    for each in state.active:
        clips = extract(found[each.address], Selection(first=each.following), Weight(10))
        opened.append(OpenSample(each.address, Weight(10), clips, each))
    return Interleave(
        read(state.read), weigh, extract, budget, threads=threads, handler=handler, state=state, opened=opened
    )


def names(step):
    step.start()
    try:
        for clip in step.clips():
            yield clip.sample
    finally:
        step.stop(5)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("active", [1, 2, 4, 20])
def test_midpoints(active, threads):
    def start(state):
        step = make(make_budget(active), threads=threads, state=state)
        return names(step), step

    given = check_midpoints(InterleaveState, start)
    assert sorted(given) == sorted(f"{name}{n}" for name, count in zip("abcdefghi", COUNTS) for n in range(count))


def test_order():
    """Three samples in rotation; the next one takes the place of one that has ended."""
    order = "a0 d0 c0 a1 d1 c1 a2 d2 c2 a3 d3 e0 a4 d4 f0 g0 d5 i0 g1 d6 i1 g2 d7 i2 g3 i3 g4 g5"
    for threads in (1, 2, 5):
        assert list(names(make(make_budget(3), threads=threads))) == order.split()


@pytest.mark.parametrize("active", [1, 3, 9])
def test_many_threads_under_load(active):
    """Threads that change over after every few operations: no clip is lost, none is given twice, none waits on."""
    interval, budget = sys.getswitchinterval(), make_budget(active, waiting=3, encoded_bytes=60)
    right = list(names(make(budget, threads=1)))
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(60):
            assert list(names(make(budget, threads=8))) == right
    finally:
        sys.setswitchinterval(interval)


def test_state():
    step = make(make_budget(2))
    clips = names(step)
    assert [next(clips) for _ in range(7)] == ["a0", "c0", "a1", "c1", "a2", "c2", "a3"]
    state = step.state()
    clips.close()
    # The second sample has no clips: the third gave its first at the beginning of the next round.
    active = [(each.address.sample, each.following, each.damaged) for each in state.active]
    assert active == [(2, 3, False), (0, 4, True)]
    assert (state.next, state.read.last[0].sample, state.ended) == (2, 2, False)


def test_errors():
    """An error comes where the clip would, and loses no other sample."""
    errors = []

    def broken(sample, selection, weight):
        for clip in extract(sample, selection, weight):
            if clip.sample == "d3":
                raise ValueError("d is broken")
            yield clip

    given = list(names(make(make_budget(3), extract=broken, handler=lambda exn: errors.append(str(exn)) or True)))
    assert errors == ["d is broken"]
    assert sorted(given) == sorted({*names(make(make_budget(3)))} - {"d3", "d4", "d5", "d6", "d7"})
    with pytest.raises(ValueError, match="d is broken"):
        list(names(make(make_budget(3), extract=broken)))
    # A handler may end all; a state says so.
    step = make(make_budget(3), extract=broken, handler=lambda exn: False)
    assert list(names(step))[-1] == "a3"
    assert step.state().ended


def test_errors_of_weighing_and_of_reading():
    def weigh_one(sample):
        return Weight(error=ValueError("too large")) if sample["name"] == "c" else Weight(10)

    errors = []
    handler = lambda exn: errors.append(str(exn)) or True  # noqa: E731
    given = list(names(make(make_budget(2), weigh=weigh_one, handler=handler)))
    assert errors == ["too large"]
    assert {name[0] for name in given} == set("adefgi")

    def broken(after):
        yield from list(samples())[:3]
        raise OSError("no more shards")

    clips = names(make(make_budget(2), read=broken))
    # It comes when all that was read before has been given.
    assert sorted(next(clips) for _ in range(8)) == ["a0", "a1", "a2", "a3", "a4", "c0", "c1", "c2"]
    with pytest.raises(OSError, match="no more shards"):
        next(clips)


def test_what_is_read_ahead():
    """No more than there is room for, whatever the samples weigh."""
    read = []

    def counted(after):
        for address, sample in samples(after):
            read.append(sample["name"])
            yield address, sample

    step = make(make_budget(1, waiting=0, encoded_bytes=45), read=counted)
    clips = names(step)
    assert next(clips) == "a0"
    assert wait_until(lambda: len(read) >= 4)
    wait_until(lambda: len(read) > 5, 0.2)
    assert len(read) <= 5
    assert step.held_bytes <= 50
    clips.close()


def test_stop_at_any_time():
    stuck = threading.Event()

    def slow(sample, selection, weight):
        yield Clip(0, False, "a0")
        stuck.wait(5)
        yield Clip(1, False, "a1")

    step = make(make_budget(2), extract=slow)
    step.start()
    clips = step.clips()
    assert next(clips).sample == "a0"
    threading.Timer(0.05, stuck.set).start()
    step.stop(5)
    assert list(clips) == []


def test_no_media_is_imported():
    code = "import clipx.loader.interleave, sys; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
