"""A video that is opened and planned: its index, its time line, the rows of its clips, and the route of its frames."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from typing import IO, NamedTuple, cast

import numpy as np

from clipx.audio.format import AudioFormat
from clipx.media.damage import Report
from clipx.media.packet_index import PacketIndex
from clipx.media.sources import Source, can_rewind
from clipx.media.stream_facts import StreamFacts
from clipx.media.timeline import Timeline, Times
from clipx.plan import Extent, FrameSpec, Rng, Segment, Selection
from clipx.plan.rows import Plan
from clipx.plan.segmented import SegmentErrors, plan_segments
from clipx.video.decoder import VideoDecoder
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions
from clipx.video.passes import VideoPasses
from clipx.video.routes import AllFrames, IndexedPart, choose_route, has_gaps, part_to_index, reads_apart
from clipx.video.segments import frames_of_video, times_of_video
from clipx.video.sound_apart import SoundApart
from clipx.video.times import VideoTimes
from clipx.video.wanted import needed_frames
from clipx.video.with_audio import InterleavedSound

__all__ = ["Planned", "plan_of_times", "plan_video"]


class Planned(NamedTuple):
    """The plan of a video.

    Attributes:
        frames: frame of the video for each frame of the time line; None where that is not known.
        errors: numbers of segments that give no clips, or not all, and why.
    """

    plan: Plan
    frames: np.ndarray | None
    errors: SegmentErrors


def plan_video(
    src: Source,
    spec: FrameSpec,
    options: VideoOptions,
    rng: Rng,
    *,
    name: str,
    audio: AudioFormat | None,
    selection: Selection,
    segments: Mapping[int, Segment] | None,
    facts: StreamFacts | None = None,
) -> tuple[VideoPasses, Plan, SegmentErrors]:
    """Open a video, and plan its clips and the passes over it; also the errors of segments.

    facts: of a stream of the file, as VideoFile takes them.

    Reads the packets that the plan needs, and decodes all frames where only that gives their number, or their times.
    Raises MediaError for what cannot be read, ValueError as `FrameSpec.plan`.
    """
    in_segments = segments is not None
    if (spec.needs_extent or in_segments) and not can_rewind(src):
        src = io.BytesIO(cast(IO[bytes], src).read())
    file = VideoFile(src, name, options, probes=audio is not None, facts=facts)
    report = Report(name, options.damage)
    # A pass for segments goes over the frames of the whole video: each segment has a time line of its own.
    decoder, timeline = VideoDecoder(file, report), file.timeline() if segments is None else file.whole_timeline()
    index = _read_index(file, timeline, spec, selection, options.damage, rng, in_segments)
    if index is None and file.reused:
        file.rewind()
    if segments is None:
        plan, frames, errors = _planned(file, timeline, spec, selection, decoder, index, rng)
    else:
        plan, frames, errors = _planned_segments(file, spec, segments, decoder, index, rng)
    choose = partial(
        choose_route,
        spec,
        timeline,
        index,
        selection,
        opening=None if selection.first is None else plan.opening(selection.first),
        damage=options.damage,
        in_segments=in_segments,
    )
    route = choose(with_sound=False)
    sound: InterleavedSound | SoundApart | None = None
    if audio is not None:
        rate = Fraction(options.fps or file.rate)
        # A clip that is moved back starts less than a clip before the end.
        slack = float((spec.span or 0) / rate) + 1 if spec.moves_last else 0.0
        apart = file.opens_again and reads_apart(spec, timeline, route, in_segments)
        sound = (SoundApart if apart else InterleavedSound)(file, audio, (spec.covered or 0) / rate, slack)
        if not apart:
            if index is not None:
                file.rewind()  # sound lies between all packets, which are read from the first on
            route = choose(with_sound=True)
    if isinstance(route, AllFrames):
        index = None
    passes = VideoPasses(file, timeline, decoder, report, sound=sound, index=index, frames=frames, route=route)
    return passes, plan, errors


def plan_of_times(
    file: VideoTimes, spec: FrameSpec, times: Times, segments: Mapping[int, Segment] | None, rng: Rng
) -> Planned:
    """The plan of a video of whose frames all times are known, or of segments of it.

    Raises MediaError where the clock jumps, ValueError as `FrameSpec.plan`.
    """
    if segments is not None:
        found, errors = frames_of_video(segments, file, times, spec)
        plan, of_spec = plan_segments(spec, found, rng)
        n = plan.source_frames = len(times.pts)
        return Planned(plan, np.arange(n, dtype=np.int64), sorted(errors + of_spec, key=lambda error: error[0]))
    timeline = file.timeline()
    frames = timeline.frames(times, file.frame_ticks)
    n = len(frames)
    extent = Extent(n, timeline.exact_times(times, n, file.frame_ticks) if spec.needs_times else None)
    return Planned(spec.plan(extent, rng), frames, [])


def _read_index(
    file: VideoFile,
    timeline: Timeline,
    spec: FrameSpec,
    selection: Selection,
    damage: str,
    rng: Rng,
    in_segments: bool,
) -> PacketIndex | None:
    part = part_to_index(spec, timeline, selection, in_segments=in_segments, damage=damage, rewinds=file.rewinds)
    if part is IndexedPart.NONE:
        return None
    if part is IndexedPart.ALL:
        return file.read_index()
    draws = rng.bit_generator.state if isinstance(rng, np.random.Generator) else None
    index = file.read_index(partial(needed_frames, spec, selection=selection, damage=damage, rng=rng))
    if draws is not None and isinstance(rng, np.random.Generator):
        rng.bit_generator.state = draws  # the plan draws the same numbers again
    return index


def _planned(
    file: VideoFile,
    timeline: Timeline,
    spec: FrameSpec,
    selection: Selection,
    decoder: VideoDecoder,
    index: PacketIndex | None,
    rng: Rng,
) -> Planned:
    """The plan of a video that is not divided."""
    if spec.needs_times:
        planned = plan_of_times(file, spec, times_of_video(decoder, index), None, rng)
        return planned._replace(frames=None) if index is None else planned
    of_index = None if index is None else timeline.frames(index, file.frame_ticks)
    plan = spec.plan(_extent(spec, timeline, selection, decoder, None if of_index is None else len(of_index)), rng)
    return Planned(plan, of_index, [])


def _planned_segments(
    file: VideoFile,
    spec: FrameSpec,
    segments: Mapping[int, Segment],
    decoder: VideoDecoder,
    index: PacketIndex | None,
    rng: Rng,
) -> Planned:
    planned = plan_of_times(file, spec, times_of_video(decoder, index), segments, rng)
    return planned._replace(frames=None) if index is None else planned


def _extent(
    spec: FrameSpec, timeline: Timeline, selection: Selection, decoder: VideoDecoder, n: int | None
) -> Extent | None:
    """The extent of the time line; None where clips are planned as frames go by, until the end."""
    if n is not None and (spec.needs_extent or selection.first is None or has_gaps(spec, timeline)):
        return Extent(n)
    return Extent(decoder.count(timeline)) if spec.needs_extent else None
