"""How fast does sound become clips?

Ten minutes of stereo as wav, flac, mp3, aac and opus: clips of 2 seconds, a new one every second, float32 at the
file's own rate, channels first and contiguous. From a path; opening and closing the file are timed, too. Rivals decode
the whole file and copy clips out of it, or copy the overlapping blocks that soundfile reads; all clips are dropped as
they come. "decoder alone" is PyAV's decode loop, which makes no samples, of wav with the packets and the probing that
suit it best.

Video with sound: a file whose clips carry their sound, beside the same clips without.

All run on one core. Every contestant's clips are compared once with PyAV's samples of the whole file: those of FFmpeg's
decoders are bit for bit the same, for those of others see MOST_APART. What is not installed is left out, and so are
files that a rival does not read. How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from _bench import Records, Run, command, find_missing, reason_of
from _measure import consume, timed
from _results import CLIPS, CLIPX_IS, MS, OF_LIMIT, SPREAD, Column, Result, results_table
from _videos import DECODER, Job, Video, find_files, load

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
VERSIONS = ("numpy", "av", "soundfile", "torch", "librosa")


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
    """A file, and the number of samples that decoding it gives."""

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


def find_sounds(seconds: int, run: Run) -> list[SoundFile]:
    """The files, made where the folder does not have them yet."""
    files = []
    for name, recipe in RECIPES.items():
        path = run.folder / f"sound-{seconds}.{recipe.suffix}"
        try:
            if not path.is_file():
                run.describe(f"generating {name}")
                generate(path, recipe, seconds)
            run.describe(f"reading {name}")
            with av.open(str(path)) as container:
                samples = sum(frame.samples for frame in container.decode(audio=0))
            files.append(SoundFile(name, str(path), recipe.rate, samples, recipe))
        except (av.FFmpegError, ValueError) as error:  # av.codec.UnknownCodecError, without the encoder
            run.leave_out({name: reason_of(error)})
    return files


# Contestants: from a path to clips (channels, length)


Contestant = Callable[[SoundFile, Any], Iterator[Any]]


def make_pool(file: SoundFile) -> clipx.ClipPool:
    return clipx.ClipPool(-(-SECONDS // STRIDE) + 2, file.clip_shape, "float32")


def clipx_clips(file: SoundFile, pool: clipx.ClipPool) -> Iterator[np.ndarray]:
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


CONTESTANTS: dict[str, tuple[Contestant, tuple[str, ...]]] = {  # and the rivals in MODULES that it needs
    CLIPX: (clipx_clips, ()),
    PYAV: (pyav, ()),
    READ: (soundfile_read, ("soundfile",)),
    BLOCKS: (soundfile_blocks, ("soundfile",)),
    TORCHCODEC: (torchcodec_unfold, ("torchcodec",)),
    LIBROSA: (librosa_frame, ("soundfile", "librosa")),
    DECODER: (decode, ()),
}


def soundfile_reads(file: SoundFile) -> str | None:
    """The reason why soundfile does not read a file; None where it does."""
    try:
        with load("soundfile").SoundFile(file.path) as opened:
            opened.read(1)
    except Exception as error:
        return reason_of(error)
    return None


def check(name: str, clips: Iterable[Any], file: SoundFile, x: np.ndarray) -> float:
    """Raise unless these are the clips of the file; returns the largest difference of a sample from PyAV's."""
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


def run_sound(file: SoundFile, run: Run) -> Result:
    """Time all contestants that can read the file; the others are left out."""
    run.describe(file.name)
    pool, x = make_pool(file), whole(file.path)
    contestants: dict[str, Contestant] = {}
    figures: dict[str, dict[str, float]] = {}
    refused = None if "soundfile" in run.left_out else soundfile_reads(file)
    if refused is not None:
        run.leave_out({f"soundfile, {file.name}": refused})
    for name, (contestant, needs) in CONTESTANTS.items():
        if set(needs) & set(run.left_out) or (refused and "soundfile" in needs):
            continue
        if name != DECODER:
            figures[name] = {"largest_difference": check(name, contestant(file, pool), file, x)}
        contestants[name] = contestant
    del x
    samples = run.interleave(
        {name: partial(timed, lambda each=each: consume(each(file, pool))) for name, each in contestants.items()}
    )
    return Result(
        title=f"sound, {file.name}",
        samples=samples,
        clips=len(file.starts),
        limits=(DECODER,),
        notes=("sound", file.name, f"{file.rate} Hz", f"{file.samples / file.rate:.0f} s"),
        figures=figures,
    )


# Video with sound


def video_clips(job: Job, pool: clipx.ClipPool, audio: clipx.AudioFormat | None) -> Iterator[clipx.Clip]:
    yield from clipx.video.clips(job.video.path, job.window, audio=audio, pool=pool)


def check_sound(job: Job, pool: clipx.ClipPool, audio: clipx.AudioFormat) -> None:
    """Raise unless every clip has its sound, and not all of it is silence."""
    count, loudest = 0, 0.0
    for clip in video_clips(job, pool, audio):
        loudest = max(loudest, float(np.abs(clip.audio).max()))
        count += 1
        del clip
    if count != len(job.starts) or not loudest:
        raise AssertionError(f"{job.video.name} gives {count} clips, the loudest sample {loudest}")


def run_video(video: Video, run: Run) -> Result:
    run.describe(f"{video.name} with sound")
    job = Job(video)
    pool = job.make_pool()
    formats = {OWN_RATE: clipx.AudioFormat(), SPEECH: clipx.AudioFormat(sample_rate=16000, mono=True)}
    for audio in formats.values():
        check_sound(job, pool, audio)
    contestants = {
        name: partial(timed, lambda audio=audio: consume(video_clips(job, pool, audio)))
        for name, audio in {SILENT: None, **formats}.items()
    }
    return Result(
        title=f"video and sound, {video.name}",
        samples=run.interleave(contestants),
        ours=SPEECH,
        clips=len(job.starts),
        limits=(SILENT,),
        notes=("video and sound", video.name, f"{video.width}x{video.height}", f"{video.frames} frames"),
    )


# Both


def difference(result: Result, name: str) -> str:
    apart = result.figures.get(name)
    return "" if apart is None else f"{apart['largest_difference']:.2g}"


def measure(run: Run) -> Records:
    seconds = 120 if run.quick else 600
    run.leave_out(find_missing(MODULES))
    files = find_sounds(seconds, run)
    found = find_files(run.folder, ("bigbuckbunny",), run.describe)
    run.leave_out(found.missing)
    sounds = [run_sound(file, run) for file in files]
    videos = [run_video(video, run) for video in found.videos.values()]
    title = f"Files to clips of {SECONDS} s, stride {STRIDE} s; video clips of 16 frames"
    columns = (MS, SPREAD, CLIPS, OF_LIMIT, CLIPX_IS, Column("apart", difference))
    run.show(results_table(title, [*sounds, *videos], columns, "The limit of video is the same clips without sound."))
    for result in sounds:
        run.floors.fastest_rival(result, 1.2 if result.title in ("sound, wav", "sound, flac") else 0.95)
    for result, name in itertools.product(videos, (OWN_RATE, SPEECH)):
        what = f"{result.title}: time of {name}, against without"
        run.floors.at_most(what, AT_MOST_MORE, 1 / result.of_limit(name))
    run.settings |= {"seconds": SECONDS, "stride_seconds": STRIDE, "file": seconds}
    return {"results": [each.record() for each in (*sounds, *videos)]}


main = command("audio", measure, VERSIONS, (3, 2), quick="few repetitions of shorter files", pinned=True)
if __name__ == "__main__":
    main()
