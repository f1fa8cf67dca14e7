"""A Loader whose threads are switched at any bytecode, while others ask for its state and its counters."""

import json

import pytest
from helpers.loaders import check_ended, clips_of, of_arrays, of_videos
from helpers.long import LONG
from helpers.switching import switched, together

from clipx.datasets.ledger import Ledger
from clipx.loader import counters as counters_of_loader
from clipx.loader.counters import Counters

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")


def test_state_and_stats_while_it_runs(arrays):
    """Batches are those of a quiet run, numbers only grow, and each state is one between two batches."""
    urls, _ = arrays
    quiet = of_arrays(urls, drop_last=False)
    expected, states = [], [json.dumps(quiet.state_dict())]
    for batch in quiet:
        expected += clips_of([batch])
        states.append(json.dumps(quiet.state_dict()))
    states.append(json.dumps(quiet.state_dict()))  # behind the end
    loader, found, seen, ended = of_arrays(urls, drop_last=False), [], [], []
    iterator = iter(loader)

    def consume():
        for batch in iterator:
            found.extend(clips_of([batch]))
            del batch
        ended.append(True)

    def watch():
        batches = 0
        while not ended:
            stats = loader.stats()
            assert stats.batches >= batches
            assert 0 <= stats.slots_taken <= stats.slots
            assert stats.recent_clips_per_second >= 0
            batches = stats.batches
            assert repr(stats)
            assert repr(loader.errors)

    def save():
        while not ended:
            seen.append(json.dumps(loader.state_dict()))

    with switched("loader/", "datasets/ledger.py", "_threads.py", share=0.01):
        together(consume, watch, save)
    assert found == expected
    check_ended(loader)
    places = [states.index(state) for state in seen]
    assert places == sorted(places)


def test_closed_at_any_time(videos):
    """All threads end, and every sample is closed once."""
    urls, _ = videos
    for batches in range(20 if LONG else 3):
        loader = of_videos(urls, threads=3)
        with switched("loader/", "_threads.py", share=0.01, seed=batches):
            iterator = iter(loader)
            for _ in range(batches % 5):
                next(iterator)
            together(loader.close, iterator.close, loader.close)
        del iterator
        check_ended(loader)


def test_two_loaders_side_by_side(videos):
    urls, _ = videos
    expected = [clips_of(of_videos(urls, seed=seed), "mp4") for seed in (0, 1)]

    def run(seed):
        loader = of_videos(urls, seed=seed)
        found = clips_of(loader, "mp4")
        check_slots(loader)
        return found

    def check_slots(loader):
        assert loader._pools.clips.stats().free == loader._pools.clips.slots

    with switched("loader/", "pool.py", share=0.002):
        found = together(lambda: run(0), lambda: run(1))
    assert found == expected


def test_counters_are_read_while_they_change(monkeypatch):
    monkeypatch.setattr(counters_of_loader, "MARK_SECONDS", 0)
    counters, ended = Counters(0), []

    def consume():
        counters.begin()
        for _ in range(300):
            counters.ask()
            counters.answer()
            counters.hand_out(2)
        counters.end()
        ended.append(True)

    def watch():
        while not ended:
            assert counters.recent_rate() >= 0
            assert counters.waited_so_far() >= 0

    with switched("loader/counters.py"):
        together(consume, watch, watch)
    assert counters.clips == 600


def test_a_ledger_that_many_add_to():
    ledger = Ledger()

    def note():
        for number in range(30):
            ledger.note("damage", {"__key__": f"s{number}"}, "left out")

    def read():
        for _ in range(30):
            assert len(list(ledger)) <= len(ledger)
            assert ledger.counts.get("damage", 0) <= 90

    with switched("datasets/ledger.py"):
        together(note, note, note, read)
    assert ledger.counts == {"damage": 90}
    assert len(ledger) == 30
