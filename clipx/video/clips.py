"""Videos to clips: each frame that a clip needs is written from the decoder's planes into every clip that holds it."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial

import av
import numpy as np

from clipx._checks import check_kind, check_total
from clipx.audio.format import AudioFormat
from clipx.clip import Clip
from clipx.errors import Damage, MediaError
from clipx.format import ClipFormat, Views, draw_seed
from clipx.media.damage import Report
from clipx.media.frames import Frame
from clipx.media.opening import passing
from clipx.media.packet_index import NO_TIME, Index
from clipx.media.sources import Source, as_source, can_rewind, describe
from clipx.plan import ALL, Extent, FrameSpec, Rng, Selection, as_generator, fill_bytes
from clipx.plan.rows import Plan
from clipx.pool import ClipPool, as_pool
from clipx.video.decoder import VideoDecoder
from clipx.video.file import VideoFile
from clipx.video.open_pictures import ClipArray, FrameFacts, KeptFrames, OpenPictures, UnfinishedPictures
from clipx.video.options import VideoOptions
from clipx.video.with_audio import InterleavedSound
from clipx.video.writer import PictureWriter

__all__ = ["Clip", "VideoClips", "VideoOptions", "clips", "count_frames"]

DTYPE = np.dtype("uint8")


class _Cutting:
    """One run over a video. It never refers to the iterator that drives it, so that dropping that frees the slots."""

    def __init__(
        self,
        src: Source,
        spec: FrameSpec,
        format: ClipFormat,
        options: VideoOptions,
        pool: ClipPool | None,
        rng: Rng,
        name: str,
        in_step: int,
        audio: AudioFormat | None,
        selection: Selection,
    ) -> None:
        self.num_frames: int | None = None
        self._footprint = self.frames_skipped = 0
        self._selection = selection
        self._spec, self._format, self._pool, self._in_step = spec, format, pool, in_step
        fill_bytes(spec, DTYPE)
        if pool is not None:
            pool.require(spec.slots() * in_step)
        if spec.is_random or format.is_random:
            rng = as_generator(rng)
        src = as_source(src, name)
        rewinds = can_rewind(src)
        if spec.needs_extent and not rewinds:
            src, rewinds = io.BytesIO(src.read()), True  # type: ignore[union-attr]
        self._converter = PictureWriter(format, options, name)
        self._file, self.report = VideoFile(src, name, options), Report(name, options.damage)
        self.decoder, self._timeline = VideoDecoder(self._file, self.report), self._file.timeline()
        self.sound = None if audio is None else InterleavedSound(self._file, audio)
        if audio is not None and spec.covered is None:
            raise ValueError(f"audio is {audio!r}, but clips of a {type(spec).__name__} have no duration of their own")
        rate = Fraction(options.fps or self._file.rate)
        self._slack = float((spec.span or 0) / rate) + 1 if spec.moves_last else 0.0
        self._sound_duration = (spec.covered or 0) / rate
        # Whether frames are found by their times among all that the decoder gives, not only those decoded that are
        # wanted: so it is once damage has been found.
        self._by_time = False
        self._index: Index | None = None
        self._plan: np.ndarray | None = None
        # Where the source cannot be read again: the frames that its end may still need.
        self._kept: KeptFrames[Frame] | None = None
        if self._looks_back and not rewinds:
            self._kept = KeptFrames(spec)
        sparse = self._is_sparse()
        # From a key frame on, frames are numbered like packets only where no damage comes before.
        enters = selection.passes_over and not selection.damaged
        if rewinds and (sparse or enters):
            # Where damage does not end the clips, what is known of the packets must not depend on which are selected.
            ends = selection.first is None and (options.damage == "stop" or not sparse)
            apart = spec.clips_apart or ends
            wanted = partial(self._needed, copy.deepcopy(rng)) if apart and self._timeline.whole else None
            self._index = self._file.read_index(wanted)
        if self._index is not None:
            self._plan = self._timeline.plan(self._index, self._file.frame_ticks)
        self._by_time = selection.damaged and sparse and self._index is not None
        if self._index is not None and audio is not None:
            # The sound lies between all packets: they are read from the first to the last.
            self._by_time = options.damage != "stop"
            self._index = self._index if self._by_time else None
            self._file.rewind()
        self._rows: Plan = spec.plan(self._extent(sparse), rng)
        self._first = None if sparse else self._entrance()
        # Frame at which the first clip that is open was begun.
        self._open_from: int | None = None
        self._seed = draw_seed(format, rng)
        self._views: Views | None = None

    @property
    def damages(self) -> list[Damage]:
        """The damage that has been found so far in pictures and sound."""
        return self.report.found + (self.sound.report.found if self.sound is not None else [])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _packets(self, hears: bool) -> Callable[[], Iterator[av.Packet]] | None:
        return self.sound.packets if hears and self.sound is not None else None

    def _extent(self, sparse: bool) -> Extent | None:
        """What the clips are planned from; None where they are planned as frames go by, until the end."""
        if self._plan is not None and (self._spec.needs_extent or sparse or self._selection.first is None):
            return Extent(len(self._plan))
        return Extent(self._count()) if self._spec.needs_extent else None

    def _entrance(self) -> int | None:
        """The key frame from which a video is decoded without a gap, for a selection that begins later.

        It is one key frame earlier than it need be: one that is damaged is concealed with what came before.
        """
        if self._index is None or self._selection.first is None:
            return None
        start = self._rows.opening(self._selection.first)
        if start is None:
            return None
        return int(self._index.keys[self._index.keys <= start][-2:][0])

    def _needed(self, rng: Rng, n: int) -> np.ndarray:
        """The frames of n that clips hold, those that the end needs again among them."""
        needed = np.zeros(n, dtype=bool)
        plan = self._spec.plan(Extent(n), rng)
        count = plan.count_until_error(n)
        selected = np.arange(count)
        if self.report.damage == "stop":
            selected = np.union1d(self._selection.of(count), self._before(count))
        rows = plan.final_rows(selected, n)
        needed[rows[rows >= 0]] = True
        return needed

    def _is_sparse(self) -> bool:
        """Whether an index pays: some frames are not needed, or the number of frames is."""
        return self._spec.skips_frames or self._timeline.sparse or self._looks_back

    @property
    def _looks_back(self) -> bool:
        """The end may need frames that have gone by, other than the last one, which is kept."""
        return max(self._spec.first_frames, self._spec.last_frames) > 1

    def _count(self) -> int:
        """Number of frames of the plan, by decoding them all."""
        report = Report(self._file.name, "keep", log=False)
        n = sum(1 for _ in self._timeline.follow(self.decoder.frames(report=report)))
        self._file.rewind()
        return n

    def _open_pictures(self) -> OpenPictures:
        size, channels = self._converter.size, self._converter.channels
        assert size is not None
        views = self._views = Views(self._format, *size, self._seed)
        shape = self._format.clip_shape(self._rows.length, *views.size, channels)
        dtype = self._format.written_dtype(DTYPE)
        check_total("a clip", shape, dtype.itemsize)
        allocate = partial(np.empty, shape, dtype)
        if self._pool is not None:
            self._pool.require(self._rows.slots() * self._in_step, shape, dtype)
            self._footprint = self._pool.nbytes
            allocate = partial(self._pool.acquire, shape, dtype)
        time_first = self._format.time_first

        def make(index: int) -> ClipArray:
            clip = allocate()
            return ClipArray(clip, time_first(clip), views[index])

        fill_value = np.array(self._spec.fill_value if self._spec.fills else 0).astype(DTYPE)
        fill = self._format.fill(fill_value, channels)
        return OpenPictures(self._spec, self._rows, make, fill, self._selection)

    def _facts(self, frame: Frame) -> FrameFacts:
        # Integers, for a quotient that is rounded once: a Fraction a frame would cost more than its conversion.
        ticks, second = self._file.time_base.numerator, self._file.time_base.denominator
        pts, duration = frame.pts * ticks / second, frame.duration * ticks / second
        return FrameFacts(frame.k, pts, duration, frame.damaged, frame.lost)

    def _wanted(self, plan: np.ndarray) -> np.ndarray:
        """The frames of the plan that clips hold in their order; others that the end needs come after."""
        rows, n = self._rows, len(plan)
        count = rows.count_until_error(n)
        selected = rows.frames_in_order(self._selection.of(count), n)
        before = self._before(count)
        if self._first is not None or not len(before) or self._index is None:
            return selected
        # From the end of the clip before `first` on, stretches between key frames are decoded as for all clips: damage
        # then shows at the same clip.
        stretches = np.searchsorted(self._index.keys, plan, side="right")
        end = np.max(stretches[rows.frames_in_order(before, n)], initial=0)
        here = (stretches == end) | ((stretches > end) & np.isin(stretches, stretches[selected]))
        return selected | (rows.frames_in_order(np.arange(count), n) & here)

    def _before(self, count: int) -> np.ndarray:
        """The index of the clip before the selection's `first`; none where that is the first of all."""
        first = self._selection.first or 0
        return np.arange(max(first - 1, 0), min(first, count))

    def _events(
        self, wanted: np.ndarray | None, hears: bool = False, first: int | None = None
    ) -> Iterator[tuple[int, Frame]]:
        """(p, frame) for the wanted frames of the plan, or for all of them; with `first`, for all from there on."""
        if self._index is None or self._plan is None or wanted is None:
            yield from self._timeline.follow(self.decoder.frames(self._packets(hears)))
            return
        plan = self._plan
        if first is not None:
            # Nothing is left out between frames, nor before the first, so that frame p of the plan is that of the file.
            yield from self._events(wanted & (plan < first))
            following = self.decoder.frames_from(self._index, first)
            yield from ((frame.k, frame) for _, frame in self._timeline.follow(following))
            return
        left, p = wanted, -1
        while not self._by_time:
            frames = np.zeros(self._index.frames, dtype=bool)
            frames[plan[left]] = True
            try:
                for frame in self.decoder.selected(self._index, frames):
                    for p in range(*np.searchsorted(plan, [frame.k, frame.k + 1]).tolist()):
                        if left[p]:
                            yield p, frame
                return
            except MediaError:
                # Where several threads decode, damage shows at another frame; and what it may show in of the clips that
                # are open is known when they are written again.
                if self._file.has_threads:
                    self._file.use_one_thread()
                    self._file.rewind()
                elif self.report.damage == "stop":
                    raise
                else:
                    self._by_time = True
            done = p if self._open_from is None else min(p, self._open_from - 1)
            left = wanted & (np.arange(len(wanted)) > done)
        self._file.rewind()
        if np.any(self._index.packet_pts == NO_TIME):
            # Of the packets only those that are wanted have been read: all of them tell which frame is which.
            index = self._file.read_index()
            self._index = index if index is not None and index.frames == self._index.frames else self._index
            self._file.rewind()
        yield from self._found_by_time(self._index, plan, left, hears)

    def _found_by_time(
        self, index: Index, plan: np.ndarray, wanted: np.ndarray, hears: bool
    ) -> Iterator[tuple[int, Frame]]:
        """(p, frame) for the wanted frames of the plan, out of all that the decoder gives.

        Where a frame is lost, the one that is shown in its place.
        """
        left, at = np.flatnonzero(wanted).tolist(), 0
        last: Frame | None = None
        for frame in self.decoder.frames(self._packets(hears)):
            k = index.frame_at(frame.image.pts)
            if k is None:
                last = frame
                continue
            found = frame._replace(k=k, pts=int(index.pts[k]), lost=False)
            while at < len(left) and plan[left[at]] <= k:
                is_lost = plan[left[at]] < k
                yield left[at], (last or found)._replace(damaged=True) if is_lost else found
                at += 1
            if at == len(left):
                return
            last = found
        for p in left[at:]:
            if last is not None:
                yield p, last._replace(damaged=True)

    def clips(self) -> Generator[Clip]:
        pictures: OpenPictures | None = None
        last: tuple[int, Frame] | None = None
        wanted = None if self._plan is None else self._wanted(self._plan)
        if wanted is not None and self.sound is not None:
            wanted[:] = True  # so that sound is forgotten as pictures go by
        for p, frame in self._events(wanted, self.sound is not None, self._first):
            if pictures is None:
                self._converter.prepare(frame.image, self.decoder.orientation)
                pictures = self._open_pictures()
            facts = self._facts(frame)
            self._converter.write(frame.image, pictures.targets(p, facts), self._footprint)
            last = p, frame
            if self._kept is not None:
                self._kept.add(p, frame)
            self._open_from = pictures.waits_from
            for clip in pictures.finished():
                if self._gives(clip):
                    yield self._complete(clip)
                del clip
            if pictures.done:
                self._file.close()
                return
            if self.sound is not None:
                # A clip that is moved back starts less than a clip before the end.
                first = pictures.first_pts()
                self.sound.forget((facts.pts if first is None else first) - self._slack)
        n = 0 if last is None else last[0] + 1
        if self._plan is not None and (self._first is None or last is None):
            n = len(self._plan)
        if pictures is None or last is None:
            if self._plan is None and not self.decoder.frames_decoded:
                raise MediaError(f"{self._file.name} has a video stream without frames")
            self._end(n)
            self._spec.count(n)
            return
        unfinished = pictures.finish(n)
        self._write_unfinished(unfinished, [last, *(self._kept or ())])
        if self.sound is not None:
            # Before the file is read again, or closed: what the last clips may need.
            self.sound.take(self._facts(last[1]).pts, self._sound_duration)
        del last, frame
        self._kept = None
        if unfinished.needs:
            self._finish(unfinished, n)
        self._end(n)
        while unfinished.left:
            clip = unfinished.finish()
            if self._gives(clip):
                yield self._complete(clip)
            del clip

    def _gives(self, clip: Clip) -> bool:
        """Whether a clip is given, whatever damage may show in it; its sound is then read."""
        gives = not clip.damaged or self.report.damage == "keep" or clip.index in self._selection.some
        if gives and self.sound is not None:
            assert isinstance(clip.pts_seconds, np.ndarray)
            clip.audio = self.sound.take(float(clip.pts_seconds[0]), self._sound_duration)
            clip.sample_rate = self.sound.sample_rate
            gives = clip.audio is not None
        return gives

    def _end(self, n: int) -> None:
        self.num_frames = n
        if self._index is not None:
            self.frames_skipped = max(self._index.frames - self.decoder.frames_decoded, 0)
        self._file.close()

    def _complete(self, clip: Clip) -> Clip:
        clip.source_fps = float(self._file.rate)
        clip.rotation, clip.mirrored = self._converter.orientation
        if self.report.damage != "keep":
            clip.damaged = None
        return clip if self._views is None else clip.record(self._views)

    def _write_unfinished(self, unfinished: UnfinishedPictures, frames: list[tuple[int, Frame]]) -> None:
        for p, frame in frames:
            self._converter.write(frame.image, unfinished.targets(p, self._facts(frame)), self._footprint)

    def _finish(self, unfinished: UnfinishedPictures, n: int) -> None:
        """Decode again for the frames that have gone by."""
        if max(unfinished.needs) < n:
            wanted = np.zeros(n, dtype=bool)
            wanted[list(unfinished.needs)] = True
            if self._index is None:
                self._file.rewind()
            for event in self._events(wanted):
                self._write_unfinished(unfinished, [event])
                if not unfinished.needs:
                    return
        raise MediaError(f"{self._file.name} gave fewer frames when it was read again")


def count_frames(src: Source, spec: FrameSpec, options: VideoOptions | None, name: str) -> int:
    """Number of frames of the plan: from the header where it tells, else from the packets, else by decoding.

    Of a file that is found to be damaged, the frames before the damage.
    """
    options = _at_rate(spec, options)
    src = as_source(src, name)
    file = VideoFile(src, name, options)
    try:
        timeline = file.timeline()
        listed = file.frames_listed if timeline.whole else None
        if listed is not None:
            return listed
        index = file.read_index() if can_rewind(src) else None
        if index is not None:
            return len(timeline.plan(index, file.frame_ticks))
        count = 0
        with suppress(MediaError):
            for _ in timeline.follow(VideoDecoder(file, Report(name, options.damage)).frames()):
                count += 1
        return count
    finally:
        file.close()


def _at_rate(spec: FrameSpec, options: VideoOptions | None) -> VideoOptions:
    """The options, at the rate that the window was made for. Raises ValueError where they have another."""
    options = options or VideoOptions()
    if spec.fps is None:
        return options
    if options.fps not in (None, spec.fps):
        raise ValueError(f"fps is {options.fps}, but the window was made for {spec.fps} frames a second")
    return replace(options, fps=spec.fps)


class VideoClips(Iterator[Clip]):
    """Iterator of the clips of a video; see `clips`."""

    def __init__(
        self,
        src: Source,
        spec: FrameSpec,
        format: ClipFormat | None = None,
        *,
        options: VideoOptions | None = None,
        pool: ClipPool | None = None,
        rng: Rng = None,
        name: str,
        in_step: int = 1,
        audio: AudioFormat | None = None,
        selection: Selection = ALL,
    ) -> None:
        options = _at_rate(spec, options)
        with passing():
            self._cutting = _Cutting(
                src, spec, format or ClipFormat(), options, pool, rng, name, in_step, audio, selection
            )
        self._clips = self._cutting.clips()

    @property
    def num_frames(self) -> int | None:
        """Frames of the plan; None until the last clip has been given."""
        return self._cutting.num_frames

    @property
    def damages(self) -> list[Damage]:
        """The damage that has been found so far in pictures and sound, with damage="skip" or "keep"."""
        return self._cutting.damages

    @property
    def lost(self) -> bool:
        """Whether packets have given no frame so far, where each is to give one."""
        return self._cutting.decoder.lost

    @property
    def frames_decoded(self) -> int:
        """Frames that the decoder has given so far."""
        return self._cutting.decoder.frames_decoded

    @property
    def frames_skipped(self) -> int:
        """Frames of the stream that were never decoded; known when the last clip has been given."""
        return self._cutting.frames_skipped

    def __next__(self) -> Clip:
        with passing():
            return next(self._clips)

    def close(self) -> None:
        """Close the file and give up the clips that are not complete."""
        self._clips.close()
        self._cutting.close()


def clips(
    src: Source,
    spec: FrameSpec,
    format: ClipFormat | None = None,
    *,
    options: VideoOptions | None = None,
    pool: ClipPool | int | str | None = None,
    audio: AudioFormat | None = None,
    rng: Rng = None,
    name: str | None = None,
) -> VideoClips:
    """The clips of a video, in order of their starts.

    Args:
        src: path, bytes (or an array or tensor of uint8), or file object of a video; a file object needs `read`, and
            is read again where it has `seek`.
        spec: which frames; with `options.fps`, or made by `WindowSpec.of_seconds`, frames at that rate.
        format: size, crop, flip, numbers and order; default the picture as it is.
        options: how the video is read; see VideoOptions.
        pool: a ClipPool, or bytes such as "2GB" to make one of for this call: clips are its slots. None gives each clip
            memory of its own.
        audio: how the sound of each clip is written, in memory of its own: `round(length * dilation / fps * rate)`
            samples from the clip's first frame on, with `options.fps` or the stream's average; silence where there is
            none. It is decoded in the same pass, which then goes over the whole file. A video without an audio stream
            gives silence where `sample_rate` and `mono=True` say of what shape, else MediaError. None: no sound.
        rng: Generator or seed for sampling "random", and for what the format draws.
        name: what messages call the source; default its path.

    No array ever holds the video: each frame is decoded once, its rows are converted once and written to every open
    clip, and it is forgotten. Where the window leaves frames out, frames that no clip needs are not converted and, for
    the usual codecs in MP4, MOV, MKV and WebM, mostly not decoded; the others are bit for bit the same. Policies
    "wrap", "reflect" and "backpad" read some frames a second time; of a source that cannot seek they keep up to
    `span` decoded frames instead, and `num_clips` reads its encoded bytes into memory.

    A frame without a time, or whose time is not after the frame before it, is taken to follow that at once. Empty
    packets, and those before the first key frame that cannot be decoded, are passed over, as players do.

    With `options.fps`, a clock that jumps so far that one frame would stand in the plan more than 2**22 times, and a
    plan of more than 2**25 frames, are a MediaError, in time and memory that do not grow with the jump.

    Damage is what the decoder refuses or says is damaged, and a file that ends too early. `options.damage` says what
    follows. "stop": the clips before it, then MediaError. "keep": clips of the frames that the decoder gives; a clip's
    `damaged` lists the places of those that the damage may show in (all up to the next key frame) and of the frame
    behind one that is lost. "skip": the clips of "keep" that have no such place, bit for bit, with the same `index`, so
    that indices have gaps. `damages` lists what was found, and the log tells of it once a file. A decoder that conceals
    damage without a word cannot be told from one that has none.

    Of sound, damage is what the decoder refuses, with sound behind it. `audio.damage` says what follows. "stop": the
    clips whose sound ends before it, then MediaError. "skip": clips are left out in whose sound it may show. "keep":
    silence stands for what is lost. Either is listed in `damages`.

    Returns an iterator of Clip, `data` uint8 (length, height, width, 3), or 1 channel with `options.color="gray"`, and
    as the format says.
    After a run its `frames_decoded` and `frames_skipped` tell what it cost, and `damages` what was found, a list of
    (seconds, reason).

    Raises FileNotFoundError, MediaError for what cannot be read (the clips before damage are given first), ValueError
    for a crop outside the picture or a pool that is too small, PoolExhausted. Policy "error" raises after the complete
    clips.
    """
    check_kind("spec", spec, FrameSpec)
    check_kind("format", format, ClipFormat, None)
    check_kind("options", options, VideoOptions, None)
    check_kind("audio", audio, AudioFormat, None)
    name = name or describe(src)
    return VideoClips(src, spec, format, options=options, pool=as_pool(pool), audio=audio, rng=rng, name=name)
