"""When the frames of a video are shown: its time base, its rate, and the part and the rate that options ask for."""

from __future__ import annotations

from fractions import Fraction

from clipx.media.rates import Grace
from clipx.media.stream_facts import StreamFacts
from clipx.media.timeline import Timeline
from clipx.video.options import BEST, VideoOptions

__all__ = ["VideoTimes", "are_of"]


def are_of(facts: StreamFacts, options: VideoOptions) -> bool:
    """True if facts are of the stream that options name, and say all that its time line depends on."""
    is_chosen = facts.is_best if options.stream == BEST else facts.number == options.stream
    return is_chosen and (options.fps is None or facts.grace is not None)


class VideoTimes:
    """The time lines of a video.

    Attributes:
        name: of the source, in messages.
        time_base: seconds of a tick.
        rate: frames a second.
        grace: by how much the container may have rounded the times of frames; none without `options.fps`.
    """

    time_base: Fraction
    rate: Fraction
    grace: Grace

    def __init__(self, name: str, options: VideoOptions) -> None:
        self.name, self._options = name, options

    @staticmethod
    def of(facts: StreamFacts, name: str, options: VideoOptions) -> VideoTimes:
        """Those of a stream of which an index keeps facts that are of these options."""
        found = VideoTimes(name, options)
        found.time_base, found.rate = facts.time_base, facts.rate
        found.grace = Grace(0, None) if options.fps is None or facts.grace is None else facts.grace
        return found

    @property
    def frame_ticks(self) -> int:
        """Ticks that a frame is shown where the file does not say: one frame at `rate`."""
        return max(round(1 / (self.rate * self.time_base)), 1)

    @property
    def has_part(self) -> bool:
        """True if the options name a part of the video."""
        return self._options.start_seconds is not None or self._options.end_seconds is not None

    def timeline(self) -> Timeline:
        """The time line of the part and at the rate of the options."""
        options = self._options
        return Timeline(
            self.name,
            self.time_base,
            self.grace,
            fps=options.fps,
            start_seconds=options.start_seconds,
            end_seconds=options.end_seconds,
            at_start=options.at_start,
        )

    def whole_timeline(self) -> Timeline:
        """The time line of all frames of the video."""
        return Timeline(self.name, self.time_base, self.grace)
