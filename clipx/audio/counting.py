"""Numbers of samples and clips of a file's sound, by decoding it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from clipx.audio.counted import CountedSamples, extent_of_sound, samples_of_segments
from clipx.audio.format import AudioFormat
from clipx.media.sources import Source
from clipx.plan import FrameSpec, Rng, Segment, segmented
from clipx.plan.rows import step_of, stop_of
from clipx.plan.segmented import plan_segments

__all__ = ["count_clips", "count_samples"]


def count_samples(src: Source, spec: FrameSpec, format: AudioFormat | None, name: str) -> int:
    """Number of samples of a file's sound, by decoding them; where damage ends the clips, those before it."""
    return CountedSamples(src, spec, format or AudioFormat(), name).samples


def count_clips(
    src: Source,
    spec: FrameSpec,
    format: AudioFormat | None,
    name: str,
    segments: Mapping[int, Segment] | None = None,
    rng: Rng = None,
) -> int:
    """Number of clips that a file's sound, or its segments, gives, by decoding it.

    Those that damage ends or leaves out do not count, nor those of segments that the spec does not allow. Where the
    spec draws at random it is not known which these are, and all count.

    Args:
        rng: as `selected_clips` takes it; it matters where a spec draws how many clips there are.
    """
    format, in_segments = format or AudioFormat(), segments is not None
    reads = replace(format, damage="keep") if spec.needs_extent or in_segments else format
    counted = CountedSamples(src, spec, reads, name, segments)
    n, harmed = counted.samples, counted.source.harmed
    if segments is not None:
        parts, _ = samples_of_segments(segments, counted, spec, name)
        if not harmed or format.damage == "keep" or spec.is_random:
            return segmented.count_clips(spec, parts, rng)
        planned, _ = plan_segments(spec, parts, None)
        rows = [planned.row(position) for position in range(len(planned))]
        if format.damage == "stop":
            return sum(stop_of(row) <= harmed[0][0] for row in rows)
        return sum(not harmed.touches_row(row, step_of(row)) for row in rows)
    extent = extent_of_sound(counted, spec)
    # Of a run that is stopped the clips of the end are never reached.
    stopped = counted.stopped and not spec.needs_extent
    count = spec.count_complete(extent) if stopped else spec.count_until_error(extent)
    if not harmed or format.damage == "keep" or spec.is_random:
        return count
    plan = spec.plan(extent)
    rows = [plan.row(index) for index in range(count)]
    if format.damage == "stop":
        return sum(stop_of(row) <= harmed[0][0] for row in rows)
    steps = [step_of(row) for row in rows]
    late = [index for index, row in enumerate(rows) if stop_of(row) > n]
    for index, row in zip(late, plan.final_rows(np.array(late, dtype=np.int64), n)):
        rows[index] = row
    return sum(not harmed.touches_row(row, step) for row, step in zip(rows, steps))
