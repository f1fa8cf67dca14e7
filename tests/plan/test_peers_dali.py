"""DALI's video readers: the frames that version 2.4.0 gives, and those of the spec that means the same.

Those of `experimental.readers.video` were read from its frame numbers, of Motion JPEG on the CPU; those of
`readers.video`, which needs a GPU, follow from its source (dali/operators/video/legacy/reader/video_loader.h).
"""

from math import ceil, floor

import numpy as np
import pytest

from clipx import UniformSpec, WindowSpec, video, windows


def spans(starts, length, stride):
    return [[start + i * stride for i in range(length)] for start in starts]


# experimental.readers.video(sequence_length, stride, step), pad_mode "none".
@pytest.mark.parametrize(("n", "length", "stride", "step", "frames"), [
    (12, 4, 1, None, spans([0, 4, 8], 4, 1)),
    (12, 4, 2, None, spans([0], 4, 2)),
    (12, 4, 2, 3, spans([0, 3], 4, 2)),
    (12, 3, 1, 5, spans([0, 5], 3, 1)),
    (30, 4, 1, None, spans(range(0, 27, 4), 4, 1)),
    (30, 4, 2, None, spans([0, 8, 16], 4, 2)),
    (30, 4, 2, 3, spans(range(0, 22, 3), 4, 2)),
    (50, 4, 2, None, spans(range(0, 41, 8), 4, 2)),
    (50, 4, 2, 3, spans(range(0, 43, 3), 4, 2)),
    (50, 3, 1, 5, spans(range(0, 46, 5), 3, 1)),
])  # fmt: skip
def test_windows(n, length, stride, step, frames):
    assert WindowSpec(length, step, stride).rows(n).tolist() == frames


# It asks for stride - 1 frames behind a clip's last one, which ours does not need, nor readers.video.
@pytest.mark.parametrize(("n", "length", "stride", "step", "starts", "ours"), [
    (7, 4, 2, None, [], [0]),
    (8, 4, 2, None, [0], [0]),
    (10, 4, 2, 3, [0], [0, 3]),
    (11, 4, 2, 3, [0, 3], [0, 3]),
])  # fmt: skip
def test_windows_at_the_end(n, length, stride, step, starts, ours):
    spec = WindowSpec(length, step, stride)
    assert spec.starts(n).tolist() == ours
    assert spec.starts(n - stride + 1).tolist() == starts


# The last clip of the same, by pad_mode; there is one that is not complete, where a frame would be left out.
@pytest.mark.parametrize(("pad_mode", "policy"), [
    ("constant", "constant"),
    ("edge", "repeat_last"),
    ("repeat", "repeat_last"),
    ("reflect_101", "reflect"),
    ("reflect", "reflect"),
])  # fmt: skip
@pytest.mark.parametrize(("n", "length", "stride", "step", "count", "last"), [
    (12, 4, 2, None, 2, {"constant": [8, 10, -1, -1], "edge": [8, 10, 11, 11], "reflect_101": [8, 10, 10, 8]}),
    (12, 4, 2, 3, 3, {"constant": [6, 8, 10, -1], "edge": [6, 8, 10, 11], "reflect_101": [6, 8, 10, 10]}),
    (12, 3, 1, 5, 3, {"constant": [10, 11, -1], "edge": [10, 11, 11], "reflect_101": [10, 11, 10]}),
    (30, 4, 1, None, 8, {"constant": [28, 29, -1, -1], "edge": [28, 29, 29, 29], "reflect_101": [28, 29, 28, 27]}),
    (50, 4, 2, None, 7, {"constant": [48, -1, -1, -1], "edge": [48, 49, 49, 49], "reflect_101": [48, 48, 46, 44]}),
    (50, 4, 2, 3, 16, {"constant": [45, 47, 49, -1], "edge": [45, 47, 49, 49], "reflect_101": [45, 47, 49, 47]}),
])  # fmt: skip
def test_padding(pad_mode, policy, n, length, stride, step, count, last):
    rows = WindowSpec(length, step, stride, policy).rows(n)
    assert len(rows) == count
    assert rows[-1].tolist() == last[{"repeat": "edge", "reflect": "reflect_101"}.get(pad_mode, pad_mode)]


def test_padding_of_a_short_source():
    assert WindowSpec(4, policy="repeat_last").rows(3).tolist() == [[0, 1, 2, 2]]
    assert WindowSpec(6, policy="reflect").rows(3).tolist() == [[0, 1, 2, 1, 0, 1]]


# experimental.readers.video(sequence_length, uniform_sample=True). It rounds halves up; ours to even.
@pytest.mark.parametrize(("n", "length", "frames", "ours"), [
    (12, 1, [0], None),
    (12, 2, [0, 11], None),
    (12, 5, [0, 3, 6, 8, 11], None),
    (12, 8, [0, 2, 3, 5, 6, 8, 9, 11], None),
    (12, 16, [0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11], None),
    (30, 8, [0, 4, 8, 12, 17, 21, 25, 29], None),
    (30, 16, [0, 2, 4, 6, 8, 10, 12, 14, 15, 17, 19, 21, 23, 25, 27, 29], None),
    (50, 8, [0, 7, 14, 21, 28, 35, 42, 49], None),
    (3, 8, [0, 0, 1, 1, 1, 1, 2, 2], None),
    (30, 5, [0, 7, 15, 22, 29], [0, 7, 14, 22, 29]),
    (50, 5, [0, 12, 25, 37, 49], [0, 12, 24, 37, 49]),
    (3, 5, [0, 1, 1, 2, 2], [0, 0, 1, 2, 2]),
])  # fmt: skip
def test_uniform_sample(n, length, frames, ours):
    assert UniformSpec(length, sampling="linspace").rows(n).tolist() == [ours or frames]
    assert [(2 * i * (n - 1) // max(length - 1, 1) + 1) // 2 for i in range(length)] == frames


# experimental.readers.video over a file_list with file_list_format="frames": "file label start end", sequence_length 1.
@pytest.mark.parametrize(("start", "end", "frames"), [
    (10, 20, range(10, 20)),
    (95, 100, range(95, 100)),
])  # fmt: skip
def test_file_list_of_frames(start, end, frames):
    assert windows.indices(100, 1, segments=[(start, end)]).ravel().tolist() == list(frames)


# sequence_length=4, stride=2, step=3 within start and end; stride - 1 frames behind the last, again.
@pytest.mark.parametrize(("start", "end", "starts", "ours"), [(10, 20, [10], [10, 13]), (20, 31, [20, 23], [20, 23])])
def test_windows_of_a_file_list(start, end, starts, ours):
    assert windows.starts(100, 4, 3, 2, segments=[(start, end)]).tolist() == ours
    assert windows.starts(100, 4, 3, 2, segments=[(start, end - 1)]).tolist() == starts


def test_uniform_sample_of_a_file_list():
    assert windows.indices(100, UniformSpec(4, sampling="linspace"), segments=[(10, 20)]).tolist() == [[10, 13, 16, 19]]


# The first and last frame of "file label start end" in seconds, of 100 frames at 10 a second, by file_list_rounding:
# "start_down_end_up", the default, "start_up_end_down" and "all_up", which is the rule of segments.
@pytest.mark.parametrize(("start", "end", "start_down_end_up", "start_up_end_down", "all_up"), [
    (1, 2, (10, 19), (10, 19), (10, 19)),
    (1.25, 2.05, (12, 20), (13, 19), (13, 20)),
    (1, 2.0001, (10, 20), (10, 19), (10, 20)),
    (0.3, 0.7, (3, 6), (3, 5), (3, 6)),
    (2.99, 3.01, (29, 30), None, (30, 30)),
    (3, 3.05, (30, 30), None, (30, 30)),
])  # fmt: skip
def test_file_list_of_seconds(make_video, start, end, start_down_end_up, start_up_end_down, all_up):
    path = make_video(100, rate=10)

    def extent(*seconds):
        frames = [clip.frame_indices[0] for clip in video.clips(path, WindowSpec(1), segments=[seconds])]
        return frames[0], frames[-1]

    assert extent(start, end) == all_up
    # The frame that is shown at the start, too: a segment begins with the one before.
    assert extent(start_down_end_up[0] / 10, end) == start_down_end_up
    if start_up_end_down is not None:
        assert extent(start, (start_up_end_down[1] + 1) / 10) == start_up_end_down


# readers.video takes the frames from ceil(start * fps) to before floor(end * fps), of times in float32, and with
# file_list_include_preceding_frame from floor to before ceil: at 10 frames a second, 0.3 is past frame 3.
@pytest.mark.parametrize(("start", "end", "default", "preceding", "ours"), [
    (1, 2, range(10, 20), range(10, 20), range(10, 20)),
    (1.25, 2.05, range(13, 20), range(12, 21), range(13, 21)),
    (0.3, 0.7, range(4, 6), range(3, 7), range(3, 7)),
    (0.1, 0.2, range(2, 2), range(1, 3), range(1, 2)),
    (1.1, 1.9, range(12, 18), range(11, 19), range(11, 19)),
])  # fmt: skip
def test_file_list_of_readers_video(make_video, start, end, default, preceding, ours):
    found = video.clips(make_video(100, rate=10), WindowSpec(1), segments=[(start, end)])
    assert [clip.frame_indices[0] for clip in found] == list(ours)
    first, last = float(np.float32(start)) * 10, float(np.float32(end)) * 10
    assert default == range(ceil(first), floor(last))
    assert preceding == range(floor(first), ceil(last))


def test_file_list_past_the_end(make_video):
    """It leaves a line out, with a warning, whose end is past the source; here it is the source's end."""
    path = make_video(100, rate=10)
    found = video.clips(path, WindowSpec(1), segments=[(9, 12)])
    assert [clip.frame_indices[0] for clip in found] == list(range(90, 100))
