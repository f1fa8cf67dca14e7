"""The decoded samples of a file's sound, one after the other, with their times and with where damage may show."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np

from clipx.audio.decoder import Decoder, reason_of
from clipx.audio.sound import GAP_SECONDS, MOST_OF_ANOTHER_KIND, AudioFormat, OtherKind, Sound, find_sound, told
from clipx.errors import MediaError
from clipx.media.damage import Report
from clipx.media.demuxing import demuxed
from clipx.media.opening import failures, open_media
from clipx.media.sources import Source, can_rewind

__all__ = ["Samples"]

WAV_OPTIONS = {"max_size": "65536", "probesize": "32768"}
"""Bytes of a packet, of which FFmpeg's 4096 are mostly calls, and of what it looks into before the first one."""

WAV_HEAD = 4096
PLAIN_WAV = frozenset({1, 3, 6, 7})
"""Codecs of WAV (PCM, floats, A-law, mu-law) whose packets may have any size; of others a packet is a block."""

EXTENSIBLE_WAV = 0xFFFE

BLOCK_SAMPLES = 1 << 16
"""Samples that are written to clips at a time; a decoder gives a thousand or so."""

ANEW_SECONDS = 10
"""A clock that jumps ahead by more, in a format that allows for it, starts anew, as FFmpeg takes it."""

LAG_SECONDS = Fraction(1, 100)
"""How far a resampler spreads what it reads."""

SIZED = frozenset({"flac", "wv"})
"""Formats whose header says how many samples follow."""


class _Clock:
    """The times of the samples of a stream, which its frames tell.

    Sound that is missing moves the samples behind it to later times, and so does a clock that goes a little slower than
    the samples. A clock that starts anew, as where files have been joined, does not: the times go on.
    """

    def __init__(self, frame: Any, base: Fraction, restarts: bool) -> None:
        self.rate: int = frame.sample_rate
        self._start, self._restarts = (frame.pts or 0) * base, restarts
        # A tick and a sample, in parts of a second that both are whole numbers of: a Fraction a frame would cost more
        # than its decoding.
        self._ticks, self._parts = base.numerator * self.rate, base.denominator
        self._second = self.rate * self._parts
        self.gap = int(GAP_SECONDS * self._second)
        self._zero = (frame.pts or 0) * self._ticks
        self._arrived = self._late = self._late_before = 0
        self._positions, self._shifts = [0], [Fraction(0)]

    def follow(self, frame: Any) -> int:
        """How much later than the samples before it say a frame is, in parts of a second; below 0: earlier."""
        pts = frame.pts
        self._late_before = self._late
        if pts is not None:
            self._late = pts * self._ticks - self._zero - self._arrived * self._parts
        self._arrived += frame.samples
        return self._late

    def set(self) -> None:
        """The frame that `follow` has seen last is on time, whatever it says."""
        self._zero += self._late
        self._late = 0

    def find_gap(self, position: int, refused: bool) -> Fraction:
        """Seconds of sound that are missing before the frame that `follow` has seen last; 0 where none are.

        position: of the frame's first sample in what is written. refused: whether anything was refused before it.
        """
        step = Fraction(self._late - self._late_before, self._second)
        shift = self._shifts[-1] + Fraction(self._late, self._second)
        # Behind a time that was wrong, the clock goes back to where it was.
        anew = (step < -GAP_SECONDS and shift < -GAP_SECONDS) or (self._restarts and step > ANEW_SECONDS)
        if not anew:
            self._positions.append(position)
            self._shifts.append(shift)
        self.set()
        return Fraction(0) if anew or (step <= GAP_SECONDS and not refused) else max(step, Fraction(0))

    def end(self) -> float:
        """When the samples that have come end, in seconds."""
        return float(self._start + Fraction(self._arrived, self.rate) + self._shifts[-1])

    def seconds(self, frame: Any) -> float:
        """When the samples before a frame, the last that `follow` has seen, end."""
        return float(self._start + Fraction(self._arrived - frame.samples, self.rate) + self._shifts[-1])

    def time(self, position: int, rate: int) -> Fraction:
        """When a sample of what is written, at its rate, stands."""
        return self._start + Fraction(position, rate) + self._shifts[bisect_right(self._positions, position) - 1]


class Samples:
    """The decoded samples of a stream of a file's sound, in pieces (channels, m).

    Attributes:
        sound: what makes the samples.
        report: the damage that was found.
        harmed: where damage may show: [first, end) of samples, ascending. Known no later than the samples.
    """

    def __init__(
        self, src: Source, name: str, format: AudioFormat, rate: Fraction | None, report: Report | None = None
    ) -> None:
        self._name = name
        self._container = open_media(src, name, options=WAV_OPTIONS if _is_plain_wav(src) else None, can_trust=False)
        try:
            stream = find_sound(self._container, format, name)
            if stream is None:
                raise MediaError(f"{name} has no audio stream")
        except MediaError:
            self._container.close()
            raise
        self._stream = stream
        # Of MOV and MP4, whose header lists all packets.
        self._announced = len(stream.index_entries) if "mp4" in self._container.format.name else 0
        self._found = 0
        self._failed: Exception | None = None
        self.sound = Sound(format, name)
        self.report = report or Report(name, format.damage)
        self.harmed: list[list[int]] = []
        self._clock: _Clock | None = None
        self._rate = rate
        self._dtype = np.dtype(format.dtype)
        self._written = self._others = 0

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def time(self, position: int) -> Fraction:
        """When a sample stands, in seconds on the file's clock."""
        assert self._clock is not None
        return self._clock.time(position, self.sound.rate)

    def touches(self, first: Any, end: Any) -> Any:
        """Whether damage may show in samples [first, end), of one clip or, from arrays, of several."""
        firsts, ends = np.array(self.harmed).T
        after = np.searchsorted(ends, first, side="right")
        return np.append(firsts, np.inf)[after] < end

    def shows_damage(self, row: np.ndarray, step: int | None) -> np.ndarray:
        """Positions of a clip that damage may show in, or lies right before, after the position before; bool as `row`.

        step: samples from one position to the next in time; None where they differ.
        """
        since, steps = row.copy(), np.diff(row)
        since[1:] -= np.where(steps == step if step else (steps > 0) & (row[:-1] >= 0), steps - 1, 0)
        return self.touches(since, row + 1) & (row >= 0)

    def pieces(self) -> Iterator[np.ndarray]:
        """Samples (channels, m) one after the other, each valid until the next.

        With damage="stop" MediaError is raised at damage, after the samples before it.
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
        decoder = Decoder(self._container, self._stream, self._name, self.report.damage)
        clock: _Clock | None = None
        with failures(self._name, "decoded"):
            for packet in self._packets():
                for frame in decoder.decode(packet):
                    if clock is None:
                        clock = self._begin(frame)
                    try:
                        made = self.sound.convert(frame)
                    except OtherKind as exn:
                        self._others += 1
                        if self.report.damage == "stop" or self._others > MOST_OF_ANOTHER_KIND:
                            raise
                        decoder.refused = decoder.refused or exn
                        continue
                    late = clock.follow(frame)
                    if decoder.refused is not None or decoder.passed or not -clock.gap <= late <= clock.gap:
                        self._go_on(frame, clock, decoder)
                    self._others = 0
                    for planes in made:
                        self._written += len(planes[0])
                        yield planes
            for planes in self.sound.convert(None):
                self._written += len(planes[0])
                yield planes
            self._check_end(clock, decoder)

    def _packets(self) -> Iterator[av.Packet | None]:
        """The packets up to the end, or to where the file cannot be read on, and then None."""
        try:
            for packet in demuxed(self._container, self._stream):
                self._found += bool(packet.size) or packet.dts is not None
                if packet.size:
                    yield packet
        except (av.error.InvalidDataError, av.error.PatchWelcomeError) as exn:
            self._failed = exn
        yield None

    def _go_on(self, frame: Any, clock: _Clock, decoder: Decoder) -> None:
        """Take note of what is missing before a frame, if anything is."""
        refused, at = decoder.refused, clock.seconds(frame)
        if refused is None and decoder.passed:
            clock.set()
            decoder.go_on()
            return
        missing = clock.find_gap(self._written, refused is not None)
        decoder.go_on()
        if refused is not None:
            self.report.add(told(self._name, refused), at, refused)
        elif missing:
            self.report.add(f"{self._name} has a gap of {float(missing):.3f} s in its sound", at)
        else:
            return
        # A decoder may need a frame to be right again, and a resampler mixes what lies side by side.
        first, spread = self._written, 0 if self.sound.rate == clock.rate else LAG_SECONDS
        end = first + math.ceil((Fraction(frame.samples, clock.rate) + spread) * self.sound.rate)
        if self.harmed and self.harmed[-1][1] >= first:
            self.harmed[-1][1] = end
        else:
            self.harmed.append([first, end])

    def _check_end(self, clock: _Clock | None, decoder: Decoder) -> None:
        """Take note of damage at the end: sound that the file announces, and that did not come."""
        if clock is None:
            cause = self._failed or decoder.unheard
            if cause is not None:
                raise MediaError(f"{self._name} cannot be decoded: {reason_of(cause)}") from cause
            return
        at, cause = clock.end(), self._failed or decoder.refused
        if isinstance(self._failed, av.error.PatchWelcomeError):
            raise OtherKind(
                f"{self._name} changes midway, at {at:.3f} s, into what FFmpeg does not read on: "
                f"{reason_of(self._failed)}; only sound of one kind is cut"
            ) from self._failed
        if self._found < self._announced:
            self.report.add(
                f"{self._name} ends at {at:.3f} s, after {self._found} of {self._announced} packets", at, cause
            )
        elif cause is not None and self._lacks(clock):
            self.report.add(f"{self._name} cannot be decoded from {at:.3f} s on: {reason_of(cause)}", at, cause)

    def _lacks(self, clock: _Clock) -> bool:
        """Whether what could not be decoded at the end is sound. Where no header tells, junk stands there as often."""
        stream = self._stream
        if self._container.format.name in SIZED:
            announced = (stream.duration or 0) * (stream.time_base or 0)
            return clock.end() < (stream.start_time or 0) * (stream.time_base or 0) + announced - GAP_SECONDS / 1000
        return self._failed is not None

    def _begin(self, frame: Any) -> _Clock:
        restarts = bool(cast(Any, self._container.format.flags) & av.format.Flags.ts_discont.value)
        self._clock = _Clock(frame, self._stream.time_base or Fraction(1), restarts)
        rate = self.sound.rate or frame.sample_rate
        if self._rate is not None and rate != self._rate:
            raise ValueError(
                f"the window was made for {self._rate} samples a second, but {self._name} has {rate}; say it in "
                f"AudioFormat(sample_rate=)"
            )
        return self._clock


def _is_plain_wav(src: Source) -> bool:
    """Whether a source says that it is RIFF WAVE of plain samples, as far as that can be seen without taking bytes."""
    if isinstance(src, (bytes, bytearray, memoryview)):
        head = bytes(memoryview(src).cast("B")[:WAV_HEAD])
    elif isinstance(src, (str, os.PathLike)):
        try:
            with open(src, "rb") as file:
                head = file.read(WAV_HEAD)
        except OSError:  # it is told where the file is opened
            return False
    elif hasattr(src, "read") and can_rewind(src):
        at = src.tell()
        head = src.read(WAV_HEAD)
        src.seek(at)
    else:
        return False
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return False
    at = 12
    while head[at : at + 4] != b"fmt ":
        if at + 8 > len(head):
            return False
        size = int.from_bytes(head[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    code = int.from_bytes(head[at + 8 : at + 10], "little")
    if code == EXTENSIBLE_WAV:
        code = int.from_bytes(head[at + 32 : at + 34], "little")
    return code in PLAIN_WAV
