"""The table of policies: counts and rows of each, against lists that are written out."""

import typing

import numpy as np
import pytest

from clipx.plan.policies import POLICIES, Policy


def test_the_table_and_the_type_name_the_same():
    assert set(POLICIES) == set(typing.get_args(Policy))


@pytest.mark.parametrize(("policy", "past_the_end"), [
    ("repeat_last", [3, 3, 3, 3, 3]),
    ("wrap", [0, 1, 2, 3, 0]),
    ("reflect", [2, 1, 0, 1, 2]),
    ("constant", [-1, -1, -1, -1, -1]),
])  # fmt: skip
def test_rows_past_the_end_of_four_frames(policy, past_the_end):
    rows = POLICIES[policy].rows(np.arange(9)[None], 4)
    np.testing.assert_array_equal(rows, [[0, 1, 2, 3, *past_the_end]])


@pytest.mark.parametrize("policy", ["repeat_last", "wrap", "reflect"])
def test_rows_of_one_frame(policy):
    np.testing.assert_array_equal(POLICIES[policy].rows(np.arange(3)[None], 1), [[0, 0, 0]])


@pytest.mark.parametrize(("policy", "counts"), [
    # Of 4 to 10 frames, spans of 4, 3 apart.
    ("drop", [1, 1, 1, 2, 2, 2, 3]),
    ("repeat_last", [1, 2, 2, 2, 3, 3, 3]),
    ("constant", [1, 2, 2, 2, 3, 3, 3]),
    ("backpad", [1, 2, 2, 2, 3, 3, 3]),
])  # fmt: skip
def test_counts(policy, counts):
    assert [POLICIES[policy].count(n, 4, 3) for n in range(4, 11)] == counts


def test_a_clip_that_covers_has_a_frame_of_its_own():
    # Spans of 2, 5 apart: the clip at 5 begins only once there is frame 5, the one that is moved back before.
    assert [POLICIES["wrap"].count(n, 2, 5) for n in range(2, 9)] == [1, 1, 1, 1, 2, 2, 2]
    assert [POLICIES["backpad"].count(n, 2, 5) for n in range(2, 9)] == [1, 2, 2, 2, 2, 2, 3]


def test_error_counts_only_what_is_complete():
    rules = POLICIES["error"]
    assert rules.count(7, 4, 3) == 2
    with pytest.raises(ValueError, match="1 of 8 frames are left after 2 clips"):
        rules.count(8, 4, 3)
    with pytest.raises(ValueError, match="3 frames do not fill one span of 4"):
        rules.takes_short(3, 4)


@pytest.mark.parametrize("span", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("policy", POLICIES)
def test_the_end_asks_for_no_other_frames_than_it_says(policy, n, span):
    rules = POLICIES[policy]
    first, last = rules.first_frames(span), rules.last_frames(span)
    for start in range(n):
        row = np.arange(start, start + span)
        asked = rules.rows(row[None].copy(), n)[0][row >= n]
        if policy not in ("drop", "error", "backpad"):
            assert all(frame < first or frame >= n - last for frame in asked if frame >= 0)
            assert rules.fills or (asked >= 0).all()
