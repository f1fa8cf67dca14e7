"""Windows gathered without a table: as `gather` with one, and every check."""

import itertools

import numpy as np
import pytest
import reference
from helpers.guards import guarded
from hypothesis import given
from hypothesis import strategies as st

from clipx import _kernel

SOURCE = np.random.default_rng(2).integers(0, 256, (40, 12, 7), dtype=np.uint8)
LAYOUTS = {
    "in one piece": SOURCE,
    "cropped": SOURCE[:, 1:, 2:-1],
    "backwards": SOURCE[::-1],
    "apart": SOURCE[::2],
    "flipped": SOURCE[:, :, ::-1],
    "one frame again and again": np.broadcast_to(SOURCE[3], SOURCE.shape),
    "numbers": SOURCE[:, 0, 0],
    "wide numbers": SOURCE[:, :, :4].copy().view("f4"),
}
small = st.integers(1, 6)


def table_of(first, stride, count, length, dilation):
    starts = [first + i * stride for i in range(count)]
    return reference.indices(1 << 62, starts, length, dilation)


@given(
    source=st.sampled_from(sorted(LAYOUTS)),
    first=st.integers(0, 5),
    stride=small,
    count=small,
    length=small,
    dilation=small,
    offset=st.integers(0, 65),
)
def test_windows_are_those_of_their_table(source, first, stride, count, length, dilation, offset):
    frames = LAYOUTS[source]
    table = table_of(first, stride, count, length, dilation)
    room, check = guarded(table.size * frames[0].nbytes, offset)
    out = room.view(frames.dtype).reshape(table.shape + frames.shape[1:])
    if table[-1, -1] >= len(frames):
        with pytest.raises(IndexError, match=f"a window lies outside the source's {len(frames)} frames"):
            _kernel.gather_windows(frames, out, first, stride, count, length, dilation)
    else:
        _kernel.gather_windows(frames, out, first, stride, count, length, dilation)
        np.testing.assert_array_equal(out, frames[table])
    check()


@pytest.mark.parametrize(("stride", "dilation"), list(itertools.product((4, 8, 11), (1, 2))))
def test_large_windows(stride, dilation):
    """Past the cache, and frames that are read once for several windows."""
    frames = np.random.default_rng(0).integers(0, 256, (120, 128, 1024), dtype=np.uint8)
    table = table_of(3, stride, 9, 8, dilation)
    out = np.zeros((*table.shape, 128, 1024), np.uint8)
    _kernel.gather_windows(frames, out, 3, stride, 9, 8, dilation)
    np.testing.assert_array_equal(out, frames[table])


def test_frames_without_bytes():
    _kernel.gather_windows(np.zeros((5, 0)), np.zeros((2, 3, 0)), 0, 1, 2, 3, 1)


HUGE = 2**62
OUTSIDE = {
    "first": (10, 1, 1, 1, 1),
    "first huge": (2**63 - 1, 1, 1, 1, 1),
    "length": (0, 1, 1, 11, 1),
    "length huge": (0, 1, 1, HUGE, 1),
    "dilation": (0, 1, 1, 2, 10),
    "dilation huge": (0, 1, 1, 3, HUGE),
    "count": (0, 1, 11, 1, 1),
    "count huge": (0, 1, HUGE, 1, 1),
    "stride": (0, 10, 2, 1, 1),
    "stride huge": (0, HUGE, 3, 1, 1),
    "all": (5, 3, 2, 2, 3),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_windows_outside(name):
    out = np.zeros(OUTSIDE[name][2] * OUTSIDE[name][3] % 1000, np.uint8)
    with pytest.raises(IndexError, match="a window lies outside the source's 10 frames"):
        _kernel.gather_windows(np.ones(10, np.uint8), out, *OUTSIDE[name])
    assert not out.any()


WRONG = {
    "first": (8, "u1", (-1, 1, 2, 4, 1), "a first frame from 0 on"),
    "stride": (8, "u1", (0, 0, 2, 4, 1), "at least 1"),
    "count": (0, "u1", (0, 1, 0, 4, 1), "at least 1"),
    "length": (0, "u1", (0, 1, 2, 0, 1), "at least 1"),
    "dilation": (8, "u1", (0, 1, 2, 4, 0), "at least 1"),
    "short": (7, "u1", (0, 1, 2, 4, 1), "dst has 7 bytes for 2 windows of 4 frames of 1"),
    "long": (9, "u1", (0, 1, 2, 4, 1), "dst has 9 bytes"),
    "a window more": (12, "u1", (0, 1, 2, 4, 1), "dst has 12 bytes"),
    "empty": (0, "u1", (0, 1, 2, 4, 1), "dst has 0 bytes"),
    "items": (8, "u2", (0, 1, 2, 4, 1), "dst has items of 2 bytes, the source of 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_windows_that_do_not_fit(name):
    size, dtype, windows, words = WRONG[name]
    out = np.zeros(size, dtype)
    with pytest.raises(ValueError, match=words):
        _kernel.gather_windows(np.ones(10, np.uint8), out, *windows)
    assert not out.any()
