"""UniformSpec against the reference: a clip spread over the whole source."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import UniformSpec
from clipx.plan import Extent

SAMPLINGS = ("centers", "random", "linspace")
SIZES = st.integers(0, 300) | st.integers(0, 2**60)


@settings(deadline=None)
@given(n=SIZES, length=st.integers(1, 70) | st.integers(1, 3000))
def test_regular(n, length):
    for sampling in ("centers", "linspace"):
        spec = UniformSpec(length, sampling)
        rows = spec.rows(n)
        wanted = [getattr(reference, sampling)(n, length)] if n else np.empty((0, length))
        assert rows.dtype == np.int64
        np.testing.assert_array_equal(rows, wanted)
        np.testing.assert_array_equal(spec.rows(Extent(n)), rows)
        assert spec.count(n) == spec.count(Extent(n)) == len(rows)
        assert not spec.is_random


@settings(deadline=None)
@given(n=SIZES, length=st.integers(1, 70), seed=st.integers(0, 2**70))
def test_random_takes_a_frame_of_each_part(n, length, seed):
    spec = UniformSpec(length, "random")
    rows = spec.rows(n, seed)
    assert rows.dtype == np.int64
    assert rows.shape == (min(n, 1), length)
    assert spec.is_random
    for row in rows:
        assert all(frame in reference.part(n, length, i) for i, frame in enumerate(row.tolist()))
    np.testing.assert_array_equal(spec.rows(n, np.random.default_rng(seed)), rows)


def test_random_reaches_every_frame_of_each_part():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([UniformSpec(3, "random").rows(11, rng) for _ in range(200)])
    assert [set(column.tolist()) for column in drawn.T] == [set(reference.part(11, 3, i)) for i in range(3)]


@pytest.mark.parametrize(("sampling", "n", "length", "row"), [
    ("centers", 12, 4, [1, 4, 7, 10]),
    ("centers", 3, 4, [0, 1, 1, 2]),
    ("centers", 10, 1, [5]),
    ("linspace", 12, 4, [0, 4, 7, 11]),
    ("linspace", 6, 3, [0, 2, 5]),
    ("linspace", 4, 3, [0, 2, 3]),
    ("linspace", 2, 5, [0, 0, 0, 1, 1]),
    ("linspace", 10, 1, [0]),
    ("random", 3, 3, [0, 1, 2]),
    ("random", 1, 3, [0, 0, 0]),
])  # fmt: skip
def test_rows(sampling, n, length, row):
    assert UniformSpec(length, sampling).rows(n, 0).tolist() == [row]


def test_refused():
    for length, error, message in [
        (0, ValueError, "length is 0"),
        (2**31, ValueError, "at most"),
        (2.5, TypeError, "2.5"),
    ]:
        with pytest.raises(error, match=message):
            UniformSpec(length)
    with pytest.raises(ValueError, match="sampling is 'ends', but must be one of centers, random, linspace"):
        UniformSpec(4, "ends")
    with pytest.raises(ValueError, match="n is -1"):
        UniformSpec(4).rows(-1)
