"""The sound of a video's clips, read beside its pictures where only some of these are decoded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from clipx.audio.format import AudioFormat
from clipx.audio.near_samples import NearSamples
from clipx.audio.sound_index import Contradiction
from clipx.media.damage import Report
from clipx.video.file import VideoFile
from clipx.video.with_audio import InterleavedSound

__all__ = ["SoundApart"]


class SoundApart:
    """The sound of the clips of a video file, from the same file open a second time.

    It is decoded from near where a clip begins where that is known to give the samples of a full decode, else from the
    file's start on.

    Args:
        duration, slack: as InterleavedSound takes them.

    Attributes:
        report: the damage that was found in it.
    """

    def __init__(self, file: VideoFile, format: AudioFormat, duration: Fraction, slack: float) -> None:
        self._file, self._format, self._duration, self._slack = file.opened_again(), format, duration, slack
        self._from_start = InterleavedSound(self._file, format, duration, slack, alone=True)
        self._near: NearSamples | None = None

    @property
    def report(self) -> Report:
        return self._from_start.report

    def begin(self) -> None:
        """Begin to read. Raises MediaError for a file without sound, where nothing says of what shape silence is."""
        file, stream = self._file, self._from_start.begin().stream
        bytes_of_file = None if stream is None else file.bytes()
        if bytes_of_file is None:
            return
        self._near = NearSamples.of(file.container, stream, bytes_of_file, self._format, file.name)
        if self._near is None:
            bytes_of_file.close()
            self._begin_again()

    def _begin_again(self) -> None:
        """Begin at the file's start: packets have been taken."""
        self._file.rewind()
        self._from_start.begin()

    def take(self, seconds: float) -> np.ndarray | None:
        """The sound of a clip that starts at a time; None where damage leaves it out."""
        if self._near is not None:
            try:
                return self._near.take(seconds, self._duration)
            except Contradiction:
                self._near.close()
                self._near = None
                self._begin_again()
        return self._from_start.take(seconds)

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self._from_start.sample_rate if self._near is None else self._near.sample_rate

    @property
    def samples_held(self) -> int:
        """Number of samples in memory."""
        return self._from_start.samples_held if self._near is None else self._near.samples_held

    def forget(self, seconds: float) -> None:
        """Free the samples that no clip needs if the first open one starts at a time."""
        self._from_start.forget(seconds)
        if self._near is not None:
            self._near.forget(seconds - self._slack)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._near is not None:
            self._near.close()
