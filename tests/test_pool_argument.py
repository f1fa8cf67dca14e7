"""`pool=` is a ClipPool or bytes such as "2GB", wherever it is taken."""

import re

import numpy as np
import pytest
from helpers import corpus, sounds

import clipx
from clipx import ClipPool, audio, memory, video, wds, windows
from clipx.pool import as_pool

SPEC = clipx.WindowSpec(4)


def of_array(pool):
    return windows.iterate(np.arange(12, dtype=np.uint8), 4, pool=pool)


def of_video(pool):
    return (clip.data for clip in video.clips(corpus.video_bytes("mp4 h264, B-frames"), SPEC, pool=pool))


def of_sound(pool):
    return (clip.data for clip in audio.clips(sounds.corpus_file("alac"), SPEC, pool=pool))


def of_stage(pool):
    stage = wds.clips(SPEC, pool=pool)
    return (clip["npy"] for clip in stage([{"__key__": "a", "npy": np.zeros((12, 2), np.uint8)}]))


def of_batches(pool):
    return (batch["npy"] for batch in wds.batched(2, pool=pool)([{"npy": np.zeros(3)}] * 4))


TAKERS = [of_array, of_video, of_sound, of_stage, of_batches]


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("pool", ["2MB", 2_000_000, np.int64(2_000_000)])
def test_bytes_make_a_pool(taker, pool):
    clip = next(iter(taker(pool)))
    assert memory.leases(clip) == 1
    assert np.array_equal(clip, next(iter(taker(None))))


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("pool", [1.5, True, [], object, b"2GB"])
def test_what_is_no_pool(taker, pool):
    reported = re.escape(f"pool is {pool!r}, but must be a ClipPool, bytes such as '2GB', or None")
    with pytest.raises(TypeError, match=reported):
        taker(pool)


@pytest.mark.parametrize("taker", TAKERS)
def test_what_is_no_number_of_bytes(taker):
    with pytest.raises(ValueError, match="pool is '2 sheep', but must be a number of bytes"):
        taker("2 sheep")
    with pytest.raises(ValueError, match="pool is 0, but must be at least 1"):
        taker(0)


def test_a_pool_is_taken_as_it_is():
    pool = ClipPool(2, 4)
    assert as_pool(pool) is pool
    assert as_pool(None) is None
    assert as_pool("1kB").slots == 0  # until the first clip's shape is known


def test_shuffle_takes_the_pool_of_its_clips():
    with pytest.raises(TypeError, match=r"pool is '2GB', but must be the ClipPool .* for bytes give max_bytes"):
        wds.shuffle(pool="2GB")
