"""decord's VideoLoader: the frames that version 0.6.0 gives, and those of the spec that means the same."""

import pytest

from clipx import FrameList, WindowSpec


# VideoLoader(shape=(length, ...), interval, skip, shuffle=0): dilation is interval + 1, and stride is span + skip. It
# leaves out clips that reach one of the last two frames.
@pytest.mark.parametrize(("n", "length", "interval", "skip", "frames"), [
    (12, 4, 0, 0, [[0, 1, 2, 3], [4, 5, 6, 7]]),
    (13, 4, 0, 0, [[0, 1, 2, 3], [4, 5, 6, 7]]),
    (14, 4, 0, 0, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]),
    (15, 4, 1, 0, [[0, 2, 4, 6]]),
    (16, 4, 1, 0, [[0, 2, 4, 6], [7, 9, 11, 13]]),
    (14, 3, 0, 2, [[0, 1, 2], [5, 6, 7]]),
    (15, 3, 0, 2, [[0, 1, 2], [5, 6, 7], [10, 11, 12]]),
    (15, 2, 2, 1, [[0, 3], [5, 8]]),
    (16, 2, 2, 1, [[0, 3], [5, 8], [10, 13]]),
    (30, 4, 1, 3, [[0, 2, 4, 6], [10, 12, 14, 16], [20, 22, 24, 26]]),
    (30, 5, 0, 2, [[0, 1, 2, 3, 4], [7, 8, 9, 10, 11], [14, 15, 16, 17, 18], [21, 22, 23, 24, 25]]),
])  # fmt: skip
def test_video_loader(n, length, interval, skip, frames):
    dilation = interval + 1
    spec = WindowSpec(length, dilation * (length - 1) + 1 + skip, dilation)
    assert spec.rows(n - 2).tolist() == frames
    assert spec.rows(n)[: len(frames)].tolist() == frames


def test_get_batch():
    """VideoReader.get_batch takes any order, and -1 for the last frame, as FrameList does not; both refuse 50."""
    assert FrameList([4, 1, 1, 49]).rows(50).tolist() == [[4, 1, 1, 49]]
    with pytest.raises(ValueError, match=r"frames\[3\] is -1"):
        FrameList([4, 1, 1, -1])
    with pytest.raises(ValueError, match=r"frames\[0\] is 50"):
        FrameList([50]).rows(50)
