"""RateSpec against the reference, and the frames that Qwen's loader takes of a video."""

from fractions import Fraction

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import Loader, RateSpec, windows
from clipx.plan import Extent


def at_rate(n, fps, start=0):
    return Extent(n, [start + Fraction(i) / Fraction(fps) for i in range(n + 1)])


@settings(deadline=None)
@given(
    n=st.integers(0, 200),
    source=st.fractions(Fraction(1, 4), 100, max_denominator=1001),
    fps=st.fractions(Fraction(1, 8), 200, max_denominator=100),
    least=st.integers(1, 40),
    most=st.none() | st.integers(1, 120),
    multiple=st.integers(1, 9),
    start=st.fractions(-10, 10, max_denominator=90),
)
def test_any(n, source, fps, least, most, multiple, start):
    if most is not None and -(-least // multiple) > most // multiple:
        with pytest.raises(ValueError, match=f"no multiple of {multiple} lies between min_frames, {least}, and max_fr"):
            RateSpec(fps, least, most, multiple)
        return
    spec, extent = RateSpec(fps, least, most, multiple), at_rate(n, source, start)
    length = reference.rate_length(n, Fraction(n) / source, fps, least, most, multiple)
    if n and not length:
        for method in (spec.rows, spec.count):
            with pytest.raises(ValueError, match=f"multiple is {multiple}, but there are {n} frames"):
                method(extent)
        return
    rows = spec.checked_rows(extent)
    assert rows.dtype == np.int64
    assert spec.count(extent) == len(rows) == min(n, 1)
    np.testing.assert_array_equal(rows.reshape(-1), reference.linspace(n, length) if n else [])
    if most is not None:
        assert length <= spec.max_length <= most


QWEN = {"min_frames": 4, "max_frames": 768, "multiple": 2}


@pytest.mark.parametrize(("n", "source", "fps", "frames"), [
    (45, 30, 2, [0, 15, 29, 44]),  # 3 frames in 1.5 seconds, raised to 4
    (10, 30, 2, [0, 3, 6, 9]),
    (5, 30, 2, [0, 1, 3, 4]),
    (3, 30, 2, [0, 2]),
    (2, 30, 2, [0, 1]),
    (100, 25, 2, [0, 14, 28, 42, 57, 71, 85, 99]),
    (90, "30000/1001", 2, [0, 18, 36, 53, 71, 89]),  # 6.006
    (75, 30, 2, [0, 25, 49, 74]),  # 5, lowered to a multiple
    (48, 24, 4, [0, 7, 13, 20, 27, 34, 40, 47]),
])  # fmt: skip
def test_frames_of_qwen(n, source, fps, frames):
    assert RateSpec(fps, **QWEN).rows(at_rate(n, source)).tolist() == [frames]


@pytest.mark.parametrize(("n", "source", "length"), [
    (300, 30, 20), (9000, 30, 600), (11520, 30, 768), (18000, 30, 768), (1498, 23.976, 124), (767, 1, 766),
])  # fmt: skip
def test_numbers_of_frames_of_qwen(n, source, length):
    (row,) = RateSpec(2, **QWEN).rows(at_rate(n, source))
    assert (len(row), row[0], row[-1]) == (length, 0, n - 1)


def smart_frames(torch, n, source, fps):
    """What qwen-vl-utils computes, in its floats."""
    most = min(768, n) // 2 * 2
    count = int(min(max(n / source * fps, 4), most, n) / 2) * 2
    return torch.linspace(0, n - 1, count).round().long().tolist()


@settings(deadline=None)
@given(
    n=st.integers(2, 2000), source=st.sampled_from([1, 5, 8, 12.5, 24, 25, 30, 50, 60]), fps=st.sampled_from([1, 2, 4])
)
def test_what_qwen_computes_in_floats(n, source, fps):
    torch = pytest.importorskip("torch")
    wanted, (row,) = smart_frames(torch, n, source, fps), RateSpec(fps, **QWEN).rows(at_rate(n, source))
    assert len(row) == len(wanted)
    # Its float32 may round a number that lies close to a half to the other side.
    exact = np.arange(len(row)) * (n - 1) / max(len(row) - 1, 1)
    clear = abs(exact % 1 - 0.5) > 1e-3
    np.testing.assert_array_equal(row[clear], np.array(wanted)[clear])
    assert (abs(row - wanted) <= 1).all()


def test_times_are_needed_and_are_those_of_the_frames():
    spec = RateSpec(2, max_frames=8)
    assert spec.needs_times
    assert spec.count(9) == 1
    for run in (lambda: spec.rows(9), lambda: spec.rows(Extent(0)), lambda: windows.extract(np.arange(9), spec)):
        with pytest.raises(ValueError, match=r"RateSpec.* needs the times of frames, but its source has none"):
            run()
    # The last frame lasts 3 seconds: 4 seconds in all.
    assert spec.rows(Extent(9, [*(i / 8 for i in range(9)), 4])).tolist() == [[0, 1, 2, 3, 5, 6, 7, 8]]


def test_far_and_wide():
    times = range(2**40 + 1)
    row = RateSpec(Fraction(1, 2**38)).rows(Extent(2**40, times))[0]
    assert row.tolist() == reference.linspace(2**40, 4)
    with pytest.raises(ValueError, match=r"number of frames at 2 fps is .*, but must be at most"):
        RateSpec(2).rows(Extent(2**40, times))


@pytest.mark.parametrize(("fields", "error", "message"), [
    ({"fps": 0}, ValueError, "fps is 0"),
    ({"fps": "fast"}, TypeError, "fps is 'fast'"),
    ({"fps": float("nan")}, TypeError, "fps is nan"),
    ({"fps": 2, "min_frames": 0}, ValueError, "min_frames is 0"),
    ({"fps": 2, "max_frames": 1.5}, TypeError, "max_frames is 1.5"),
    ({"fps": 2, "multiple": 0}, ValueError, "multiple is 0"),
    ({"fps": 2, "min_frames": 8, "max_frames": 4}, ValueError, "no multiple of 1 lies between"),
    ({"fps": 2, "max_frames": 3, "multiple": 4}, ValueError, "no multiple of 4 lies between min_frames, 1"),
])  # fmt: skip
def test_refused(fields, error, message):
    with pytest.raises(error, match=message):
        RateSpec(**fields)


def test_pools_need_max_frames():
    with pytest.raises(ValueError, match=r"RateSpec.* whose clips have no longest length, .* give max_frames"):
        Loader("a.tar", RateSpec(2), batch_size=2)
