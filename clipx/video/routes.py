"""Routes: ways to read the frames of a video, and the choice among them by the needs of its clips and its file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from clipx.media.packet_index import PacketIndex
from clipx.media.timeline import Timeline
from clipx.plan import FrameSpec, Selection

__all__ = [
    "AllFrames",
    "FramesByTime",
    "FromKeyFrame",
    "IndexedPart",
    "Route",
    "SelectedFrames",
    "choose_route",
    "has_gaps",
    "needs_past_frames",
    "part_to_index",
    "reads_apart",
]


@dataclass(frozen=True)
class AllFrames:
    """Every frame is decoded, from the first to the last; frames are counted as they come."""


@dataclass(frozen=True)
class FromKeyFrame:
    """Every frame from a key frame on is decoded, and before it only those that are wanted.

    The key frame is one earlier than need be: one that is damaged is concealed with what came before.
    """

    first: int


@dataclass(frozen=True)
class SelectedFrames:
    """Only wanted frames are decoded, and others that they refer to; frames are numbered like packets."""


@dataclass(frozen=True)
class FramesByTime:
    """Every frame is decoded, and those that are wanted are found by their times in the index.

    It is for damage, after which frames are no longer numbered like packets.
    """


Route = AllFrames | FromKeyFrame | SelectedFrames | FramesByTime


class IndexedPart(Enum):
    """The packets of a file of which an index is made."""

    NONE = "none"
    NEEDED = "those of the stretches between key frames in which frames are needed"
    ALL = "all"


def needs_past_frames(spec: FrameSpec) -> bool:
    """True if the end of a stream may need frames that have gone by, other than the last one, which is kept."""
    return max(spec.first_frames, spec.last_frames) > 1


def has_gaps(spec: FrameSpec, timeline: Timeline, in_segments: bool = False) -> bool:
    """True if an index pays: frames between others are not needed, or their number is needed before the end."""
    return in_segments or spec.skips_frames or timeline.sparse or needs_past_frames(spec)


def part_to_index(
    spec: FrameSpec, timeline: Timeline, selection: Selection, *, damage: str, rewinds: bool, in_segments: bool = False
) -> IndexedPart:
    """The packets that are read before any is decoded.

    Args:
        damage: what is done where the file is damaged, as in VideoOptions.
        rewinds: whether the source can be read again.
        in_segments: whether the video is divided.
    """
    gaps = has_gaps(spec, timeline, in_segments) or spec.needs_times
    # From a key frame on, frames are numbered like packets only where no damage comes before.
    enters_later = selection.passes_over and not selection.damaged
    if not rewinds or not (gaps or enters_later):
        return IndexedPart.NONE
    if in_segments or spec.needs_times:
        return IndexedPart.ALL
    # Where damage does not end the clips, the index must not depend on which of them are selected.
    ends_early = selection.first is None and (damage == "stop" or not gaps)
    return IndexedPart.NEEDED if timeline.whole and (spec.clips_apart or ends_early) else IndexedPart.ALL


def reads_apart(spec: FrameSpec, timeline: Timeline, route: Route, in_segments: bool) -> bool:
    """True if a route goes over a part of the pictures, so that sound is read beside them rather than in one pass."""
    if isinstance(route, FromKeyFrame):
        return True
    return isinstance(route, SelectedFrames) and (in_segments or spec.skips_frames or timeline.sparse)


def choose_route(
    spec: FrameSpec,
    timeline: Timeline,
    index: PacketIndex | None,
    selection: Selection,
    *,
    opening: int | None,
    damage: str,
    with_sound: bool,
    in_segments: bool = False,
) -> Route:
    """The route of the first pass over a video.

    Args:
        index: of the packets; None where it was not read, or the file does not give one.
        opening: frame at which the clip `selection.first` begins; None where that is not known.
        damage: what is done where the file is damaged, as in VideoOptions.
        with_sound: whether sound is decoded in the same pass. It lies between all packets, so that all are read.
        in_segments: whether the video is divided.
    """
    if index is None or (with_sound and damage == "stop"):
        return AllFrames()
    gaps = has_gaps(spec, timeline, in_segments)
    if with_sound or (gaps and selection.damaged):
        return FramesByTime()
    if not gaps and selection.first is not None and opening is not None:
        return FromKeyFrame(int(index.keys[index.keys <= opening][-2:][0]))
    return SelectedFrames()
