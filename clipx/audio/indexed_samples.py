"""IndexedSamples: the samples of a file that is decoded only near where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np

from clipx.audio.blocks import in_blocks
from clipx.audio.file_bytes import FileBytes
from clipx.audio.find_index import can_be_indexed, index_of
from clipx.audio.flac_head import index_of_flac
from clipx.audio.format import AudioFormat
from clipx.audio.indexed_run import IndexedRun
from clipx.audio.kept_indexes import KEPT
from clipx.audio.rates import resampled_length
from clipx.audio.resampling import Resampler
from clipx.audio.sample_source import NEAR_SECONDS, Harmed, check_rate
from clipx.audio.samples import SampleReader
from clipx.audio.sound_index import Contradiction, SoundIndex
from clipx.errors import MediaError
from clipx.media.damage import Report
from clipx.media.opening import failures
from clipx.media.sources import Source

__all__ = ["IndexedSamples"]

FEW_SAMPLES = 1 << 13
"""Samples of a block: so few that little is decoded behind the end of a clip. The first one reaches to the end."""

MOST_SAMPLES = 1 << 17
"""Of the first block."""


class IndexedSamples:
    """The samples of a file's sound, from near where they are wanted where that gives those of a full decode.

    It is a SampleSource. Where nothing is passed over, or anything is not as in the index, the file is decoded from its
    start.
    """

    def __init__(
        self,
        src: Source,
        name: str,
        format: AudioFormat,
        rate: Fraction | None,
        report: Report | None,
        file: FileBytes,
        counted: bool = False,
    ) -> None:
        self._src, self._name, self._format, self._window_rate, self._file = src, name, format, rate, file
        self.report = report or Report(name, format.damage)
        self.harmed = Harmed()
        self._index = KEPT.find(file.identity, format.stream) or (self._index_of_flac() if counted else None)
        self._reader = self._open(for_index=counted) if self._index is None else None
        self._sound = Resampler(format, name, joins=True)
        self._length: int | None = None
        self._wanted, self._at = range(0), 0
        self._is_asked = self._is_begun = self._is_ended = False

    def _index_of_flac(self) -> SoundIndex | None:
        """The index where it can be made without opening the file with FFmpeg."""
        index = None
        if self._format.stream in ("best", 0):
            with suppress(OSError, av.FFmpegError):
                index = index_of_flac(self._file)
        if index is not None:
            KEPT.keep(self._file.identity, self._format.stream, index)
        return index

    def _open(self, for_index: bool = False) -> SampleReader:
        """A reader of the file; with `for_index` one that its packets alone are asked of."""
        reader = SampleReader(self._src, self._name, self._format, self._window_rate, self.report, for_index)
        reader.harmed = self.harmed
        return reader

    @property
    def rate(self) -> int:
        return self._sound.rate if self._reader is None else self._reader.rate or self._sound.rate

    @property
    def channels(self) -> int:
        return self._sound.channels if self._reader is None else self._reader.channels or self._sound.channels

    def time(self, position: int) -> Fraction:
        if self._reader is not None:
            return self._reader.time(position)
        assert self._index is not None
        return self._index.start + Fraction(position, self.rate)

    def close(self) -> None:
        self._file.close()
        if self._reader is not None:
            self._reader.close()

    def skip_to(self, position: int, end: int) -> None:
        self._wanted = range(position, end)

    def length(self) -> int | None:
        if not self._is_asked:
            self._is_asked = True
            with suppress(MediaError):
                self._find()
        return self._length

    def _find(self) -> None:
        """Find the index, and how many samples come of it."""
        if self._index is None:
            assert self._reader is not None
            if not can_be_indexed(*self._reader.opened):
                return
            # Packets are taken: a full decode that has not begun opens the file anew.
            reader, self._reader = (self._open(), self._reader) if self._is_begun else (self._reader, None)
            try:
                with failures(self._name, "decoded"):
                    self._index = index_of(*reader.opened, self._file)
            finally:
                reader.close()
            if self._index is None:
                return
            KEPT.keep(self._file.identity, self._format.stream, self._index)
        self._sound.check_kind(self._index.silence(1))
        self._length = resampled_length(self._index.length, self._index.kind.rate, self._sound.rate)

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        self._is_begun = True
        while not self._is_ended:
            yield from self._near() if self._can_start() and (self._reader is None or self._is_far()) else self._all()

    def _can_start(self) -> bool:
        """Decoding may start anywhere."""
        return bool(self._length is not None and self._index and self._index.can_start and not self.report.found)

    def _is_far(self) -> bool:
        """What is wanted next is so far ahead that what lies before it is passed over."""
        return self._can_start() and self._wanted.start - self._at > NEAR_SECONDS * self.rate

    def _all(self) -> Iterator[tuple[int, np.ndarray]]:
        """What is wanted of a full decode, up to where something is passed over."""
        begin = max(self._wanted.start, self._at)
        self._reader = self._reader or self._open()
        for position, piece in self._reader.pieces():
            if position + piece.shape[1] > begin:
                self._at = position + piece.shape[1]
                yield max(position, begin), piece[:, max(begin - position, 0) :]
                if self._is_far():
                    self._reader.close()
                    self._reader = None
                    return
        self._is_ended = True

    def _near(self) -> Iterator[tuple[int, np.ndarray]]:
        """What is wanted, decoded from near where it begins up to where something is passed over."""
        assert self._index is not None
        check_rate(self._name, self.rate, self._window_rate)
        begin = self._sound.restart(max(self._wanted.start, self._at))
        run = IndexedRun(self._index, self._file, begin.source)
        first = min(max(self._wanted.stop - begin.position, FEW_SAMPLES), MOST_SAMPLES)
        made = (samples for frame in run.frames() for samples in self._sound.convert(frame))
        try:
            for position, piece in in_blocks(made, self._sound, begin.position, FEW_SAMPLES, first):
                run.check()
                self._at = position + piece.shape[1]
                yield position, piece
                if self._is_far():
                    return
            self._is_ended = True
        except (Contradiction, MediaError, OSError, av.FFmpegError):
            self._length = None
