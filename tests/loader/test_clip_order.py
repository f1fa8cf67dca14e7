"""Orders of clips: permutations, sources side by side, windows; any stretch of one by itself."""

from collections import Counter

import numpy as np
import pytest
from helpers.long import LONG

from clipx.loader.clip_order import InOrder, Permutation, ShuffledClips, ShuffledSources

COUNTS = np.random.default_rng(0).integers(0, 7, 200)
N = int(COUNTS.sum())
FIRSTS = np.cumsum(COUNTS) - COUNTS


def source_of(entries):
    return np.searchsorted(np.cumsum(COUNTS), entries, side="right")


def orders(epoch=0, seed=0):
    windows = {f"window {w}": ShuffledSources(COUNTS, w, seed, epoch) for w in (1, 7, 64, 10 * N)}
    return {"in order": InOrder(), "clips": ShuffledClips(N, seed, epoch), **windows}


@pytest.mark.parametrize("n", [0, 1, 2, 3, 17, 1000, 4097])
def test_a_permutation_holds_every_number_once(n):
    assert sorted(Permutation(n, np.random.default_rng(n)).of(np.arange(n)).tolist()) == list(range(n))


def test_every_permutation_is_as_likely():
    rng, most = np.random.default_rng(1), 6000 if LONG else 2400
    found = Counter(tuple(Permutation(4, rng).of(np.arange(4)).tolist()) for _ in range(most))
    assert len(found) == 24
    # 23 degrees of freedom: beyond 60 once in 30,000 such tests.
    assert sum((count - most / 24) ** 2 / (most / 24) for count in found.values()) < 60


def test_neighbours_are_scattered():
    at = Permutation(10**8, np.random.default_rng(2)).of(np.arange(4096))
    assert len(set(at.tolist())) == 4096
    assert abs(at.mean() / 10**8 - 0.5) < 0.02
    assert abs(np.corrcoef(at[:-1], at[1:])[0, 1]) < 0.06


@pytest.mark.parametrize("name", orders())
def test_a_stretch_is_part_of_the_whole(name):
    whole = orders()[name].entries(0, N)
    assert sorted(whole.tolist()) == list(range(N))
    rng = np.random.default_rng(3)
    for _ in range(20):
        start, stop = sorted(rng.integers(0, N + 1, 2).tolist())
        assert np.array_equal(orders()[name].entries(start, stop), whole[start:stop])


@pytest.mark.parametrize("name", [name for name in orders() if name != "in order"])
def test_epochs_and_seeds_have_orders_of_their_own(name):
    found = {orders(epoch, seed)[name].entries(0, N).tobytes() for epoch in range(3) for seed in range(3)}
    assert len(found) == 9


def test_sources_stay_together():
    entries = orders()["window 1"].entries(0, N)
    sources = source_of(entries)
    assert np.count_nonzero(np.diff(sources)) == np.count_nonzero(COUNTS) - 1
    assert not np.array_equal(sources, np.sort(sources))
    for source in set(sources.tolist()):
        assert entries[sources == source].tolist() == list(range(FIRSTS[source], FIRSTS[source] + COUNTS[source]))


def test_a_clip_moves_less_than_a_window():
    plain, mixed = (orders()[name].entries(0, N) for name in ("window 1", "window 64"))
    moved = np.abs(np.argsort(plain) - np.argsort(mixed))
    assert 16 < moved.max() < 64


def test_no_clips():
    none = np.zeros(3, dtype=np.int64)
    assert ShuffledClips(0, 0, 0).entries(0, 0).tolist() == ShuffledSources(none, 5, 0, 0).entries(0, 0).tolist() == []
