"""Files of PCM at another rate, or with their channels mixed: FFmpeg decodes and resamples what is wanted of them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np

from clipx.audio.format import AudioFormat
from clipx.audio.pcm import PcmFile, PcmSamples
from clipx.audio.rates import aligned_start, resampled_length
from clipx.audio.resampling import Resampler
from clipx.media.damage import Report
from clipx.media.opening import failures

__all__ = ["ResampledPcm"]

PACKET_BYTES = 1 << 16

LEAST_SKIPPED = 1 << 13
"""Frames that are read rather than that the resampler starts anew behind them."""


class ResampledPcm(PcmSamples):
    """The samples of a file of PCM after FFmpeg's resampler. It is a SampleSource."""

    def __init__(
        self, file: PcmFile, name: str, format: AudioFormat, rate: Fraction | None, report: Report | None
    ) -> None:
        channels = 1 if format.mono else file.header.channels
        report = report or Report(name, format.damage)
        super().__init__(file, name, format.sample_rate or file.header.rate, channels, rate, report)
        self._sound = Resampler(format, name)

    def length(self) -> int | None:
        return resampled_length(self._file.frames, self._file.header.rate, self.rate)

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        self.check_rate()
        with failures(self._name, "decoded"):
            decoder, at, position = self._decoder(), 0, 0
            while at < self._file.frames:
                at, position = self._skipped(decoder, at, position)
                packet = self._file.packet(at, PACKET_BYTES)
                frame = self._decoded(decoder, packet)
                at += frame.samples
                for samples in self._sound.convert(frame):
                    yield position, self._sound.array(samples)
                    position += samples.n
            for samples in self._sound.convert(None):
                yield position, self._sound.array(samples)
                position += samples.n

    def _decoder(self) -> av.AudioCodecContext:
        header = self._file.header
        decoder = cast(av.AudioCodecContext, av.CodecContext.create(header.encoding, "r"))
        decoder.layout, decoder.sample_rate = header.layout, header.rate
        return decoder

    @staticmethod
    def _decoded(decoder: av.AudioCodecContext, data: memoryview) -> av.AudioFrame:
        (frame,) = decoder.decode(av.Packet(cast(Any, data)))
        return frame

    def _skipped(self, decoder: av.AudioCodecContext, at: int, position: int) -> tuple[int, int]:
        """The frame to go on from, and the position of the first sample that comes: near where samples are wanted."""
        rate, wanted = self._file.header.rate, self._wanted
        source = wanted
        if rate != self.rate:
            source, _, _ = aligned_start(wanted, rate, self.rate)
        if source - at < LEAST_SKIPPED:
            return at, position
        # The resampler asks for a frame first.
        self._sound.check_kind(self._decoded(decoder, self._file.packet(at, self._file.frame_bytes)))
        start = self._sound.restart(wanted)
        return start.source, start.position
