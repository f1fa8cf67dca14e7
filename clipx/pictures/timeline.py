"""The time line of numbered pictures: which of them clips are made of, and the frames of their segments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clipx.media.rates import Grace
from clipx.pictures.times import KnownTimes
from clipx.plan import Extent, FrameSpec, Segment
from clipx.plan.segmented import SegmentErrors, SegmentFrames, frames_of_segments
from clipx.video.options import VideoOptions, at_rate
from clipx.video.segments import frames_of_video
from clipx.video.times import VideoTimes

__all__ = ["PictureTimeline"]


class PictureTimeline:
    """The frames that clips of n pictures are made of, as options ask for them.

    Args:
        name: of the source, in messages.
        known: the times of the pictures, or the reason why there are none.

    Raises ValueError where a spec or options need seconds, and the pictures have none.
    """

    def __init__(
        self, name: str, n: int, known: KnownTimes | str, spec: FrameSpec, options: VideoOptions | None
    ) -> None:
        self._name, self._n, self._known, self._spec = name, n, known, spec
        options = at_rate(spec, options)
        self._video: VideoTimes | None = None
        if isinstance(known, str):
            for what in ("fps", "start_seconds", "end_seconds"):
                if getattr(options, what) is not None:
                    raise ValueError(f"{what} is {getattr(options, what)}, but {self._no_times}")
            if spec.needs_times:
                raise ValueError(f"{spec!r} needs seconds, but {self._no_times}")
            return
        video = self._video = VideoTimes(name, options)
        video.time_base, video.rate = known.time_base, known.rate
        ticks = 1 / (known.rate * known.time_base)
        video.grace = Grace(int(options.fps is not None and ticks >= 2 and ticks.denominator != 1), None)

    def __len__(self) -> int:
        """Number of pictures."""
        return self._n

    @property
    def _no_times(self) -> str:
        return f"the pictures of {self._name} have no times: {self._known}"

    def extent(self) -> tuple[np.ndarray, Extent]:
        """The picture for each frame of the time line, int64, ascending; and what a spec may know of it."""
        if self._video is None or isinstance(self._known, str):
            return np.arange(self._n, dtype=np.int64), Extent(self._n)
        timeline, times = self._video.timeline(), self._known.times
        frames = timeline.frames(times, self._video.frame_ticks)
        n = len(frames)
        return frames, Extent(n, timeline.exact_times(times, n, self._video.frame_ticks))

    def of_segments(self, segments: Mapping[int, Segment]) -> tuple[list[SegmentFrames], SegmentErrors]:
        """The pictures of segments, and the errors of those that have none."""
        if self._video is None or isinstance(self._known, str):
            return frames_of_segments(segments, self._n, self._no_times)
        return frames_of_video(segments, self._video, self._known.times, self._spec)

    def seconds(self, k: int) -> tuple[float, float]:
        """When picture k is shown, and for how long; nan where that is not known."""
        if self._video is None or isinstance(self._known, str):
            return np.nan, np.nan
        second = self._known.time_base.denominator
        times = self._known.times
        return int(times.pts[k]) / second, (int(times.durations[k]) or self._video.frame_ticks) / second

    @property
    def source_fps(self) -> float | None:
        """Pictures a second; None without times."""
        return None if isinstance(self._known, str) else float(self._known.rate)

    @property
    def has_times(self) -> bool:
        """True if the times of the pictures are known."""
        return self._video is not None
