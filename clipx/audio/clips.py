"""Sound to clips: decoded samples are written into every clip that holds them."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import IO, cast

import numpy as np

from clipx._checks import check_kind, check_total
from clipx.audio.sound import AudioFormat
from clipx.audio.stream import Samples
from clipx.clip import Clip
from clipx.errors import Damage, MediaError
from clipx.media.damage import Report
from clipx.media.open_clips import OpenClip, OpenClips
from clipx.media.opening import passing
from clipx.media.sources import Source, as_source, can_rewind, describe
from clipx.plan import ALL, Extent, FrameSpec, Rng, Selection, as_generator, fill_bytes
from clipx.plan.rows import Plan, Row, first_frame
from clipx.pool import ClipPool, as_pool

__all__ = ["AudioClips", "AudioFormat", "Clip", "clips", "count_clips", "count_samples", "selected_clips"]


def _stop(row: Row) -> int:
    """The sample after the last of a row."""
    return row.stop if isinstance(row, range) else int(np.max(row, initial=-1)) + 1


@dataclass(eq=False)
class _SoundClip(OpenClip):
    samples: np.ndarray
    """The clip as (channels, length)."""
    stop: int
    """The sample before which it is complete."""

    def write(self, at: int, piece: np.ndarray) -> None:
        """Write what a piece of samples (channels, m), the first of which is sample `at`, has for the clip."""
        row, m = self.row, piece.shape[1]
        if not isinstance(row, range):
            here = np.flatnonzero((row >= at) & (row < at + m))
            self.samples[:, here] = piece[:, row[here] - at]
            return
        position = max(-((row.start - at) // row.step), 0)
        first = row.start + position * row.step - at
        count = min(-((first - m) // row.step), len(row) - position)
        if count > 0:
            part = piece[:, first : first + (count - 1) * row.step + 1 : row.step]
            self.samples[:, position : position + count] = part


class _OpenSounds(OpenClips[_SoundClip]):
    """The open clips of a stream of sound.

    Args:
        spec, plan: the rows of the clips.
        format: how their samples are written.
        channels: of the sound.
        pool: clips are slots of it; None gives each clip memory of its own.
        in_step: streams that hold slots of the pool side by side.
        selection: which of the clips are given.
    """

    def __init__(
        self,
        spec: FrameSpec,
        plan: Plan,
        format: AudioFormat,
        channels: int,
        pool: ClipPool | None,
        in_step: int,
        selection: Selection,
    ) -> None:
        self._format, self._pool = format, pool
        self._shape, self._dtype = format.shape(channels, plan.length), np.dtype(format.dtype)
        self.fill = np.array(spec.fill_value if spec.fills else 0).astype(self._dtype)
        check_total("a clip", self._shape, self._dtype.itemsize)
        if pool is not None:
            pool.require(plan.slots() * in_step, self._shape, self._dtype)
        super().__init__(spec, plan, selection)

    def make(self, index: int, opening: int, row: Row) -> _SoundClip:
        shape, dtype = self._shape, self._dtype
        data = np.empty(shape, dtype) if self._pool is None else self._pool.acquire(shape, dtype)
        samples, valid = self._format.channels_first(data), len(row)
        if not isinstance(row, range):
            samples[:, row < 0] = self.fill
            valid = int(np.count_nonzero(row >= 0))
        clip = Clip(data, index, first_frame(row), valid)
        return _SoundClip(clip, opening, row, samples, max(_stop(row), opening + 1))

    def begin_until(self, end: int) -> int:
        """Open the clips that begin before sample `end`, or before the first open clip is complete.

        Returns the sample that comes first of both.
        """
        end = min(end, self.open[0].stop) if self.open else end
        while self.opening is not None and self.opening < end:
            self.begin()
            end = min(end, self.open[0].stop)
        return end


class _KeptSamples:
    """The samples that the end of a stream may need: its first and its last ones."""

    def __init__(self, spec: FrameSpec) -> None:
        self._most_first, self._most_last = spec.first_frames, spec.last_frames
        self._first: list[np.ndarray] = []
        self._last: deque[np.ndarray] = deque()
        self._kept = 0
        self.n = 0

    def add(self, piece: np.ndarray) -> None:
        """Take the next samples (channels, m)."""
        if self.n < max(self._most_first, 1):
            self._first.append(piece[:, : max(self._most_first - self.n, 0)].copy())
        if self._most_last:
            self._last.append(piece[:, -self._most_last :].copy())
            self._kept += self._last[-1].shape[1]
            while self._kept - self._last[0].shape[1] >= self._most_last:
                self._kept -= self._last.popleft().shape[1]
        self.n += piece.shape[1]

    def join(self) -> None:
        """Make one array of the first samples, and one of the last."""
        self._first = [np.concatenate(self._first, axis=1)]
        self._last = deque([np.concatenate([self._first[0][:, :0], *self._last], axis=1)])

    def read(self, samples: np.ndarray) -> np.ndarray:
        """Samples (channels, m) of these numbers, int64 (m,), after `join`. Raises IndexError for others."""
        first, last, begin = self._first[0], self._last[0], self.n - self._kept
        late = samples >= begin
        found = np.empty((len(first), len(samples)), first.dtype)
        found[:, late] = last[:, samples[late] - begin]
        found[:, ~late] = first[:, samples[~late]]
        return found


class _Run:
    """One run over a file. It never refers to the iterator that drives it, so that dropping that frees the slots."""

    def __init__(
        self,
        src: Source,
        spec: FrameSpec,
        format: AudioFormat,
        pool: ClipPool | None,
        rng: Rng,
        name: str,
        in_step: int,
        selection: Selection,
    ) -> None:
        self._spec, self._format, self._pool, self._in_step = spec, format, pool, in_step
        self._name, self._selection = name, selection
        fill_bytes(spec, np.dtype(format.dtype))
        self.num_samples: int | None = None
        if pool is not None:
            pool.require(spec.slots() * in_step)
        src = as_source(src, name)
        extent = None
        if spec.needs_extent:
            n, src = self._count(src)
            extent = Extent(n)
        self._plan = spec.plan(extent, as_generator(rng) if spec.is_random else rng)
        self.samples = Samples(src, name, format, spec.fps)

    def _count(self, src: Source) -> tuple[int, Source]:
        """Number of samples, those behind damage among them, by decoding them, and a source to decode them again."""
        if not can_rewind(src):
            src = io.BytesIO(cast(IO[bytes], src).read())
        at = cast(IO[bytes], src).tell() if hasattr(src, "read") else None
        n = _Counted(src, self._spec, replace(self._format, damage="keep"), self._name).samples
        if at is not None:
            cast(IO[bytes], src).seek(at)
        return n, src

    def _open_sounds(self) -> _OpenSounds:
        channels = self.samples.sound.channels
        return _OpenSounds(self._spec, self._plan, self._format, channels, self._pool, self._in_step, self._selection)

    def clips(self) -> Generator[Clip]:
        kept = _KeptSamples(self._spec)
        sounds: _OpenSounds | None = None
        for piece in self.samples.pieces():
            if not piece.shape[1]:
                continue
            if sounds is None:
                sounds = self._open_sounds()
            begin = at = kept.n
            kept.add(piece)
            while at < kept.n:
                # Up to where a clip is complete, so that no more are open than the pool was asked for.
                end = sounds.begin_until(kept.n)
                for opened in sounds.open:
                    opened.write(at, piece[:, at - begin : end - begin])
                    del opened
                at = end
                while sounds.open and sounds.open[0].stop <= at:
                    # No name keeps the clip: its slot is free as soon as the consumer lets go.
                    row, step = sounds.open[0].row, _step(sounds.open[0].row)
                    if self._gives(row, step):
                        yield self._complete(row, step, sounds.open.popleft().clip)
                    else:
                        sounds.open.popleft()
                if sounds.done:
                    self.samples.close()
                    return
            del piece
        if sounds is None:
            raise MediaError(f"{self._name} has an audio stream without samples")
        unfinished = sounds.end(kept.n)
        kept.join()
        for opened, row, positions in unfinished:
            self._write_last(opened, row, positions, kept, sounds.fill)
            del opened
        while unfinished:
            row, step = unfinished[0].row, _step(unfinished[0].opened.row)
            if self._gives(row, step):
                yield self._complete(row, step, unfinished.pop(0).opened.clip)
            else:
                unfinished.pop(0)
        self.num_samples = kept.n
        self.samples.close()

    def _write_last(
        self, opened: _SoundClip, row: np.ndarray, positions: np.ndarray, kept: _KeptSamples, fill: np.ndarray
    ) -> None:
        """Write the positions of a clip that the end of the source leaves."""
        wanted = row[positions]
        if np.max(wanted, initial=-1) >= kept.n:
            raise MediaError(f"{self._name} gave fewer samples when it was read again")
        opened.samples[:, positions[wanted < 0]] = fill
        opened.samples[:, positions[wanted >= 0]] = kept.read(wanted[wanted >= 0])

    def _gives(self, row: Row, step: int | None) -> bool:
        """A clip of this row is given, whatever damage may show in it."""
        return self._format.damage != "skip" or not _is_touched(self.samples, row, step)

    def _complete(self, row: Row, step: int | None, clip: Clip) -> Clip:
        rate = self.samples.sound.rate
        span = self._spec.span or _stop(row) - min((int(each) for each in row if each >= 0), default=0)
        clip.pts_seconds = float(self.samples.time(clip.start))
        clip.duration_seconds = float(Fraction(span, rate))
        clip.sample_rate = rate
        if _is_touched(self.samples, row, step):
            clip.damaged = _runs(self.samples.shows_damage(np.asarray(row), step))
        return clip


def _step(row: Row) -> int | None:
    """Samples from one position of a clip to the next; None where they differ."""
    return row.step if isinstance(row, range) else None


def _is_touched(samples: Samples, row: Row, step: int | None) -> bool:
    """Damage may show in the samples of a row, or between them."""
    if not samples.harmed:
        return False
    if isinstance(row, range):
        return bool(samples.touches(row.start, row.stop))
    return bool(samples.shows_damage(row, step).any())


def _runs(marks: np.ndarray) -> list[list[int]] | None:
    """Where marks are set, as [first, end); None where nowhere."""
    edges = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).tolist() or None


class _Counted:
    """The samples of a file, counted by decoding them, up to where a run over them ends.

    Attributes:
        samples: their number.
        source: what they came from, closed; it knows where damage may show.
        stopped: whether a run raises MediaError behind them.
    """

    def __init__(self, src: Source, spec: FrameSpec, format: AudioFormat, name: str) -> None:
        self.samples, self.stopped = 0, False
        report = Report(name, format.damage, log=False)
        self.source = Samples(as_source(src, name), name, format, spec.fps, report)
        try:
            for piece in self.source.pieces():
                self.samples += piece.shape[1]
        except MediaError:
            self.stopped = True
        finally:
            self.source.close()


def count_samples(src: Source, spec: FrameSpec, format: AudioFormat | None, name: str) -> int:
    """Number of samples of a file's sound, by decoding them; where damage ends the clips, those before it."""
    return _Counted(src, spec, format or AudioFormat(), name).samples


def count_clips(src: Source, spec: FrameSpec, format: AudioFormat | None, name: str) -> int:
    """Number of clips that a file's sound gives, by decoding it; those that damage ends or leaves out do not count.

    Where the spec draws at random it is not known which these are, and all count.
    """
    format = format or AudioFormat()
    counted = _Counted(src, spec, replace(format, damage="keep") if spec.needs_extent else format, name)
    n, found = counted.samples, counted.source
    # Of a run that is stopped the clips of the end are never reached.
    count = spec.count_complete(n) if counted.stopped and not spec.needs_extent else spec.count_until_error(n)
    if not found.harmed or format.damage == "keep" or spec.is_random:
        return count
    plan = spec.plan(Extent(n))
    rows = [plan.row(index) for index in range(count)]
    if format.damage == "stop":
        return sum(_stop(row) <= found.harmed[0][0] for row in rows)
    steps = [_step(row) for row in rows]
    late = [index for index, row in enumerate(rows) if _stop(row) > n]
    for index, row in zip(late, plan.final_rows(np.array(late, dtype=np.int64), n)):
        rows[index] = row
    return sum(not _is_touched(found, row, step) for row, step in zip(rows, steps))


class AudioClips(Iterator[Clip]):
    """Iterator of the clips of a file's sound; see `clips`."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._clips = run.clips()

    @property
    def num_frames(self) -> int | None:
        """Samples of the sound at its rate; None until the last clip has been given."""
        return self._run.num_samples

    @property
    def damages(self) -> list[Damage]:
        """The damage that has been found so far, with damage="skip" or "keep"."""
        return self._run.samples.report.found

    def __next__(self) -> Clip:
        with passing():
            return next(self._clips)

    def close(self) -> None:
        """Close the file and give up the clips that are not complete."""
        self._clips.close()
        self._run.samples.close()


def selected_clips(
    src: Source,
    spec: FrameSpec,
    format: AudioFormat | None = None,
    *,
    pool: ClipPool | None = None,
    rng: Rng = None,
    name: str,
    in_step: int = 1,
    selection: Selection = ALL,
) -> AudioClips:
    """`clips` of a selection, from a pool whose slots `in_step` sources hold side by side."""
    with passing():
        return AudioClips(_Run(src, spec, format or AudioFormat(), pool, rng, name, in_step, selection))


def clips(
    src: Source,
    spec: FrameSpec,
    format: AudioFormat | None = None,
    *,
    pool: ClipPool | int | str | None = None,
    rng: Rng = None,
    name: str | None = None,
) -> AudioClips:
    """The clips of a file's sound, of the stream that `format.stream` names, in order of their starts.

    >>> spec = clipx.WindowSpec.of_seconds(2, stride=1, fps=16000)
    >>> for clip in clipx.audio.clips("talk.flac", spec, clipx.AudioFormat(sample_rate=16000, mono=True)): ...

    Args:
        src: path, bytes (or an array or tensor of uint8), or file object of a sound or a video.
        spec: which samples. A window made by `WindowSpec.of_seconds` remembers its rate, which must be the sound's.
        format: rate, channels, dtype, order, stream and what happens at damage; default the file's rate and channels,
            float32, "CN", of the stream that FFmpeg chooses.
        pool: a ClipPool, or bytes such as "2GB" to make one of for this call: clips are its slots. None gives each clip
            memory of its own.
        rng: Generator or seed for sampling "random".
        name: what messages call the source; default its path.

    No array ever holds the whole sound, only what the end of a policy may need: one span. `num_clips` decodes the
    sound twice, once to count. Samples that the encoder added at the ends are left out, as FFmpeg does.

    Samples are those that FFmpeg decodes, one after the other. A stream ends where nothing more can be decoded: a size
    in a header that was never written, tags and zeros behind the last frame, and a last packet that is cut short are no
    damage, nor is what comes before the first sound that can be decoded. Files that have been joined are cut through;
    times go on where their clock starts anew.

    Damage is a packet that the decoder refuses, with sound behind it; a clock that jumps ahead by more than a tenth of
    a second; up to three frames of another rate or layout; and an end before the samples that a header of MP4, MOV,
    FLAC or WavPack announces. `format.damage` says what follows. "stop": the clips before it, then MediaError. "keep":
    clips of what the decoder gives; what is lost is left out, and `pts_seconds` tells when a clip is heard. `damaged`
    lists the places [first, end) of the frame behind what was lost, which may show it. "skip": the clips of "keep" in
    which no such place stands or lies between samples, with the same `index`. `damages` lists what was found, at most
    100 parts, and the log tells of it once a file.

    Returns an iterator of Clip: `data` (channels, length) or (length, channels), `pts_seconds` of its first sample and
    `duration_seconds` as floats, and `sample_rate`; its `damages` is a list of (seconds, reason).

    Raises FileNotFoundError; MediaError for what cannot be read, for a rate or channels that change midway, and for
    damage, after the clips before it; ValueError for a window of another rate or a pool that is too small;
    PoolExhausted.
    """
    check_kind("spec", spec, FrameSpec)
    check_kind("format", format, AudioFormat, None)
    return selected_clips(src, spec, format, pool=as_pool(pool), rng=rng, name=name or describe(src))
