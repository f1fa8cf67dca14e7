"""FrameList against the reference: frames by number and by time, in the order given."""

import re
from fractions import Fraction

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import FrameList, windows
from clipx.plan import Extent

SECONDS = st.fractions(-3, 12, max_denominator=1000)


@settings(deadline=None)
@given(n=st.integers(0, 40), frames=st.lists(st.integers(0, 40), min_size=1, max_size=12))
def test_frames(n, frames):
    for given_frames in (frames, tuple(frames), np.array(frames)):
        spec = FrameList(given_frames)
        if max(frames) >= n:
            i = next(i for i, frame in enumerate(frames) if frame >= n)
            for method in (spec.rows, spec.count):
                with pytest.raises(
                    ValueError, match=re.escape(f"frames[{i}] is {frames[i]}, but there are {n} frames")
                ):
                    method(n)
            assert spec.count_until_error(n) == 0
            continue
        rows = spec.checked_rows(n)
        assert (rows.tolist(), rows.dtype, spec.count(n), spec.count_until_error(n)) == ([frames], np.int64, 1, 1)
    assert (spec.max_length, spec.field) == (len(frames), None)
    assert not spec.needs_times


@settings(deadline=None)
@given(
    durations=st.lists(st.fractions(Fraction(1, 100), 1, max_denominator=100), max_size=12),
    start=st.fractions(-2, 2, max_denominator=90),
    seconds=st.lists(SECONDS, min_size=1, max_size=6),
    tolerance=st.none() | st.fractions(0, 2, max_denominator=100),
)
def test_seconds(durations, start, seconds, tolerance):
    times = [start + sum(durations[:i]) for i in range(len(durations) + 1)]
    extent, spec = Extent(len(durations), times), FrameList(seconds=seconds, tolerance_seconds=tolerance)
    wanted = []
    for second in seconds:
        frame = reference.nearest(times, second) if durations else None
        if tolerance is None:
            found = times[0] <= second < times[-1]
        else:
            found = frame is not None and abs(times[frame] - second) <= tolerance
        if not found:
            for method in (spec.rows, spec.count):
                with pytest.raises(
                    ValueError, match=re.escape(f"seconds[{len(wanted)}] is {float(second):g}, but the")
                ):
                    method(extent)
            return
        wanted.append(frame)
    assert spec.checked_rows(extent).tolist() == [wanted]
    assert spec.count(extent) == 1


def test_what_errors_say():
    extent = Extent(4, [0, 0.5, 1, 1.5, 2])
    with pytest.raises(ValueError, match=re.escape("seconds[1] is 2, but the frames are from 0 to before 2 seconds")):
        FrameList(seconds=[0, 2]).rows(extent)
    with pytest.raises(
        ValueError, match=re.escape("seconds[0] is 0.7, but the nearest frame begins at 0.5, which is not")
    ):
        FrameList(seconds=[0.7], tolerance_seconds=0.1).rows(extent)
    assert FrameList(seconds=[0.75, 0.6, 1.99]).rows(extent).tolist() == [[1, 1, 3]]
    assert FrameList(seconds=[-0.1, 2], tolerance_seconds=0.5).rows(extent).tolist() == [[0, 3]]


def test_floats_of_clips_mean_their_frames():
    times = [Fraction(i * 1001, 30000) for i in range(40)]
    for kind in (np.float64, np.float32):
        pts = np.array(times[:-1], dtype=kind)
        for seconds in (pts, [float(each) for each in pts]):
            for tolerance in (None, 0):
                spec = FrameList(seconds=seconds, tolerance_seconds=tolerance)
                assert spec.rows(Extent(39, times)).tolist() == [list(range(39))]
    with pytest.raises(ValueError, match="which is not within tolerance_seconds, 0"):
        FrameList(seconds=["0.0333"], tolerance_seconds=0).rows(Extent(39, times))


def test_seconds_need_times():
    spec = FrameList(seconds=[1])
    assert spec.needs_times
    for run in (lambda: spec.rows(9), lambda: spec.count(Extent(9)), lambda: windows.extract(np.arange(9), spec)):
        with pytest.raises(ValueError, match=r"FrameList.* needs the times of frames, but its source has none"):
            run()


def test_a_field_of_a_sample():
    for spec, name in [(FrameList("json:frames", max_frames=4), "frames"), (FrameList(seconds="json:at"), "seconds")]:
        assert spec.field == {"frames": "json:frames", "seconds": "json:at"}[name]
        assert spec.max_length == {"frames": 4, "seconds": None}[name]
        for method in (spec.rows, spec.count, spec.count_until_error):
            with pytest.raises(
                ValueError, match=f"{name} is '{spec.field}', a field of a sample, which only stages have"
            ):
                method(9)


@pytest.mark.parametrize(("fields", "error", "message"), [
    ({}, ValueError, "frames is None and seconds is None, but exactly one must be given"),
    ({"frames": [1], "seconds": [1]}, ValueError, "frames is [1] and seconds is [1], but exactly one"),
    ({"frames": []}, ValueError, "frames is empty"),
    ({"frames": ""}, ValueError, "frames is '', but must be the name of a field"),
    ({"seconds": [None]}, TypeError, "seconds[0] is None, but must be a number of seconds"),
    ({"frames": 3}, TypeError, "frames is 3, but must be a list"),
    ({"frames": np.zeros((2, 2), int)}, TypeError, "but must be a list"),
    ({"frames": [0, -1]}, ValueError, "frames[1] is -1, but must be at least 0"),
    ({"frames": [0, 2.5]}, TypeError, "frames[1] is 2.5, but must be an integer"),
    ({"frames": [0, 2**61]}, ValueError, "frames[1] is"),
    ({"seconds": [0, float("nan")]}, TypeError, "seconds[1] is nan, but must be a number of seconds"),
    ({"seconds": [0, "soon"]}, TypeError, "seconds[1] is 'soon'"),
    ({"frames": [0], "tolerance_seconds": 1}, ValueError, "tolerance_seconds is 1, but frames are given by number"),
    ({"seconds": [0], "tolerance_seconds": -1}, ValueError, "tolerance_seconds is -1, but must be at least 0"),
    ({"frames": [0, 1, 2], "max_frames": 2}, ValueError, "frames has 3 numbers, but max_frames is 2"),
    ({"frames": [0], "max_frames": 0}, ValueError, "max_frames is 0"),
])  # fmt: skip
def test_refused(fields, error, message):
    with pytest.raises(error, match=re.escape(message)):
        FrameList(**fields)
