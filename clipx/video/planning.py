"""A video that is opened and planned: its index, its time line, the rows of its clips, and the route of its frames."""

from __future__ import annotations

import copy
import io
from fractions import Fraction
from functools import partial
from typing import IO, cast

from clipx.audio.format import AudioFormat
from clipx.media.damage import Report
from clipx.media.packet_index import PacketIndex
from clipx.media.sources import Source, can_rewind
from clipx.media.timeline import Timeline
from clipx.plan import Extent, FrameSpec, Rng, Selection
from clipx.plan.rows import Plan
from clipx.video.decoder import VideoDecoder
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions
from clipx.video.passes import VideoPasses
from clipx.video.routes import AllFrames, IndexedPart, choose_route, has_gaps, part_to_index
from clipx.video.wanted import needed_frames
from clipx.video.with_audio import InterleavedSound

__all__ = ["plan_video"]


def plan_video(
    src: Source,
    spec: FrameSpec,
    options: VideoOptions,
    rng: Rng,
    *,
    name: str,
    audio: AudioFormat | None,
    selection: Selection,
) -> tuple[VideoPasses, Plan]:
    """Open a video, and plan its clips and the passes over it.

    Reads the packets that the plan needs, and decodes all frames where only that gives their number. Raises MediaError
    for what cannot be read, ValueError as `FrameSpec.plan`.
    """
    if spec.needs_extent and not can_rewind(src):
        src = io.BytesIO(cast(IO[bytes], src).read())
    file, report = VideoFile(src, name, options), Report(name, options.damage)
    decoder, timeline = VideoDecoder(file, report), file.timeline()
    sound = None if audio is None else _sound_of(file, audio, spec, options)
    index = _read_index(file, timeline, spec, selection, options.damage, rng)
    frames = None if index is None else timeline.frames(index, file.frame_ticks)
    if index is not None and sound is not None:
        file.rewind()  # sound lies between all packets, which are read from the first on
    n = None if frames is None else len(frames)
    plan = spec.plan(_extent(spec, timeline, selection, decoder, n), rng)
    route = choose_route(
        spec,
        timeline,
        index,
        selection,
        opening=None if selection.first is None else plan.opening(selection.first),
        damage=options.damage,
        with_sound=sound is not None,
    )
    if isinstance(route, AllFrames):
        index = None
    passes = VideoPasses(file, timeline, decoder, report, sound=sound, index=index, frames=frames, route=route)
    return passes, plan


def _sound_of(file: VideoFile, audio: AudioFormat, spec: FrameSpec, options: VideoOptions) -> InterleavedSound:
    rate = Fraction(options.fps or file.rate)
    # A clip that is moved back starts less than a clip before the end.
    slack = float((spec.span or 0) / rate) + 1 if spec.moves_last else 0.0
    return InterleavedSound(file, audio, (spec.covered or 0) / rate, slack)


def _read_index(
    file: VideoFile, timeline: Timeline, spec: FrameSpec, selection: Selection, damage: str, rng: Rng
) -> PacketIndex | None:
    part = part_to_index(spec, timeline, selection, damage=damage, rewinds=file.rewinds)
    if part is IndexedPart.NONE:
        return None
    if part is IndexedPart.ALL:
        return file.read_index()
    # A copy, so that the plan draws the same numbers again.
    return file.read_index(partial(needed_frames, spec, selection=selection, damage=damage, rng=copy.deepcopy(rng)))


def _extent(
    spec: FrameSpec, timeline: Timeline, selection: Selection, decoder: VideoDecoder, n: int | None
) -> Extent | None:
    """The extent of the time line; None where clips are planned as frames go by, until the end."""
    if n is not None and (spec.needs_extent or selection.first is None or has_gaps(spec, timeline)):
        return Extent(n)
    return Extent(decoder.count(timeline)) if spec.needs_extent else None
