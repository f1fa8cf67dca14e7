"""Decoded frames of sound to samples of one rate, type and number of channels."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.audio.plane import AudioPlane

from clipx.audio.format import SAMPLE_FORMATS, AudioFormat
from clipx.audio.layouts import hold_layout, is_mapped
from clipx.audio.rates import MOST_DOWNSAMPLED, MOST_UPSAMPLED, aligned_start
from clipx.errors import MediaError

__all__ = ["MOST_OF_ANOTHER_KIND", "OtherKind", "Resampler", "Restart", "trimmed"]

MOST_OF_ANOTHER_KIND = 3
"""Frames of another rate or layout, one after the other, that may be damage; more of them are other sound."""


class OtherKind(MediaError):
    """Sound of another rate or other channels than before."""


class Restart(NamedTuple):
    """Where a Resampler starts in the middle of a sound.

    Attributes:
        source: sample of the sound from which on frames are to come.
        position: of the first sample that comes out.
    """

    source: int
    position: int


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
        self._dropped = 0

    def restart(self, position: int) -> Restart:
        """Forget what has come, and start so that samples from `position` on are, bit for bit, those of a full run.

        Frames must have come before. They go on from `Restart.source`, which is 0 where rates have too little in common
        or channels are in an order of their own.
        """
        assert self._kind is not None
        rate, layout = self._kind
        self._resampler, self._dropped = None, 0
        if is_mapped(layout):
            return Restart(0, 0)
        if rate == self.rate:
            return Restart(position, position)
        source, self._dropped, position = aligned_start(position, rate, self.rate)
        return Restart(source, position)

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
        samples = [self._samples(each) for each in frames]
        return self._without_first(samples) if self._dropped else samples

    def _without_first(self, made: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
        """Samples but for those that are dropped after a restart."""
        kept = []
        for planes in made:
            dropped = min(self._dropped, len(planes[0]))
            self._dropped -= dropped
            if dropped < len(planes[0]):
                kept.append([plane[dropped:] for plane in planes])
        return kept

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


def trimmed(frame: av.AudioFrame, first: int, end: int | None = None) -> av.AudioFrame:
    """A frame of the samples [first, end) of one, at least one; by default to its end."""
    end = frame.samples if end is None else end
    found = av.AudioFrame(format=frame.format.name, layout=frame.layout.name, samples=end - first)
    found.sample_rate = frame.sample_rate
    channels = frame.layout.nb_channels
    planes, packed = (channels, 1) if frame.format.is_planar else (1, channels)
    size = frame.format.bytes * packed
    for plane in range(planes):
        samples = memoryview(cast(Any, AudioPlane(frame, plane)))[first * size : end * size]
        memoryview(cast(Any, AudioPlane(found, plane)))[: len(samples)] = samples
    return found
