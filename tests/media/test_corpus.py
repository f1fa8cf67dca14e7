"""Videos and sounds of many containers and codecs: their clips are those of a full decode, whole or damaged."""

from functools import cache
from itertools import product

import av
import numpy as np
import pytest
from helpers.corpus import DAMAGED, FRAMES, RATE, SOUNDS, VIDEOS, flipped, play, play_sound, sound_bytes, video_bytes
from helpers.long import LONG

import clipx

DENSE = [clipx.WindowSpec(8, 5, policy="repeat_last"), clipx.WindowSpec(4)]
SPARSE = [
    clipx.WindowSpec(4, dilation=8),
    clipx.WindowSpec(2, 9),
    clipx.WindowSpec(3, num_clips=3, dilation=2),
    clipx.WindowSpec(3, 11, dilation=3, policy="wrap"),
    clipx.WindowSpec(5, 7, policy="backpad"),
]


@cache
def played(name, damage=None, seed=0):
    data = video_bytes(name)
    if damage == "flipped":
        return play(flipped(data, seed))
    return play(data if damage is None else DAMAGED[damage](data))


def check_clip(clip, frames, facts):
    assert clip.data.shape[0] == len(clip.frame_indices), facts
    for written, k in zip(clip.data, clip.frame_indices.tolist()):
        np.testing.assert_array_equal(written, frames[k], err_msg=f"{facts} frame {k}")


@pytest.mark.parametrize("name", VIDEOS)
def test_dense_and_sparse_windows_are_those_of_a_full_decode(name):
    data, whole = video_bytes(name), played(name)
    assert (len(whole.frames), whole.ended, whole.failed) == (FRAMES, True, False)
    for window in DENSE + SPARSE if LONG or name != "dv" else DENSE[:1] + SPARSE[:1]:
        starts = clipx.windows.starts(FRAMES, **plan_of(window))
        table = clipx.windows.indices(FRAMES, **plan_of(window))
        got = list(clipx.video.clips(data, window))
        assert [clip.start for clip in got] == starts.tolist(), window
        for clip, row in zip(got, table):
            assert clip.frame_indices.tolist() == row.tolist()
            np.testing.assert_allclose(clip.pts_seconds, np.array(whole.seconds)[row], atol=1e-4)
            check_clip(clip, whole.frames, window)


def plan_of(window):
    plan = {"length": window.length, "dilation": window.dilation, "policy": window.policy}
    return plan | ({"num_clips": window.num_clips} if window.num_clips is not None else {"stride": window.stride})


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_at_another_rate(name):
    """At 10 frames a second plan frame k shows what is on screen at k / 10 s: frame floor(k * 25 / 10)."""
    whole = played(name)
    shown = [k * RATE // 10 for k in range(FRAMES * 10 // RATE)]
    for window in (clipx.WindowSpec(4, 3), clipx.WindowSpec(3, dilation=2, stride=7)):
        got = list(clipx.video.clips(video_bytes(name), window, options=clipx.VideoOptions(fps=10)))
        table = clipx.windows.indices(len(shown), **plan_of(window))
        assert len(got) == len(table)
        for clip, row in zip(got, table):
            for written, k in zip(clip.data, row.tolist()):
                np.testing.assert_array_equal(written, whole.frames[shown[k]])


# Damage

# They leave what they cannot decode as their memory or the frame before was, without a word: only counts and times are
# known of what they give.
SILENT = {"mjpeg", "ffv1", "msmpeg4"}
WINDOWS = [clipx.WindowSpec(1), clipx.WindowSpec(3, 2), *SPARSE[:4]]


def extract_clips(data, window, **options):
    """The clips that come, and the MediaError that ends them, if one does."""
    got = []
    try:
        for clip in clipx.video.clips(data, window, options=clipx.VideoOptions(**options)):
            got.append(clip)
    except clipx.MediaError as exn:
        return got, exn
    return got, None


def is_dense(window):
    return window.stride is not None and window.stride <= window.span and window.dilation == 1


def check_places(clip, whole, window, damage):
    """Every picture of a clip is one of its number or, where not all frames are decoded, of its time."""
    raw, seconds = (
        np.array([np.nan if each is None else each for each in times]) for times in (whole.raw, whole.seconds)
    )
    for position, k, at in zip(clip.data, clip.frame_indices.tolist(), clip.pts_seconds.tolist()):
        same = [k] if k < len(whole.frames) else []
        if not is_dense(window):
            same += np.flatnonzero((np.abs(raw - at) < 1e-4) | (np.abs(seconds - at) < 1e-4)).tolist()
        if not whole.ended and at > max(whole.seconds):
            continue  # behind pictures of another size, which are not decoded where they are not needed
        pictures = [whole.frames[each] for each in same]
        assert any(each is None or np.array_equal(position, each) for each in pictures), (
            damage,
            window,
            clip,
            k,
            at,
            same,
        )


def check_damaged(data, whole, window, threads=1):
    """Clips of each `damage=` against a decode that passes over what it cannot decode."""
    clips = {
        damage: extract_clips(data, window, damage=damage, num_threads=threads) for damage in ("stop", "skip", "keep")
    }
    if whole is None or not whole.frames:
        assert all(not got and error is not None for got, error in clips.values()), window
        return
    for damage, (got, error) in clips.items():
        for clip in got:
            check_places(clip, whole, window, damage)
        assert [clip.index for clip in got] == sorted({clip.index for clip in got})
        if damage != "stop" and error is not None:
            # Pictures of another size are no damage that can be passed over.
            assert not whole.ended, (damage, error)
            assert "changes midway" in str(error)
    kept, skipped, stopped = ({clip.index: clip for clip in clips[damage][0]} for damage in ("keep", "skip", "stop"))
    assert list(kept) == list(range(len(kept)))
    assert list(stopped) == list(range(len(stopped)))
    assert list(skipped) == [index for index in kept if not kept[index].damaged]
    for index, clip in [*skipped.items(), *stopped.items()]:
        np.testing.assert_array_equal(clip.data, kept[index].data)
    assert clips["stop"][1] is not None or list(stopped) == list(kept)
    if whole.ended and is_dense(window):
        assert len(kept) == len(clipx.windows.starts(len(whole.frames), **plan_of(window)))
    if whole.ended and not whole.failed:
        assert list(skipped) == list(stopped) == list(kept)
        assert clips["stop"][1] is None


def try_play(name, data, flips):
    try:
        whole = play(data)
    except (av.FFmpegError, clipx.MediaError):
        return None
    if flips and VIDEOS[name].codec in SILENT:
        whole = whole._replace(frames=[None] * len(whole.frames))
    return whole


# Frames of dv are large: each of its many decodes takes seconds.
@pytest.mark.parametrize(
    ("name", "damage"),
    [pair for pair in product(VIDEOS, DAMAGED) if LONG or pair[0] != "dv" or pair[1] == "the last tenth cut off"],
)
def test_damaged(name, damage):
    data = DAMAGED[damage](video_bytes(name))
    whole = try_play(name, data, "flipped" in damage)
    # A third of the windows, in turns: each video, and each damage, meets all of them.
    turn = (list(VIDEOS).index(name) + list(DAMAGED).index(damage)) % 3
    for window in WINDOWS if LONG else WINDOWS[turn::3]:
        check_damaged(data, whole, window)


@pytest.mark.parametrize("seed", range(20 if LONG else 0))
@pytest.mark.parametrize("name", [name for name in VIDEOS if name not in ("dv", "ts h264")])
def test_many_flips(name, seed):
    """Not of dv, which is large, nor of ts with h264, whose order is guessed while it is opened, other than here."""
    data = flipped(video_bytes(name), seed, (5, 20, 200)[seed % 3])
    whole = try_play(name, data, True)
    if whole is not None:
        # A decoder may give fewer frames than there are packets and not say why.
        whole = whole._replace(failed=True)
    for window in WINDOWS:
        check_damaged(data, whole, window)


# Sound


@pytest.mark.parametrize("name", SOUNDS)
def test_windows_of_sound_are_those_of_a_full_decode(name):
    data = sound_bytes(name)
    whole = play_sound(data).samples
    n = whole.shape[1]
    assert n >= 7000
    for window in (
        clipx.WindowSpec(1000, 700, policy="repeat_last"),
        clipx.WindowSpec(500, 2000),
        clipx.WindowSpec(600, num_clips=3),
        clipx.WindowSpec(100, dilation=8, stride=1500, policy="wrap"),
    ):
        table = clipx.windows.indices(n, **plan_of(window))
        got = list(clipx.audio.clips(data, window))
        assert len(got) == len(table)
        for clip, row in zip(got, table):
            np.testing.assert_array_equal(clip.data, whole[:, row])


def extract_sound(data, damage):
    got = []
    try:
        for clip in clipx.audio.clips(data, clipx.WindowSpec(500), clipx.AudioFormat(damage=damage)):
            got.append(clip)
    except clipx.MediaError as exn:
        return got, exn
    return got, None


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("name", SOUNDS)
def test_damaged_sound(name, damage):
    for seed in range(10 if LONG and "flipped" in damage else 1):
        data = flipped(sound_bytes(name), seed) if seed else DAMAGED[damage](sound_bytes(name))
        clips = {each: extract_sound(data, each) for each in ("stop", "skip", "keep")}
        try:
            whole = play_sound(data)
        except (av.FFmpegError, clipx.MediaError):
            assert all(not got and error is not None for got, error in clips.values())
            continue
        for got, _ in clips.values():
            for clip in got:
                assert clip.start == 500 * clip.index
                np.testing.assert_array_equal(clip.data, whole.samples[:, clip.start : clip.start + 500])
        kept, skipped, stopped = ([clip.index for clip in clips[each][0]] for each in ("keep", "skip", "stop"))
        assert kept == list(range(whole.samples.shape[1] // 500))
        assert set(skipped) <= set(kept)
        assert stopped == kept[: len(stopped)]
        assert clips["stop"][1] is not None or stopped == kept
        assert clips["keep"][1] is clips["skip"][1] is None
