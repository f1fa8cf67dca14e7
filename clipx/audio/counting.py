"""Numbers of samples and clips of a file's sound, by decoding it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clipx.audio.format import AudioFormat
from clipx.audio.samples import SampleReader
from clipx.errors import MediaError
from clipx.media.damage import Report
from clipx.media.sources import Source, as_source
from clipx.plan import Extent, FrameSpec
from clipx.plan.rows import step_of, stop_of

__all__ = ["CountedSamples", "count_clips", "count_samples"]


class CountedSamples:
    """The samples of a file, counted by decoding them, up to where a run over them ends.

    Attributes:
        samples: their number.
        source: what they came from, closed; it knows where damage may show.
        stopped: whether a run raises MediaError behind them.
    """

    def __init__(self, src: Source, spec: FrameSpec, format: AudioFormat, name: str) -> None:
        self.samples, self.stopped = 0, False
        report = Report(name, format.damage, log=False)
        self.source = SampleReader(as_source(src, name), name, format, spec.timeline_fps, report)
        try:
            for piece in self.source.pieces():
                self.samples += piece.shape[1]
        except MediaError:
            self.stopped = True
        finally:
            self.source.close()


def count_samples(src: Source, spec: FrameSpec, format: AudioFormat | None, name: str) -> int:
    """Number of samples of a file's sound, by decoding them; where damage ends the clips, those before it."""
    return CountedSamples(src, spec, format or AudioFormat(), name).samples


def count_clips(src: Source, spec: FrameSpec, format: AudioFormat | None, name: str) -> int:
    """Number of clips that a file's sound gives, by decoding it; those that damage ends or leaves out do not count.

    Where the spec draws at random it is not known which these are, and all count.
    """
    format = format or AudioFormat()
    counted = CountedSamples(src, spec, replace(format, damage="keep") if spec.needs_extent else format, name)
    n, found = counted.samples, counted.source
    # Of a run that is stopped the clips of the end are never reached.
    count = spec.count_complete(n) if counted.stopped and not spec.needs_extent else spec.count_until_error(n)
    if not found.harmed or format.damage == "keep" or spec.is_random:
        return count
    plan = spec.plan(Extent(n))
    rows = [plan.row(index) for index in range(count)]
    if format.damage == "stop":
        return sum(stop_of(row) <= found.harmed[0][0] for row in rows)
    steps = [step_of(row) for row in rows]
    late = [index for index, row in enumerate(rows) if stop_of(row) > n]
    for index, row in zip(late, plan.final_rows(np.array(late, dtype=np.int64), n)):
        rows[index] = row
    return sum(not found.is_touched(row, step) for row, step in zip(rows, steps))
