"""The plan of a file's sound, of all of it or of its segments, and what is counted for that."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import IO, NamedTuple, cast

from clipx.audio.counted import CountedSamples, extent_of_sound, samples_of_segments
from clipx.audio.format import AudioFormat
from clipx.audio.open_samples import open_samples
from clipx.audio.sample_source import SampleSource
from clipx.media.sources import Source, can_rewind
from clipx.plan import FrameSpec, Rng, Segment, as_generator
from clipx.plan.rows import Plan
from clipx.plan.segmented import SegmentErrors, plan_segments

__all__ = ["PlannedSound", "plan_sound"]


class PlannedSound(NamedTuple):
    """A plan, the source of the samples for it, the errors of segments, and the number of samples.

    samples: None where not all have been counted, and where damage has been found.
    """

    plan: Plan
    source: SampleSource
    errors: SegmentErrors
    samples: int | None


def plan_sound(
    src: Source, spec: FrameSpec, format: AudioFormat, rng: Rng, name: str, segments: Mapping[int, Segment] | None
) -> PlannedSound:
    """Plan the clips of a file's sound, and open it.

    Segments, and specs that need the number of samples, have it counted; where that takes decoding, as far as the last
    segment goes. Raises as `FrameSpec.plan`, and MediaError for what cannot be read.
    """
    rng = as_generator(rng) if spec.is_random else rng
    if segments is None and not spec.needs_extent:
        plan = spec.plan(None, rng)
        return PlannedSound(plan, open_samples(src, name, format, spec.timeline_fps), [], None)
    if not can_rewind(src):
        src = io.BytesIO(cast(IO[bytes], src).read())
    if hasattr(src, "read"):
        # Two runs over a file object share its position, and come one after the other.
        at = cast(IO[bytes], src).tell()
        counted = _count(src, spec, format, name, segments, None)
        cast(IO[bytes], src).seek(at)
        return _plan(counted, open_samples(src, name, format, spec.timeline_fps), spec, rng, name, segments)
    source = open_samples(src, name, format, spec.timeline_fps, counted=True)
    try:
        return _plan(_count(src, spec, format, name, segments, source), source, spec, rng, name, segments)
    except BaseException:
        source.close()
        raise


def _count(
    src: Source,
    spec: FrameSpec,
    format: AudioFormat,
    name: str,
    segments: Mapping[int, Segment] | None,
    source: SampleSource | None,
) -> CountedSamples:
    if source is None or source.length() is None:
        # Samples behind damage are counted as well.
        format = replace(format, damage="keep")
    return CountedSamples(src, spec, format, name, segments, source)


def _plan(
    counted: CountedSamples,
    source: SampleSource,
    spec: FrameSpec,
    rng: Rng,
    name: str,
    segments: Mapping[int, Segment] | None,
) -> PlannedSound:
    samples = counted.samples if counted.ended and not counted.source.report.found else None
    if segments is None:
        return PlannedSound(spec.plan(extent_of_sound(counted, spec), rng), source, [], samples)
    found, errors = samples_of_segments(segments, counted, spec, name)
    plan, of_spec = plan_segments(spec, found, rng)
    return PlannedSound(plan, source, sorted(errors + of_spec, key=lambda error: error[0]), samples)
