"""The decoded samples of a file's sound, one after the other, with their times and with where damage may show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np

from clipx.audio.blocks import in_blocks
from clipx.audio.clock import SampleClock
from clipx.audio.decoder import AudioDecoder, describe_refused, reason_of
from clipx.audio.format import AudioFormat
from clipx.audio.frame_samples import FrameSamples
from clipx.audio.resampling import MOST_OF_ANOTHER_KIND, OtherKind, Resampler
from clipx.audio.sample_source import Harmed, check_rate
from clipx.audio.streams import GAP_SECONDS, open_audio
from clipx.errors import MediaError
from clipx.media.damage import Report
from clipx.media.demuxing import demuxed
from clipx.media.opening import failures
from clipx.media.sources import Source

__all__ = ["SampleReader"]

LAG_SECONDS = Fraction(1, 100)
"""How far a resampler spreads what it reads."""

SIZED = frozenset({"flac", "wv"})
"""Formats whose header says how many samples follow."""


class SampleReader:
    """The decoded samples of a stream of a file's sound, in pieces (channels, m).

    It is a SampleSource.

    Args:
        for_index: as `open_audio` takes it.

    Attributes:
        sound: the Resampler of its frames.
    """

    def __init__(
        self,
        src: Source,
        name: str,
        format: AudioFormat,
        rate: Fraction | None,
        report: Report | None = None,
        for_index: bool = False,
    ) -> None:
        self._name = name
        self._container, stream = open_audio(src, format, name, for_index)
        self._stream = stream
        # Of MOV and MP4, whose header lists all packets.
        self._announced = len(stream.index_entries) if "mp4" in self._container.format.name else 0
        self._found = 0
        self._failed: Exception | None = None
        self.sound = Resampler(format, name, joins=True)
        self.report = report or Report(name, format.damage)
        self.harmed = Harmed()
        self._clock: SampleClock | None = None
        self._rate = rate
        self._written = self._others = 0

    @property
    def opened(self) -> tuple[av.container.InputContainer, av.AudioStream]:
        """The file and its stream."""
        return self._container, self._stream

    @property
    def rate(self) -> int:
        return self.sound.rate

    @property
    def channels(self) -> int:
        return self.sound.channels

    def close(self) -> None:
        self._container.close()

    def length(self) -> int | None:
        return None

    def skip_to(self, position: int, end: int) -> None:
        """Nothing: all samples come."""

    def time(self, position: int) -> Fraction:
        assert self._clock is not None
        return self._clock.time(position, self.sound.rate)

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        return in_blocks(self._samples(), self.sound, 0)

    def _samples(self) -> Iterator[FrameSamples]:
        with failures(self._name, "decoded"):
            try:
                yield from self._decoded()
            except (MediaError, av.FFmpegError):
                yield from self.sound.release()
                raise

    def _decoded(self) -> Iterator[FrameSamples]:
        decoder = AudioDecoder(self._container, self._stream, self._name, self.report.damage)
        clock: SampleClock | None = None
        for packet in self._packets():
            for frame in decoder.decode(packet):
                if clock is None:
                    clock = self._begin(frame)
                try:
                    self.sound.check_kind(frame)
                except OtherKind as exn:
                    self._others += 1
                    if self.report.damage == "stop" or self._others > MOST_OF_ANOTHER_KIND:
                        raise
                    decoder.refuse(exn)
                    continue
                late = clock.follow(frame)
                if decoder.refused is not None or decoder.passed or not -clock.gap <= late <= clock.gap:
                    for samples in self.sound.release():
                        self._written += samples.n
                        yield samples
                    self._go_on(frame, clock, decoder)
                self._others = 0
                for samples in self.sound.convert(frame):
                    self._written += samples.n
                    yield samples
        for samples in self.sound.convert(None):
            self._written += samples.n
            yield samples
        self._check_end(clock, decoder)

    def _packets(self) -> Iterator[av.Packet | None]:
        """The packets up to the end, or to where the file cannot be read on, and then None."""
        try:
            for packet in demuxed(self._container, self._stream):
                if packet.size:
                    self._found += 1
                    yield packet
                else:
                    self._found += packet.dts is not None
        except (av.error.InvalidDataError, av.error.PatchWelcomeError) as exn:
            self._failed = exn.with_traceback(None)
        yield None

    def _go_on(self, frame: Any, clock: SampleClock, decoder: AudioDecoder) -> None:
        """Take note of what is missing before a frame, if anything is."""
        refused, at = decoder.refused, clock.seconds(frame)
        if refused is None and decoder.passed:
            clock.set()
            decoder.go_on()
            return
        missing = clock.find_gap(self._written, refused is not None)
        decoder.go_on()
        if refused is not None:
            self.report.add(describe_refused(self._name, refused), at, refused)
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

    def _check_end(self, clock: SampleClock | None, decoder: AudioDecoder) -> None:
        """Take note of damage at the end: sound that the file announces, and that did not come."""
        if clock is None:
            cause = self._failed or decoder.refused_before
            if cause is not None:
                raise MediaError(f"{self._name} cannot be decoded: {reason_of(cause)}") from cause
            return
        at, cause = clock.end(), self._failed or decoder.refused
        if isinstance(self._failed, av.error.PatchWelcomeError):
            raise OtherKind(
                f"{self._name} changes midway, at {at:.3f} s, into what FFmpeg does not read on: "
                f"{reason_of(self._failed)}; only sound of one kind is read"
            ) from self._failed
        if self._found < self._announced:
            self.report.add(
                f"{self._name} ends at {at:.3f} s, after {self._found} of {self._announced} packets", at, cause
            )
        elif cause is not None and self._lacks(clock):
            self.report.add(f"{self._name} cannot be decoded from {at:.3f} s on: {reason_of(cause)}", at, cause)

    def _lacks(self, clock: SampleClock) -> bool:
        """The end, which could not be decoded, is sound. Where no header says so, it is as often junk."""
        stream = self._stream
        if self._container.format.name in SIZED:
            announced = (stream.duration or 0) * (stream.time_base or 0)
            return clock.end() < (stream.start_time or 0) * (stream.time_base or 0) + announced - GAP_SECONDS / 1000
        return self._failed is not None

    def _begin(self, frame: Any) -> SampleClock:
        restarts = bool(cast(Any, self._container.format.flags) & av.format.Flags.ts_discont.value)
        self._clock = SampleClock(frame, Fraction(self._stream.time_base or 1), restarts)
        check_rate(self._name, self.sound.rate or frame.sample_rate, self._rate)
        return self._clock
