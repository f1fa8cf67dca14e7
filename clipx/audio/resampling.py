"""Decoded frames of sound to samples of one rate, type and number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.audio.plane import AudioPlane

from clipx import _kernel
from clipx.audio.format import SAMPLE_FORMATS, AudioFormat
from clipx.audio.frame_samples import FrameSamples, Write, find_write
from clipx.audio.joined_frames import JoinedFrames
from clipx.audio.layouts import hold_layout, is_mapped
from clipx.audio.rates import MOST_DOWNSAMPLED, MOST_UPSAMPLED, aligned_start
from clipx.audio.spare_blocks import take
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

    Args:
        joins: whether small frames wait to be resampled together, up to `release`.

    Attributes:
        rate: samples a second; 0 before the first frame.
        channels: of what comes out.
    """

    def __init__(self, format: AudioFormat, name: str, joins: bool = False) -> None:
        self._format, self._name, self._joins = format, name, joins
        self._kind: tuple[int, str] | None = None
        self._layout: Any = None
        self._dtype = np.dtype(format.dtype)
        self.rate = format.sample_rate or 0
        self.channels = 1 if format.mono else 0
        self._resampler: av.AudioResampler | None = None
        self._joined: JoinedFrames | None = None
        self._writes: dict[str, Write] = {}
        self._keeps = False
        self._dropped = 0

    def restart(self, position: int) -> Restart:
        """Forget what has come, and start so that samples from `position` on are, bit for bit, those of a full run.

        Frames must have come before. They go on from `Restart.source`, which is 0 where rates have too little in common
        or channels are in an order of their own.
        """
        assert self._kind is not None
        rate, layout = self._kind
        self._resampler = self._joined = None
        self._dropped = 0
        if is_mapped(layout):
            return Restart(0, 0)
        if rate == self.rate:
            return Restart(position, position)
        source, self._dropped, position = aligned_start(position, rate, self.rate)
        return Restart(source, position)

    def convert(self, frame: av.AudioFrame | None) -> list[FrameSamples]:
        """Samples that a frame gives, seen where they lie.

        None gives what is left in the resampler, which can then start anew.

        Raises OtherKind for a rate or channels that change midway, and MediaError for channels that cannot be mixed.
        """
        if frame is None:
            return self._drain()
        known = self._kind
        if known is None or frame.layout != self._layout or frame.sample_rate != known[0]:
            self.check_kind(frame)
        type = frame.format.name
        write = self._writes.get(type) or self._find_write(type)
        if write is not None:
            n = frame.samples
            return [FrameSamples(frame, n, write)] if n else []
        # A resampler takes numbers of one type.
        before = self._drain() if self._joined is not None and type != self._joined.type else []
        if self._resampler is None or self._joined is None:
            layout = "mono" if self._format.mono else frame.layout.name
            self._resampler = av.AudioResampler(SAMPLE_FORMATS[self._dtype.name], layout, self.rate)
            self._joined = JoinedFrames(frame, self._joins)
        return before + self._resample(self._resampler, self._joined.add(frame))

    def release(self) -> list[FrameSamples]:
        """Samples of the frames that wait to be joined with others."""
        if self._resampler is None or self._joined is None:
            return []
        return self._resample(self._resampler, self._joined.rest())

    def array(self, samples: FrameSamples) -> np.ndarray:
        """Samples of `convert` as an array (channels, n) of its own."""
        found = np.empty((self.channels, samples.n), self._dtype)
        samples.write(found, 0)
        return found

    def block(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Memory to give back, and room for n samples (channels, n) in it."""
        return take(self.channels, n, self._dtype)

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
        self._layout = None if is_mapped(frame.layout.name) else frame.layout
        self._begin(frame)

    def _drain(self) -> list[FrameSamples]:
        released, resampler = self.release(), self._resampler
        self._resampler = self._joined = None
        return [] if resampler is None else released + self._resample(resampler, [None])

    def _resample(self, resampler: av.AudioResampler, frames: Sequence[av.AudioFrame | None]) -> list[FrameSamples]:
        try:
            made = [each for frame in frames for each in resampler.resample(frame)]
        except av.FFmpegError as exn:
            raise MediaError(
                f"{self._name} has {self._kind} (sample rate, channels), which FFmpeg cannot turn into "
                f"{self.rate}, {'mono' if self._format.mono else 'the same channels'}"
            ) from exn
        found = [each for each in made if each is not None and each.samples]
        for each in found:
            hold_layout(each.layout)
        return self._resampled_samples(found)

    def _resampled_samples(self, frames: list[av.AudioFrame]) -> list[FrameSamples]:
        """Samples of the resampler's frames, but for those that are dropped after a restart."""
        found = []
        for frame in frames:
            samples = FrameSamples(frame, frame.samples, _kernel.copy_planes)
            dropped = min(self._dropped, samples.n)
            self._dropped -= dropped
            if dropped < samples.n:
                found.append(samples.after(dropped) if dropped else samples)
        return found

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
        self._keeps = self.rate == frame.sample_rate and self.channels == channels

    def _find_write(self, type: str) -> Write | None:
        """The way of frames of a type to blocks; None where the resampler is on it."""
        write = find_write(type, self.channels, self._dtype.name) if self._keeps else None
        if write is not None:
            self._writes[type] = write
        return write


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
