"""The clips of numbered pictures: each picture that they hold is decoded once, and written to all of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from clipx._timing import Timings
from clipx._views import Views, draw_seed
from clipx.clip import Clip
from clipx.errors import MediaError
from clipx.format import ClipFormat
from clipx.media.clip_memory import ClipMemory
from clipx.media.damage import Report
from clipx.pictures.decoding import DecodedPicture
from clipx.pictures.reader import DecodedReader
from clipx.pictures.timeline import PictureTimeline
from clipx.pictures.times import KnownTimes
from clipx.plan import FrameSpec, Rng, Segment, Selection, as_generator, check_bounded, fill_bytes
from clipx.plan.rows import Plan
from clipx.plan.segmented import SegmentedPlan, SegmentErrors, plan_segments
from clipx.pool import ClipPool
from clipx.video.clip_arrays import DTYPE, open_pictures
from clipx.video.open_pictures import FrameFacts, OpenPictures, UnfinishedPictures
from clipx.video.options import VideoOptions
from clipx.video.orientation import UPRIGHT
from clipx.video.wanted import wanted_frames
from clipx.video.writer import PictureWriter

__all__ = ["PictureExtraction", "Pictures"]


class Pictures(Protocol):
    """Numbered pictures, in order."""

    def __len__(self) -> int: ...

    @property
    def times(self) -> KnownTimes | str:
        """When they are shown, or the reason why that is not known."""

    def decode(self, k: int, *, gray: bool, max_pixels: int) -> DecodedPicture:
        """Picture k. Raises ValueError for one that cannot be decoded, and OSError for one that cannot be read."""


@dataclass(slots=True)
class Decoded:
    """Pictures that have been decoded: their number, and the bytes that they were encoded in."""

    frames: int = 0
    nbytes: int = 0


class PictureExtraction:
    """One run over numbered pictures. It never refers to the iterator that drives it.

    Args:
        name: of the source, in messages.
        in_step, selection, segments, max_slots, timings: as those of `clipx.video.extraction.Extraction`.

    Attributes:
        num_frames: number of frames of the time line.
        segment_errors: numbers of segments that give no clips, or not all, and why.
        report: of pictures that are broken.
        decoded: the pictures that have been decoded so far.
    """

    def __init__(
        self,
        pictures: Pictures,
        spec: FrameSpec,
        format: ClipFormat,
        options: VideoOptions,
        *,
        pool: ClipMemory | None,
        rng: Rng,
        name: str,
        in_step: int,
        selection: Selection,
        segments: Mapping[int, Segment] | None,
        max_slots: int | None,
        timings: Timings | None,
    ) -> None:
        self._pictures: Pictures | None = pictures
        self._spec, self._format, self._options = spec, format, options
        self._pool, self._in_step, self._selection = pool, in_step, selection
        fill_bytes(spec, DTYPE)
        if isinstance(pool, ClipPool):
            check_bounded(spec)
        if pool is not None and segments is None:
            pool.require(spec.slots() * in_step)
        if spec.is_random or format.is_random:
            rng = as_generator(rng)
        self._timeline = PictureTimeline(name, len(pictures), pictures.times, spec, options)
        self._frames, self._plan, self.segment_errors = _planned(self._timeline, spec, segments, rng)
        if segments is not None and isinstance(self._plan, SegmentedPlan):
            self._plan.check_slots(max_slots)
        self.num_frames, self.report, self.decoded = len(self._frames), Report(name, _at_damage(options)), Decoded()
        reader = DecodedReader(options.color == "gray", name)
        self._writer = PictureWriter(format, options, name, timings, reader)
        self._seed = draw_seed(format, rng)
        self._views: Views | None = None

    def close(self) -> None:
        """Forget the pictures."""
        self._pictures = None

    def clips(self) -> Generator[Clip]:
        """The clips, in the order of their indices. Raises as `clipx.pictures.clips.selected_clips`."""
        n, footprint = self.num_frames, 0 if self._pool is None else self._pool.nbytes
        opened: OpenPictures | None = None
        image, last, broken = None, -1, list[int]()
        for p in np.flatnonzero(wanted_frames(self._plan, self._frames, self._selection, None)).tolist():
            k = int(self._frames[p])
            if k != last:
                image = None  # its memory is given back before the next is decoded
                image, last = self._decode(k), k
            if opened is None:
                if image is None:
                    broken.append(p)
                    continue
                self._writer.prepare(image, UPRIGHT)
                opened = self._open()
            for each in (*broken, p):
                targets = opened.targets(each, self._facts(each, each != p or image is None))
                if each == p and image is not None:
                    self._writer.write(image, targets, footprint)
                del targets
                for clip in opened.finished():
                    if not clip.damaged:
                        yield self._complete(clip)
                    del clip
            broken.clear()
            if opened.done:
                self.close()
                return
        image = None
        if opened is None:
            self.close()
            if not broken:
                self._plan.count(n)
            return
        unfinished = opened.finish(n)
        self._write_past(unfinished, footprint)
        self.close()
        while unfinished.left:
            clip = unfinished.finish()
            if not clip.damaged:
                yield self._complete(clip)
            del clip

    def _decode(self, k: int) -> DecodedPicture | None:
        """Picture k; None for one that is broken, with options that go on after it."""
        assert self._pictures is not None
        try:
            gray, most = self._options.color == "gray", self._options.max_pixels
            found = self._pictures.decode(k, gray=gray, max_pixels=most)
        except MediaError as exn:
            if self.report.damage == "stop":
                raise
            seconds = self._timeline.seconds(k)[0] if self._timeline.has_times else None
            self.report.add(str(exn), seconds, exn)
            return None
        self.decoded.frames += 1
        self.decoded.nbytes += found.encoded_bytes
        return found

    def _open(self) -> OpenPictures:
        opened, self._views = open_pictures(
            self._spec,
            self._plan,
            self._format,
            self._writer,
            pool=self._pool,
            in_step=self._in_step,
            selection=self._selection,
            seed=self._seed,
        )
        return opened

    def _facts(self, p: int, damaged: bool = False) -> FrameFacts:
        k = int(self._frames[p])
        return FrameFacts(k, *self._timeline.seconds(k), damaged)

    def _write_past(self, unfinished: UnfinishedPictures, footprint: int) -> None:
        """Decode again the pictures that have gone by and the end needs."""
        for p in sorted(unfinished.needs):
            image = self._decode(int(self._frames[p]))
            targets = unfinished.targets(p, self._facts(p, image is None))
            if image is not None:
                self._writer.write(image, targets, footprint)

    def _complete(self, clip: Clip) -> Clip:
        if self._timeline.has_times:
            clip.source_fps = self._timeline.source_fps
            if self._spec.rate_varies:
                clip.measure_rate()
        else:
            clip.pts_seconds = clip.duration_seconds = None
        return clip if self._views is None else clip.record(self._views)


def _at_damage(options: VideoOptions) -> str:
    """The behaviour at a broken picture: as there is nothing to keep of it, "keep" leaves out its clips, too."""
    return "stop" if options.damage == "stop" else "skip"


def _planned(
    timeline: PictureTimeline, spec: FrameSpec, segments: Mapping[int, Segment] | None, rng: Any
) -> tuple[np.ndarray, Plan, SegmentErrors]:
    """The picture for each frame of the time line, the plan, and the errors of segments."""
    if segments is None:
        frames, extent = timeline.extent()
        return frames, spec.plan(extent, rng), []
    found, errors = timeline.of_segments(segments)
    plan, of_spec = plan_segments(spec, found, rng)
    plan.source_frames = len(timeline)
    return np.arange(len(timeline)), plan, sorted(errors + of_spec, key=lambda error: error[0])
