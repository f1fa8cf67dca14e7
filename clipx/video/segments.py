"""Segments of a video: the frames that each has, at the rate and in the part of the options."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clipx.media.exact_times import FrameTimes
from clipx.media.packet_index import PacketIndex
from clipx.media.timeline import Times
from clipx.plan import FrameSpec, Segment
from clipx.plan.segmented import SegmentErrors, SegmentFrames
from clipx.plan.segments import json_number
from clipx.video.decoder import VideoDecoder
from clipx.video.times import VideoTimes

__all__ = ["frames_of_video", "times_of_video"]


def times_of_video(decoder: VideoDecoder, index: PacketIndex | None) -> PacketIndex | FrameTimes:
    """The times of all frames: as its packets say, else by decoding all, whatever damage there is."""
    return decoder.times() if index is None else index


def frames_of_video(
    segments: Mapping[int, Segment], file: VideoTimes, times: Times, spec: FrameSpec
) -> tuple[list[SegmentFrames], SegmentErrors]:
    """The frames of segments, and the errors of those that have none."""
    whole, found = file.timeline(), []
    errors: SegmentErrors = []
    for number, segment in segments.items():
        if not len(times.pts):
            errors.append((number, ValueError(f"{segment}: {file.name} has no frames")))
            continue
        part = whole.within(segment, times)
        frames = part.frames(times, file.frame_ticks)
        if not len(frames):
            errors.append((number, _no_frames(segment, file, times)))
            continue
        exact = part.exact_times(times, len(frames), file.frame_ticks) if spec.needs_times else None
        found.append(SegmentFrames(segment, _as_range(frames), exact))
    return found, errors


def _as_range(frames: np.ndarray) -> range | np.ndarray:
    """The same frames, as a range where each comes once and none is left out."""
    first, last = int(frames[0]), int(frames[-1])
    if last - first + 1 == len(frames) and np.array_equal(frames, np.arange(first, last + 1)):
        return range(first, last + 1)
    return frames


def _no_frames(segment: Segment, file: VideoTimes, times: Times) -> ValueError:
    n = len(times.pts)
    if segment.unit == "frames":
        if segment.start >= n:
            return ValueError(f"{segment}: it starts at frame {segment.start}, but {file.name} has {n} frames")
    else:
        end = (int(times.pts[-1]) + (int(times.durations[-1]) or file.frame_ticks)) * file.time_base
        if segment.start >= end:
            start = json_number(segment.start)
            return ValueError(f"{segment}: it starts at {start} s, but {file.name} ends at {float(end):g} s")
    within = ", within start_seconds and end_seconds" if file.has_part else ""
    return ValueError(f"{segment}: no frame of {file.name} begins in it{within}")
