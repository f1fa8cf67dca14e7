"""Numbers of clips of the source in a field, without extracting them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clipx._reading import BytesFile
from clipx.audio.clips import count_clips as count_sound_clips
from clipx.audio.format import AudioFormat
from clipx.datasets.fields import Field, Sample
from clipx.datasets.sources import array_length, facts_of, media_of
from clipx.pictures.clips import count_clips as count_picture_clips
from clipx.plan import FrameSpec, Segment
from clipx.plan.segmented import count_clips as count_planned
from clipx.plan.segmented import frames_of_segments
from clipx.video.clips import count_clips as count_video_clips
from clipx.video.counting import count_clips_by_facts
from clipx.video.options import VideoOptions

__all__ = ["count_of_field"]


def count_of_field(
    sample: Sample,
    field: Field,
    kind: str,
    given: Any,
    spec: FrameSpec,
    segments: Mapping[int, Segment] | None,
    *,
    options: VideoOptions | None,
    audio: AudioFormat | None,
    rng: np.random.Generator,
) -> int:
    """Number of clips of the source in a field, mostly without decoding it.

    kind, given: of the source, as `find_source` gives them.
    """
    name = f"field {field!r} of sample {sample.get('__key__', '')!r}"
    spec = spec.drawn(rng) if segments is None else spec
    if kind == "array":
        n = array_length(sample, field, given)
        if segments is None:
            return spec.count(n)
        return count_planned(spec, frames_of_segments(segments, n)[0], rng)
    if kind == "pictures":
        return count_picture_clips(given, spec, options, name, segments, rng)
    if (facts := facts_of(given)) is not None and kind == "video":
        known = count_clips_by_facts(facts, spec, options, name, segments, rng)
        if known is not None:
            return known
    value: Any = BytesFile(given) if isinstance(given, memoryview) else media_of(given)
    if kind == "sound":
        return count_sound_clips(value, spec, audio, name, segments, rng)
    return count_video_clips(value, spec, options, name, segments, rng)
