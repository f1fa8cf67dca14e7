"""Files of PCM, read without FFmpeg: any sample is where arithmetic says, and is written by the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from clipx._kernel import may_be_coded
from clipx.audio.aiff import read_aiff, read_au
from clipx.audio.format import AudioFormat
from clipx.audio.pcm_bytes import Bytes, open_bytes
from clipx.audio.pcm_encodings import PcmHeader, reader_of, sample_bytes
from clipx.audio.riff import read_wav, read_wave64
from clipx.audio.sample_source import Harmed, check_rate
from clipx.errors import MediaError
from clipx.media.damage import Report
from clipx.media.file_objects import CheckedFile
from clipx.media.sources import Source, as_source
from clipx.plan.rows import Row

__all__ = ["PcmFile", "PcmSamples", "PcmSource", "open_pcm"]

HEADERS = {
    b"RIFF": read_wav,
    b"RF64": read_wav,
    b"BW64": read_wav,
    b"riff": read_wave64,
    b"FORM": read_aiff,
    b".snd": read_au,
}

PROBED_BYTES = 1 << 16
"""Bytes of samples in which FFmpeg looks for frames of other codecs."""

BLOCK_SAMPLES = 1 << 16

MOST_RUNS = 64
"""Parts of a row that are written one by one."""


class PcmFile:
    """The samples of a file of PCM, as they lie there.

    Attributes:
        header: where they lie, and what they are.
        frames: number of samples of each channel.
    """

    def __init__(self, header: PcmHeader, data: Bytes, name: str) -> None:
        self.header, self._data, self._name = header, data, name
        self.frame_bytes = header.channels * sample_bytes(header.encoding)
        self.frames = max(min(header.end, data.size) - header.begin, 0) // self.frame_bytes

    def read(self, first: int, most: int) -> tuple[memoryview, int]:
        """Bytes that begin with a frame, and how many whole frames they are; at most those that there are.

        Raises MediaError where the file has become shorter.
        """
        most = min(most, self.frames - first)
        view = self._data.read(self.header.begin + first * self.frame_bytes, most * self.frame_bytes)
        found = min(len(view) // self.frame_bytes, most)
        if not found:
            raise MediaError(f"{self._name} became shorter while it was read: it had {self.frames} samples")
        return view, found

    def packet(self, first: int, most_bytes: int) -> memoryview:
        """The bytes of whole frames from one on, as many as fit."""
        view, found = self.read(first, max(most_bytes // self.frame_bytes, 1))
        return view[: found * self.frame_bytes]

    def close(self) -> None:
        """Close the file."""
        self._data.close()


class PcmSamples:
    """What sources of a file of PCM share.

    Args:
        rate, channels: of the samples that come.
        window_rate: the rate that a window was made for.

    Attributes:
        report, harmed: the damage, of which there is none.
    """

    def __init__(
        self, file: PcmFile, name: str, rate: int, channels: int, window_rate: Fraction | None, report: Report
    ) -> None:
        self._file, self._name, self._window_rate = file, name, window_rate
        self.rate, self.channels, self.report = rate, channels, report
        self.harmed = Harmed()
        self._wanted = 0

    def time(self, position: int) -> Fraction:
        return Fraction(position, self.rate)

    def skip_to(self, position: int, end: int) -> None:
        self._wanted = max(self._wanted, position)

    def check_rate(self) -> None:
        """Raise ValueError for sound of another rate than the window's."""
        check_rate(self._name, self.rate, self._window_rate)

    def close(self) -> None:
        self._file.close()


class PcmSource(PcmSamples):
    """The samples of a file of PCM at its own rate, with its own channels. It is a SampleSource."""

    def __init__(
        self, file: PcmFile, name: str, format: AudioFormat, rate: Fraction | None, report: Report | None
    ) -> None:
        header = file.header
        super().__init__(file, name, header.rate, header.channels, rate, report or Report(name, format.damage))
        self._format = format
        self._kernel = reader_of(header.encoding, header.channels, str(format.dtype), format.order)

    def length(self) -> int:
        return self._file.frames

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        self.check_rate()
        while self._wanted < self._file.frames:
            begin, m = self._wanted, min(self._file.frames - self._wanted, BLOCK_SAMPLES)
            block = np.empty(self._format.shape(self.channels, m), self._format.dtype)
            self._write(range(begin, begin + m), block, 0)
            self._wanted += m
            yield begin, self._format.channels_first(block)

    def write(self, row: Row, clip: np.ndarray) -> None:
        """Write the samples of a row, all below the length, to a clip; positions of -1 stay as they are."""
        if isinstance(row, range):
            self._write(row, clip, 0)
            return
        for position, run in _runs_of(row):
            self._write(run, clip, position)

    def _write(self, row: range, clip: np.ndarray, position: int) -> None:
        first, step, left = row.start, row.step, len(row)
        while left:
            view, found = self._file.read(first, (left - 1) * step + 1)
            count = min((found - 1) // step + 1, left)
            self._kernel.write(view, clip, position, 0, step, count)
            first, position, left = first + count * step, position + count, left - count


def _runs_of(row: np.ndarray) -> Iterator[tuple[int, range]]:
    """Positions and ascending samples that stand there, of a row; those of -1 are left out."""
    steps = np.diff(row)
    # A run ends before a step that differs from the one before.
    ends = np.flatnonzero(np.diff(steps) != 0) + 2 if len(row) > 2 else np.array([], dtype=np.int64)
    begin = 0
    for end in [*ends.tolist(), len(row)]:
        if end <= begin:
            continue
        first, last, count = int(row[begin]), int(row[end - 1]), end - begin
        step = (last - first) // (count - 1) if count > 1 else 1
        if step > 0 and first >= 0:
            yield begin, range(first, last + 1, step)
        else:
            yield from (
                (each, range(int(row[each]), int(row[each]) + 1)) for each in range(begin, end) if row[each] >= 0
            )
        begin = end


def open_pcm(src: Source, name: str, format: AudioFormat) -> PcmFile | None:
    """Open a file of plain PCM; None where FFmpeg is to read it. A file object is then where it was."""
    if format.stream not in ("best", 0):
        return None
    src = as_source(src, name)
    at = src.tell() if isinstance(src, CheckedFile) and src.seekable() else None
    data = open_bytes(src, name)
    found = None if data is None else _open(data, name)
    if data is not None and found is None:
        data.close()
        if at is not None:
            src.seek(at)  # type: ignore[union-attr]  # it is a file object
    return found


def _open(data: Bytes, name: str) -> PcmFile | None:
    read = HEADERS.get(bytes(data.peek(0, 4)))
    header = None if read is None else read(data)
    if header is None:
        return None
    file = PcmFile(header, data, name)
    if not file.frames:
        return None
    probed = min(PROBED_BYTES, header.end - header.begin)
    if header.may_be_coded and may_be_coded(data.read(header.begin, probed)[:probed]):
        return None
    return file
