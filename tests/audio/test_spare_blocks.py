"""Memory of blocks that is used again: by one at a time, and never more than a few MB of it."""

import threading

import numpy as np
import pytest
from helpers.sounds import decoded, encode, noise

import clipx
from clipx import WindowSpec
from clipx.audio import spare_blocks


@pytest.fixture(autouse=True)
def no_spare(monkeypatch):
    monkeypatch.setattr(spare_blocks, "_spare", [])


def test_a_block_takes_memory_that_was_given_back_and_is_large_enough():
    memory, block = spare_blocks.take(2, 1000, np.dtype(np.float32))
    assert block.shape == (2, 1000)
    assert block.dtype == np.float32
    assert block.flags.c_contiguous
    other, _ = spare_blocks.take(2, 1000, np.dtype(np.float32))
    assert not np.shares_memory(memory, other)
    spare_blocks.give_back(memory)
    again, smaller = spare_blocks.take(3, 500, np.dtype(np.int16))
    assert again is memory
    assert smaller.shape == (3, 500)
    spare_blocks.give_back(memory)
    larger, _ = spare_blocks.take(2, 1001, np.dtype(np.float32))
    assert len(larger) == 8008


def test_little_memory_is_kept():
    for n in (0, spare_blocks.MOST_BYTES + 1, *[spare_blocks.MOST_BYTES] * 5):
        spare_blocks.give_back(np.empty(n, np.uint8))
    assert [len(each) for each in spare_blocks._spare] == [spare_blocks.MOST_BYTES] * spare_blocks.MOST_KEPT


def test_runs_side_by_side_share_no_block():
    sounds = [encode(noise(100_000, seed=seed), "flac", "flac", 16000) for seed in range(3)]
    runs = [(clipx.audio.clips(data, WindowSpec(3000)), decoded(data)) for data in sounds]
    wrong = []

    def follow(run, sound):
        for clip in run:
            if not np.array_equal(clip.data, sound[:, clip.start : clip.start + 3000]):
                wrong.append(clip)

    for clips in zip(*[run for run, _ in runs]):
        for clip, (_, sound) in zip(clips, runs):
            np.testing.assert_array_equal(clip.data, sound[:, clip.start : clip.start + 3000])
    threads = [
        threading.Thread(target=follow, args=(clipx.audio.clips(data, WindowSpec(3000)), decoded(data)))
        for data in sounds
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
