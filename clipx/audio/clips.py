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
from clipx.media.opening import passing
from clipx.media.sources import Source, as_source, can_rewind, describe
from clipx.plan.windows import ALL, Rng, Selection, WindowSpec, as_generator, fill_bytes
from clipx.pool import ClipPool

__all__ = ["AudioClips", "AudioFormat", "Clip", "clips", "count_clips", "count_samples"]

LOOKS_BACK = frozenset({"backpad", "reflect", "repeat_last", "wrap"})


@dataclass(eq=False)
class _Open:
    clip: Clip
    seen: np.ndarray
    """The clip as (channels, length)."""
    done: int = 0
    """Places that have been written."""


class _Cutting:
    """One run over a file. It never refers to the iterator that drives it, so that dropping that frees the slots."""

    def __init__(
        self,
        src: Source,
        spec: WindowSpec,
        format: AudioFormat,
        pool: ClipPool | None,
        rng: Rng,
        name: str,
        in_step: int,
        selection: Selection,
    ) -> None:
        self._spec, self._format, self._pool, self._in_step = spec, format, pool, in_step
        self._name, self._selection = name, selection
        self._dtype = np.dtype(format.dtype)
        fill_bytes(spec, self._dtype)
        self.num_samples: int | None = None
        self._starts: np.ndarray | None = None
        if pool is not None:
            pool.require(spec.slots() * in_step)
        src = as_source(src, name)
        if spec.num_clips is not None:
            n, src = self._count(src)
            self._starts = spec.starts(n, as_generator(rng) if spec.sampling == "random" else rng)
        self.samples = Samples(src, name, format, spec.fps)
        self._opened = 0

    def _count(self, src: Source) -> tuple[int, Source]:
        """Number of samples, those behind damage among them, by decoding them, and a source to decode them again."""
        if not can_rewind(src):
            src = io.BytesIO(cast(IO[bytes], src).read())
        at = cast(IO[bytes], src).tell() if hasattr(src, "read") else None
        n = _Counted(src, self._spec, replace(self._format, damage="keep"), self._name).samples
        if at is not None:
            cast(IO[bytes], src).seek(at)
        return n, src

    def _next(self) -> tuple[int, int] | None:
        """Index and start of the clip that is opened next; None where the plan or the selection has no more."""
        index = self._selection.at(self._opened)
        start = None if index is None else self._spec.start(index, self._starts)
        return None if index is None or start is None else (index, start)

    def _open(self, index: int, start: int) -> _Open:
        channels = self.samples.sound.channels
        shape = self._format.shape(channels, self._spec.length)
        if self._opened == 0:
            check_total("a clip", shape, self._dtype.itemsize)
            if self._pool is not None:
                self._pool.require(self._spec.slots(self._starts) * self._in_step, shape, self._dtype)
        data = np.empty(shape, self._dtype) if self._pool is None else self._pool.acquire(shape, self._dtype)
        clip = Clip(data, index, start, self._spec.length)
        self._opened += 1
        return _Open(clip, self._format.channels_first(data))

    def _write(self, opened: _Open, at: int, piece: np.ndarray) -> None:
        """Write what a piece of samples from `at` on has for a clip."""
        dilation = self._spec.dilation
        first = opened.clip.start + opened.done * dilation - at  # never negative: what came before has been written
        count = min(-((first - piece.shape[1]) // dilation), self._spec.length - opened.done)
        if first < piece.shape[1] and count > 0:
            part = piece[:, first : first + (count - 1) * dilation + 1 : dilation]
            opened.seen[:, opened.done : opened.done + count] = part
            opened.done += count

    def clips(self) -> Generator[Clip]:
        spec, n = self._spec, 0
        open_clips: deque[_Open] = deque()
        head: list[np.ndarray] = []
        tail: deque[np.ndarray] = deque()
        kept = 0
        for piece in self.samples.pieces():
            if spec.policy == "wrap" and n < spec.span:
                head.append(piece[:, : spec.span - n].copy())
            if spec.policy in LOOKS_BACK:
                tail.append(piece.copy())
                kept += piece.shape[1]
                while kept - tail[0].shape[1] > 2 * spec.span:
                    kept -= tail.popleft().shape[1]
            begin = at = n
            n = end = begin + piece.shape[1]
            while at < end:
                # Up to where a clip is complete, so that no more are open than the pool was asked for.
                upto = min(end, open_clips[0].clip.start + spec.span if open_clips else end)
                while (following := self._next()) is not None and following[1] < upto:
                    open_clips.append(self._open(*following))
                    upto = min(upto, open_clips[0].clip.start + spec.span)
                for opened in open_clips:
                    self._write(opened, at, piece[:, at - begin : upto - begin])
                    del opened
                at = upto
                while open_clips and open_clips[0].done == spec.length:
                    # No name keeps the clip: its slot is free as soon as the consumer lets go.
                    if self._gives(open_clips[0].clip):
                        yield self._complete(open_clips.popleft().clip)
                    else:
                        open_clips.popleft()
                if not open_clips and self._selection.at(self._opened) is None:
                    self.samples.close()
                    return
            del piece
        if not n:
            raise MediaError(f"{self._name} has an audio stream without samples")
        left = list(open_clips)
        open_clips.clear()
        yield from self._tail(left, n, head, tail)
        self.num_samples = n
        self.samples.close()

    def _tail(self, left: list[_Open], n: int, head: list[np.ndarray], tail: deque[np.ndarray]) -> Iterator[Clip]:
        """Complete the clips that the end of the source leaves, as the policy says."""
        spec = self._spec
        if self._starts is None:
            count = spec.count(n)
            left[:] = [each for each in left if each.clip.index < count]
            following = self._selection.at(self._opened)
            if spec.policy == "backpad" and not left and following is not None and following < count:
                left.append(self._open(following, n - spec.span))
            if spec.policy == "backpad" and left:
                left[0].clip.start, left[0].done = n - spec.span, 0
        before = np.concatenate(tail, axis=1) if tail else None
        start = np.concatenate(head, axis=1) if head else None
        rows = spec.indices_at(np.array([each.clip.start for each in left], dtype=np.int64), n)
        for row in rows:
            self._fill_tail(left[0], row, n, start, before)
            if self._gives(left[0].clip, row):
                yield self._complete(left.pop(0).clip, row)
            else:
                left.pop(0)

    def _fill_tail(
        self, opened: _Open, row: np.ndarray, n: int, start: np.ndarray | None, before: np.ndarray | None
    ) -> None:
        """Write the places that a clip lacks, from the first samples and the last ones of n."""
        places = np.arange(opened.done, self._spec.length)
        opened.clip.valid = self._spec.valid(opened.clip.start, n)
        wanted = row[places]
        opened.seen[:, places[wanted < 0]] = np.array(self._spec.fill_value).astype(self._dtype)
        kept = n - (0 if before is None else before.shape[1])
        late = wanted >= kept
        if before is not None:
            opened.seen[:, places[late]] = before[:, wanted[late] - kept]
        early = (wanted >= 0) & ~late
        if early.any():
            assert start is not None
            opened.seen[:, places[early]] = start[:, wanted[early]]

    def _gives(self, clip: Clip, row: np.ndarray | None = None) -> bool:
        """Whether a clip is given, whatever damage may show in it. `row`: its samples, where they are out of order."""
        return self._format.damage != "skip" or not self._touched(clip, row)

    def _touched(self, clip: Clip, row: np.ndarray | None) -> bool:
        if not self.samples.harmed:
            return False
        if row is None:
            return bool(self.samples.touches(clip.start, clip.start + self._spec.span))
        return bool(self.samples.shows_damage(row, self._spec.dilation).any())

    def _complete(self, clip: Clip, row: np.ndarray | None = None) -> Clip:
        rate = self.samples.sound.rate
        clip.pts_seconds = float(self.samples.time(clip.start))
        clip.duration_seconds = float(Fraction(self._spec.span, rate))
        clip.sample_rate = rate
        if self._touched(clip, row):
            if row is None:
                row = clip.start + np.arange(self._spec.length) * self._spec.dilation
            clip.damaged = _runs(self.samples.shows_damage(row, self._spec.dilation))
        return clip


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

    def __init__(self, src: Source, spec: WindowSpec, format: AudioFormat, name: str) -> None:
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


def count_samples(src: Source, spec: WindowSpec, format: AudioFormat | None, name: str) -> int:
    """Number of samples of a file's sound, by decoding them; where damage ends the clips, those before it."""
    return _Counted(src, spec, format or AudioFormat(), name).samples


def count_clips(src: Source, spec: WindowSpec, format: AudioFormat | None, name: str) -> int:
    """Number of clips that a file's sound gives, by decoding it; those that damage ends or leaves out do not count.

    With sampling "random" it is not known which these are, and all count.
    """
    format = format or AudioFormat()
    if spec.num_clips is None:
        counted = _Counted(src, spec, format, name)
        n = counted.samples
        if counted.stopped:
            spec = replace(spec, policy="drop")  # the clips of the end are never reached
    else:
        counted = _Counted(src, spec, replace(format, damage="keep"), name)
        n = counted.samples
    found = counted.source
    if not found.harmed or format.damage == "keep" or spec.sampling == "random":
        return spec.count(n)
    starts = spec.starts(n)
    if format.damage == "stop":
        return int(np.sum(starts + spec.span <= found.harmed[0][0]))
    inside = starts[starts + spec.span <= n]
    rows = spec.indices_at(starts[len(inside) :], n)
    left_out = [found.shows_damage(row[row >= 0], spec.dilation).any() for row in rows]
    return len(starts) - int(np.sum(found.touches(inside, inside + spec.span))) - int(np.sum(left_out))


class AudioClips(Iterator[Clip]):
    """Iterator of the clips of a file's sound; see `clips`."""

    def __init__(
        self,
        src: Source,
        spec: WindowSpec,
        format: AudioFormat | None = None,
        *,
        pool: ClipPool | None = None,
        rng: Rng = None,
        name: str,
        in_step: int = 1,
        selection: Selection = ALL,
    ) -> None:
        with passing():
            self._cutting = _Cutting(src, spec, format or AudioFormat(), pool, rng, name, in_step, selection)
        self._clips = self._cutting.clips()

    @property
    def num_frames(self) -> int | None:
        """Samples of the sound at its rate; None until the last clip has been given."""
        return self._cutting.num_samples

    @property
    def damages(self) -> list[Damage]:
        """The damage that has been found so far, with damage="skip" or "keep"."""
        return self._cutting.samples.report.found

    def __next__(self) -> Clip:
        with passing():
            return next(self._clips)

    def close(self) -> None:
        """Close the file and give up the clips that are not complete."""
        self._clips.close()
        self._cutting.samples.close()


def clips(
    src: Source,
    spec: WindowSpec,
    format: AudioFormat | None = None,
    *,
    pool: ClipPool | None = None,
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
        pool: clips are slots of it; None gives each clip memory of its own.
        rng: Generator or seed for sampling "random".
        name: what messages call the source; default its path.

    No array ever holds the whole sound, only what the end of a policy may need: two spans. `num_clips` decodes the
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
    check_kind("spec", spec, WindowSpec)
    check_kind("format", format, AudioFormat, None)
    return AudioClips(src, spec, format, pool=pool, rng=rng, name=name or describe(src))
