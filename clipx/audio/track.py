"""The sound of a video in step with its pictures: the samples around the clips that are open."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np

from clipx.audio.decoder import AudioDecoder, describe_refused
from clipx.audio.format import AudioFormat
from clipx.audio.frame_samples import FrameSamples
from clipx.audio.layouts import channels_of
from clipx.audio.resampling import MOST_OF_ANOTHER_KIND, OtherKind, Resampler
from clipx.audio.streams import GAP_SECONDS, find_audio
from clipx.errors import MediaError
from clipx.media.damage import Report

__all__ = ["Track", "silent_clip", "write_samples"]

STEP_SECONDS = Fraction(1, 200)
"""Times of sound in step with a video that are further apart than the samples between them by this are a gap; less is
how containers round."""

MOST_SAMPLES = 2**27  # of a clip's sound: 46 minutes at 48 kHz


def silent_clip(format: AudioFormat, channels: int, n: int) -> np.ndarray:
    """A clip of n samples of silence. Raises MediaError for more than are given."""
    if n > MOST_SAMPLES:
        raise MediaError(f"a clip of sound has {n} samples; at most {MOST_SAMPLES} are given")
    return np.zeros(format.shape(channels, n), format.dtype)


def write_samples(clip: np.ndarray, first: int, chunks: Iterable[tuple[int, np.ndarray]]) -> None:
    """Write what chunks (position, samples) have of a clip (channels, n) that begins at position `first`."""
    end = first + clip.shape[1]
    for at, samples in chunks:
        low, high = max(at, first), min(at + samples.shape[1], end)
        if low < high:
            clip[:, low - first : high - first] = samples[:, low - at : high - at]


class _Clock:
    """When the samples of a stream begin, as its frames have it.

    Attributes:
        start: time of the first sample; None before it.
    """

    def __init__(self) -> None:
        self.start: Fraction | None = None
        self._arrived = self._anew = Fraction(0)

    def follow(self, time: Fraction | None, duration: Fraction) -> Fraction | None:
        """Take a frame of this time, None where it has none, and duration.

        Returns when it begins, where that is not when the frames before it end.
        """
        gap_end: Fraction | None = None
        if time is not None:
            time += self._anew
            if self.start is None:
                self.start = self._arrived = time
            elif time < self._arrived - GAP_SECONDS:
                self._anew += self._arrived - time
            elif abs(time - self._arrived) > STEP_SECONDS:
                gap_end = self._arrived = time
        elif self.start is None:
            self.start = Fraction(0)
        self._arrived += duration
        return gap_end


class Track:
    """The samples of a stream on the file's clock, as many as are still asked for.

    There is silence before its first sample, after its last, where its times leave a gap, and, of a file without sound,
    everywhere. A clock that goes back, as where files have been joined, starts anew: its samples follow at once.

    Attributes:
        stream: that is decoded; None where there is no sound.
        sound: the Resampler of its frames.
        ended: whether all have come.
    """

    def __init__(
        self, container: av.container.InputContainer, format: AudioFormat, name: str, video: Any, report: Report
    ) -> None:
        self.stream = find_audio(container, format, name, video)
        if self.stream is None and not (format.sample_rate and format.mono):
            raise MediaError(
                f"{name} has no audio stream, and nothing says of what shape silence would be; with sample_rate= and "
                f"mono=True its clips are silent"
            )
        self.sound = Resampler(format, name)
        self.ended = self.stream is None
        self._decoder = None if self.stream is None else AudioDecoder(container, self.stream, name, format.damage)
        self._format, self._name, self._report = format, name, report
        self._clock = _Clock()
        self._chunks: deque[tuple[int, np.ndarray]] = deque()
        self._end = 0
        self._others = 0
        self._harmed: deque[tuple[int, int, str, Exception | None]] = deque()
        self._broken: tuple[int, MediaError] | None = None

    @property
    def sample_rate(self) -> int:
        """Of the samples, as far as is known."""
        return self.sound.rate or self.stream.rate if self.stream is not None else self.sound.rate

    def feed(self, packet: av.Packet | None) -> None:
        """Decode a packet of the stream; None ends it. Raises MediaError as Resampler does."""
        assert self._decoder is not None
        assert self.stream is not None
        if packet is not None and not packet.size:
            return
        for frame in self._decoder.decode(packet):
            if not self.ended:
                self._take(frame, self._decoder, self.stream.time_base)
        if packet is None and not self.ended:
            self._append(self.sound.convert(None))
            self.ended = True

    def _take(self, frame: Any, decoder: AudioDecoder, base: Fraction | None) -> None:
        try:
            self.sound.check_kind(frame)
        except OtherKind as exn:
            self._others += 1
            if self._format.damage == "stop" or self._others > MOST_OF_ANOTHER_KIND:
                self._broken, self.ended = (self._end, exn), True
            decoder.refuse(exn)
            return
        self._others, ended = 0, self._end
        duration = Fraction(frame.samples, frame.sample_rate)
        gap_end = self._clock.follow(None if frame.pts is None or not base else frame.pts * base, duration)
        if gap_end is not None:
            # What is to come starts where the clock says: after silence, or over samples that have come.
            self._append(self.sound.convert(None))
            self._end = max(self._position(gap_end), self._chunks[0][0] if self._chunks else 0)
        if decoder.refused is not None:
            # What follows may need a frame to be right again.
            reason = describe_refused(self._name, decoder.refused)
            self._harmed.append((ended, self._end + self._count(duration), reason, decoder.refused))
        decoder.go_on()
        self._append(self.sound.convert(frame))

    def _append(self, made: list[FrameSamples]) -> None:
        for samples in made:
            self._chunks.append((self._end, self.sound.array(samples)))
            self._end += samples.n

    def _count(self, duration: Fraction) -> int:
        return round(duration * self.sample_rate)

    def reaches(self, seconds: float, duration: Fraction) -> bool:
        """All samples that `take` reads have come."""
        if self.ended or self._clock.start is None:
            return self.ended
        return self._end >= self._position(seconds) + self._count(duration)

    def _position(self, seconds: float | Fraction) -> int:
        assert self._clock.start is not None
        return round((Fraction(seconds) - self._clock.start) * self.sound.rate)

    def take(self, seconds: float, duration: Fraction) -> np.ndarray | None:
        """`duration` seconds of sound from this time on, in the format's order, in memory of their own.

        None where damage may show in it and damage="skip" leaves it out. With "stop" MediaError is raised once damage
        lies before its end, and always where sound of another rate or other channels does.
        """
        n = self._count(duration)
        channels = self.sound.channels or (1 if self.stream is None else channels_of(self.stream))
        out = silent_clip(self._format, channels, n)
        if self._clock.start is None:
            return out
        first = self._position(seconds)
        if self._is_harmed(first, first + n):
            return None
        write_samples(self._format.channels_first(out), first, self._chunks)
        return out

    def _is_harmed(self, first: int, end: int) -> bool:
        """Samples [first, end) are left out for damage, which is reported once they come to it."""
        left_out = False
        if self._broken is not None and self._broken[0] < end:
            raise self._broken[1]
        for low, high, reason, cause in self._harmed:
            if low < end:
                assert self._clock.start is not None
                self._report.add(reason, float(self._clock.start + Fraction(low, self.sound.rate)), cause)
                left_out = left_out or high > first
        return left_out and self._format.damage == "skip"

    @property
    def samples_held(self) -> int:
        """Number of samples in memory."""
        return sum(samples.shape[1] for _, samples in self._chunks)

    def forget(self, seconds: float) -> None:
        """Samples before this time are not asked for any more."""
        if self._clock.start is not None:
            before = self._position(seconds)
            while self._chunks and self._chunks[0][0] + self._chunks[0][1].shape[1] <= before:
                self._chunks.popleft()
            while self._harmed and self._harmed[0][1] <= before and self._format.damage != "stop":
                self._harmed.popleft()
