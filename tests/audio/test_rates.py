"""How many samples a sound has at another rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import AudioFormat
from clipx.audio.rates import aligned_start, resampled_length
from clipx.audio.resampling import Resampler
from tests.audio.test_resampling import frames_of, run

RATES = [(44100, 16000), (16000, 44100), (44100, 48000), (48000, 8000), (22050, 16000), (192000, 8000), (16000, 12800)]


def length_of_run(n, rate, wanted, size=1024):
    return run(Resampler(AudioFormat(sample_rate=wanted), "it"), frames_of(n, rate, size=size)).shape[1] if n else 0


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_the_length_is_that_of_a_run_over_all(rate, wanted):
    counts = [0, 1, 2, 7, 100, *np.random.default_rng(0).integers(100, 30000, 12).tolist()]
    for n in counts:
        assert resampled_length(n, rate, wanted) == length_of_run(n, rate, wanted)


@given(
    n=st.integers(1, 20000), rate=st.integers(4000, 50000), wanted=st.integers(4000, 50000), size=st.integers(50, 3000)
)
@settings(max_examples=60, deadline=None)
def test_the_length_at_any_rates(n, rate, wanted, size):
    found = resampled_length(n, rate, wanted)
    assert found is None or found == length_of_run(n, rate, wanted, size)


def test_a_length_takes_no_longer_for_a_long_sound():
    assert resampled_length(10**12, 44100, 16000) == pytest.approx(10**12 * 160 / 441, abs=2)
    assert resampled_length(10**12, 16000, 16000) == 10**12


def test_rates_with_too_little_in_common():
    assert resampled_length(10**6, 44100, 44101) is None
    assert resampled_length(10**6, 2**31, 2**20) is None
    assert aligned_start(10**6, 44100, 44101) == (0, 0, 0)
