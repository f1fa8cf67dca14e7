"""The times of a clip's frames in a file of its own."""

from fractions import Fraction

import numpy as np
import pytest

from clipx.jobs.extraction.frame_times import frame_times


def facts(times, lasts, valid=None):
    return {"pts_seconds": times, "duration_seconds": lasts, "valid": len(times) if valid is None else valid}


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), 24, 25, 30, 50, 60, 90000, 1000])
def test_times_of_usual_rates_are_exact(rate):
    times = frame_times(facts([float(7 + k / Fraction(rate)) for k in range(50)], [float(1 / Fraction(rate))] * 50), 50)
    assert [Fraction(each, times.ticks) for each in times.pts] == [k / Fraction(rate) for k in range(50)]
    assert Fraction(times.durations[-1], times.ticks) == 1 / Fraction(rate)


def test_any_times_are_kept_within_half_a_tick():
    given = np.cumsum(np.random.default_rng(0).uniform(0.001, 0.5, 200)) + 3600
    times = frame_times(facts(given.tolist(), [0.123456] * 200), 200)
    assert np.abs(np.array(times.pts) / times.ticks - (given - given[0])).max() <= 0.5001 / times.ticks
    assert times.durations == [*np.diff(times.pts), times.durations[-1]]
    assert abs(times.durations[-1] / times.ticks - 0.123456) <= 1 / times.ticks


@pytest.mark.parametrize(
    ("times", "lasts", "valid", "expected"),
    [
        # The last of three, repeated by the policy, at the rate of those before.
        ([1, 1.5, 2, 2, 2], [0.5] * 5, 3, [0, 0.5, 1, 1.5, 2, 2.5]),
        # From the beginning again, and a fill value.
        ([1, 1.5, 2, 1, 1.5], [0.5] * 5, 3, [0, 0.5, 1, 1.5, 2, 2.5]),
        ([1, 1.5, None, None], [0.5, 0.5, None, None], 2, [0, 0.5, 1, 1.5, 2]),
        # A rate twice the source's: every frame twice.
        ([0, 0, 1, 1, 2, 2], [1] * 6, 6, [0, 0.5, 1, 1.5, 2, 2.5, 3]),
        # Frames in any order: later by what it takes that time goes on.
        ([4, 6, 1, 2, 5], [1] * 5, 5, [0, 2, 4, 5, 8, 9]),
        ([3], [0.25], 1, [0, 0.25]),
        # Nothing known of the length of the last.
        ([0, 2, 4], [None, None, None], 3, [0, 2, 4, 6]),
    ],
)
def test_times_ascend_whatever_the_frames_are(times, lasts, valid, expected):
    found = frame_times(facts(times, lasts, valid), len(times))
    shown = np.append(found.pts, found.pts[-1] + found.durations[-1]) / found.ticks
    np.testing.assert_allclose(shown, expected, atol=1e-9)


def test_frames_of_arrays_are_25_a_second():
    times = frame_times({"index": 0, "valid": 3, "length": 3}, 3)
    assert [each / times.ticks for each in times.pts] == [0, 0.04, 0.08]
    assert times.rate == 25


def test_frames_hours_apart_are_counted_in_milliseconds_and_those_months_apart_refused():
    times = frame_times(facts([0, 10800.5, 21601], [0.04] * 3), 3)
    assert (times.ticks, times.pts, times.durations) == (
        1000,
        [0, 10_800_500, 21_601_000],
        [10_800_500, 10_800_500, 40],
    )
    assert times.rate == 1
    with pytest.raises(ValueError, match="a frame of the clip lasts 5000000 seconds, but MP4 has at most 2000000"):
        frame_times(facts([0, 5e6], [0.04] * 2), 2)


def test_times_within_a_tick_of_each_other_stay_apart():
    times = frame_times(facts([0, 1e-9, 2e-9, 1], [1e-9] * 4), 4)
    assert times.pts == [0, 1, 2, times.ticks]
    assert times.rate <= 240
