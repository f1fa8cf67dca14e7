"""How a video is read is a decision: one row for each case that matters."""

from fractions import Fraction

import numpy as np
import pytest

import clipx
from clipx.media.packet_index import PacketIndex
from clipx.media.rates import Grace
from clipx.media.timeline import Timeline
from clipx.plan import ALL, Selection
from clipx.video.routes import (
    AllFrames,
    FramesByTime,
    FromKeyFrame,
    IndexedPart,
    SelectedFrames,
    choose_route,
    has_gaps,
    needs_past_frames,
    part_to_index,
)

N = 40
DENSE = clipx.WindowSpec(4, 2)
SPARSE = clipx.WindowSpec(4, 2, dilation=2)
APART = clipx.WindowSpec(4, 9)
FEW = clipx.WindowSpec(4, num_clips=3)
BACK = clipx.WindowSpec(4, 3, policy="wrap")
LATE, SOME, LATE_DAMAGED = Selection((), 9), Selection((2, 5), None), Selection((), 9, damaged=True)


def timeline(**part):
    return Timeline("a", Fraction(1, 25), Grace(0, None), **part)


@pytest.mark.parametrize(
    ("spec", "part", "past", "gaps"),
    [
        (DENSE, {}, False, False),
        (clipx.WindowSpec(4), {}, False, False),
        (clipx.WindowSpec(4, 2, policy="repeat_last"), {}, False, False),
        (SPARSE, {}, False, True),
        (APART, {}, False, True),
        (FEW, {}, False, True),
        (BACK, {}, True, True),
        (clipx.WindowSpec(4, 3, policy="backpad"), {}, True, True),
        (DENSE, {"end_seconds": Fraction(1)}, False, False),
        (DENSE, {"start_seconds": Fraction(1)}, False, True),
        (DENSE, {"fps": Fraction(10)}, False, True),
    ],
)
def test_gaps(spec, part, past, gaps):
    assert needs_past_frames(spec) == past
    assert has_gaps(spec, timeline(**part)) == gaps


@pytest.mark.parametrize(
    ("spec", "part", "selection", "damage", "rewinds", "wanted"),
    [
        # Every frame is needed.
        (DENSE, {}, ALL, "stop", True, IndexedPart.NONE),
        # Frames are left out, or the end needs some again.
        (SPARSE, {}, ALL, "stop", True, IndexedPart.ALL),
        (APART, {}, ALL, "stop", True, IndexedPart.NEEDED),
        (FEW, {}, ALL, "stop", True, IndexedPart.NEEDED),
        (BACK, {}, ALL, "stop", True, IndexedPart.ALL),
        (APART, {"fps": Fraction(10)}, ALL, "stop", True, IndexedPart.ALL),
        (APART, {"start_seconds": Fraction(1)}, ALL, "stop", True, IndexedPart.ALL),
        # The source cannot be read again.
        (APART, {}, ALL, "stop", False, IndexedPart.NONE),
        (DENSE, {}, LATE, "stop", False, IndexedPart.NONE),
        # Clips are passed over.
        (DENSE, {}, LATE, "stop", True, IndexedPart.ALL),
        (DENSE, {}, SOME, "stop", True, IndexedPart.NEEDED),
        (DENSE, {}, SOME, "keep", True, IndexedPart.NEEDED),
        (DENSE, {}, LATE_DAMAGED, "keep", True, IndexedPart.NONE),
        (SPARSE, {}, SOME, "stop", True, IndexedPart.NEEDED),
        (SPARSE, {}, SOME, "keep", True, IndexedPart.ALL),
        (APART, {}, LATE_DAMAGED, "keep", True, IndexedPart.NEEDED),
    ],
)
def test_which_packets_are_indexed(spec, part, selection, damage, rewinds, wanted):
    assert part_to_index(spec, timeline(**part), selection, damage=damage, rewinds=rewinds) == wanted


@pytest.mark.parametrize(
    ("spec", "indexed", "selection", "opening", "damage", "with_sound", "wanted"),
    [
        (DENSE, False, ALL, 0, "stop", False, AllFrames()),
        (SPARSE, False, LATE, 18, "stop", False, AllFrames()),
        (SPARSE, True, ALL, 0, "stop", False, SelectedFrames()),
        (SPARSE, True, LATE, 18, "stop", False, SelectedFrames()),
        (FEW, True, ALL, 0, "keep", False, SelectedFrames()),
        (DENSE, True, SOME, None, "stop", False, SelectedFrames()),
        # One key frame of 0, 10, 20 and 30 earlier than that before the first clip.
        (DENSE, True, LATE, 18, "stop", False, FromKeyFrame(0)),
        (DENSE, True, LATE, 29, "keep", False, FromKeyFrame(10)),
        (DENSE, True, LATE, 30, "skip", False, FromKeyFrame(20)),
        (DENSE, True, LATE, 3, "stop", False, FromKeyFrame(0)),
        (DENSE, True, LATE, None, "stop", False, SelectedFrames()),
        (SPARSE, True, LATE_DAMAGED, 18, "keep", False, FramesByTime()),
        # Sound lies between all packets.
        (SPARSE, True, ALL, 0, "stop", True, AllFrames()),
        (DENSE, True, LATE, 18, "stop", True, AllFrames()),
        (SPARSE, True, ALL, 0, "keep", True, FramesByTime()),
        (DENSE, True, LATE, 18, "skip", True, FramesByTime()),
        (DENSE, False, LATE, 18, "skip", True, AllFrames()),
    ],
)
def test_routes(spec, indexed, selection, opening, damage, with_sound, wanted):
    n = np.arange(N)
    index = PacketIndex(n, np.ones_like(n), n, n, n[::10]) if indexed else None
    route = choose_route(spec, timeline(), index, selection, opening=opening, damage=damage, with_sound=with_sound)
    assert route == wanted
