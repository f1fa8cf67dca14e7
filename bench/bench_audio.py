"""How fast does sound become clips?

Ten minutes of stereo as wav, flac, mp3, aac and opus: clips of 2 seconds, a new one every second, float32 at the
file's own rate, channels first and in one piece. From a path; opening and closing the file are timed, too. Rivals
decode the whole file and copy clips out of it, or copy the overlapping blocks that soundfile reads; all clips are
dropped as they come. "decoder alone" is PyAV's decode loop, which makes no samples, of wav
with the packets and the probing that suit it best.

Video with sound: a file whose clips carry their sound, beside the same clips without.

All run on one core. Every contestant's clips are compared once with PyAV's samples of the whole file: those of FFmpeg's
decoders are bit for bit the same, for those of others see MOST_APART.

What is not installed is left out, and so is what a rival does not read. Run `python bench/bench_audio.py`, with
`--quick` for a first look. How the figures are taken: see `_measure.py`.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import click
import numpy as np
from _measure import (
    RESULTS,
    Bar,
    Floor,
    Sample,
    interleave,
    machine,
    make_console,
    make_progress,
    make_table,
    pin,
    print_floors,
    print_header,
    show_ratio,
    spread,
    timed,
    times_as_fast,
    write_json,
)
from _videos import DECODER, Job, Video, find_files, kept_files, load
from rich.console import Console

import clipx

SECONDS, STRIDE = 2, 1
PACKETS = {
    "max_size": "65536",
    "probesize": "32768",
}  # of wav: by default FFmpeg reads far ahead, and 4096 bytes at a time
MOST_APART = 1e-3  # of full scale: decoders of lossy formats differ in rounding
CLIPX, PYAV = "clipx", "PyAV, slices"
READ, BLOCKS = "soundfile, slices", "soundfile, blocks"
TORCHCODEC, LIBROSA = "torchcodec, unfold", "librosa.util.frame"
SILENT, OWN_RATE, SPEECH = "clipx without sound", "clipx with sound", "clipx with sound, 16 kHz mono"
AT_MOST_MORE = 1.25  # of the time without sound

MODULES = {"soundfile": ("soundfile",), "torchcodec": ("torch", "torchcodec.decoders"), "librosa": ("librosa",)}


# Files


class Recipe(NamedTuple):
    """How a file is encoded."""

    suffix: str
    codec: str
    rate: int
    sample_format: str
    bit_rate: int | None = None

    @property
    def lossless(self) -> bool:
        return self.bit_rate is None


RECIPES = {
    "wav": Recipe("wav", "pcm_s16le", 44100, "s16"),
    "flac": Recipe("flac", "flac", 44100, "s16"),
    "mp3": Recipe("mp3", "libmp3lame", 44100, "s16p", 192_000),
    "aac": Recipe("m4a", "aac", 44100, "fltp", 128_000),
    "opus": Recipe("opus", "libopus", 48000, "s16", 96_000),
}


class SoundFile(NamedTuple):
    """A file, and as many samples as decoding it gives."""

    name: str
    path: str
    rate: int
    samples: int
    recipe: Recipe

    @property
    def length(self) -> int:
        return SECONDS * self.rate

    @property
    def stride(self) -> int:
        return STRIDE * self.rate

    @property
    def starts(self) -> range:
        return range(0, self.samples - self.length + 1, self.stride)

    @property
    def clip_shape(self) -> tuple[int, int]:
        return (2, self.length)


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
    part = path.with_suffix(f".part.{recipe.suffix}")
    with av.open(str(part), "w") as container:
        stream = container.add_stream(recipe.codec, rate=recipe.rate, layout="stereo")
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


def find_sounds(folder: Path, seconds: int, tell: Callable[[str], None]) -> tuple[list[SoundFile], dict[str, str]]:
    """The files, made where the folder does not have them yet, and why others are missing."""
    files, missing = [], {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, recipe in RECIPES.items():
        path = folder / f"sound-{seconds}.{recipe.suffix}"
        try:
            if not path.is_file():
                tell(f"generating {name}")
                generate(path, recipe, seconds)
            tell(f"reading {name}")
            with av.open(str(path)) as container:
                samples = sum(frame.samples for frame in container.decode(audio=0))
            files.append(SoundFile(name, str(path), recipe.rate, samples, recipe))
        except (av.FFmpegError, ValueError) as error:  # av.codec.UnknownCodecError, without the encoder
            missing[name] = f"{type(error).__name__}: {error}"
    return files, missing


# Contestants: from a path to clips (channels, length)


Contestant = Callable[[SoundFile, Any], Iterator[Any]]


def make_pool(file: SoundFile) -> clipx.ClipPool:
    return clipx.ClipPool(-(-SECONDS // STRIDE) + 2, file.clip_shape, "float32")


def cut(file: SoundFile, pool: clipx.ClipPool) -> Iterator[np.ndarray]:
    window = clipx.WindowSpec.of_seconds(SECONDS, stride=STRIDE, fps=file.rate)
    for clip in clipx.audio.clips(file.path, window, pool=pool):
        yield clip.data


def decode(file: SoundFile, pool: Any) -> Iterator[Any]:
    with av.open(file.path, container_options=PACKETS if file.name == "wav" else {}) as container:
        for _ in container.decode(audio=0):
            pass
    return iter(())


def whole(path: str) -> np.ndarray:
    """All samples by PyAV, (channels, samples)."""
    with av.open(path) as container:
        resampler = av.AudioResampler("fltp")
        pieces = [
            made.to_ndarray()
            for frame in itertools.chain(container.decode(audio=0), [None])
            for made in resampler.resample(frame)
        ]
    return np.concatenate(pieces, axis=1)


def pyav(file: SoundFile, pool: Any) -> Iterator[np.ndarray]:
    x = whole(file.path)
    for start in file.starts:
        yield x[:, start : start + file.length].copy()


def soundfile_read(file: SoundFile, pool: Any) -> Iterator[np.ndarray]:
    x, _ = load("soundfile").read(file.path, dtype="float32", always_2d=True)
    for start in range(0, len(x) - file.length + 1, file.stride):
        yield np.ascontiguousarray(x[start : start + file.length].T)


def soundfile_blocks(file: SoundFile, pool: Any) -> Iterator[np.ndarray]:
    """Blocks that overlap are what soundfile has for windows; each is overwritten by the next."""
    settings = {"blocksize": file.length, "overlap": file.length - file.stride, "dtype": "float32", "always_2d": True}
    for block in load("soundfile").blocks(file.path, **settings):
        if len(block) == file.length:
            yield np.ascontiguousarray(block.T)


def torchcodec_unfold(file: SoundFile, pool: Any) -> Iterator[Any]:
    load("torch").set_num_threads(1)
    samples = load("torchcodec.decoders").AudioDecoder(file.path).get_all_samples()
    for clip in samples.data.unfold(1, file.length, file.stride).unbind(1):
        yield clip.contiguous()


def librosa_frame(file: SoundFile, pool: Any) -> Iterator[np.ndarray]:
    x, _ = load("soundfile").read(file.path, dtype="float32", always_2d=True)
    for frame in load("librosa").util.frame(x, frame_length=file.length, hop_length=file.stride, axis=0):
        yield np.ascontiguousarray(frame.T)


CONTESTANTS: dict[str, tuple[Contestant, tuple[str, ...]]] = {
    CLIPX: (cut, ()),
    PYAV: (pyav, ()),
    READ: (soundfile_read, ("soundfile",)),
    BLOCKS: (soundfile_blocks, ("soundfile",)),
    TORCHCODEC: (torchcodec_unfold, ("torchcodec",)),
    LIBROSA: (librosa_frame, ("soundfile", "librosa")),
    DECODER: (decode, ()),
}


def find_missing() -> dict[str, str]:
    """Rivals that cannot be loaded, and why."""
    missing = {}
    for rival, modules in MODULES.items():
        try:
            for module in modules:
                load(module)
        except Exception as error:  # torchcodec raises RuntimeError where FFmpeg's libraries are not found
            missing[rival] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return missing


def soundfile_reads(file: SoundFile) -> str | None:
    """Why soundfile does not read a file; None where it does."""
    try:
        with load("soundfile").SoundFile(file.path) as opened:
            opened.read(1)
    except Exception as error:
        return str(error)
    return None


def check(name: str, clips: Iterable[Any], file: SoundFile, x: np.ndarray) -> float:
    """Raise unless these are the clips of the file. How far a sample is from PyAV's at most."""
    count, worst = 0, 0.0
    for clip in map(np.asarray, clips):
        start = count * file.stride
        if clip.dtype != np.float32 or clip.shape != file.clip_shape or not clip.flags.c_contiguous:
            raise AssertionError(f"{name} gives {clip.dtype} {clip.shape}, strides {clip.strides} of {file.name}")
        worst = max(worst, float(np.abs(clip - x[:, start : start + file.length]).max()))
        count += 1
        del clip
    if count != len(file.starts):
        raise AssertionError(f"{name} gives {count} clips of {file.name}, not {len(file.starts)}")
    if worst > (MOST_APART if name not in (CLIPX, PYAV) and not file.recipe.lossless else 0):
        raise AssertionError(f"{name} gives other samples of {file.name}: {worst:g} apart")
    return worst


class Result(NamedTuple):
    """A case: its samples by contestant, the clips of a turn, and how far each is from PyAV's samples."""

    title: str
    note: str
    clips: int
    samples: dict[str, list[Sample]]
    ours: str
    limit: str
    differences: Mapping[str, float] = {}

    @property
    def rivals(self) -> list[str]:
        return [name for name in self.samples if not name.startswith(CLIPX) and name != self.limit]

    @property
    def fastest_rival(self) -> str | None:
        return min(self.rivals, key=self.seconds, default=None)

    def seconds(self, name: str) -> float:
        return spread(sample.seconds for sample in self.samples[name]).median

    def ratio(self, name: str) -> float:
        return times_as_fast(self.samples[self.ours], self.samples[name])

    def of_limit(self, name: str) -> float:
        return times_as_fast(self.samples[name], self.samples[self.limit])


def consume(run: Callable[..., Iterator[Any]], *arguments: Any) -> None:
    for clip in run(*arguments):
        del clip


def run_sound(file: SoundFile, missing: dict[str, str], repeats: int, bar: Bar) -> Result:
    """What cannot read the file is added to `missing`, and so is what reads another number of samples."""
    bar.tell(file.name)
    pool, x = make_pool(file), whole(file.path)
    turns, differences = {}, {}
    refused = "soundfile is not there" if "soundfile" in missing else soundfile_reads(file)
    if refused and "soundfile" not in missing:
        missing[f"soundfile, {file.name}"] = refused
    for name, (run, needs) in CONTESTANTS.items():
        if set(needs) & set(missing) or (refused and "soundfile" in needs):
            continue
        if name != DECODER:
            differences[name] = check(name, run(file, pool), file, x)
        turns[name] = partial(timed, partial(consume, run, file, pool))
    del x
    samples = interleave(turns, repeats, bar.progress.refresh)
    note = f"{file.rate} Hz, {file.samples / file.rate:.0f} s"
    return Result(f"sound, {file.name}", note, len(file.starts), samples, CLIPX, DECODER, differences)


# Video with sound


def video_clips(job: Job, pool: clipx.ClipPool, audio: clipx.AudioFormat | None) -> Iterator[clipx.Clip]:
    yield from clipx.video.clips(job.video.path, job.window, audio=audio, pool=pool)


def check_sound(job: Job, pool: clipx.ClipPool, audio: clipx.AudioFormat) -> None:
    """Raise unless every clip has its sound, and some of it is none of silence."""
    count, loudest = 0, 0.0
    for clip in video_clips(job, pool, audio):
        loudest = max(loudest, float(np.abs(clip.audio).max()))
        count += 1
        del clip
    if count != len(job.starts) or not loudest:
        raise AssertionError(f"{job.video.name} gives {count} clips, the loudest sample {loudest}")


def run_video(video: Video, repeats: int, bar: Bar) -> Result:
    bar.tell(f"{video.name} with sound")
    job = Job(video)
    pool = job.make_pool()
    formats = {OWN_RATE: clipx.AudioFormat(), SPEECH: clipx.AudioFormat(sample_rate=16000, mono=True)}
    for audio in formats.values():
        check_sound(job, pool, audio)
    turns = {
        name: partial(timed, partial(consume, video_clips, job, pool, audio))
        for name, audio in {SILENT: None, **formats}.items()
    }
    samples = interleave(turns, repeats, bar.progress.refresh)
    note = f"{video.width}x{video.height}, {video.frames} frames"
    return Result(f"video and sound, {video.name}", note, len(job.starts), samples, SPEECH, SILENT)


# Showing


def print_results(console: Console, results: Sequence[Result]) -> None:
    caption = "of limit: speed as a part of the decoder alone, or of the same clips without sound.\n"
    caption += "clipx is: so many times as fast. *: fastest rival"
    columns = ("case", "how", "ms", "spread", "clips/s", "of limit", "clipx is", "apart")
    table = make_table(f"Files to clips of {SECONDS} s, stride {STRIDE} s; video clips of 16 frames", columns, caption)
    for result in results:
        table.add_section()
        notes = [*result.title.split(", "), *result.note.split(", ")]
        for name, note in itertools.zip_longest(result.samples, notes, fillvalue=""):
            if not name:
                table.add_row(note)
                continue
            seconds = spread(sample.seconds for sample in result.samples[name])
            apart = result.differences.get(name)
            table.add_row(
                note,
                f"{name} *" if name == result.fastest_rival else name,
                f"{seconds.median * 1e3:.4g}",
                f"{seconds.low * 1e3:.4g}..{seconds.high * 1e3:.4g}",
                "" if name == DECODER else f"{result.clips / seconds.median:,.0f}",
                f"{result.of_limit(name):.2f}",
                show_ratio(result.ratio(name)) if name in result.rivals else "",
                "" if apart is None else f"{apart:.2g}",
                style="bold" if name == result.ours else None,
            )
    console.print(table)


def check_floors(sounds: Sequence[Result], videos: Sequence[Result]) -> list[Floor]:
    floors = []
    for result in sounds:
        asked = 1.2 if result.title.rpartition(" ")[2] in ("wav", "flac") else 0.95
        name = result.fastest_rival
        assert name is not None
        ratio = result.ratio(name)
        what = f"{result.title}: against the fastest rival, {name}"
        floors.append(Floor(what, f">= {asked:.2f}x", f"{ratio:.2f}x", ratio >= asked))
    for result in videos:
        for name in (OWN_RATE, SPEECH):
            more = 1 / result.of_limit(name)
            what = f"{result.title}: time of {name}, against without"
            floors.append(Floor(what, f"<= {AT_MOST_MORE:.2f}x", f"{more:.2f}x", more <= AT_MOST_MORE))
    return floors


def as_record(result: Result) -> dict[str, Any]:
    return {
        "title": result.title,
        "note": result.note,
        "ours": result.ours,
        "rivals": result.rivals,
        "limit": result.limit,
        "clips": result.clips,
        "fastest_rival": result.fastest_rival,
        "contestants": {
            name: {
                "clips_per_second": result.clips / result.seconds(name),
                "of_limit": result.of_limit(name),
                "clipx_times_as_fast": result.ratio(name),
                "largest_difference": result.differences.get(name),
                "seconds": [sample.seconds for sample in samples],
            }
            for name, samples in result.samples.items()
        },
    }


@click.command(help="Speed of cutting sound from files, beside its rivals, and of video with its sound.")
@click.option("--quick", is_flag=True, help="Few repetitions of shorter files.")
@click.option("--repeats", type=click.IntRange(1), help="Repetitions of every case.  [default: 3, or 2 with --quick]")
@click.option("--json", "path", type=click.Path(dir_okay=False), default=str(RESULTS / "audio.json"), show_default=True)
@click.option("--cache", "folder", type=click.Path(file_okay=False), help="Where generated files are kept.")
def main(quick: bool, repeats: int | None, path: str, folder: str | None) -> None:
    repeats = repeats or (2 if quick else 3)
    pin()
    console = make_console()
    missing = find_missing()
    facts = machine("numpy", "av", *(module for name, (module, *_) in MODULES.items() if name not in missing))
    print_header(console, "How fast does sound become clips?", facts)
    seconds = 120 if quick else 600
    console.print(f"{repeats} repetitions, one core; {seconds} s of stereo, clips of {SECONDS} s, stride {STRIDE} s")
    gc.collect()
    gc.freeze()  # the collections between turns need not go through what was imported
    with make_progress(console) as progress:
        bar = Bar(progress, progress.add_task("", total=None))
        files, unmade = find_sounds(kept_files(folder), seconds, bar.tell)
        found = find_files(kept_files(folder), ("bigbuckbunny",), bar.tell)
        missing |= {**unmade, **found.missing}
        progress.update(bar.task, total=len(files) + len(found.videos))
        sounds, videos = [], []
        for file in files:
            sounds.append(run_sound(file, missing, repeats, bar))
            bar.tick()
        for video in found.videos.values():
            videos.append(run_video(video, repeats, bar))
            bar.tick()
    for name, reason in missing.items():
        console.print(f"{name} is left out: {reason}")
    print_results(console, [*sounds, *videos])
    floors = check_floors(sounds, videos)
    print_floors(console, floors)
    settings = {"quick": quick, "repeats": repeats, "seconds": SECONDS, "stride_seconds": STRIDE, "file": seconds}
    results = [as_record(each) for each in (*sounds, *videos)]
    write_json(path, machine=facts, settings=settings, left_out=missing, results=results, floors=floors)
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
