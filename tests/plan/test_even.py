"""Even windows: the same starts as the spec's, and none where a clip is not complete."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clipx
from clipx.plan.even import even_windows
from clipx.plan.policies import POLICIES

small = st.integers(1, 9)


@given(
    n=st.integers(0, 60),
    length=small,
    stride=small,
    dilation=small,
    policy=st.sampled_from(sorted(POLICIES)),
    offset=st.integers(0, 20),
)
def test_even_windows_are_those_of_the_spec(n, length, stride, dilation, policy, offset):
    spec = clipx.WindowSpec(length, stride, dilation, policy=policy, offset=offset)
    try:
        starts = spec.starts(n)
    except ValueError:
        with pytest.raises(ValueError, match="policy is 'error'"):
            even_windows(spec, n)
        return
    found = even_windows(spec, n)
    complete = len(starts) > 0 and starts[-1] + spec.span <= n
    if found is None:
        assert not complete or starts[-1] != offset + (len(starts) - 1) * stride
    else:
        assert complete
        np.testing.assert_array_equal(found.first + np.arange(found.clips) * found.stride, starts)


@given(n=st.integers(0, 60), length=small, policy=st.sampled_from(["drop", "repeat_last", "backpad"]))
def test_one_clip_at_the_centre(n, length, policy):
    spec = clipx.WindowSpec(length, num_clips=1, policy=policy)
    found = even_windows(spec, n)
    assert (found is None) == (n < length)
    assert found is None or (found.first, found.clips) == (spec.starts(n)[0], 1)


def test_windows_that_are_drawn_or_many_of_a_source():
    for more in ({"sampling": "random", "num_clips": 1}, {"num_clips": 2}, {"offset": "random", "stride": 1}):
        assert even_windows(clipx.WindowSpec(3, **more), 30) is None
