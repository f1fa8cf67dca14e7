"""Columns of a batch whose values differ in length, filled row by row."""

import numpy as np
import pytest
from helpers.ragged import padded
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx.loader.columns import First, ListedColumn, PaddedColumn

LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=12)


def clips_of(lengths, axis, dtype="int16"):
    rng = np.random.default_rng(len(lengths))
    others = (3, 2)
    return [rng.integers(1, 99, (*others[:axis], n, *others[axis:])).astype(dtype) for n in lengths]


def fill(kind, clips, most_bytes, count=0):
    """A column of some clips, None where one lacks the field; `most_bytes`: of the memory that is made at once."""
    made = []

    def make(shape, dtype):
        nbytes = max(int(np.prod(shape)) * dtype.itemsize, most_bytes)
        made.append(np.full(nbytes, 255, np.uint8))
        return made[-1]

    first = next(clip for clip in clips if clip is not None)
    column = kind(count, make, First(first.shape, first.dtype, "k", None))
    for clip in clips:
        column.add(clip, len(clips) + count)
    return column.take(), made


@settings(max_examples=200, deadline=None)
@given(LENGTHS, st.integers(0, 2), st.sampled_from([0, 400, 2000]))
def test_padded(lengths, axis, most_bytes):
    clips = clips_of(lengths, axis)
    found, made = fill(PaddedColumn, clips, most_bytes)
    wanted = padded(clips, axis)
    assert (found.shape, found.dtype, found.tobytes()) == (wanted.shape, wanted.dtype, wanted.tobytes())
    assert found.flags.c_contiguous
    if most_bytes >= wanted.nbytes:
        assert len(made) == 1  # and rows are moved in it


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.sampled_from([0, 400, 4000]))
def test_listed(lengths, most_bytes):
    clips = clips_of(lengths, 0)
    found, made = fill(ListedColumn, clips, most_bytes)
    assert [each.tolist() for each in found] == [clip.tolist() for clip in clips]
    assert all(each.__array_interface__["data"][0] % each.itemsize == 0 for each in found)
    assert len(made) == 1


@pytest.mark.parametrize("kind", [PaddedColumn, ListedColumn])
@pytest.mark.parametrize("dtype", ["int16", "object"])
def test_rows_that_lack_the_field(kind, dtype):
    one, other = clips_of([3, 5], 0, dtype)
    found, _ = fill(kind, [one, None, other], 0, count=1)
    assert [None if each is None else each.tolist() for each in found] == [None, one.tolist(), None, other.tolist()]
