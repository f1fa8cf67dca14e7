"""The samples of a file's sound, counted: how many, when they are, and which a segment has."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from clipx.audio.format import AudioFormat
from clipx.audio.open_samples import open_samples
from clipx.audio.sample_source import SampleSource
from clipx.errors import MediaError
from clipx.media.damage import Report
from clipx.media.exact_times import ExactTimes
from clipx.media.sources import Source, as_source
from clipx.plan import Extent, FrameSpec, Segment
from clipx.plan.seconds import first_from
from clipx.plan.segmented import SegmentErrors, SegmentFrames, part_of
from clipx.plan.segments import json_number

__all__ = ["CountedSamples", "extent_of_sound", "samples_of_segments"]


class CountedSamples:
    """The samples of a file, counted up to where a run over them ends: by decoding them, where it takes that.

    Args:
        segments: no more samples are decoded than these need; None for all.
        opened: a source of them, which stays open where it knows its length.

    Attributes:
        samples: their number.
        ended: whether there are no more.
        source: what they came from, closed unless it is `opened`; it knows their times, and where damage may show.
        stopped: whether a run raises MediaError behind them.
    """

    def __init__(
        self,
        src: Source,
        spec: FrameSpec,
        format: AudioFormat,
        name: str,
        segments: Mapping[int, Segment] | None = None,
        opened: SampleSource | None = None,
    ) -> None:
        self.samples, self.stopped, self.ended = 0, False, False
        if opened is not None and (length := opened.length()) is not None:
            self.source, self.samples, self.ended = opened, length, True
            return
        report = Report(name, format.damage, log=False)
        self.source = open_samples(as_source(src, name), name, format, spec.timeline_fps, report)
        try:
            if (length := self.source.length()) is not None:
                self.samples, self.ended = length, True
                return
            for _, piece in self.source.pieces():
                self.samples += piece.shape[1]
                if segments is not None and self._are_complete(segments):
                    return
            self.ended = True
        except MediaError:
            self.stopped = True
        finally:
            self.source.close()

    def _are_complete(self, segments: Mapping[int, Segment]) -> bool:
        """All samples of these have come, and the one after them."""
        if self.samples < 2:
            return False
        # A float may mean a time that is a little later.
        time = self.source.time(self.samples - 2)
        return all(
            each.end <= self.samples if each.unit == "frames" else each.end <= time for each in segments.values()
        )


def extent_of_sound(counted: CountedSamples, spec: FrameSpec) -> Extent:
    """All samples, with their times where the spec needs them."""
    n = counted.samples
    return Extent(n, _times(counted, range(n)) if spec.needs_times and n else None)


def samples_of_segments(
    segments: Mapping[int, Segment], counted: CountedSamples, spec: FrameSpec, name: str
) -> tuple[list[SegmentFrames], SegmentErrors]:
    """The samples of segments, and the errors of those that have none."""
    found: list[SegmentFrames] = []
    errors: SegmentErrors = []
    for number, segment in segments.items():
        try:
            samples = _samples_of(segment, counted, name)
        except ValueError as exn:
            errors.append((number, exn.with_traceback(None)))
            continue
        found.append(SegmentFrames(segment, samples, _times(counted, samples) if spec.needs_times else None))
    return found, errors


def _samples_of(segment: Segment, counted: CountedSamples, name: str) -> range:
    n, time = counted.samples, counted.source.time
    if segment.unit == "frames":
        return part_of(segment, n)
    samples = range(first_from(segment.start, n, time), first_from(segment.end, n, time))
    if samples:
        return samples
    if n and samples.start < n:
        raise ValueError(f"{segment}: no sample of {name} begins in it")
    end = float(time(n - 1) + Fraction(1, counted.source.rate)) if n else 0.0
    raise ValueError(f"{segment}: it starts at {json_number(segment.start)} s, but {name} ends at {end:g} s")


def _times(counted: CountedSamples, samples: range) -> ExactTimes:
    time = counted.source.time
    end = time(samples[-1]) + Fraction(1, counted.source.rate)
    return ExactTimes(len(samples), lambda p: time(samples[p]), end)
