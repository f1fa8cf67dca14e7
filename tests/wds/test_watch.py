"""watch: a line of log now and then, and a check of memory."""

import logging
import time

import numpy as np
import pytest
from helpers.shards import blocks

import clipx
from clipx import wds
from clipx.wds import watching


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(watching, "LEAST_SECONDS", 0.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("every", [1, 3, 100])
def test_watch_passes_samples_through(every):
    samples = [{"__key__": "a", "x": np.zeros(3)}, (1, np.zeros(2)), "text", None, 5, [b"x"], {}, np.zeros(4)] * 5
    before = repr(samples)
    out = list(wds.watch(every)(iter(samples)))
    assert list(map(id, out)) == list(map(id, samples))
    assert repr(samples) == before
    assert list(wds.watch(every)([])) == []


@pytest.mark.usefixtures("quick")
def test_watch_logs_every_so_many(logged):
    list(wds.watch(10)(blocks(45)))
    lines = logged(logging.INFO)
    assert len(lines) == 4
    for line in lines:
        assert all(word in line for word in ("samples/s", "MB resident", "shown", "retained", "10 samples")), line


def test_watch_logs_at_most_once_per_interval(logged, monkeypatch):
    monkeypatch.setattr(watching, "LEAST_SECONDS", 0.2)

    def slow():
        for sample in blocks(40):
            time.sleep(0.01)
            yield sample

    began = time.monotonic()
    list(wds.watch(1)(slow()))
    took = time.monotonic() - began
    assert 1 <= len(logged(logging.INFO)) <= took / 0.2


def test_watch_is_silent_within_an_interval(logged):
    list(wds.watch(1)(blocks(100)))
    assert logged(logging.INFO) == []


@pytest.mark.usefixtures("quick")
def test_watch_tells_the_pools(logged):
    pool = clipx.ClipPool(37, 64)
    held = [pool.acquire() for _ in range(5)]
    list(wds.watch(1)(blocks(1)))
    assert "5 of 37 slots leased" in logged(logging.INFO)[0]
    del held


@pytest.mark.usefixtures("quick")
def test_watch_adds_up_bytes(logged):
    list(wds.watch(2)([{"x": np.zeros(6_000_000, np.uint8)[:4_000_000]}, {"x": np.zeros(1_000_000, np.uint8)}]))
    assert "5.0 MB shown and 7.0 MB retained by 2 samples" in logged(logging.INFO)[-1]


def test_watch_warns_once(logged):
    whole = np.zeros((300, 100, 100), np.uint8)
    good = {"__key__": "good", "x": np.zeros(10, np.uint8), "y": 1}
    bad = [{"__key__": f"bad{i}", "ok": np.zeros(10), "mp4": whole[i : i + 2]} for i in range(5)]
    list(wds.watch(1000)([good, *bad, good, *bad]))
    assert len(logged()) == 1
    line = logged()[0]
    assert all(word in line for word in ("'mp4'", "20000", "3000000", "'bad0'")), line


def test_watch_holds_no_sample():
    pool = clipx.ClipPool(4, 64)
    stage = wds.watch(1)({"x": pool.acquire()} for _ in range(20))
    for _ in range(20):
        next(stage)
        assert pool.stats().leased <= 1
    stage.close()
    assert pool.stats().leased == 0


@pytest.mark.parametrize("every", [0, -1, 1.5, None, "x"])
def test_bad_arguments_of_watch(every):
    with pytest.raises((TypeError, ValueError), match="every"):
        wds.watch(every)
