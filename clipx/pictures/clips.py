"""Numbered pictures to clips, as videos are: `selected_clips` and `count_clips`."""

from __future__ import annotations

from collections.abc import Mapping

from clipx._timing import Timings
from clipx.clip import VideoClip
from clipx.errors import Damage
from clipx.format import ClipFormat
from clipx.media.clip_iterator import ClipIterator
from clipx.media.clip_memory import ClipMemory
from clipx.pictures.extraction import PictureExtraction, Pictures
from clipx.pictures.timeline import PictureTimeline
from clipx.plan import ALL, FrameSpec, Rng, Segment, Selection
from clipx.plan.segmented import SegmentErrors
from clipx.plan.segmented import count_clips as count_planned
from clipx.video.options import VideoOptions, at_rate

__all__ = ["PictureClips", "Pictures", "count_clips", "selected_clips"]


class PictureClips(ClipIterator[VideoClip]):
    """Iterator of the clips of numbered pictures; see `selected_clips`."""

    def __init__(self, extraction: PictureExtraction) -> None:
        super().__init__(extraction.clips())
        self._extraction = extraction

    @property
    def num_frames(self) -> int:
        """Number of pictures, at the rate and in the part of the options."""
        return self._extraction.num_frames

    @property
    def frames_decoded(self) -> int:
        """Number of pictures that have been decoded so far."""
        return self._extraction.decoded.frames

    @property
    def bytes_decoded(self) -> int:
        """Bytes of these."""
        return self._extraction.decoded.nbytes

    @property
    def damages(self) -> list[Damage]:
        """The broken pictures that have been found so far, where options go on after them."""
        return self._extraction.report.found

    @property
    def segment_errors(self) -> SegmentErrors:
        return self._extraction.segment_errors


def selected_clips(
    pictures: Pictures,
    spec: FrameSpec,
    format: ClipFormat | None = None,
    *,
    options: VideoOptions | None = None,
    pool: ClipMemory | None = None,
    rng: Rng = None,
    name: str,
    in_step: int = 1,
    selection: Selection = ALL,
    segments: Mapping[int, Segment] | None = None,
    max_slots: int | None = None,
    timings: Timings | None = None,
) -> PictureClips:
    """The clips of a selection, of numbered pictures: as `clipx.video.clips.selected_clips` for a video.

    Pictures that no clip holds are not decoded, the others once; those that a policy asks for behind the last one are
    decoded again. Of the options, those of time, `color`, `damage` and `max_pixels` matter.

    Raises ValueError where seconds are asked for and the times of the pictures are not known, MediaError at a broken
    picture (but with damage="skip" or "keep" its clips are left out) and for pictures of different sizes.
    """
    return PictureClips(
        PictureExtraction(
            pictures,
            spec,
            format or ClipFormat(),
            at_rate(spec, options),
            pool=pool,
            rng=rng,
            name=name,
            in_step=in_step,
            selection=selection,
            segments=segments,
            max_slots=max_slots,
            timings=timings,
        )
    )


def count_clips(
    pictures: Pictures,
    spec: FrameSpec,
    options: VideoOptions | None,
    name: str,
    segments: Mapping[int, Segment] | None = None,
    rng: Rng = None,
) -> int:
    """Number of clips of numbered pictures, or of their segments, as if all could be decoded."""
    timeline = PictureTimeline(name, len(pictures), pictures.times, spec, options)
    if segments is not None:
        return count_planned(spec, timeline.of_segments(segments)[0], rng)
    return spec.count_until_error(timeline.extent()[1])
