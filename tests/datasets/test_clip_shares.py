"""Exact shares: every clip in one, in order, and none longer than another by more than one clip."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipx.datasets.clip_shares import Piece, share_clips
from clipx.datasets.world import World


def clips_of(share, counts):
    """(sample, clip) of a share, in order."""
    found = []
    for part in share.from_():
        piece = Piece.of(part.only)
        stop = counts[part.part] if piece.stop is None else piece.stop
        found += [(part.part, clip) for clip in range(piece.first, stop)]
    return found


@given(
    st.lists(st.integers(0, 6), max_size=12),
    st.integers(1, 8),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_every_clip_is_in_one_share(counts, ranks, workers, random):
    counts = np.array(counts, dtype=np.int64)
    order = list(range(len(counts)))
    random.shuffle(order)
    shares = [
        share_clips(order, counts, World(rank, ranks, worker, workers))
        for rank in range(ranks)
        for worker in range(workers)
    ]
    found = [clips_of(share, counts) for share in shares]
    assert list(chain.from_iterable(found)) == [(i, clip) for i in order for clip in range(counts[i])]
    assert [share.clips for share in shares] == [len(each) for each in found]
    of_ranks = [sum(share.clips for share in shares[rank * workers : (rank + 1) * workers]) for rank in range(ranks)]
    assert max(of_ranks) - min(of_ranks) <= 1
    empty = [part.part for share in shares for part in share.from_() if not counts[part.part]]
    assert sorted(empty) == np.flatnonzero(counts == 0).tolist()


@pytest.mark.parametrize("piece", [Piece(0, None), Piece(0, 5), Piece(7, 9), Piece(1 << 20, (1 << 20) + 3)])
def test_pieces_are_numbers(piece):
    assert Piece.of(piece.number) == piece
