"""The sound of clips of a video, decoded from near where they begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import numpy as np

from clipx.audio.file_bytes import FileBytes
from clipx.audio.find_index import can_be_indexed, index_of
from clipx.audio.format import AudioFormat
from clipx.audio.frame_samples import FrameSamples
from clipx.audio.indexed_run import IndexedRun
from clipx.audio.kept_indexes import KEPT
from clipx.audio.rates import resampled_length
from clipx.audio.resampling import Resampler
from clipx.audio.sound_index import Contradiction, SoundIndex
from clipx.audio.track import silent_clip, write_samples

__all__ = ["NearSamples"]

NEAR_SECONDS = 1
"""Sound of this length is decoded rather than passed over."""


class NearSamples:
    """The samples of a stream of sound with an index, each as a full decode gives it.

    Args:
        length: number of samples that come out.
    """

    def __init__(self, index: SoundIndex, file: FileBytes, format: AudioFormat, sound: Resampler, length: int) -> None:
        self._index, self._file, self._format, self._sound, self._length = index, file, format, sound, length
        self._run: IndexedRun | None = None
        self._made: Iterator[FrameSamples] = iter(())
        self._chunks: deque[tuple[int, np.ndarray]] = deque()
        self._begin = self._end = 0

    @staticmethod
    def of(
        container: av.container.InputContainer, stream: Any, file: FileBytes, format: AudioFormat, name: str
    ) -> NearSamples | None:
        """For a stream of a container that is open at its start; None where samples are not known to be exact.

        Packets of the container are taken.
        """
        if not can_be_indexed(container, stream):
            return None
        number = [each.index for each in container.streams.audio].index(stream.index)
        index = KEPT.find(file.identity, number)
        if index is None:
            with suppress(av.FFmpegError, OSError):
                index = index_of(container, stream, file)
            if index is None:
                return None
            KEPT.keep(file.identity, number, index)
        sound = Resampler(format, name)
        sound.check_kind(index.silence(1))
        length = resampled_length(index.length, index.kind.rate, sound.rate)
        return None if length is None or not index.can_start else NearSamples(index, file, format, sound, length)

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self._sound.rate

    @property
    def samples_held(self) -> int:
        """Number of samples in memory."""
        return sum(samples.shape[1] for _, samples in self._chunks)

    def take(self, seconds: float, duration: Fraction) -> np.ndarray:
        """`duration` seconds of sound from a time on, in the format's order, with silence where there is none.

        Raises MediaError for more than a clip may have, and Contradiction where only a full decode tells the samples.
        """
        first = round((Fraction(seconds) - self._index.start) * self.sample_rate)
        clip = silent_clip(self._format, self._sound.channels, round(duration * self.sample_rate))
        shown = self._format.channels_first(clip)
        try:
            write_samples(shown, first, self._read(max(first, 0), min(first + shown.shape[1], self._length)))
        except (av.FFmpegError, OSError, ValueError) as exn:
            raise Contradiction from exn
        return clip

    def _read(self, first: int, end: int) -> Iterable[tuple[int, np.ndarray]]:
        """Samples (position, (channels, m)), among them [first, end)."""
        if first >= end:
            return ()
        if self._run is None or not self._begin <= first <= self._end + NEAR_SECONDS * self.sample_rate:
            start = self._sound.restart(first)
            self._run = run = IndexedRun(self._index, self._file, start.source)
            self._made = (samples for frame in run.frames() for samples in self._sound.convert(frame))
            self._chunks.clear()
            self._begin = self._end = start.position
        while self._end < end:
            samples = next(self._made, None)
            if samples is None:
                raise Contradiction
            self._chunks.append((self._end, self._sound.array(samples)))
            self._end += samples.n
        self._run.check()
        return self._chunks

    def forget(self, seconds: float) -> None:
        """Free the samples before a time."""
        before = (Fraction(seconds) - self._index.start) * self.sample_rate
        while self._chunks and self._chunks[0][0] + self._chunks[0][1].shape[1] <= before:
            at, samples = self._chunks.popleft()
            self._begin = at + samples.shape[1]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
