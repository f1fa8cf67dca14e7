"""Pieces of decoded samples, put together to blocks."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipx.audio.blocks import in_blocks
from clipx.audio.spare_blocks import take

SOUND = SimpleNamespace(block=lambda n: take(1, n, np.dtype(np.float32)))


def pieces(sizes, taken=None):
    """Pieces of so many samples, each sample its own number; `taken` holds how many have been asked for."""
    at = 0
    for n in sizes:
        if taken is not None:
            taken.append(n)

        def write(block, to, at=at, n=n):
            block[:, to : to + n] = np.arange(at, at + n)

        yield SimpleNamespace(n=n, write=write)
        at += n


@given(st.lists(st.integers(1, 60), max_size=20), st.integers(1, 50), st.none() | st.integers(1, 200))
def test_blocks_hold_all_samples_in_order(sizes, size, first):
    found = [(begin, block.copy()) for begin, block in in_blocks(pieces(sizes), SOUND, 0, size, first)]
    at = 0
    for begin, block in found:
        assert begin == at
        np.testing.assert_array_equal(block[0] if at < sum(sizes) else [], np.arange(at, at + block.shape[1]))
        at += block.shape[1]
    assert at == sum(sizes)


@pytest.mark.parametrize("beginning", [1, 1023, 1024])
def test_the_first_block_comes_as_soon_as_it_is_whole(beginning):
    taken = []
    blocks = in_blocks(pieces([beginning] + [1024] * 100, taken), SOUND, 0, 8192, 20_000)
    _, block = next(blocks)
    assert 20_000 <= block.shape[1] == sum(taken) < 20_000 + 1024


def test_no_more_than_a_first_block_comes_of_pieces_of_another_size():
    taken = []
    blocks = in_blocks(pieces([100, 19_000, 9_000, 5_000] + [1000] * 100, taken), SOUND, 0, 8192, 20_000)
    n = 0
    while n < 20_000:
        _, block = next(blocks)
        n += block.shape[1]
    assert sum(taken) == 28_100
