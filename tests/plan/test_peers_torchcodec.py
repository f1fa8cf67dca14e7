"""torchcodec's samplers: the frames that version 0.13.0 gives, with torch 2.13.0, and the spec that means the same."""

from fractions import Fraction

import pytest
from helpers.peers import possible

from clipx import FrameList, WindowSpec, video
from clipx.plan import Extent


def indexed(num_clips, length, dilation, policy="repeat_last", **rest):
    return WindowSpec(length, None, dilation, policy, num_clips=num_clips, **rest)


# clips_at_regular_indices(num_clips, num_frames_per_clip, num_indices_between_frames) of n frames: the starts.
@pytest.mark.parametrize(("n", "num_clips", "length", "dilation", "starts"), [
    (7, 3, 4, 2, [0, 0, 0]),
    (7, 5, 3, 1, [0, 1, 2, 3, 4]),
    (7, 20, 3, 1, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4]),
    (12, 3, 4, 2, [0, 2, 5]),
    (30, 3, 4, 2, [0, 11, 23]),
    (30, 5, 3, 1, [0, 6, 13, 20, 27]),
    (30, 10, 5, 4, [0, 1, 2, 4, 5, 7, 8, 10, 11, 13]),
    (50, 3, 4, 2, [0, 21, 43]),
    (50, 5, 3, 1, [0, 11, 23, 35, 47]),
    (50, 10, 5, 4, [0, 3, 7, 11, 14, 18, 22, 25, 29, 33]),
])  # fmt: skip
def test_regular_indices(n, num_clips, length, dilation, starts):
    assert indexed(num_clips, length, dilation).starts(n).tolist() == starts


def test_regular_indices_of_one_clip_begin_at_the_first_frame():
    # Ours is the clip in the middle, as in mmaction2.
    theirs, ours = [0, 1, 2, 3], [13, 14, 15, 16]
    assert indexed(1, 4, 1).rows(30).tolist() == [ours]
    assert WindowSpec(4).rows(30)[0].tolist() == theirs


def test_regular_indices_in_float32():
    """torch.linspace(0, 50, 23) has 24.999... where it means 25; so have one in 5,400 starts up to frame 400."""
    theirs = [0, 2, 4, 6, 9, 11, 13, 15, 18, 20, 22, 24, 27, 29, 31, 34, 36, 38, 40, 43, 45, 47, 50]
    ours = indexed(23, 1, 1).starts(51).tolist()
    assert [i for i in range(23) if theirs[i] != ours[i]] == [11]
    assert ours[11] == 25


# A source below one span: "repeat_last" and "wrap" go on with frames of the clip, ours with frames of the source.
@pytest.mark.parametrize(("policy", "theirs", "ours"), [
    ("repeat_last", [0, 4, 4, 4, 4], [0, 4, 6, 6, 6]),
    ("wrap", [0, 4, 0, 4, 0], [0, 4, 1, 5, 2]),
])  # fmt: skip
def test_past_the_end(policy, theirs, ours):
    assert indexed(2, 5, 4, policy).rows(7).tolist() == [ours, ours]
    kept = ours[:2]
    assert (kept + [kept[-1]] * 3 if policy == "repeat_last" else (kept * 3)[:5]) == theirs
    # Of neighbouring frames, both repeat the same one.
    assert indexed(1, 4, 1).rows(3).tolist() == [[0, 1, 2, 2]]
    with pytest.raises(ValueError, match="policy is 'error'"):
        indexed(2, 5, 4, "error").rows(7)


# clips_at_random_indices: starts that it may draw, with replacement; ours come in ascending order.
@pytest.mark.parametrize(("n", "num_clips", "length", "dilation", "starts"), [
    (12, 1, 4, 2, range(6)),
    (12, 3, 4, 1, range(9)),
    (3, 2, 4, 1, range(1)),
])  # fmt: skip
def test_random_indices(n, num_clips, length, dilation, starts):
    spec = indexed(num_clips, length, dilation, sampling="random")
    assert set.union(*(clip[0] for clip in possible(spec, n))) == set(starts)


# clips_at_regular_timestamps(seconds_between_clip_starts, num_frames_per_clip, seconds_between_frames).
@pytest.mark.parametrize(("n", "rate", "between_starts", "length", "frames_a_second", "frames"), [
    (50, 10, 1, 4, 5, [[start, start + 2, start + 4, start + 6] for start in range(0, 50, 10)]),
    (45, 15, 1, 4, 5, [[0, 3, 6, 9], [15, 18, 21, 24], [30, 33, 36, 39]]),
    (45, 15, 1, 8, 8, [[0, 1, 3, 5, 7, 9, 11, 13], [15, 16, 18, 20, 22, 24, 26, 28], [30, 31, 33, 35, 37, 39, 41, 43]]),
    (60, 30, 1, 8, 8, [[0, 3, 7, 11, 15, 18, 22, 26], [30, 33, 37, 41, 45, 48, 52, 56]]),
])  # fmt: skip
def test_regular_timestamps(make_video, n, rate, between_starts, length, frames_a_second, frames):
    spec = WindowSpec(length, between_starts * frames_a_second, fps=frames_a_second)
    found = video.clips(make_video(n, rate=rate), spec)
    assert [clip.frame_indices.tolist() for clip in found] == frames


# VideoDecoder.get_frames_played_at(seconds) of 50 frames at 10 a second: the frame that is shown then.
# FrameList takes the one that begins nearest.
@pytest.mark.parametrize(("second", "played", "ours"), [
    (0.0, 0, 0),
    (0.04, 0, 0),
    (0.05, 0, 0),
    (0.06, 0, 1),
    (0.1, 1, 1),
    (0.19, 1, 2),
    (2.349, 23, 23),
    (4.99, 49, 49),
])  # fmt: skip
def test_frames_played_at(second, played, ours):
    spec = FrameList(seconds=[second])
    assert spec.rows(Extent(50, [Fraction(i, 10) for i in range(51)])).tolist() == [[ours]]
    assert int(second * 10) == played


@pytest.mark.parametrize("second", [-0.1, 5.0])
def test_both_refuse_times_outside(second):
    with pytest.raises(ValueError, match=r"seconds\[0\]"):
        FrameList(seconds=[second]).rows(Extent(50, [Fraction(i, 10) for i in range(51)]))


# clips_at_random_timestamps(num_frames_per_clip=3, seconds_between_frames=1/5) of 50 frames at 10 a second may start at
# any time up to where a clip would run out, frames 0 to 45; ours at one of the 25 frames that there are at 5 a second.
def test_random_timestamps(make_video):
    spec = WindowSpec(3, num_clips=1, sampling="random", fps=5)
    assert possible(spec, 25)[0][0] == set(range(23))
    found = video.clips(make_video(50, rate=10), WindowSpec(3, 22, fps=5))
    assert [clip.frame_indices.tolist() for clip in found] == [[0, 2, 4], [44, 46, 48]]


def test_sampling_range(make_video):
    """sampling_range_end is where the last clip may start; a clip lies within a segment as a whole."""
    theirs = [[10, 12, 14, 16], [20, 22, 24, 26], [30, 32, 34, 36]]
    path, spec = make_video(50, rate=10), WindowSpec(4, 5, fps=5)
    assert [clip.frame_indices.tolist() for clip in video.clips(path, spec, segments=[(1, 3.5)])] == theirs[:2]
    assert [clip.frame_indices.tolist() for clip in video.clips(path, spec, segments=[(1, 3.7)])] == theirs
