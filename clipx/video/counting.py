"""Numbers of frames and clips of a video, mostly without decoding."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, cast

from clipx.errors import MediaError
from clipx.media.damage import Report
from clipx.media.sources import Source, as_source, can_rewind
from clipx.media.stream_facts import StreamFacts
from clipx.plan import Extent, FrameSpec, Rng, Segment, segmented
from clipx.video.decoder import VideoDecoder
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions, at_rate
from clipx.video.segments import frames_of_video, times_of_video
from clipx.video.times import VideoTimes, are_of

__all__ = ["count_clips", "count_clips_by_facts", "count_frames"]


def count_frames(src: Source, spec: FrameSpec, options: VideoOptions | None, name: str) -> int:
    """Number of frames of the clips' time line: as the header lists them, else from the packets, else by decoding.

    Of a file that is found to be damaged, that of the frames before the damage.
    """
    options = at_rate(spec, options)
    src = as_source(src, name)
    file = VideoFile(src, name, options)
    try:
        timeline = file.timeline()
        listed = file.frames_listed if timeline.whole else None
        if listed is not None:
            return listed
        index = file.read_index() if can_rewind(src) else None
        if index is not None:
            return len(timeline.frames(index, file.frame_ticks))
        count = 0
        with suppress(MediaError):
            for _ in timeline.follow(VideoDecoder(file, Report(name, options.damage)).frames()):
                count += 1
        return count
    finally:
        file.close()


def count_clips(
    src: Source,
    spec: FrameSpec,
    options: VideoOptions | None,
    name: str,
    segments: Mapping[int, Segment] | None = None,
    rng: Rng = None,
) -> int:
    """Number of clips of a video, or of its segments, as `count_frames` finds it.

    Clips of segments that the spec does not allow do not count; of an undivided video, those before the error do.

    Args:
        rng: as `selected_clips` takes it; it matters where a spec draws how many clips there are.
    """
    if segments is None and not spec.needs_times:
        return spec.count_until_error(count_frames(src, spec, options, name))
    src = as_source(src, name)
    if not can_rewind(src):
        src = io.BytesIO(cast(IO[bytes], src).read())
    options = at_rate(spec, options)
    file = VideoFile(src, name, options)
    try:
        times = times_of_video(VideoDecoder(file, Report(name, options.damage)), file.read_index())
        if segments is not None:
            found, _ = frames_of_video(segments, file, times, spec)
            return segmented.count_clips(spec, found, rng)
        timeline = file.timeline()
        n = len(timeline.frames(times, file.frame_ticks))
        return spec.count_until_error(Extent(n, timeline.exact_times(times, n, file.frame_ticks)))
    finally:
        file.close()


def count_clips_by_facts(
    facts: StreamFacts,
    spec: FrameSpec,
    options: VideoOptions | None,
    name: str,
    segments: Mapping[int, Segment] | None = None,
    rng: Rng = None,
) -> int | None:
    """`count_clips` of a file that is not opened; None where facts from an index do not suffice.

    Raises ValueError where they contradict each other.
    """
    options = at_rate(spec, options)
    if not are_of(facts, options) or facts.width * facts.height > options.max_pixels:
        return None
    video = VideoTimes.of(facts, name, options)
    timeline = video.timeline()
    if segments is None and not spec.needs_times and timeline.whole and facts.listed is not None:
        return spec.count_until_error(facts.listed)
    index = facts.index
    if index is None:
        return None
    if segments is not None:
        found, _ = frames_of_video(segments, video, index, spec)
        return segmented.count_clips(spec, found, rng)
    n = len(timeline.frames(index, video.frame_ticks))
    if not spec.needs_times:
        return spec.count_until_error(n)
    return spec.count_until_error(Extent(n, timeline.exact_times(index, n, video.frame_ticks)))
