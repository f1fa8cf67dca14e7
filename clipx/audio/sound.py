"""The sound of a file: how it is written (`AudioFormat`), and its samples, decoded and resampled as they come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, cast

import av
import numpy as np
from av.audio.plane import AudioPlane

from clipx._checks import integer
from clipx._reprs import value_repr
from clipx.audio.decoder import Decoder, channels_of, hold_layout, reason_of
from clipx.errors import MediaError
from clipx.media.damage import DAMAGE, AtDamage, Report

__all__ = ["AudioFormat", "OtherKind", "Sound", "Track", "find_sound", "told"]

SAMPLE_FORMATS = {"float32": "fltp", "int16": "s16p"}
GAP_SECONDS = Fraction(1, 10)
"""Times that are further apart than the samples between them by this are a gap in sound that is cut alone."""

STEP_SECONDS = Fraction(1, 200)
"""The same for sound in step with a video; less is how containers round."""

MOST_OF_ANOTHER_KIND = 3
"""Frames of another rate or layout, one after the other, that may be damage; more of them are other sound."""

MOST_UPSAMPLED = 256
MOST_DOWNSAMPLED = 512  # for which a resampler takes 64 MiB
MOST_SAMPLES = 2**27  # of a clip's sound: 46 minutes at 48 kHz


@dataclass(frozen=True)
class AudioFormat:
    """How sound is written.

    Args:
        sample_rate: samples a second; default the file's.
        mono: whether channels are mixed into one, as FFmpeg does.
        dtype: "float32", full scale from -1 to 1, or "int16".
        order: of a clip's dimensions: "CN", channels first, or "NC".
        stream: which of the file's audio streams: "best", the one that FFmpeg chooses (of a video, among those that
            belong to it), or a number from 0.
        damage: what happens where sound is damaged. "stop": the clips before the damage, then MediaError. "skip": clips
            that the damage may show in are left out. "keep": all clips, of what the decoder gives, as players do. See
            `clipx.audio.clips` and `clipx.video.clips`.

    Raises TypeError and ValueError that name the argument.
    """

    sample_rate: int | None = None
    mono: bool = False
    dtype: Literal["float32", "int16"] | np.dtype | type = "float32"
    order: Literal["CN", "NC"] = "CN"
    stream: int | Literal["best"] = "best"
    damage: AtDamage = "stop"

    __repr__ = value_repr

    def __post_init__(self) -> None:
        if self.sample_rate is not None:
            object.__setattr__(self, "sample_rate", integer("sample_rate", self.sample_rate, 1, 768_000))
        if not isinstance(self.mono, bool):
            raise TypeError(f"mono is {self.mono!r}, but must be True or False")
        try:
            name = np.dtype(self.dtype).name
        except TypeError:
            name = str(self.dtype)
        if name not in SAMPLE_FORMATS:
            raise ValueError(f"dtype is {self.dtype!r}, but must be one of {', '.join(SAMPLE_FORMATS)}")
        object.__setattr__(self, "dtype", name)
        if self.order not in ("CN", "NC"):
            raise ValueError(f"order is {self.order!r}, but must be 'CN' or 'NC'")
        if isinstance(self.stream, str) and self.stream != "best":
            raise ValueError(f"stream is {self.stream!r}, but must be 'best' or the number of an audio stream, from 0")
        if not isinstance(self.stream, str):
            object.__setattr__(self, "stream", integer("stream", self.stream, 0))
        if not isinstance(self.damage, str) or self.damage not in DAMAGE:
            raise ValueError(f"damage is {self.damage!r}, but must be one of {', '.join(DAMAGE)}")

    def shape(self, channels: int, n: int) -> tuple[int, ...]:
        """Shape of n samples."""
        return (channels, n) if self.order == "CN" else (n, channels)

    def channels_first(self, clip: np.ndarray) -> np.ndarray:
        """A clip seen as (channels, n)."""
        return clip if self.order == "CN" else clip.T


def find_sound(
    container: av.container.InputContainer, format: AudioFormat, name: str, video: Any = None
) -> av.AudioStream | None:
    """The audio stream that a format names, of a video the one that belongs to it; None where there is no sound.

    Raises MediaError for the number of a stream that is not there, and for a codec that is not known.
    """
    streams = container.streams.audio
    if format.stream == "best":
        if not streams:
            return None
        # FFmpeg chooses none whose rate is not known before it is decoded.
        stream = cast(av.AudioStream, container.streams.best("audio", related=video) or streams[0])
    else:
        number = format.stream
        if number >= len(streams):
            many = f"{len(streams)} audio stream{'s' * (len(streams) != 1)}" if streams else "no audio stream"
            raise MediaError(f"stream is {number}, but {name} has {many}")
        stream = streams[number]
    if cast(Any, stream.codec_context) is None:
        raise MediaError(f"{name} has sound of a codec that is not known")
    return stream


class OtherKind(MediaError):
    """Sound of another rate or other channels than before."""


def told(name: str, refused: Exception) -> str:
    """What messages say of sound that was refused."""
    return str(refused) if isinstance(refused, MediaError) else f"{name} cannot be decoded: {reason_of(refused)}"


class Sound:
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
                f"one kind is cut"
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


class Track:
    """The samples of a stream on the file's clock, as many as are still asked for.

    Silence stands before its first sample, after its last, where its times leave a gap, and, of a file without sound,
    everywhere. A clock that goes back, as where files have been joined, starts anew: its samples follow at once.

    Attributes:
        stream: that is decoded; None where there is no sound.
        sound: what makes the samples.
        ended: whether all have come.
    """

    def __init__(
        self, container: av.container.InputContainer, format: AudioFormat, name: str, video: Any, report: Report
    ) -> None:
        self.stream = find_sound(container, format, name, video)
        if self.stream is None and not (format.sample_rate and format.mono):
            raise MediaError(
                f"{name} has no audio stream, and nothing says of what shape silence would be; with sample_rate= and "
                f"mono=True its clips are silent"
            )
        self.sound = Sound(format, name)
        self.ended = self.stream is None
        self._decoder = None if self.stream is None else Decoder(container, self.stream, name, format.damage)
        self._format, self._name, self._report = format, name, report
        self._start: Fraction | None = None
        self._chunks: deque[tuple[int, np.ndarray]] = deque()
        self._end = 0
        self._arrived = Fraction(0)
        self._anew = Fraction(0)
        self._others = 0
        self._harmed: deque[tuple[int, int, str, Exception | None]] = deque()
        self._broken: tuple[int, MediaError] | None = None

    @property
    def sample_rate(self) -> int:
        """Of the samples, as far as is known."""
        return self.sound.rate or self.stream.rate if self.stream is not None else self.sound.rate

    def feed(self, packet: av.Packet | None) -> None:
        """Decode a packet of the stream; None ends it. Raises MediaError as Sound does."""
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

    def _take(self, frame: Any, decoder: Decoder, base: Fraction | None) -> None:
        try:
            self.sound.check_kind(frame)
        except OtherKind as exn:
            self._others += 1
            if self._format.damage == "stop" or self._others > MOST_OF_ANOTHER_KIND:
                self._broken, self.ended = (self._end, exn), True
            decoder.refused = decoder.refused or exn
            return
        self._others, ended = 0, self._end
        if frame.pts is not None and base is not None:
            self._follow_clock(frame.pts * base)
        elif self._start is None:
            self._start = Fraction(0)
        duration = Fraction(frame.samples, frame.sample_rate)
        if decoder.refused is not None:
            # What follows may need a frame to be right again.
            harmed = ended, self._end + self._count(duration), told(self._name, decoder.refused), decoder.refused
            self._harmed.append(harmed)
        decoder.go_on()
        self._arrived += duration
        self._append(self.sound.convert(frame))

    def _follow_clock(self, time: Fraction) -> None:
        time += self._anew
        if self._start is None:
            self._start, self._arrived = time, time
        elif time < self._arrived - GAP_SECONDS:
            self._anew += self._arrived - time
        elif abs(time - self._arrived) > STEP_SECONDS:
            # What is to come starts where the clock says: after silence, or over samples that have come.
            self._append(self.sound.convert(None))
            self._end = max(round((time - self._start) * self.sound.rate), self._chunks[0][0] if self._chunks else 0)
            self._arrived = time

    def _append(self, made: list[list[np.ndarray]]) -> None:
        for planes in made:
            samples = np.stack(planes)
            self._chunks.append((self._end, samples))
            self._end += samples.shape[1]

    def _count(self, duration: Fraction) -> int:
        return round(duration * self.sample_rate)

    def reaches(self, seconds: float, duration: Fraction) -> bool:
        """Whether all samples that `take` reads have come."""
        return self.ended or (self._start is not None and self._end >= self._position(seconds) + self._count(duration))

    def _position(self, seconds: float) -> int:
        assert self._start is not None
        return round((Fraction(seconds) - self._start) * self.sound.rate)

    def take(self, seconds: float, duration: Fraction) -> np.ndarray | None:
        """`duration` seconds of sound from this time on, in the format's order, in memory of their own.

        None where damage may show in it and damage="skip" leaves it out. With "stop" MediaError is raised once damage
        lies before its end, and always where sound of another rate or other channels does.
        """
        n = self._count(duration)
        if n > MOST_SAMPLES:
            raise MediaError(
                f"a clip of {float(duration):.0f} s of sound has {n} samples; at most {MOST_SAMPLES} are given"
            )
        channels = self.sound.channels or (1 if self.stream is None else channels_of(self.stream))
        out = np.zeros(self._format.shape(channels, n), self._format.dtype)
        if self._start is None:
            return out
        seen, first = self._format.channels_first(out), self._position(seconds)
        if self._is_harmed(first, first + n):
            return None
        for at, samples in self._chunks:
            low, high = max(at, first), min(at + samples.shape[1], first + n)
            if low < high:
                seen[:, low - first : high - first] = samples[:, low - at : high - at]
        return out

    def _is_harmed(self, first: int, end: int) -> bool:
        """Whether samples [first, end) are left out for damage, which is told once they come to it."""
        left_out = False
        if self._broken is not None and self._broken[0] < end:
            raise self._broken[1]
        for low, high, reason, cause in self._harmed:
            if low < end:
                assert self._start is not None
                self._report.add(reason, float(self._start + Fraction(low, self.sound.rate)), cause)
                left_out = left_out or high > first
        return left_out and self._format.damage == "skip"

    def forget(self, seconds: float) -> None:
        """Samples before this time are not asked for any more."""
        if self._start is not None:
            before = self._position(seconds)
            while self._chunks and self._chunks[0][0] + self._chunks[0][1].shape[1] <= before:
                self._chunks.popleft()
            while self._harmed and self._harmed[0][1] <= before and self._format.damage != "stop":
                self._harmed.popleft()
