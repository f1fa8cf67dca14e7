"""The sound of a video's clips, read beside its pictures where only some of these are decoded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from clipx.audio.format import AudioFormat
from clipx.media.damage import Report
from clipx.video.file import VideoFile
from clipx.video.with_audio import InterleavedSound

__all__ = ["SoundApart"]


class SoundApart:
    """The sound of the clips of a video file, from the same file open a second time.

    Args:
        duration, slack: as InterleavedSound takes them.

    Attributes:
        report: the damage that was found in it.
    """

    def __init__(self, file: VideoFile, format: AudioFormat, duration: Fraction, slack: float) -> None:
        self._file = file.opened_again()
        self._sound = InterleavedSound(self._file, format, duration, slack, alone=True)

    @property
    def report(self) -> Report:
        return self._sound.report

    def begin(self) -> None:
        """Begin to read. Raises MediaError for a file without sound, where nothing says of what shape silence is."""
        self._sound.begin()

    def take(self, seconds: float) -> np.ndarray | None:
        """The sound of a clip that starts at a time; None where damage leaves it out."""
        return self._sound.take(seconds)

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self._sound.sample_rate

    def forget(self, seconds: float) -> None:
        """Free the samples that no clip needs if the first open one starts at a time."""
        self._sound.forget(seconds)

    @property
    def samples_held(self) -> int:
        """Number of samples in memory."""
        return self._sound.samples_held

    def close(self) -> None:
        """Close the file."""
        self._file.close()
