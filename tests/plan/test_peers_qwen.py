"""Qwen's frames of a video, as qwen-vl-utils 0.0.14 computes them (`smart_nframes`, then linspace), and RateSpec's."""

from fractions import Fraction

import pytest

from clipx import RateSpec, video
from clipx.plan import Extent


def seconds(n, fps):
    """The extent of n frames at so many a second."""
    return Extent(n, [i / Fraction(fps) for i in range(n + 1)])


def frames(n, fps, rate=2, min_frames=4, max_frames=768):
    rows = RateSpec(rate, min_frames=min_frames, max_frames=max_frames, multiple=2).rows(seconds(n, fps))
    assert len(rows) == 1
    return rows[0].tolist()


# A video of n frames at fps: all frames that it takes at 2 a second, its default.
@pytest.mark.parametrize(("n", "fps", "taken"), [
    (2, 1, [0, 1]),
    (3, 30, [0, 2]),
    (8, 30, [0, 2, 5, 7]),
    (10, 2, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    (11, 2, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]),
    (12, 1, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    (30, 30, [0, 10, 19, 29]),
    (45, 30, [0, 15, 29, 44]),
    (300, 30, [0, 16, 31, 47, 63, 79, 94, 110, 126, 142, 157, 173, 189, 205, 220, 236, 252, 268, 283, 299]),
])  # fmt: skip
def test_default(n, fps, taken):
    assert frames(n, fps) == taken


# Longer ones: how many, the first and the last.
@pytest.mark.parametrize(("n", "fps", "count", "first", "last"), [
    (3000, 25, 240, [0, 13, 25, 38, 50, 63], [2974, 2986, 2999]),
    (3000, Fraction("29.97"), 200, [0, 15, 30, 45, 60, 75], [2969, 2984, 2999]),
    (20000, 30, 768, [0, 26, 52, 78, 104, 130], [19947, 19973, 19999]),
])  # fmt: skip
def test_long(n, fps, count, first, last):
    taken = frames(n, fps)
    assert len(taken) == count
    assert (taken[:6], taken[-3:]) == (first, last)


# {"fps": rate, "min_frames": ..., "max_frames": ...} of 300 frames at 30 a second.
@pytest.mark.parametrize(("rate", "limits", "taken"), [
    (1, {}, [0, 33, 66, 100, 133, 166, 199, 233, 266, 299]),
    (0.5, {"min_frames": 8}, [0, 43, 85, 128, 171, 214, 256, 299]),
    (4, {"max_frames": 16}, [0, 20, 40, 60, 80, 100, 120, 140, 159, 179, 199, 219, 239, 259, 279, 299]),
    (2, {"max_frames": 9}, [0, 43, 85, 128, 171, 214, 256, 299]),
    (0.1, {"min_frames": 5}, [0, 60, 120, 179, 239, 299]),
])  # fmt: skip
def test_limits(rate, limits, taken):
    assert frames(300, 30, rate, **limits) == taken


def test_refused():
    # nframes should in interval [2, 1], but got 0.
    with pytest.raises(ValueError, match="multiple"):
        frames(1, 30)


def test_in_float32():
    """Of an hour at 30 a second, torch.linspace has two of its 768 frames a frame earlier."""
    theirs = {412: 58012, 469: 66038}
    taken = frames(108000, 30)
    assert {i: taken[i] - 1 for i in theirs} == theirs


# {"video_start", "video_end"} of 300 frames at 30 a second. Qwen counts the frame that begins at the end; a segment
# does not. A frame less may be a frame of the clip less, and moves the others by at most one.
@pytest.mark.parametrize(("start", "end", "theirs", "ours"), [
    (2, 4, [60, 80, 100, 120], [60, 80, 99, 119]),
    (9, 20, [270, 280, 289, 299], [270, 280, 289, 299]),
])  # fmt: skip
def test_part_of_a_video(make_video, start, end, theirs, ours):
    spec = RateSpec(2, min_frames=4, max_frames=768, multiple=2)
    (clip,) = video.clips(make_video(300, rate=30), spec, segments=[(start, end)])
    assert clip.frame_indices.tolist() == ours
    assert max(abs(a - b) for a, b in zip(theirs, ours)) <= 1


# Of 90 frames at 25 a second, where no frame begins at the end, it is the same.
@pytest.mark.parametrize(("start", "end", "taken"), [
    (1.01, 3.01, [26, 42, 59, 75]),
    (1.03, 2.03, [26, 34, 42, 50]),
])  # fmt: skip
def test_part_that_ends_between_frames(make_video, start, end, taken):
    spec = RateSpec(2, min_frames=4, max_frames=768, multiple=2)
    (clip,) = video.clips(make_video(90), spec, segments=[(start, end)])
    assert clip.frame_indices.tolist() == taken


# The part lasts as long as its frames, 50 and 25 of them, as total_frames / video_fps says.
@pytest.mark.parametrize(("start", "end", "count"), [(1.01, 3.01, 4), (1.03, 2.03, 2), (1, 3, 4)])
def test_duration_of_a_part(make_video, start, end, count):
    (clip,) = video.clips(make_video(90), RateSpec(2), segments=[(start, end)])
    assert len(clip.frame_indices) == count
