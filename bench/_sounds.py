"""The sound files of the benchmarks: how they are encoded, and all samples of one."""

from __future__ import annotations

import io
import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from _bench import Run, reason_of
from _videos import load

Source = str | bytes


class Recipe(NamedTuple):
    """How a file is encoded.

    Attributes:
        lead_seconds: that a decoder has to begin before a sample, after a seek, to give the sample of a full decode.
    """

    suffix: str
    codec: str
    rate: int
    sample_format: str
    bit_rate: int | None = None
    lead_seconds: float = 0
    options: Mapping[str, str] = {}

    @property
    def lossless(self) -> bool:
        return self.bit_rate is None


RECIPES = {
    "wav": Recipe("wav", "pcm_s16le", 44100, "s16"),
    "flac": Recipe("flac", "flac", 44100, "s16"),
    "mp3": Recipe("mp3", "libmp3lame", 44100, "s16p", 192_000, 0.1),
    "vorbis": Recipe("ogg", "libvorbis", 44100, "fltp", 120_000, 0.1),
    "opus": Recipe("opus", "libopus", 48000, "s16", 96_000, 0.8),
    "aac": Recipe("m4a", "aac", 44100, "fltp", 128_000, 0.1),
    "aac without PNS": Recipe("m4a", "aac", 44100, "fltp", 128_000, 0.1, {"aac_pns": "0"}),
}


class SoundFile(NamedTuple):
    """A file, and the number of samples that decoding it gives.

    Attributes:
        begin_seconds: of the first sample, on the stream's clock.
    """

    name: str
    path: str
    rate: int
    samples: int
    begin_seconds: float
    recipe: Recipe


def as_file(source: Source) -> str | io.BytesIO:
    """A source as PyAV and soundfile take it."""
    return io.BytesIO(source) if isinstance(source, bytes) else source


def make_second(k: int, rate: int) -> np.ndarray:
    """Two channels of chords that fade, over noise, as int16."""
    random = np.random.default_rng(k)
    t = np.arange(rate, dtype=np.float32) / rate
    tones = 110 * 2 ** (random.integers(0, 36, 6) / 12)
    chord = sum(np.sin(2 * np.pi * tone * t) / (1 + i) for i, tone in enumerate(tones)) * np.exp(-2 * t)
    noise = np.cumsum(random.standard_normal((2, rate), np.float32), axis=1)
    noise -= np.linspace(0, 1, rate) * noise[:, -1:]
    sound = 0.2 * chord + 0.1 * noise / np.abs(noise).max() + 0.002 * random.standard_normal((2, rate), np.float32)
    return (sound.clip(-1, 1) * 32767).astype(np.int16)


def generate(path: Path, recipe: Recipe, seconds: int) -> None:
    """Write a file: Vorbis by soundfile, as PyAV's wheels have no libvorbis, and all else by PyAV."""
    part = path.with_suffix(f".part.{recipe.suffix}")
    if recipe.codec == "libvorbis":
        with load("soundfile").SoundFile(str(part), "w", recipe.rate, 2, format="OGG", subtype="VORBIS") as file:
            for k in range(seconds):
                file.write(make_second(k, recipe.rate).T)
        part.replace(path)
        return
    with av.open(str(part), "w") as container:
        stream = container.add_stream(recipe.codec, rate=recipe.rate, layout="stereo", options=dict(recipe.options))
        stream.codec_context.format = recipe.sample_format
        if recipe.bit_rate:
            stream.codec_context.bit_rate = recipe.bit_rate
        for k in range(seconds):
            interleaved = np.ascontiguousarray(make_second(k, recipe.rate).T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = recipe.rate, k * recipe.rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.replace(path)


def whole(source: Source) -> np.ndarray:
    """All samples by PyAV, float32 (channels, samples)."""
    with av.open(as_file(source)) as container:
        resampler = av.AudioResampler("fltp")
        pieces = [
            made.to_ndarray()
            for frame in itertools.chain(container.decode(audio=0), [None])
            for made in resampler.resample(frame)
        ]
    return np.concatenate(pieces, axis=1)


def find_sounds(seconds: int, run: Run, names: Sequence[str] = tuple(RECIPES)) -> list[SoundFile]:
    """The files of these recipes, made where the folder does not have them yet."""
    files = []
    for name in names:
        recipe = RECIPES[name]
        path = run.folder / f"sound-{seconds}{''.join(f'-{k}-{v}' for k, v in recipe.options.items())}.{recipe.suffix}"
        try:
            if not path.is_file():
                run.describe(f"generating {name}")
                generate(path, recipe, seconds)
            run.describe(f"reading {name}")
            with av.open(str(path)) as container:
                stream = container.streams.audio[0]
                begin = float((stream.start_time or 0) * stream.time_base)
                samples = sum(frame.samples for frame in container.decode(stream))
            files.append(SoundFile(name, str(path), recipe.rate, samples, begin, recipe))
        except (av.FFmpegError, ValueError, ImportError) as error:  # av.codec.UnknownCodecError, without the encoder
            run.leave_out({name: reason_of(error)})
    return files


def copies(file: SoundFile, count: int, folder: Path) -> list[str]:
    """Paths of so many copies of a file, made where the folder does not have them yet."""
    paths = []
    for k in range(count):
        path = folder / f"{Path(file.path).stem}-copy-{k}.{file.recipe.suffix}"
        if not path.is_file() or path.stat().st_size != Path(file.path).stat().st_size:
            shutil.copy(file.path, path)
        paths.append(str(path))
    return paths
