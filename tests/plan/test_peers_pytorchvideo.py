"""PyTorchVideo's clip samplers: the times that version 0.1.5 gives, in frames, and the spec that means the same."""

from fractions import Fraction

import pytest
from helpers.peers import possible

from clipx import UniformSpec, WindowSpec, video


# UniformClipSampler(clip_duration, stride, backpad_last) of n frames at 30 a second, with fractions: where clips start.
@pytest.mark.parametrize(("n", "length", "stride", "backpad_last", "starts"), [
    (39, 32, 16, False, [0]),
    (39, 32, 16, True, [0, 7]),
    (96, 32, 32, False, [0, 32, 64]),
    (96, 32, 32, True, [0, 32, 64]),
    (100, 32, 32, False, [0, 32, 64]),
    (100, 32, 32, True, [0, 32, 64, 68]),
    (100, 32, 16, False, [0, 16, 32, 48, 64]),
    (100, 32, 16, True, [0, 16, 32, 48, 64, 68]),
    (112, 32, 16, True, [0, 16, 32, 48, 64, 80]),
    (128, 32, 16, True, [0, 16, 32, 48, 64, 80, 96]),
])  # fmt: skip
def test_uniform_clip_sampler(n, length, stride, backpad_last, starts):
    seconds = Fraction(length, 30), Fraction(stride, 30)
    spec = WindowSpec.of_seconds(*seconds, fps=30, policy="backpad" if backpad_last else "drop")
    assert spec.starts(n).tolist() == starts


def test_uniform_clip_sampler_in_floats():
    """With floats, it loses the last of the six clips of 112 frames to rounding; ours are counted in frames."""
    theirs = [0, 16, 32, 48, 64]
    assert WindowSpec.of_seconds(32 / 30, 16 / 30, fps=30).starts(112).tolist() == [*theirs, 80]


def test_uniform_clip_sampler_of_a_short_source():
    # It gives one clip of the 20 frames there are; ours is none, or one that a policy fills.
    assert WindowSpec(32).count(20) == 0
    assert WindowSpec(32, policy="repeat_last").rows(20).tolist() == [[*range(20), *[19] * 12]]


# RandomClipSampler draws a time from 0 to the duration less the clip's, and takes the frames from then on.
@pytest.mark.parametrize(("n", "length", "first", "last"), [(100, 32, 0, 68), (33, 32, 0, 1)])
def test_random_clip_sampler(n, length, first, last):
    spec = WindowSpec(length, num_clips=1, sampling="random")
    assert possible(spec, n)[0][0] == set(range(first, last + 1))


# ConstantClipsPerVideoSampler(clip_duration, clips_per_video): starts as fractions of a frame. Its clips never reach
# the end: they are (duration - clip_duration) / clips_per_video apart; ours over clips_per_video - 1.
@pytest.mark.parametrize(("n", "length", "num_clips", "starts", "ours"), [
    (100, 32, 5, ["0", "68/5", "136/5", "204/5", "272/5"], [0, 17, 34, 51, 68]),
    (39, 32, 4, ["0", "7/4", "7/2", "21/4"], [0, 2, 4, 7]),
    (100, 32, 1, ["0"], [34]),
])  # fmt: skip
def test_constant_clips_per_video(n, length, num_clips, starts, ours):
    assert WindowSpec(length, num_clips=num_clips).starts(n).tolist() == ours
    assert [Fraction(start) for start in starts] == [Fraction((n - length) * i, num_clips) for i in range(num_clips)]


# UniformTemporalSubsample(num_samples) of n frames. It rounds down; ours to the nearest frame.
@pytest.mark.parametrize(("n", "num_samples", "frames", "ours"), [
    (1, 3, [0, 0, 0], [0, 0, 0]),
    (10, 1, [0], [0]),
    (16, 16, list(range(16)), list(range(16))),
    (64, 8, [0, 9, 18, 27, 36, 45, 54, 63], [0, 9, 18, 27, 36, 45, 54, 63]),
    (65, 8, [0, 9, 18, 27, 36, 45, 54, 64], [0, 9, 18, 27, 37, 46, 55, 64]),
    (30, 8, [0, 4, 8, 12, 16, 20, 24, 29], [0, 4, 8, 12, 17, 21, 25, 29]),
    (4, 8, [0, 0, 0, 1, 1, 2, 2, 3], [0, 0, 1, 1, 2, 2, 3, 3]),
    (4, 3, [0, 1, 3], [0, 2, 3]),
])  # fmt: skip
def test_uniform_temporal_subsample(n, num_samples, frames, ours):
    assert UniformSpec(num_samples, sampling="linspace").rows(n).tolist() == [ours]
    assert [i * (n - 1) // max(num_samples - 1, 1) for i in range(num_samples)] == frames


# EncodedVideo.get_clip(start_sec, end_sec): the first frame and the last; decord counts alike.
@pytest.mark.parametrize(("n", "rate", "start_sec", "end_sec", "frames"), [
    (60, 30, Fraction(1, 2), Fraction(3, 2), (15, 44)),
    (60, 30, Fraction(136, 150), Fraction(296, 150), (28, 59)),
    (60, 30, 1, 100, (30, 59)),
    (50, 10, 0, 5, (0, 49)),
])  # fmt: skip
def test_get_clip(make_video, n, rate, start_sec, end_sec, frames):
    path = make_video(n, rate=rate)
    found = [clip.frame_indices[0] for clip in video.clips(path, WindowSpec(1), segments=[(start_sec, end_sec)])]
    assert (found[0], found[-1]) == frames
