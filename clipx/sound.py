"""The sound of a file: how it is written (`AudioFormat`), and its samples, decoded and resampled as they come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np

from clipx._checks import integer
from clipx.errors import MediaError

__all__ = ["AudioFormat", "Sound", "Track"]

SAMPLE_FORMATS = {"float32": "fltp", "int16": "s16p"}
GAP_SECONDS = Fraction(1, 10)
"""Times that are further apart than the samples between them by this are a gap in sound that is cut alone."""

STEP_SECONDS = Fraction(1, 200)
"""The same for sound in step with a video; less is how containers round."""

MOST_UPSAMPLED = 256
MOST_SAMPLES = 2**27  # of a clip's sound: 46 minutes at 48 kHz


@dataclass(frozen=True)
class AudioFormat:
    """How sound is written.

    Args:
        sample_rate: samples a second; default the file's.
        mono: whether channels are mixed into one, as FFmpeg does.
        dtype: "float32", full scale from -1 to 1, or "int16".
        order: of a clip's dimensions: "CN", channels first, or "NC".

    Raises TypeError and ValueError that name the argument.
    """

    sample_rate: int | None = None
    mono: bool = False
    dtype: Any = "float32"
    order: str = "CN"

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

    def shape(self, channels: int, n: int) -> tuple[int, ...]:
        """Shape of n samples."""
        return (channels, n) if self.order == "CN" else (n, channels)

    def channels_first(self, clip: np.ndarray) -> np.ndarray:
        """A clip seen as (channels, n)."""
        return clip if self.order == "CN" else clip.T


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
        self._as_it_is: frozenset[str] = frozenset()

    def convert(self, frame: av.AudioFrame | None) -> list[list[np.ndarray]]:
        """Samples that a frame gives, an array (m,) for each channel, seen where they lie.

        None gives what is left in the resampler, which can then start anew.

        Raises MediaError for a rate or channels that change midway.
        """
        if frame is not None:
            kind = frame.sample_rate, frame.layout.name
            if self._kind is None:
                self._kind = kind
                self._begin(frame)
            elif kind != self._kind:
                raise MediaError(
                    f"{self._name} changes midway from {self._kind} to {kind} (sample rate, channels); only sound of "
                    f"one kind is cut"
                )
            if frame.format.name in self._as_it_is:
                return [self._samples(frame)] if frame.samples else []
            if self._resampler is None:
                layout = "mono" if self._format.mono else frame.layout.name
                self._resampler = av.AudioResampler(SAMPLE_FORMATS[self._format.dtype], layout, self.rate)
        if self._resampler is None:
            return []
        made = self._resampler.resample(frame)
        if frame is None:
            self._resampler = None
        return [self._samples(each) for each in made if each is not None and each.samples]

    def _begin(self, frame: av.AudioFrame) -> None:
        self.rate = self.rate or frame.sample_rate
        self.channels = self.channels or frame.layout.nb_channels
        if self.rate > MOST_UPSAMPLED * frame.sample_rate:
            raise MediaError(
                f"{self._name} has {frame.sample_rate} samples a second; sample_rate is {self.rate}, but must be at "
                f"most {MOST_UPSAMPLED} times as many"
            )
        if self.rate == frame.sample_rate and self.channels == frame.layout.nb_channels:
            planar = SAMPLE_FORMATS[self._format.dtype]
            # One channel is the same packed and planar.
            self._as_it_is = frozenset({planar, planar.rstrip("p")} if self.channels == 1 else {planar})

    def _samples(self, frame: av.AudioFrame) -> list[np.ndarray]:
        # A plane reports more bytes than it holds samples.
        return [np.frombuffer(cast(Any, plane), self._dtype, frame.samples) for plane in frame.planes]


class Track:
    """The samples of a stream on the file's clock, as many as are still asked for.

    Silence stands before its first sample, after its last, and where its times leave a gap.

    Attributes:
        sound: what makes the samples.
        ended: whether all have come.
    """

    def __init__(self, stream: av.AudioStream, format: AudioFormat, name: str) -> None:
        self.stream = stream
        self.sound = Sound(format, name)
        self.ended = False
        self._format = format
        self._start: Fraction | None = None
        self._chunks: deque[tuple[int, np.ndarray]] = deque()
        self._end = 0
        self._arrived = Fraction(0)

    def feed(self, packet: av.Packet) -> None:
        """Decode a packet of the stream; an empty one ends it. Raises errors of av, and MediaError as Sound does."""
        for decoded in packet.decode():
            frame: Any = decoded
            if frame.pts is not None and frame.time_base is not None:
                self._follow_clock(frame.pts * frame.time_base)
            elif self._start is None:
                self._start = Fraction(0)
            self._arrived += Fraction(frame.samples, frame.sample_rate)
            self._append(self.sound.convert(frame))
        if not packet.size:
            self._append(self.sound.convert(None))
            self.ended = True

    def _follow_clock(self, time: Fraction) -> None:
        if self._start is None:
            self._start, self._arrived = time, time
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
        return round(duration * (self.sound.rate or self.stream.rate))

    def reaches(self, seconds: float, duration: Fraction) -> bool:
        """Whether all samples that `take` reads have come."""
        return self.ended or (self._start is not None and self._end >= self._position(seconds) + self._count(duration))

    def _position(self, seconds: float) -> int:
        assert self._start is not None
        return round((Fraction(seconds) - self._start) * self.sound.rate)

    def take(self, seconds: float, duration: Fraction) -> np.ndarray:
        """`duration` seconds of sound from this time on, in the format's order, in memory of their own."""
        n = self._count(duration)
        if n > MOST_SAMPLES:
            raise MediaError(
                f"a clip of {float(duration):.0f} s of sound has {n} samples; at most {MOST_SAMPLES} are given"
            )
        out = np.zeros(self._format.shape(self.sound.channels or self.stream.channels, n), self._format.dtype)
        if self._start is None:
            return out
        seen, first = self._format.channels_first(out), self._position(seconds)
        for at, samples in self._chunks:
            low, high = max(at, first), min(at + samples.shape[1], first + n)
            if low < high:
                seen[:, low - first : high - first] = samples[:, low - at : high - at]
        return out

    def forget(self, seconds: float) -> None:
        """Samples before this time are not asked for any more."""
        if self._start is not None:
            before = self._position(seconds)
            while self._chunks and self._chunks[0][0] + self._chunks[0][1].shape[1] <= before:
                self._chunks.popleft()
