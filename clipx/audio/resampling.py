"""Decoded frames of sound to samples of one rate, type and number of channels."""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
from av.audio.plane import AudioPlane

from clipx.audio.format import SAMPLE_FORMATS, AudioFormat
from clipx.audio.layouts import hold_layout
from clipx.errors import MediaError

__all__ = ["MOST_OF_ANOTHER_KIND", "OtherKind", "Resampler"]

MOST_OF_ANOTHER_KIND = 3
"""Frames of another rate or layout, one after the other, that may be damage; more of them are other sound."""

MOST_UPSAMPLED = 256
MOST_DOWNSAMPLED = 512  # for which FFmpeg takes 64 MiB


class OtherKind(MediaError):
    """Sound of another rate or other channels than before."""


class Resampler:
    """Turns the decoded frames of one stream into samples (channels, m) of a rate and type.

    Attributes:
        rate: samples a second; 0 before the first frame.
        channels: of what comes out.
    """

    def __init__(self, format: AudioFormat, name: str) -> None:
        self._format, self._name = format, name
        self._kind: tuple[int, str] | None = None
        self._dtype = np.dtype(format.dtype)
        self.rate = format.sample_rate or 0
        self.channels = 1 if format.mono else 0
        self._resampler: av.AudioResampler | None = None
        self._resampled = ""
        self._as_it_is: frozenset[str] = frozenset()

    def convert(self, frame: av.AudioFrame | None) -> list[list[np.ndarray]]:
        """Samples that a frame gives, an array (m,) for each channel, seen where they lie.

        None gives what is left in the resampler, which can then start anew.

        Raises OtherKind for a rate or channels that change midway, and MediaError for channels that cannot be mixed.
        """
        if frame is None:
            return self._drain()
        self.check_kind(frame)
        type = frame.format.name
        if type in self._as_it_is:
            return [self._samples(frame)] if frame.samples else []
        # A resampler takes numbers of one type.
        before = self._drain() if type != self._resampled else []
        if self._resampler is None:
            layout = "mono" if self._format.mono else frame.layout.name
            self._resampler = av.AudioResampler(SAMPLE_FORMATS[self._dtype.name], layout, self.rate)
            self._resampled = type
        return before + self._resample(self._resampler, frame)

    def check_kind(self, frame: av.AudioFrame) -> None:
        """Raise OtherKind for a frame whose rate or channels are not those of the first, which says what they are."""
        kind = frame.sample_rate, frame.layout.name
        if kind == self._kind:
            return
        if self._kind is not None:
            raise OtherKind(
                f"{self._name} changes midway from {self._kind} to {kind} (sample rate, channels); only sound of "
                f"one kind is read"
            )
        self._kind = kind
        self._begin(frame)

    def _drain(self) -> list[list[np.ndarray]]:
        resampler, self._resampler = self._resampler, None
        return [] if resampler is None else self._resample(resampler, None)

    def _resample(self, resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[list[np.ndarray]]:
        try:
            made = resampler.resample(frame)
        except av.FFmpegError as exn:
            raise MediaError(
                f"{self._name} has {self._kind} (sample rate, channels), which FFmpeg cannot turn into "
                f"{self.rate}, {'mono' if self._format.mono else 'the same channels'}"
            ) from exn
        frames = [each for each in made if each is not None and each.samples]
        for each in frames:
            hold_layout(each.layout)
        return [self._samples(each) for each in frames]

    def _begin(self, frame: av.AudioFrame) -> None:
        channels = frame.layout.nb_channels
        self.rate = self.rate or frame.sample_rate
        if self.rate > MOST_UPSAMPLED * frame.sample_rate:
            raise MediaError(
                f"{self._name} has {frame.sample_rate} samples a second; sample_rate is {self.rate}, but must be at "
                f"most {MOST_UPSAMPLED} times as many"
            )
        if self.rate * MOST_DOWNSAMPLED < frame.sample_rate:
            raise MediaError(
                f"{self._name} has {frame.sample_rate} samples a second; sample_rate is {self.rate}, but must be at "
                f"least 1/{MOST_DOWNSAMPLED} of them"
            )
        self.channels = self.channels or channels
        if self.rate == frame.sample_rate and self.channels == channels:
            planar = SAMPLE_FORMATS[self._dtype.name]
            # One channel is the same packed and planar.
            self._as_it_is = frozenset({planar, planar.rstrip("p")} if channels == 1 else {planar})

    def _samples(self, frame: av.AudioFrame) -> list[np.ndarray]:
        # av's list of planes goes past the last one where there are eight channels or more, and each of them reports
        # more bytes than it holds samples.
        planes = [AudioPlane(frame, channel) for channel in range(self.channels)]
        return [np.frombuffer(cast(Any, plane), self._dtype, frame.samples) for plane in planes]
