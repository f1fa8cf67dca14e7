"""The source of the samples of a file's sound."""

from __future__ import annotations

from fractions import Fraction

from clipx.audio.file_bytes import FileBytes
from clipx.audio.format import AudioFormat
from clipx.audio.indexed_samples import IndexedSamples
from clipx.audio.pcm import PcmSource, open_pcm
from clipx.audio.pcm_resampled import ResampledPcm
from clipx.audio.sample_source import SampleSource
from clipx.audio.samples import SampleReader
from clipx.media.damage import Report
from clipx.media.sources import Source

__all__ = ["open_samples"]


def open_samples(
    src: Source,
    name: str,
    format: AudioFormat,
    rate: Fraction | None,
    report: Report | None = None,
    counted: bool = False,
) -> SampleSource:
    """Open the sound of a file, as `as_source` takes it.

    Args:
        name: of the source, in messages.
        format: which stream, and how its samples are written.
        rate: of the samples that a window was made for, which must be the sound's; None for any.
        report: takes the damage; default one of its own.
        counted: whether its length is asked for before any sample.

    Raises FileNotFoundError, and MediaError for a file that cannot be read or has no such sound.
    """
    if (pcm := open_pcm(src, name, format)) is not None:
        header = pcm.header
        is_as_it_is = format.sample_rate in (None, header.rate) and (not format.mono or header.channels == 1)
        return (PcmSource if is_as_it_is else ResampledPcm)(pcm, name, format, rate, report)
    file = FileBytes.of(src)
    if file is None:
        return SampleReader(src, name, format, rate, report)
    try:
        return IndexedSamples(src, name, format, rate, report, file, counted)
    except BaseException:
        file.close()
        raise
