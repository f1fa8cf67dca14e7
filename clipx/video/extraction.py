"""The clips of a video, extracted from its frames as they go by."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import numpy as np

from clipx._timing import Timings
from clipx._views import Views, draw_seed
from clipx.audio.format import AudioFormat
from clipx.clip import Clip
from clipx.errors import MediaError
from clipx.format import ClipFormat
from clipx.media.clip_memory import ClipMemory
from clipx.media.frames import Frame
from clipx.media.sources import Source, as_source
from clipx.media.stream_facts import StreamFacts
from clipx.plan import FrameSpec, Rng, Segment, Selection, as_generator, check_bounded, fill_bytes
from clipx.plan.segmented import SegmentedPlan
from clipx.pool import ClipPool
from clipx.video.clip_arrays import DTYPE, open_pictures
from clipx.video.open_pictures import FrameFacts, KeptFrames, OpenPictures, UnfinishedPictures
from clipx.video.options import VideoOptions
from clipx.video.planning import plan_video
from clipx.video.routes import AllFrames, FromKeyFrame, needs_past_frames
from clipx.video.wanted import wanted_frames
from clipx.video.with_audio import InterleavedSound
from clipx.video.writer import PictureWriter

__all__ = ["Extraction"]


class Extraction:
    """One run over a video. It never refers to the iterator that drives it, so that dropping that frees the slots.

    Args:
        in_step: sources that hold slots of the pool side by side.
        selection: of the clips that are given.
        segments: by their numbers; None where the video is not divided.
        max_slots: that their clips may take; None for any number.
        timings: take the seconds that are spent on converting pictures.
        facts: of a stream of the file, from an index; None where nothing is known.

    Attributes:
        passes: over the video.
        num_frames: number of frames of the time line; None until the last clip has been given.
        frames_skipped: number of frames that were not decoded; 0 until then.
        segment_errors: numbers of segments that give no clips, or not all, and why.
    """

    def __init__(
        self,
        src: Source,
        spec: FrameSpec,
        format: ClipFormat,
        options: VideoOptions,
        *,
        pool: ClipMemory | None,
        audio: AudioFormat | None,
        rng: Rng,
        name: str,
        in_step: int,
        selection: Selection,
        segments: Mapping[int, Segment] | None,
        max_slots: int | None,
        timings: Timings | None,
        facts: StreamFacts | None = None,
    ) -> None:
        self._spec, self._format, self._pool, self._in_step, self._selection = spec, format, pool, in_step, selection
        self._keeps_damage = options.damage == "keep"
        fill_bytes(spec, DTYPE)
        if audio is not None and spec.covered is None:
            raise ValueError(f"audio is {audio!r}, but clips of a {type(spec).__name__} have no duration of their own")
        if isinstance(pool, ClipPool):
            check_bounded(spec)
        if pool is not None and segments is None:
            pool.require(spec.slots() * in_step)
        if spec.is_random or format.is_random:
            rng = as_generator(rng)
        self.name, src = name, as_source(src, name)
        self._writer = PictureWriter(format, options, name, timings)
        self.passes, self._plan, self.segment_errors = plan_video(
            src, spec, options, rng, name=name, audio=audio, selection=selection, segments=segments, facts=facts
        )
        if segments is not None and isinstance(self._plan, SegmentedPlan):
            self._plan.check_slots(max_slots)
        # Where the source cannot be read again: the frames that its end may still need.
        self._kept: KeptFrames[Frame] | None = None
        if needs_past_frames(spec) and not self.passes.file.rewinds:
            self._kept = KeptFrames(spec)
        self._seed = draw_seed(format, rng)
        self._views: Views | None = None
        self.num_frames: int | None = None
        self.frames_skipped = 0

    def close(self) -> None:
        """Close the file."""
        self.passes.close()

    def clips(self) -> Generator[Clip]:
        """The clips, in the order of their indices. Raises as `clipx.video.clips`."""
        passes, sound, footprint = self.passes, self.passes.sound, 0 if self._pool is None else self._pool.nbytes
        pictures: OpenPictures | None = None
        last: tuple[int, Frame] | None = None
        for p, frame in passes.first(self._wanted()):
            if pictures is None:
                self._writer.prepare(frame.image, passes.decoder.orientation)
                pictures = self._open_pictures()
            facts = self._facts(frame)
            self._writer.write(frame.image, pictures.targets(p, facts), footprint)
            last = p, frame
            if self._kept is not None:
                self._kept.add(p, frame)
            passes.redone_from = pictures.waits_from
            if sound is not None:
                first = pictures.first_pts()
                sound.forget(facts.pts if first is None else first)
            for clip in pictures.finished():
                if self._gives(clip):
                    yield self._complete(clip)
                del clip
            if pictures.done:
                if isinstance(self._plan, SegmentedPlan):
                    self.num_frames, self.frames_skipped = self._plan.source_frames, passes.frames_skipped
                passes.leave()
                self.close()
                return
        n = self._count(None if last is None else last[0])
        if pictures is None or last is None:
            if passes.frames is None and not passes.decoder.frames_decoded:
                raise MediaError(f"{passes.file.name} has a video stream without frames")
            self._end(n)
            self.close()
            self._plan.count(n)
            return
        unfinished = pictures.finish(n)
        for p, frame in (last, *(self._kept or ())):
            self._write_past(unfinished, p, frame)
        if isinstance(sound, InterleavedSound):
            # Before the file is read again, or closed: the last clips may need it.
            sound.take(self._facts(last[1]).pts)
        del last, frame
        self._kept = None
        if unfinished.needs:
            self._read_again(unfinished, n)
        self._end(n)
        while unfinished.left:
            clip = unfinished.finish()
            if self._gives(clip):
                yield self._complete(clip)
            del clip
        self.close()

    def _wanted(self) -> np.ndarray | None:
        """The frames of the time line that the first pass gives; None for all of them."""
        passes = self.passes
        if passes.frames is None or isinstance(passes.route, AllFrames):
            return None
        if isinstance(passes.sound, InterleavedSound):
            return np.ones(len(passes.frames), dtype=bool)  # so that sound is forgotten as pictures go by
        index = None if isinstance(passes.route, FromKeyFrame) else passes.index
        return wanted_frames(self._plan, passes.frames, self._selection, index)

    def _count(self, last: int | None) -> int:
        """Number of frames of the time line, after the first pass, whose last frame this was."""
        frames = self.passes.frames
        if frames is not None and (last is None or not isinstance(self.passes.route, FromKeyFrame)):
            return len(frames)
        return 0 if last is None else last + 1

    def _open_pictures(self) -> OpenPictures:
        pictures, self._views = open_pictures(
            self._spec,
            self._plan,
            self._format,
            self._writer,
            pool=self._pool,
            in_step=self._in_step,
            selection=self._selection,
            seed=self._seed,
        )
        return pictures

    def _facts(self, frame: Frame) -> FrameFacts:
        # Integers, for a quotient that is rounded once: a Fraction a frame would cost more than its conversion.
        ticks, second = self.passes.file.time_base.as_integer_ratio()
        k, _, pts, duration, damaged, lost = frame
        return FrameFacts(k, pts * ticks / second, duration * ticks / second, damaged, lost)

    def _gives(self, clip: Clip) -> bool:
        """True if a clip is given, whatever damage may show in it; its sound is then read."""
        gives = (
            not clip.damaged or self._keeps_damage or (self._selection.again and clip.number in self._selection.some)
        )
        sound = self.passes.sound
        if gives and sound is not None:
            assert isinstance(clip.pts_seconds, np.ndarray)
            clip.audio = sound.take(float(clip.pts_seconds[0]))
            clip.sample_rate = sound.sample_rate
            gives = clip.audio is not None
        return gives

    def _complete(self, clip: Clip) -> Clip:
        clip.source_fps = float(self.passes.file.rate)
        clip.rotation, clip.mirrored = self._writer.orientation
        if not self._keeps_damage:
            clip.damaged = None
        if self._spec.rate_varies:
            clip.measure_rate()
        return clip if self._views is None else clip.record(self._views)

    def _end(self, n: int) -> None:
        self.num_frames, self.frames_skipped = n, self.passes.frames_skipped
        self.passes.leave()

    def _write_past(self, unfinished: UnfinishedPictures, p: int, frame: Frame) -> None:
        targets = unfinished.targets(p, self._facts(frame))
        self._writer.write(frame.image, targets, 0 if self._pool is None else self._pool.nbytes)

    def _read_again(self, unfinished: UnfinishedPictures, n: int) -> None:
        """Decode again for the frames that have gone by."""
        if max(unfinished.needs) < n:
            wanted = np.zeros(n, dtype=bool)
            wanted[list(unfinished.needs)] = True
            for p, frame in self.passes.again(wanted):
                self._write_past(unfinished, p, frame)
                if not unfinished.needs:
                    return
        raise MediaError(f"{self.passes.file.name} gave fewer frames when it was read again")
