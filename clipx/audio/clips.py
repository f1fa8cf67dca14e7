"""Sound to clips: decoded samples are written into every clip that holds them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from clipx._checks import check_kind
from clipx.audio.counting import count_clips, count_samples
from clipx.audio.direct import DirectSounds
from clipx.audio.format import AudioFormat
from clipx.audio.open_sounds import KeptSamples, OpenSound, OpenSounds
from clipx.audio.pcm import PcmSource
from clipx.audio.planning import plan_sound
from clipx.audio.sample_source import NEAR_SECONDS
from clipx.clip import Clip, SoundClip
from clipx.errors import Damage, MediaError
from clipx.media.clip_iterator import ClipIterator
from clipx.media.opening import raising_interrupts
from clipx.media.sources import Source, as_source, describe
from clipx.plan import ALL, FrameSpec, Rng, Segment, Selection, as_segments, check_bounded, fill_bytes
from clipx.plan.rows import Row, first_frame, step_of, stop_of
from clipx.plan.segmented import SegmentedPlan, SegmentErrors
from clipx.pool import ClipPool, as_pool

__all__ = ["AudioClips", "AudioFormat", "Clip", "clips", "count_clips", "count_samples", "selected_clips"]

PLAIN = AudioFormat()


class SoundRun:
    """One run over a file. It never refers to the iterator that drives it: dropping that frees the slots."""

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
        segments: Mapping[int, Segment] | None,
        max_slots: int | None,
    ) -> None:
        self._spec, self._format, self._pool, self._in_step = spec, format, pool, in_step
        self.name, self._selection, self._span = name, selection, spec.span
        fill_bytes(spec, np.dtype(format.dtype))
        self.num_samples: int | None = None
        if pool is not None:
            check_bounded(spec)
            if segments is None:
                pool.require(spec.slots() * in_step)
        planned = plan_sound(as_source(src, name), spec, format, rng, name, segments)
        self._plan, self.samples, self.segment_errors, self._counted = planned
        if isinstance(self._plan, SegmentedPlan):
            self._plan.check_slots(max_slots)

    def clips(self) -> Generator[Clip]:
        return self._written_clips() if isinstance(self.samples, PcmSource) else self._streamed_clips()

    def _written_clips(self) -> Generator[Clip]:
        assert isinstance(self.samples, PcmSource)
        self.samples.check_rate()
        sounds = DirectSounds(
            self._spec, self._plan, self._format, self.samples, self._pool, self._in_step, self._selection
        )
        for number in sounds.numbers():
            # No name keeps the clip, as below.
            yield self._complete(*sounds.written(number, self.name))
        self.num_samples = self.samples.length()
        self.samples.close()

    def _streamed_clips(self) -> Generator[Clip]:
        # Of segments, all rows are known from the start.
        ends = isinstance(self._plan, SegmentedPlan)
        kept = KeptSamples(0, 0) if ends else KeptSamples(self._spec.first_frames, self._spec.last_frames)
        sounds = OpenSounds(
            self._spec, self._plan, self._format, self.samples, self._pool, self._in_step, self._selection
        )
        if sounds.opening is not None:
            self._skip_to(sounds, sounds.opening, kept)
        for begin, piece in self.samples.pieces():
            if not piece.shape[1]:
                continue
            at = begin
            kept.add(begin, piece)
            while at < kept.n:
                # Up to where a clip is complete, so that no more are open than the pool was asked for.
                end = sounds.begin_until(kept.n)
                part = piece[:, at - begin : end - begin]
                for opened in sounds.open:
                    opened.write(at, part)
                    del opened
                at = end
                while sounds.open and sounds.open[0].stop <= at:
                    # No name keeps the clip: its slot is free as soon as the consumer lets go.
                    row = sounds.open[0].row
                    damage = self._damage(row, step_of(row))
                    if damage and self._format.damage == "skip":
                        sounds.open.popleft()
                    else:
                        yield self._complete(row, sounds.open.popleft().clip, damage)
                if not sounds.open and self._are_given(sounds):
                    self.samples.close()
                    return
            del piece, part
            if sounds.opening is not None and not sounds.open:
                self._skip_to(sounds, sounds.opening, kept)
        if not kept.n:
            if not self._counted:
                raise MediaError(f"{self.name} has an audio stream without samples")
            self._report_missing(0)
            return
        unfinished = sounds.end(kept.n)
        kept.join()
        if self._format.damage != "stop":
            # The clips were planned before damage could be found: those behind the end are left out.
            unfinished = [each for each in unfinished if np.max(each.row[each.positions], initial=-1) < kept.n]
        for each in unfinished:
            self._write_last(each.opened, each.row, each.positions, kept, sounds.fill)
            del each
        while unfinished:
            row = unfinished[0].row
            damage = self._damage(row, step_of(unfinished[0].opened.row))
            if damage and self._format.damage == "skip":
                unfinished.pop(0)
            else:
                yield self._complete(row, unfinished.pop(0).opened.clip, damage)
        if self._counted is not None and kept.n < self._counted:
            self._report_missing(kept.n)
        self.num_samples = kept.n
        self.samples.close()

    def _report_missing(self, n: int) -> None:
        """Report that only n samples came where the clips have been planned for more. Raises MediaError for "stop"."""
        self.samples.report.add(
            f"{self.name} gives {n or 'no'} samples where {self._counted} were counted",
            float(self.samples.time(n - 1)) if n else None,
        )

    def _are_given(self, sounds: OpenSounds) -> bool:
        """No clip is left, however the sound goes on. Its length is then known where that takes no decoding."""
        if sounds.done and isinstance(self._plan, SegmentedPlan):
            self.num_samples = self._counted
        elif sounds.opening is None:
            self.num_samples = self.samples.length() if self._counted is None else self._counted
        return sounds.done or self.num_samples is not None

    def _skip_to(self, sounds: OpenSounds, opening: int, kept: KeptSamples) -> None:
        """Pass over the samples that neither the clips from this opening on need, nor the end."""
        if self._selection.damaged or opening - kept.n <= NEAR_SECONDS * self.samples.rate:
            return
        length = self.samples.length()
        if length is not None and (first := kept.first_wanted(opening, length)) > kept.n:
            self.samples.skip_to(first, min(sounds.next_stop(), length))

    def _write_last(
        self, opened: OpenSound, row: np.ndarray, positions: np.ndarray, kept: KeptSamples, fill: np.ndarray
    ) -> None:
        """Write the positions of a clip that the end of the source leaves."""
        wanted = row[positions]
        if np.max(wanted, initial=-1) >= kept.n:
            raise MediaError(f"{self.name} gave fewer samples when it was read again")
        opened.samples[:, positions[wanted < 0]] = fill
        opened.samples[:, positions[wanted >= 0]] = kept.read(wanted[wanted >= 0])

    def _damage(self, row: Row, step: int | None) -> list[list[int]] | None:
        """Positions [first, end) of a row that damage may show in."""
        if not self.samples.harmed or not self.samples.harmed.touches_row(row, step):
            return None
        return _runs(self.samples.harmed.shown_in(np.asarray(row), step))

    def _complete(self, row: Row, clip: Clip, damage: list[list[int]] | None = None) -> Clip:
        rate = self.samples.rate
        span = self._span or stop_of(row) - min((int(each) for each in row if each >= 0), default=0)
        # The start of a segment's clip is counted from the segment's first sample on.
        start = clip.start if clip.segment is None else first_frame(row)
        clip.pts_seconds = float(self.samples.time(start))
        clip.duration_seconds = span / rate
        clip.sample_rate, clip.damaged = rate, damage
        return clip


def _runs(marks: np.ndarray) -> list[list[int]] | None:
    """Where marks are set, as [first, end); None where nowhere."""
    edges = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).tolist() or None


class AudioClips(ClipIterator[SoundClip]):
    """Iterator of the clips of a file's sound; see `clips`.

    Stability: stable.
    """

    def __init__(self, run: SoundRun) -> None:
        super().__init__(run.clips())
        self._run = run

    @property
    def num_frames(self) -> int | None:
        """Number of samples of the sound, at its rate; None until the last clip has been given."""
        return self._run.num_samples

    @property
    def segment_errors(self) -> SegmentErrors:
        return self._run.segment_errors

    @property
    def damages(self) -> list[Damage]:
        """The damage that has been found so far, with damage="skip" or "keep"."""
        return self._run.samples.report.found

    def __repr__(self) -> str:
        return f"<AudioClips of {self._run.name}>"

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
    segments: Mapping[int, Segment] | None = None,
    max_slots: int | None = None,
) -> AudioClips:
    """`clips` of a selection, from a pool whose slots `in_step` sources hold side by side.

    segments: by their numbers. Their errors are in `segment_errors`, and are not raised; but where more of their clips
    are open at once than `max_slots` have room for, that is a ValueError.
    """
    format = format or PLAIN
    with raising_interrupts():
        return AudioClips(SoundRun(src, spec, format, pool, rng, name, in_step, selection, segments, max_slots))


def clips(
    src: Source,
    spec: FrameSpec,
    format: AudioFormat | None = None,
    *,
    segments: Iterable[Segment | Sequence[Any]] | None = None,
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
        segments: parts of the sound, each a source of its own for the spec and its policy: Segments, or pairs (start,
            end) of seconds on the file's own clock. Default: the sound is not divided.
        pool: a ClipPool, or bytes such as "2GB" to make one of for this call: clips are its slots. None gives each clip
            memory of its own.
        rng: Generator or seed for what the spec draws.
        name: what messages call the source; default its path.

    No array ever holds the whole sound, only what the end of a policy may need: one span. Clips that lie apart are
    decoded from near where they begin, where that gives the samples of a full decode: PCM, FLAC, MP3, AAC without noise
    substitution, Vorbis and Opus, of paths and bytes. Of these the samples are counted without decoding, for
    `num_clips` and any spec that needs their number; other sound is decoded twice, once to count. Samples that the
    encoder added at the ends are left out, as FFmpeg does.

    With segments other sound is decoded twice as far as the last one ends. A sample belongs to a segment if it begins
    at its start or later, and before its end. A clip comes before those whose last sample is later, of equals that of
    the lower segment first. `index` begins anew in each segment, `clip.segment` says which it is. A segment without
    samples, or that the spec does not allow, is a ValueError after the clips of all others.

    Samples are those that FFmpeg decodes, one after the other. A stream ends where nothing more can be decoded: a size
    in a header that was never written, tags and zeros behind the last frame, and a truncated last packet are not
    damage, nor is what comes before the first sound that can be decoded. Files that have been joined are read through;
    times go on where their clock starts anew.

    Damage is a packet that the decoder refuses, with sound behind it; a clock that jumps ahead by more than a tenth of
    a second; up to three frames of another rate or layout; and an end before the samples that a header of MP4, MOV,
    FLAC or WavPack announces. `format.damage` says what follows. "stop": the clips before it, then MediaError. "keep":
    clips of what the decoder gives; what is lost is left out, and `pts_seconds` says when a clip begins. `damaged`
    lists the positions [first, end) of the frame after a loss, which may show it. "skip": the clips of "keep" that no
    such position is in, nor between their samples, with the same `index`. `damages` lists what was found, at most 100
    parts, and the log reports it once a file.

    Returns an iterator of Clip: `data` (channels, length) or (length, channels), `pts_seconds` of its first sample and
    `duration_seconds` as floats, and `sample_rate`; its `damages` is a list of (seconds, reason).

    Raises FileNotFoundError; MediaError for what cannot be read, for a rate or channels that change midway, and for
    damage, after the clips before it; ValueError for a window of another rate or a pool that is too small;
    PoolExhausted.

    Stability: stable.
    """
    check_kind("spec", spec, FrameSpec)
    check_kind("format", format, AudioFormat, None)
    numbered = as_segments(segments, "seconds")
    found = selected_clips(
        src, spec, format, pool=as_pool(pool), rng=rng, name=name or describe(src), segments=numbered
    )
    found.raises_errors = True
    return found
