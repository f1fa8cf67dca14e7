"""Rivals that read ranges of the samples of a sound: of each range one float32 array (channels, samples).

A source is the path of a file or its bytes. It is opened once for all ranges, which a rival is left to find its own way
to; one that has no open file reads each of them with a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import av
import numpy as np
from _sounds import SoundFile, Source, as_file
from _videos import load

Ranges = Sequence[tuple[int, int]]
Read = Callable[[Source, Ranges, SoundFile], Iterator[Any]]

PYAV, SOUNDFILE, LIBROSA = "PyAV seek", "soundfile", "librosa.load"
TORCHCODEC, WAV, TORCHAUDIO, SPDL = "torchcodec", "torchcodec WavDecoder", "torchaudio.load", "SPDL"
MODULES = {
    SOUNDFILE: ("soundfile",),
    LIBROSA: ("librosa", "soundfile"),
    TORCHCODEC: ("torch", "torchcodec.decoders"),
    WAV: ("torch", "torchcodec.decoders"),
    TORCHAUDIO: ("torch", "torchcodec.decoders", "torchaudio"),
    SPDL: ("spdl.io",),
}


def contiguous(block: np.ndarray) -> np.ndarray:
    """Channels first, of a block (samples, channels)."""
    return np.ascontiguousarray(block.T)


def pyav(source: Source, ranges: Ranges, file: SoundFile) -> Iterator[np.ndarray]:
    """Seeks to as long before each range as the codec needs, and drops what is decoded too early."""
    with ExitStack() as opened:
        container = opened.enter_context(av.open(as_file(source)))
        for number, (start, end) in enumerate(ranges):
            stream = container.streams.audio[0]
            lead = start / file.rate - file.recipe.lead_seconds
            if lead > 0:
                container.seek((stream.start_time or 0) + int(lead / stream.time_base), stream=stream)
            elif number:  # seeking to the start leaves out what is before the first sample
                container = opened.enter_context(av.open(as_file(source)))
            yield decode_range(container, start, end, file.rate)


def decode_range(container: Any, start: int, end: int, rate: int) -> np.ndarray:
    """Samples [start, end), from where the container is on."""
    stream = container.streams.audio[0]
    resampler = av.AudioResampler("fltp")
    pieces, first, stop = [], None, 0
    for frame in container.decode(stream):
        if first is None:
            first = stop = round((frame.pts - (stream.start_time or 0)) * stream.time_base * rate)
        stop += frame.samples
        if stop > start:
            pieces += [made.to_ndarray() for made in resampler.resample(frame)]
        else:
            first = stop
        if stop >= end:
            break
    if first is None or first > start:
        raise AssertionError(f"the seek went past the range: to {first}, not to {start}")
    return np.concatenate(pieces, axis=1)[:, start - first : end - first].copy()


def soundfile(source: Source, ranges: Ranges, file: SoundFile) -> Iterator[np.ndarray]:
    with load("soundfile").SoundFile(as_file(source)) as opened:
        for start, end in ranges:
            opened.seek(start)
            yield contiguous(opened.read(end - start, dtype="float32", always_2d=True))


def librosa(source: Source, ranges: Ranges, file: SoundFile) -> Iterator[np.ndarray]:
    for start, end in ranges:
        seconds = {"offset": (start + 0.5) / file.rate, "duration": (end - start + 0.5) / file.rate}  # it rounds down
        yield np.ascontiguousarray(load("librosa").load(as_file(source), sr=None, mono=False, **seconds)[0])


def torchcodec(source: Source, ranges: Ranges, file: SoundFile, decoder: str = "AudioDecoder") -> Iterator[Any]:
    """Its seconds are those of the stream, which need not begin at 0."""
    load("torch").set_num_threads(1)
    opened = getattr(load("torchcodec.decoders"), decoder)(source)
    begin = opened.metadata.begin_stream_seconds_from_header or 0
    for start, end in ranges:
        seconds = begin + start / file.rate, begin + end / file.rate
        yield opened.get_samples_played_in_range(*seconds).data.contiguous()


def wav_decoder(source: Source, ranges: Ranges, file: SoundFile) -> Iterator[Any]:
    return torchcodec(source, ranges, file, "WavDecoder")


def torchaudio(source: Source, ranges: Ranges, file: SoundFile) -> Iterator[Any]:
    load("torch").set_num_threads(1)
    for start, end in ranges:
        yield load("torchaudio").load(as_file(source), frame_offset=start, num_frames=end - start)[0].contiguous()


def spdl(source: Source, ranges: Ranges, file: SoundFile) -> Iterator[np.ndarray]:
    """Begins as long before each range as the codec needs, and drops that; seconds are those of the stream."""
    module = load("spdl.io")
    for start, end in ranges:
        lead = min(int(file.recipe.lead_seconds * file.rate), start)
        seconds = file.begin_seconds + (start - lead) / file.rate, file.begin_seconds + end / file.rate
        array = module.to_numpy(module.load_audio(source, seconds))
        yield np.ascontiguousarray(array[:, lead:]) if lead else array


READS: dict[str, Read] = {
    PYAV: pyav,
    SOUNDFILE: soundfile,
    LIBROSA: librosa,
    TORCHCODEC: torchcodec,
    WAV: wav_decoder,
    TORCHAUDIO: torchaudio,
    SPDL: spdl,
}
