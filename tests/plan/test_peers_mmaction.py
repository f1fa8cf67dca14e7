"""mmaction2's samplers: the frames that version 1.2.0 gives, and those of the spec that means the same."""

import pytest
from helpers.peers import possible

from clipx import WindowSpec


# SampleFrames(clip_len, frame_interval, num_clips, test_mode=True): the starts of its clips.
@pytest.mark.parametrize(("n", "clip_len", "frame_interval", "num_clips", "starts"), [
    (7, 4, 2, 3, [0, 0, 0]),
    (63, 4, 2, 3, [0, 28, 56]),
    (65, 4, 2, 3, [0, 29, 58]),
    (299, 4, 2, 3, [0, 146, 292]),
    (301, 4, 2, 3, [0, 147, 294]),
    (250, 16, 4, 10, [0, 21, 42, 63, 84, 105, 126, 147, 168, 189]),
    (7, 4, 2, 1, [0]),
    (30, 4, 2, 1, [11]),
    (64, 4, 2, 1, [28]),
    (301, 4, 2, 1, [147]),
])  # fmt: skip
def test_sample_frames_for_tests(n, clip_len, frame_interval, num_clips, starts):
    assert WindowSpec(clip_len, None, frame_interval, num_clips=num_clips).starts(n).tolist() == starts


# It rounds the starts in between, half to even; ours are rounded down, as torchcodec's are.
@pytest.mark.parametrize(("n", "clip_len", "frame_interval", "num_clips", "starts", "ours"), [
    (30, 4, 2, 3, [0, 12, 23], [0, 11, 23]),
    (64, 4, 2, 3, [0, 28, 57], [0, 28, 57]),
    (100, 16, 4, 10, [0, 4, 9, 13, 17, 22, 26, 30, 35, 39], [0, 4, 8, 13, 17, 21, 26, 30, 34, 39]),
    (300, 16, 4, 10, [0, 27, 53, 80, 106, 133, 159, 186, 212, 239], [0, 26, 53, 79, 106, 132, 159, 185, 212, 239]),
    (63, 16, 4, 10, [0, 0, 0, 1, 1, 1, 1, 2, 2, 2], [0, 0, 0, 0, 0, 1, 1, 1, 1, 2]),
])  # fmt: skip
def test_sample_frames_rounds_starts(n, clip_len, frame_interval, num_clips, starts, ours):
    assert WindowSpec(clip_len, None, frame_interval, num_clips=num_clips).starts(n).tolist() == ours
    exact = [i * (n - frame_interval * (clip_len - 1) - 1) / (num_clips - 1) for i in range(num_clips)]
    assert [round(start) for start in exact] == starts


# A source below one span. out_of_bound_opt "loop" is "wrap"; "repeat_last" repeats the clip's last frame, ours the
# source's.
@pytest.mark.parametrize(("n", "clip_len", "frame_interval", "loop", "repeat_last", "ours"), [
    (6, 4, 2, [0, 2, 4, 0], [0, 2, 4, 4], [0, 2, 4, 5]),
    (7, 6, 2, [0, 2, 4, 6, 1, 3], [0, 2, 4, 6, 6, 6], [0, 2, 4, 6, 6, 6]),
    (7, 6, 4, [0, 4, 1, 5, 2, 6], [0, 4, 4, 4, 4, 4], [0, 4, 6, 6, 6, 6]),
    (30, 16, 4, [0, 4, 8, 12, 16, 20, 24, 28, 2, 6, 10, 14, 18, 22, 26, 0], [*range(0, 32, 4), *[28] * 8],
     [*range(0, 32, 4), *[29] * 8]),
])  # fmt: skip
def test_sample_frames_out_of_bound(n, clip_len, frame_interval, loop, repeat_last, ours):
    def rows(policy):
        return WindowSpec(clip_len, None, frame_interval, policy, num_clips=2).rows(n).tolist()

    assert rows("wrap") == [loop, loop]
    assert rows("repeat_last") == [ours, ours]
    kept = sum(frame < n for frame in range(0, clip_len * frame_interval, frame_interval))
    assert [*ours[:kept], *[ours[kept - 1]] * (clip_len - kept)] == repeat_last


# In training, num_clips=1: the starts that it may draw. It leaves frame_interval - 1 frames behind the last frame of a
# clip, so that its starts end that much earlier than ours.
@pytest.mark.parametrize(("n", "clip_len", "frame_interval", "starts"), [
    (30, 4, 2, range(23)),
    (30, 4, 1, range(27)),
    (10, 1, 1, range(10)),
    (9, 4, 2, range(2)),
    (8, 4, 2, range(1)),
])  # fmt: skip
def test_sample_frames_for_training(n, clip_len, frame_interval, starts):
    spec = WindowSpec(clip_len, None, frame_interval, num_clips=1, sampling="random")
    assert possible(spec, n - frame_interval + 1)[0][0] == set(starts)
    assert possible(spec, n)[0][0] == set(range(len(starts) + frame_interval - 1))
