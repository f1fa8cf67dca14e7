"""Sound to clips: decoded samples are written into every clip that holds them."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Any, cast

import av
import numpy as np

from clipx._checks import check_kind, check_total
from clipx.errors import Damage, MediaError
from clipx.media import Source, as_source, can_rewind, describe, failures, open_media, passing
from clipx.plan import ALL, Rng, Selection, WindowSpec, as_generator, fill_bytes
from clipx.pool import ClipPool
from clipx.sound import GAP_SECONDS, AudioFormat, Sound
from clipx.streams import Clip

__all__ = ["AudioClips", "AudioFormat", "Clip", "clips", "count_samples"]

WAV_OPTIONS = {"max_size": "65536", "probesize": "32768"}
"""Bytes of a packet, of which FFmpeg's 4096 are mostly calls, and of what it looks into before the first one."""

BLOCK_SAMPLES = 1 << 16
"""Samples that are written to clips at a time; a decoder gives a thousand or so."""

LOOKS_BACK = frozenset({"backpad", "reflect", "repeat_last", "wrap"})


class _Samples:
    """The decoded samples of a file's first audio stream, in pieces (channels, m).

    Attributes:
        start: time of the first sample in seconds; None before it has come.
    """

    def __init__(self, src: Source, name: str, format: AudioFormat, rate: Fraction | None) -> None:
        self._name = name
        self._container = open_media(src, name, options=WAV_OPTIONS if _is_wav(src) else None, can_trust=False)
        streams = self._container.streams.audio
        if not streams:
            self._container.close()
            raise MediaError(f"{name} has no audio stream")
        self._stream = streams[0]
        if cast(Any, self._stream.codec_context) is None:
            self._container.close()
            raise MediaError(f"{name} has sound of a codec that is not known")
        self.sound = Sound(format, name)
        self.start: Fraction | None = None
        self._rate = rate
        self._dtype = np.dtype(format.dtype)

    def close(self) -> None:
        self._container.close()

    def pieces(self) -> Iterator[np.ndarray]:
        """Samples (channels, m) one after the other, each valid until the next.

        Raises MediaError at damage, after the samples before it.
        """
        block, used = np.empty((0, 0), self._dtype), 0
        try:
            for planes in self._planes():
                m = len(planes[0])
                if used and used + m > block.shape[1]:
                    yield block[:, :used]
                    used = 0
                if used + m > block.shape[1]:
                    block = np.empty((len(planes), max(BLOCK_SAMPLES, m)), self._dtype)
                for channel, plane in zip(block, planes):
                    channel[used : used + m] = plane
                used += m
        except (MediaError, av.FFmpegError):
            yield block[:, :used]
            raise
        yield block[:, :used]

    def _planes(self) -> Iterator[list[np.ndarray]]:
        first = arrived = 0
        ticks = parts = gap = 0
        with failures(self._name, "decoded"):
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    raise MediaError(f"{self._name} is damaged or ends inside a packet of sound")
                for decoded in packet.decode():
                    frame: Any = decoded
                    pts = frame.pts
                    if self.start is None:
                        # A tick and a sample, in parts of a second that both are whole numbers of: a Fraction a frame
                        # would cost more than its decoding.
                        first, rate, base = pts or 0, frame.sample_rate, Fraction(frame.time_base or 1)
                        ticks, parts = base.numerator * rate, base.denominator
                        gap = int(GAP_SECONDS * rate * parts)
                        self.start = first * base
                        self._check_rate(rate)
                    elif pts is not None:
                        late = (pts - first) * ticks - arrived * parts
                        if abs(late) > gap:
                            rate = frame.sample_rate
                            at, seconds = float(self.start) + arrived / rate, late / rate / parts
                            raise MediaError(f"{self._name} has a gap of {seconds:.3f} s in its sound at {at:.3f} s")
                    arrived += frame.samples
                    yield from self.sound.convert(frame)
            yield from self.sound.convert(None)

    def _check_rate(self, rate: int) -> None:
        rate = self.sound.rate or rate
        if self._rate is not None and rate != self._rate:
            raise ValueError(
                f"the window was made for {self._rate} samples a second, but {self._name} has {rate}; say it in "
                f"AudioFormat(sample_rate=)"
            )


def _is_wav(src: Source) -> bool:
    """Whether a source says that it is RIFF WAVE, as far as that can be seen without taking bytes from it."""
    if isinstance(src, (bytes, bytearray, memoryview)):
        head = bytes(memoryview(src)[:12])
    elif isinstance(src, (str, os.PathLike)):
        try:
            with open(src, "rb") as file:
                head = file.read(12)
        except OSError:  # it is told where the file is opened
            return False
    elif hasattr(src, "read") and can_rewind(src):
        at = src.tell()
        head = src.read(12)
        src.seek(at)
    else:
        return False
    return head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE"


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
        window: WindowSpec,
        format: AudioFormat,
        pool: ClipPool | None,
        rng: Rng,
        name: str,
        in_step: int,
        selection: Selection,
    ) -> None:
        self._window, self._format, self._pool, self._in_step = window, format, pool, in_step
        self._name, self._selection = name, selection
        self._dtype = np.dtype(format.dtype)
        fill_bytes(window, self._dtype)
        self.num_samples: int | None = None
        self._starts: np.ndarray | None = None
        if pool is not None:
            pool.require(window.slots() * in_step)
        src = as_source(src, name)
        if window.num_clips is not None:
            n, src = self._count(src)
            self._starts = window.starts(n, as_generator(rng) if window.sampling == "random" else rng)
        self.samples = _Samples(src, name, format, window.fps)
        self._opened = 0

    def _count(self, src: Source) -> tuple[int, Source]:
        """Number of samples, by decoding them, and a source to decode them from again."""
        if not can_rewind(src):
            src = io.BytesIO(cast(IO[bytes], src).read())
        at = cast(IO[bytes], src).tell() if hasattr(src, "read") else None
        n = sum(piece.shape[1] for piece in _pieces(src, self._window, self._format, self._name))
        if at is not None:
            cast(IO[bytes], src).seek(at)
        return n, src

    def _next(self) -> tuple[int, int] | None:
        """Index and start of the clip that is opened next; None where the plan or the selection has no more."""
        index = self._selection.at(self._opened)
        start = None if index is None else self._window.start(index, self._starts)
        return None if index is None or start is None else (index, start)

    def _open(self, index: int, start: int) -> _Open:
        channels = self.samples.sound.channels
        shape = self._format.shape(channels, self._window.length)
        if self._opened == 0:
            check_total("a clip", shape, self._dtype.itemsize)
            if self._pool is not None:
                self._pool.require(self._window.slots(self._starts) * self._in_step, shape, self._dtype)
        data = np.empty(shape, self._dtype) if self._pool is None else self._pool.acquire(shape, self._dtype)
        clip = Clip(data, index, start, self._window.length)
        self._opened += 1
        return _Open(clip, self._format.channels_first(data))

    def _write(self, opened: _Open, at: int, piece: np.ndarray) -> None:
        """Write what a piece of samples from `at` on has for a clip."""
        dilation = self._window.dilation
        first = opened.clip.start + opened.done * dilation - at  # never negative: what came before has been written
        count = min(-((first - piece.shape[1]) // dilation), self._window.length - opened.done)
        if first < piece.shape[1] and count > 0:
            part = piece[:, first : first + (count - 1) * dilation + 1 : dilation]
            opened.seen[:, opened.done : opened.done + count] = part
            opened.done += count

    def clips(self) -> Generator[Clip]:
        window, n = self._window, 0
        open_clips: deque[_Open] = deque()
        head: list[np.ndarray] = []
        tail: deque[np.ndarray] = deque()
        kept = 0
        for piece in self.samples.pieces():
            if window.policy == "wrap" and n < window.span:
                head.append(piece[:, : window.span - n].copy())
            if window.policy in LOOKS_BACK:
                tail.append(piece.copy())
                kept += piece.shape[1]
                while kept - tail[0].shape[1] > 2 * window.span:
                    kept -= tail.popleft().shape[1]
            begin = at = n
            n = end = begin + piece.shape[1]
            while at < end:
                # Up to where a clip is complete, so that no more are open than the pool was asked for.
                upto = min(end, open_clips[0].clip.start + window.span if open_clips else end)
                while (clip := self._next()) is not None and clip[1] < upto:
                    open_clips.append(self._open(*clip))
                    upto = min(upto, open_clips[0].clip.start + window.span)
                for opened in open_clips:
                    self._write(opened, at, piece[:, at - begin : upto - begin])
                    del opened
                at = upto
                while open_clips and open_clips[0].done == window.length:
                    yield self._complete(open_clips.popleft().clip)
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
        window = self._window
        if self._starts is None:
            count = window.count(n)
            left[:] = [each for each in left if each.clip.index < count]
            following = self._selection.at(self._opened)
            if window.policy == "backpad" and not left and following is not None and following < count:
                left.append(self._open(following, n - window.span))
            if window.policy == "backpad" and left:
                left[0].clip.start, left[0].done = n - window.span, 0
        before = np.concatenate(tail, axis=1) if tail else None
        start = np.concatenate(head, axis=1) if head else None
        rows = window.indices_at(np.array([each.clip.start for each in left], dtype=np.int64), n)
        for row in rows:
            # No name here keeps the clip: its slot is free as soon as the consumer lets go.
            yield self._complete(self._fill_tail(left.pop(0), row, n, start, before))

    def _fill_tail(
        self, opened: _Open, row: np.ndarray, n: int, start: np.ndarray | None, before: np.ndarray | None
    ) -> Clip:
        """Write the places that a clip lacks, from the first samples and the last ones of n."""
        places = np.arange(opened.done, self._window.length)
        opened.clip.valid = self._window.valid(opened.clip.start, n)
        wanted = row[places]
        opened.seen[:, places[wanted < 0]] = np.array(self._window.fill_value).astype(self._dtype)
        kept = n - (0 if before is None else before.shape[1])
        late = wanted >= kept
        if before is not None:
            opened.seen[:, places[late]] = before[:, wanted[late] - kept]
        early = (wanted >= 0) & ~late
        if early.any():
            assert start is not None
            opened.seen[:, places[early]] = start[:, wanted[early]]
        return opened.clip

    def _complete(self, clip: Clip) -> Clip:
        rate = self.samples.sound.rate
        assert self.samples.start is not None
        clip.pts_seconds = float(self.samples.start + Fraction(clip.start, rate))
        clip.duration_seconds = float(Fraction(self._window.span, rate))
        clip.sample_rate = rate
        return clip


def _pieces(src: Source, window: WindowSpec, format: AudioFormat, name: str) -> Iterator[np.ndarray]:
    """The samples of a file, opened and closed."""
    samples = _Samples(src, name, format, window.fps)
    try:
        yield from samples.pieces()
    finally:
        samples.close()


def count_samples(src: Source, window: WindowSpec, format: AudioFormat | None, name: str) -> int:
    """Number of samples of a file's sound, by decoding them; of a damaged file, those before the damage."""
    n = 0
    with suppress(MediaError):
        for piece in _pieces(as_source(src, name), window, format or AudioFormat(), name):
            n += piece.shape[1]
    return n


class AudioClips(Iterator[Clip]):
    """Iterator of the clips of a file's sound; see `clips`."""

    def __init__(
        self,
        src: Source,
        window: WindowSpec,
        format: AudioFormat | None = None,
        *,
        pool: ClipPool | None = None,
        rng: Rng = None,
        name: str,
        in_step: int = 1,
        selection: Selection = ALL,
    ) -> None:
        with passing():
            self._cutting = _Cutting(src, window, format or AudioFormat(), pool, rng, name, in_step, selection)
        self._clips = self._cutting.clips()

    @property
    def damages(self) -> list[Damage]:
        """The damage that has been found so far."""
        return []

    @property
    def num_frames(self) -> int | None:
        """Samples of the sound at its rate; None until the last clip has been given."""
        return self._cutting.num_samples

    def __next__(self) -> Clip:
        with passing():
            return next(self._clips)

    def close(self) -> None:
        """Close the file and give up the clips that are not complete."""
        self._clips.close()
        self._cutting.samples.close()


def clips(
    src: Source,
    window: WindowSpec,
    format: AudioFormat | None = None,
    *,
    pool: ClipPool | None = None,
    rng: Rng = None,
    name: str | None = None,
) -> AudioClips:
    """The clips of a file's sound, its first audio stream, in order of their starts.

    >>> window = clipx.WindowSpec.of_seconds(2, stride=1, fps=16000)
    >>> for clip in clipx.audio.clips("talk.flac", window, clipx.AudioFormat(sample_rate=16000, mono=True)): ...

    Args:
        src: path, bytes (or an array or tensor of uint8), or file object of a sound or a video.
        window: which samples. A window made by `WindowSpec.of_seconds` remembers its rate, which must be the sound's.
        format: rate, channels, dtype and order; default the file's rate and channels, float32, "CN".
        pool: clips are slots of it; None gives each clip memory of its own.
        rng: Generator or seed for sampling "random".
        name: what messages call the source; default its path.

    No array ever holds the whole sound, only what the end of a policy may need: two spans. `num_clips` decodes the
    sound twice, once to count. Samples that the encoder added at the ends are left out, as FFmpeg does.

    Returns an iterator of Clip: `data` (channels, length) or (length, channels), `pts_seconds` of its first sample and
    `duration_seconds` as floats, and `sample_rate`.

    Raises FileNotFoundError; MediaError for what cannot be read, for a rate or channels that change midway, and for a
    gap of more than a tenth of a second, after the clips before it; ValueError for a window of another rate or a pool
    that is too small; PoolExhausted.
    """
    check_kind("window", window, WindowSpec)
    check_kind("format", format, AudioFormat, None)
    return AudioClips(src, window, format, pool=pool, rng=rng, name=name or describe(src))
