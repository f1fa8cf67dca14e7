"""mmaction2's samplers: the frames that version 1.2.0 gives, and those of the spec that means the same."""

import pytest
from helpers.peers import possible

from clipx import UniformSpec, WindowSpec, video


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


# SampleFrames(clip_len=1, num_clips=k, test_mode=True), TSN's: the frames in the middle of k equal parts.
@pytest.mark.parametrize(("n", "k", "frames"), [
    (1, 4, [0, 0, 0, 0]),
    (3, 8, [0, 0, 0, 1, 1, 2, 2, 2]),
    (5, 5, [0, 1, 2, 3, 4]),
    (7, 3, [1, 3, 5]),
    (30, 8, [1, 5, 9, 13, 16, 20, 24, 28]),
    (64, 3, [10, 32, 53]),
    (250, 16, [7, 23, 39, 54, 70, 85, 101, 117, 132, 148, 164, 179, 195, 210, 226, 242]),
    (300, 8, [18, 56, 93, 131, 168, 206, 243, 281]),
    (301, 3, [50, 150, 250]),
])  # fmt: skip
def test_centers_of_parts(n, k, frames):
    assert UniformSpec(k).rows(n).tolist() == [frames]


def test_centers_in_floats():
    """Of 12 frames in 7 parts it has 5.999... where it means 6; so have one in 370 frames of up to 600."""
    assert UniformSpec(7).rows(12).tolist() == [[0, 2, 4, 6, 7, 9, 11]]
    assert [0, 2, 4, int(12 / 7 * 3 + 12 / 7 / 2), 7, 9, 11] == [0, 2, 4, 5, 7, 9, 11]


# UniformSampleFrames(clip_len=k): the first and last frame that it may take of each part.
@pytest.mark.parametrize(("n", "parts"), [
    (4, [(0, 0), (1, 1), (2, 2), (3, 3)]),
    (8, [(0, 1), (2, 3), (4, 5), (6, 7)]),
    (9, [(0, 1), (2, 3), (4, 5), (6, 8)]),
    (16, [(0, 3), (4, 7), (8, 11), (12, 15)]),
    (17, [(0, 3), (4, 7), (8, 11), (12, 16)]),
    (100, [(0, 11), (12, 24), (25, 36), (37, 49), (50, 61), (62, 74), (75, 86), (87, 99)]),
])  # fmt: skip
def test_uniform_sample_frames(n, parts):
    clip = possible(UniformSpec(len(parts), sampling="random"), n)[0]
    assert clip == [set(range(first, last + 1)) for first, last in parts]


# Of less than two frames for each part, it takes k of the n frames, each in as many ways; ours one of each part.
@pytest.mark.parametrize(("n", "k", "theirs", "ours"), [
    (5, 4, [(0, 1), (1, 2), (2, 3), (3, 4)], [(0, 0), (1, 1), (2, 2), (3, 4)]),
    (7, 4, [(0, 2), (1, 3), (3, 5), (5, 6)], [(0, 0), (1, 2), (3, 4), (5, 6)]),
])  # fmt: skip
def test_uniform_sample_frames_of_few(n, k, theirs, ours):
    clip = possible(UniformSpec(k, sampling="random"), n)[0]
    assert [(min(frames), max(frames)) for frames in clip] == ours
    assert all(first <= mine[0] and mine[1] <= last for (first, last), mine in zip(theirs, ours))


# UniformSample(clip_len=4), in training: its parts meet in a frame that both may take. In tests it takes a frame before
# the middle of each, of the n - 1 gaps between frames; ours is the middle one.
@pytest.mark.parametrize(("n", "theirs", "ours", "tested", "middle"), [
    (16, [(0, 4), (4, 8), (8, 11), (11, 15)], [(0, 3), (4, 7), (8, 11), (12, 15)], [1, 5, 9, 12], [2, 6, 10, 14]),
    (17, [(0, 4), (4, 8), (8, 12), (12, 16)], [(0, 3), (4, 7), (8, 11), (12, 16)], [2, 6, 10, 14], [2, 6, 10, 14]),
    (7, [(0, 2), (2, 3), (3, 4), (4, 6)], [(0, 0), (1, 2), (3, 4), (5, 6)], [0, 2, 3, 4], [0, 2, 4, 6]),
])  # fmt: skip
def test_uniform_sample(n, theirs, ours, tested, middle):
    assert [(min(each), max(each)) for each in possible(UniformSpec(4, sampling="random"), n)[0]] == ours
    assert UniformSpec(4).rows(n).tolist() == [middle]
    bounds = [round((n - 1) / 4 * i) for i in range(5)]
    assert list(zip(bounds, bounds[1:])) == theirs
    assert [first + (n - 1) // 8 for first in bounds[:-1]] == tested


# SampleFrames(clip_len=8, frame_interval=2, num_clips=2, target_fps=15, test_mode=True) of 300 frames at 30 a second: 8
# frames over the 32 of a clip, rounded down. Ours are the frames shown at 15 a second, 2 apart.
@pytest.mark.parametrize(("n", "theirs", "ours"), [
    (300, [[0, 4, 8, 13, 17, 22, 26, 31], [268, 272, 276, 281, 285, 290, 294, 299]], [0, 270]),
    (120, [[0, 4, 8, 13, 17, 22, 26, 31], [88, 92, 96, 101, 105, 110, 114, 119]], [0, 90]),
])  # fmt: skip
def test_target_fps(make_video, n, theirs, ours):
    found = video.clips(make_video(n, rate=30), WindowSpec(8, None, 2, num_clips=2, fps=15))
    assert [clip.frame_indices.tolist() for clip in found] == [list(range(first, first + 32, 4)) for first in ours]
    assert [[first + int(i * 31 / 7) for i in range(8)] for first in (0, n - 32)] == theirs


# SampleFrames in training with several clips: the first and last start that each may have. By default it leaves out the
# starts at the end that do not make a whole run; with keep_tail_frames, runs may share a start. frame_interval is 1.
@pytest.mark.parametrize(("n", "clip_len", "default", "keep_tail_frames", "ours"), [
    (12, 1, [(0, 3), (4, 7), (8, 11)], [(0, 3), (4, 7), (8, 11)], [(0, 3), (4, 7), (8, 11)]),
    (30, 4, [(0, 8), (9, 17), (18, 26)], [(0, 8), (9, 17), (18, 26)], [(0, 8), (9, 17), (18, 26)]),
    (31, 4, [(0, 8), (9, 17), (18, 26)], [(0, 9), (9, 18), (18, 27)], [(0, 8), (9, 17), (18, 27)]),
    (29, 4, [(0, 7), (8, 15), (16, 23)], [(0, 8), (8, 17), (17, 25)], [(0, 7), (8, 16), (17, 25)]),
    (10, 1, [(0, 2), (3, 5), (6, 8)], [(0, 3), (3, 6), (6, 9)], [(0, 2), (3, 5), (6, 9)]),
    (6, 4, [(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1), (2, 2)]),
    (5, 4, [(0, 1), (0, 1), (0, 1)], [(0, 0), (0, 1), (1, 1)], [(0, 1), (0, 1), (0, 1)]),
])  # fmt: skip
def test_sample_frames_of_several_clips(n, clip_len, default, keep_tail_frames, ours):
    starts = [clip[0] for clip in possible(WindowSpec(clip_len, num_clips=3, sampling="partition"), n)]
    assert starts == [set(range(first, last + 1)) for first, last in ours]
    runs = n - clip_len + 1
    if runs >= 3:
        assert [(i * (runs // 3), (i + 1) * (runs // 3) - 1) for i in range(3)] == default
    assert [(runs * i // 3, -(-runs * (i + 1) // 3) - 1) for i in range(3)] == keep_tail_frames
