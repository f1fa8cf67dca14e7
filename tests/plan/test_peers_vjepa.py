"""V-JEPA 2's video_dataset.py: the frames that it reads, and those of the spec that means the same."""

import numpy as np
import pytest
from helpers.peers import possible

from clipx import UniformSpec, WindowSpec


def spec(length, dilation, num_clips, **rest):
    return WindowSpec(length, None, dilation, num_clips=num_clips, sampling="partition_source", **rest)


# frames_per_clip, frame_step and num_clips: the first and last start of each clip. A clip is length * dilation frames,
# and the start that would end with the part is never drawn; ours are span frames, and it may be.
@pytest.mark.parametrize(("n", "length", "dilation", "theirs", "ours"), [
    (300, 16, 4, [(0, 235)], [(0, 239)]),
    (300, 4, 2, [(0, 91), (100, 191), (200, 291)], [(0, 93), (100, 193), (200, 293)]),
])  # fmt: skip
def test_starts(n, length, dilation, theirs, ours):
    starts = [clip[0] for clip in possible(spec(length, dilation, len(ours)), n, draws=4000)]
    assert starts == [set(range(first, last + 1)) for first, last in ours]
    assert [(first, last - dilation) for first, last in ours] == theirs


def test_frames_of_a_clip():
    """Its 16 frames are np.linspace over 64, rounded down, and so 4 or 5 apart; ours are 4 apart."""
    theirs = [0, 4, 8, 12, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63]
    assert np.clip(np.linspace(0, 64, 16), 0, 63).astype(int).tolist() == theirs
    assert spec(16, 4, 1).rows(61).tolist() == [list(range(0, 61, 4))]
    nearest = UniformSpec(16, sampling="linspace").rows(64)[0]
    assert np.abs(nearest - theirs).max() == 1


# A part that is no longer than a clip: it spreads some of the frames over it, and repeats the last one; ours repeats it
# where the clip runs past the part.
@pytest.mark.parametrize(("n", "theirs", "ours"), [
    (8, [0, 2, 5, 7], [0, 2, 4, 6]),
    (7, [0, 3, 6, 6], [0, 2, 4, 6]),
    (6, [0, 3, 5, 5], [0, 2, 4, 5]),
    (5, [0, 4, 4, 4], [0, 2, 4, 4]),
])  # fmt: skip
def test_short_parts(n, theirs, ours):
    rows = possible(spec(4, 2, 3, policy="repeat_last"), 3 * n + 2)
    assert rows[0][0] == (set() if n < 7 else set(range(n - 6))) | {0}
    assert [min(frames) for frames in rows[0]] == ours
    assert [min(frames) - 2 * n for frames in rows[2]] == ours
    spread = np.linspace(0, n, n // 2) if n < 8 else np.linspace(0, 8, 4)
    assert np.clip([*spread, *[n] * (4 - len(spread))], 0, n - 1).astype(int).tolist() == theirs
