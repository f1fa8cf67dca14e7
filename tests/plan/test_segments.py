"""Segments: checked when they are made, numbered as they are given, planned together."""

import json
import pickle
from fractions import Fraction

import numpy as np
import pytest
from helpers.segments import clips_of, in_order, open_at_once
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import Segment, WindowSpec
from clipx.plan import Extent, FrameSpec, Selection, as_segments, segmented
from clipx.plan.draws import segment_rng
from clipx.plan.policies import POLICIES
from clipx.plan.segmented import count_clips, frames_of_segments, plan_segments


def test_a_segment_is_what_it_was_given():
    segment = Segment(0.1, "30000/1001", {"caption": "a dog"})
    assert (segment.start, segment.end, segment.unit) == (Fraction("0.1"), Fraction(30000, 1001), "seconds")
    assert segment.record() == {
        "number": None,
        "start": 0.1,
        "end": 30000 / 1001,
        "unit": "seconds",
        "facts": {"caption": "a dog"},
    }
    assert json.loads(json.dumps(Segment(1, 2, number=3).record()))["number"] == 3
    assert type(Segment(1, 2).record()["start"]) is int
    assert pickle.loads(pickle.dumps(segment)) == segment


def test_the_repr_of_a_segment():
    assert repr(Segment(-1, 0.1)) == "Segment(-1, 0.1)"
    assert repr(Segment(1, 5, {"a": 2}, "frames", number=3)) == "Segment(1, 5, {'a': 2}, unit='frames', number=3)"
    assert eval(repr(Segment(1, 5, {"a": 2}, "frames", number=3))) == Segment(1, 5, {"a": 2}, "frames")


def nested(levels):
    facts = []
    for _ in range(levels):
        facts = [facts]
    return facts


@pytest.mark.parametrize("levels", [700, 100_000])
def test_facts_that_no_copy_can_be_made_of(levels):
    with pytest.raises(ValueError, match="facts are nested too deeply"):
        Segment(0, 1, {"a": nested(levels)})


@pytest.mark.parametrize("end", [10**400, Fraction(10**400, 3)])
def test_seconds_beyond_floats(end):
    with pytest.raises(TypeError, match=r"end is .* but must be a number of seconds"):
        Segment(0, end)


def test_a_segment_keeps_facts_of_its_own():
    facts = {"label": 1}
    segment = Segment(0, 1, facts)
    facts["label"] = 2
    segment.record()["facts"]["label"] = 3
    assert segment.facts == {"label": 1}
    assert len({segment, Segment(0, 1, {"label": 1}), Segment(0, 2)}) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((2, 2), ValueError, "end is 2, but must be after start, 2"),
        ((2.5, 1), ValueError, "end is 1, but must be after start, 2.5"),
        ((float("nan"), 1), TypeError, "start is nan, but must be a number of seconds"),
        ((0, float("inf")), TypeError, "end is inf, but must be a finite number of seconds; an end past"),
        ((0, None), TypeError, "end is None, but must be a finite number of seconds"),
        ((0, 1, "text"), TypeError, "facts is 'text', but must be a mapping, or None"),
        ((0, 1, {1: 2}), TypeError, "facts has the name 1, but its names must be texts"),
        ((0, 1, {"a": b""}), TypeError, "which JSON does not take"),
        ((0, 1, {"a": float("nan")}), TypeError, "which JSON does not take"),
        ((0, 1, None, "minutes"), ValueError, "unit is 'minutes', but must be one of seconds, frames"),
        ((0.5, 1, None, "frames"), TypeError, "start is 0.5, but must be an integer"),
        ((-1, 1, None, "frames"), ValueError, "start is -1, but must be at least 0"),
    ],
)
def test_bad_segments(arguments, error, message):
    with pytest.raises(error, match=message):
        Segment(*arguments)


def test_segments_are_numbered_as_they_are_given():
    again = Segment(5, 6, {"a": 1}, number=9)
    segments = as_segments([(0, 1), again, np.array([2, 3])], "seconds")
    assert [(number, each.number, int(each.start)) for number, each in segments.items()] == [
        (0, 0, 0),
        (1, 1, 5),
        (2, 2, 2),
    ]
    assert segments[1].facts == {"a": 1}
    assert as_segments([(0, 1)], "frames")[0].unit == "frames"
    assert as_segments(None, "seconds") is None


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([(0, 1), (3, 2)], "segment 1: end is 2, but must be after start, 3"),
        ([(0, 1, 2)], r"segment 0 is \(0, 1, 2\), but must be a pair"),
        (["01"], "segment 0 is '01', but must be a pair"),
        ([5], "segment 0 is 5, but must be a pair"),
        ("0-1", "segments is '0-1', but must be a sequence of pairs"),
        (5, "segments is 5, but must be a sequence of pairs"),
    ],
)
def test_bad_lists(segments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        as_segments(segments, "seconds")


def test_generators_of_segments_do_not_depend_on_others():
    assert segment_rng((1, 2), 3).integers(1 << 60) == segment_rng((1, 2), 3).integers(1 << 60)
    assert segment_rng((1, 2), 3).integers(1 << 60) != segment_rng((1, 2), 4).integers(1 << 60)


class Every(FrameSpec):
    """One clip of every third frame, as long as it gets."""

    max_length = None

    def count(self, extent):
        return 1

    def rows(self, extent, rng=None):
        return np.arange(0, extent.n, 3)[None]


class Fill(Every):
    """A clip without a frame, and one with the last."""

    def count(self, extent):
        return 2

    def rows(self, extent, rng=None):
        return np.array([[-1, -1], [-1, extent.n - 1]])


policies = st.sampled_from([policy for policy in POLICIES if policy != "error"])
windows = st.builds(
    WindowSpec,
    st.integers(1, 5),
    st.integers(1, 7),
    st.integers(1, 3),
    policies,
    offset=st.sampled_from([0, 1, 3, "random"]),
) | st.builds(
    WindowSpec,
    st.integers(1, 5),
    dilation=st.integers(1, 3),
    policy=policies,
    num_clips=st.integers(1, 4),
    sampling=st.sampled_from(["regular", "random", "partition", "partition_source"]),
)
pairs = st.lists(
    st.tuples(st.integers(0, 24), st.integers(1, 30)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=6
)


def planned(spec, pairs, n, rng=7, **rest):
    found, errors = frames_of_segments(as_segments(pairs, "frames"), n)
    plan, of_spec = plan_segments(spec, found, rng, **rest)
    return plan, found, errors + of_spec


@settings(deadline=None, max_examples=200)
@given(windows | st.just(Every()), pairs, st.integers(1, 30))
def test_a_plan_is_the_clips_of_all_segments(spec, pairs, n):
    plan, found, errors = planned(spec, pairs, n)
    frames_of = {number: range(n)[a:b] for number, (a, b) in enumerate(pairs) if a < n}
    assert [number for number, _ in errors] == [number for number, (a, _) in enumerate(pairs) if a >= n]
    given = clips_of(spec, frames_of, 7)
    wanted = in_order(given)
    assert len(plan) == len(wanted) == count_clips(spec, found, 7) == plan.count(n)
    for position, clip in enumerate(wanted):
        assert plan.key(position) == (clip.segment, clip.index)
        assert list(plan.row(position)) == clip.row
        facts = plan.describe(position)
        assert (facts["number"], facts["index"], facts["start"]) == (position, clip.index, clip.start)
        assert (facts["valid"], facts["segment"].number) == (clip.valid, clip.segment)
        assert plan.opening(position) == min(k for k in clip.row if k >= 0)
    assert plan.slots() == max(open_at_once(wanted), 1) + 1
    openings = [opening for _, opening in plan.openings(Selection())]
    assert openings == sorted(openings)
    by_segment, _, _ = planned(spec, pairs, n, by_segment=True)
    assert [list(by_segment.row(position)) for position in range(len(by_segment))] == [clip.row for clip in given]


@settings(deadline=None, max_examples=50)
@given(windows, pairs, st.integers(1, 30), st.data())
def test_a_selection_of_a_plan(spec, pairs, n, data):
    plan, _, _ = planned(spec, pairs, n)
    first = data.draw(st.none() | st.integers(0, len(plan)))
    some = data.draw(st.sets(st.integers(0, max((len(plan) if first is None else first) - 1, 0))))
    some = [each for each in some if each < (len(plan) if first is None else first)]
    selection = Selection(tuple(sorted(some)), first)
    begun = list(plan.openings(selection))
    assert sorted(position for position, _ in begun) == selection.of(len(plan)).tolist()
    assert [opening for _, opening in begun] == sorted(opening for _, opening in begun)
    indices = selection.of(len(plan))
    held = np.flatnonzero(plan.frames_in_order(indices, n)).tolist()
    assert held == sorted({k for position in indices for k in plan.row(position) if k >= 0})


def test_clips_of_fill_are_open_at_their_segments_start():
    plan, _, _ = planned(Fill(), [(4, 8), (2, 6)], 10)
    assert [(plan.key(i), plan.opening(i)) for i in range(4)] == [((1, 0), 2), ((0, 0), 4), ((1, 1), 5), ((0, 1), 7)]


def test_clips_of_a_segment_come_in_order_whatever_their_last_frames():
    plan, _, _ = planned(WindowSpec(4, 2, 3, "constant"), [(13, 116)], 200)
    assert [plan.key(i)[1] for i in range(len(plan))] == list(range(len(plan)))
    assert [list(plan.row(i)) for i in range(len(plan))][-2:] == [[105, 108, 111, 114], [107, 110, 113, -1]]


def test_complete_clips_come_before_the_error_of_a_policy():
    plan, _, errors = planned(WindowSpec(3, 2, policy="error"), [(0, 6), (0, 7), (8, 9)], 20)
    assert [plan.key(i) for i in range(len(plan))] == [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2)]
    assert [number for number, _ in errors] == [0, 2]
    assert "segment 0, frames 0 to 6: policy is 'error', but 1 of 6 frames" in str(errors[0][1])


def test_a_plan_of_too_many_clips_takes_no_memory(monkeypatch):
    monkeypatch.setattr(segmented, "MOST_CLIPS", 10)
    with pytest.raises(ValueError, match="segments have more than 10 clips together"):
        planned(WindowSpec(1), [(0, 6)] * 2, 20)


def test_rows_of_long_windows_are_not_kept():
    spec = WindowSpec(2**30, 2**10)
    found, _ = frames_of_segments(as_segments([(0, 2**31)] * 3, "frames"), 2**31)
    plan, _ = plan_segments(spec, found, None)
    assert len(plan) == 3 * spec.count(Extent(2**31))
    assert plan.row(len(plan) - 1) == range(2**30, 2**31)
