"""Slots of clips of sound: as many as a window says, and free as soon as nobody sees them."""

import gc

import numpy as np
import pytest
from helpers.sounds import check_clips, sound_file, whole_sound

import clipx
from clipx import WindowSpec

POLICIES = ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]


@pytest.mark.parametrize("stride", [100, 250, 700, 1000])
@pytest.mark.parametrize("policy", POLICIES)
def test_the_slots_that_a_window_names_are_enough(policy, stride):
    window = WindowSpec(700, stride, policy=policy)
    assert window.slots() == -(-700 // stride) + 1
    for kind, n in (("flac", 6001), ("wav-s16", 6900), ("mp3", 5000)):
        pool = clipx.ClipPool(window.slots(), (2, 700), "float32")
        check_clips(sound_file(kind, "stereo", 16000, n), window, pool=pool)
        assert pool.stats().free == pool.slots
        small = clipx.ClipPool(window.slots() - 1, (2, 700), "float32")
        with pytest.raises(ValueError, match="slots"):
            list(clipx.audio.clips(sound_file(kind, "stereo", 16000, n), window, pool=small))


def test_random_starts_and_their_slots():
    window = WindowSpec(700, num_clips=8, sampling="random")
    slots = window.slots(window.starts(6001, 5))
    pool = clipx.ClipPool(slots, (1, 700), "float32")
    check_clips(sound_file("flac", n=6001), window, pool=pool, rng=5)
    assert pool.stats().free == slots


def test_a_pool_of_bytes_and_clips_too_large():
    data = sound_file("flac", "stereo", n=6001)
    check_clips(data, WindowSpec(700), pool=clipx.ClipPool.of_bytes("64kB"))
    with pytest.raises(ValueError, match="700"):
        next(clipx.audio.clips(data, WindowSpec(700), pool=clipx.ClipPool(9, (1, 700), "float32")))


def test_sound_that_gives_no_clips_asks_nothing_of_a_pool():
    short, window = sound_file("flac", "stereo", n=600), WindowSpec(700, num_clips=2)
    small, lazy = clipx.ClipPool(3, (1,), "float32"), clipx.ClipPool.of_bytes("64kB")
    assert list(clipx.audio.clips(short, window, pool=small)) == []
    assert list(clipx.audio.clips(short, window, pool=lazy)) == []
    clips = list(clipx.audio.clips(sound_file("flac", n=6001), window, pool=lazy))
    assert [clip.data.shape for clip in clips] == [(1, 700)] * 2
    assert lazy.slots == 64_000 // 2816


@pytest.mark.parametrize("window", [WindowSpec(500), WindowSpec(100, 900), WindowSpec(500, num_clips=4)], ids=str)
@pytest.mark.parametrize("kind", ["flac", "wav-s16"])
def test_a_clip_that_is_gone_frees_its_slot_at_once(kind, window):
    """Where clips do not overlap, nothing is open between them."""
    pool = clipx.ClipPool(4, (1, 500), "float32")
    extracted = clipx.audio.clips(sound_file(kind, n=6001), window, pool=pool)
    for count in range(3):
        clip = next(extracted)
        assert pool.stats().leased == 1
        view = clip.data[:, ::2]
        del clip
        assert pool.stats().leased == 1
        del view
        assert pool.stats().leased == 0, count


@pytest.mark.parametrize("policy", ["repeat_last", "wrap", "reflect", "constant"])
def test_clips_of_the_end_free_their_slots_at_once(policy):
    window = WindowSpec(1000, 250, policy=policy)
    pool = clipx.ClipPool(window.slots(), (1, 1000), "float32")
    extracted = clipx.audio.clips(sound_file("flac", n=6001), window, pool=pool)
    count = window.count(6001)
    left = count
    for clip in extracted:  # enumerate would hold the clip
        del clip
        left -= 1
        # Before the end is seen, clips are open that it gives up.
        assert pool.stats().leased <= (window.slots() - 2 if left else 0)


def test_clips_outlive_the_iterator_and_are_independent():
    data = sound_file("flac", "stereo", n=6001)
    pool = clipx.ClipPool(40, (2, 700), "float32")
    clips = list(clipx.audio.clips(data, WindowSpec(700, 200), pool=pool))
    sound = whole_sound(data)
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(clip.data) for clip in clips]
    starts = [clip.start for clip in clips]
    del clips
    gc.collect()
    assert pool.stats().leased == len(tensors)
    tensors[0][:] = 99
    for tensor, start in zip(tensors[1:], starts[1:]):
        np.testing.assert_array_equal(tensor.numpy(), sound[:, start : start + 700])
    del tensors, tensor
    assert pool.stats().free == 40


def test_dropping_the_iterator_frees_slots():
    data = sound_file("flac", n=6001)
    for end in (lambda extracted: None, lambda extracted: extracted.close()):
        pool = clipx.ClipPool(8, (1, 1000), "float32")
        extracted = clipx.audio.clips(data, WindowSpec(1000, 200), pool=pool)
        next(extracted)
        clip = next(extracted)
        assert pool.stats().leased > 1
        end(extracted)
        del extracted
        assert pool.stats().leased == 1
        del clip
        assert pool.stats().free == 8
