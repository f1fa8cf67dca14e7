"""How fast does sound become clips?

Ten minutes of stereo as wav, flac, mp3, Ogg Vorbis, Opus and AAC: clips of 2 seconds, a new one every second, float32
at the file's own rate, channels first and contiguous. From a path; opening and closing the file are timed, too. Rivals
decode the whole file and copy clips out of it, or copy the overlapping blocks that soundfile reads; all clips are
dropped as they come. "decoder alone" is PyAV's decode loop, which makes no samples, of wav with the packets and the
probing that suit it best.

Video with sound: a file whose clips carry their sound, beside the same clips without.

All run on one core. Every contestant's clips are compared once with PyAV's samples of the whole file: those of FFmpeg's
decoders are bit for bit the same, for those of others see MOST_APART. What is not installed is left out, and so are
files that a rival does not read. How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import av
import numpy as np
from _bench import Records, Run, command, find_missing, reason_of
from _measure import consume, timed
from _results import CLIPS, CLIPX_IS, MS, OF_LIMIT, SPREAD, Column, Result, results_table
from _sounds import SoundFile, find_sounds, whole
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
TORCHCODEC, WAV = "torchcodec, unfold", "torchcodec WavDecoder, unfold"
SPDL, LIBROSA = "SPDL, slices", "librosa.util.frame"
SILENT, OWN_RATE, SPEECH = "clipx without sound", "clipx with sound", "clipx with sound, 16 kHz mono"
AT_MOST_MORE = 1.25  # of the time without sound

NAMES = ("wav", "flac", "mp3", "vorbis", "opus", "aac")
MODULES = {
    "soundfile": ("soundfile",),
    "torchcodec": ("torch", "torchcodec.decoders"),
    "SPDL": ("spdl.io",),
    "librosa": ("librosa",),
}
VERSIONS = ("numpy", "av", "soundfile", "torch", "torchcodec", "spdl.io", "librosa")
ASKED = {"wav": (1.5, None), "flac": (1.05, 0.78)}  # of the fastest rival, of the decoder alone


# Contestants: from a path to clips (channels, length)


Contestant = Callable[[SoundFile, Any], Iterator[Any]]


def length_of(file: SoundFile) -> int:
    """Samples of a clip."""
    return SECONDS * file.rate


def stride_of(file: SoundFile) -> int:
    return STRIDE * file.rate


def starts_of(file: SoundFile) -> range:
    return range(0, file.samples - length_of(file) + 1, stride_of(file))


def clip_shape_of(file: SoundFile) -> tuple[int, int]:
    return (2, length_of(file))


def make_pool(file: SoundFile) -> clipx.ClipPool:
    return clipx.ClipPool(-(-SECONDS // STRIDE) + 2, clip_shape_of(file), "float32")


def clipx_clips(file: SoundFile, pool: clipx.ClipPool) -> Iterator[np.ndarray]:
    window = clipx.WindowSpec.of_seconds(SECONDS, stride=STRIDE, fps=file.rate)
    for clip in clipx.audio.clips(file.path, window, pool=pool):
        yield clip.data


def decode(file: SoundFile, pool: Any) -> Iterator[Any]:
    with av.open(file.path, container_options=PACKETS if file.name == "wav" else {}) as container:
        for _ in container.decode(audio=0):
            pass
    return iter(())


def pyav(file: SoundFile, pool: Any) -> Iterator[np.ndarray]:
    x = whole(file.path)
    for start in starts_of(file):
        yield x[:, start : start + length_of(file)].copy()


def soundfile_read(file: SoundFile, pool: Any) -> Iterator[np.ndarray]:
    x, _ = load("soundfile").read(file.path, dtype="float32", always_2d=True)
    for start in range(0, len(x) - length_of(file) + 1, stride_of(file)):
        yield np.ascontiguousarray(x[start : start + length_of(file)].T)


def soundfile_blocks(file: SoundFile, pool: Any) -> Iterator[np.ndarray]:
    """Blocks that overlap are what soundfile has for windows; each is overwritten by the next."""
    settings = {
        "blocksize": length_of(file),
        "overlap": length_of(file) - stride_of(file),
        "dtype": "float32",
        "always_2d": True,
    }
    for block in load("soundfile").blocks(file.path, **settings):
        if len(block) == length_of(file):
            yield np.ascontiguousarray(block.T)


def torchcodec_unfold(file: SoundFile, pool: Any, decoder: str = "AudioDecoder") -> Iterator[Any]:
    load("torch").set_num_threads(1)
    samples = getattr(load("torchcodec.decoders"), decoder)(file.path).get_all_samples()
    for clip in samples.data.unfold(1, length_of(file), stride_of(file)).unbind(1):
        yield clip.contiguous()


def librosa_frame(file: SoundFile, pool: Any) -> Iterator[np.ndarray]:
    x, _ = load("soundfile").read(file.path, dtype="float32", always_2d=True)
    for frame in load("librosa").util.frame(x, frame_length=length_of(file), hop_length=stride_of(file), axis=0):
        yield np.ascontiguousarray(frame.T)


def spdl_slices(file: SoundFile, pool: Any) -> Iterator[np.ndarray]:
    module = load("spdl.io")
    x = module.to_numpy(module.load_audio(file.path))
    for start in starts_of(file):
        yield x[:, start : start + length_of(file)].copy()


CONTESTANTS: dict[str, tuple[Contestant, tuple[str, ...]]] = {  # and the rivals in MODULES that it needs
    CLIPX: (clipx_clips, ()),
    PYAV: (pyav, ()),
    READ: (soundfile_read, ("soundfile",)),
    BLOCKS: (soundfile_blocks, ("soundfile",)),
    TORCHCODEC: (torchcodec_unfold, ("torchcodec",)),
    WAV: (partial(torchcodec_unfold, decoder="WavDecoder"), ("torchcodec",)),
    SPDL: (spdl_slices, ("SPDL",)),
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
        start = count * stride_of(file)
        if clip.dtype != np.float32 or clip.shape != clip_shape_of(file) or not clip.flags.c_contiguous:
            raise AssertionError(f"{name} gives {clip.dtype} {clip.shape}, strides {clip.strides} of {file.name}")
        worst = max(worst, float(np.abs(clip - x[:, start : start + length_of(file)]).max()))
        count += 1
        del clip
    if count != len(starts_of(file)):
        raise AssertionError(f"{name} gives {count} clips of {file.name}, not {len(starts_of(file))}")
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
        if set(needs) & set(run.left_out) or (refused and "soundfile" in needs) or (name == WAV and file.name != "wav"):
            continue
        if name != DECODER:
            try:
                figures[name] = {"largest_difference": check(name, contestant(file, pool), file, x)}
            except Exception as error:
                if name == CLIPX:
                    raise
                run.leave_out({f"{name}, {file.name}": reason_of(error)})
                continue
        contestants[name] = contestant
    del x
    samples = run.interleave(
        {name: partial(timed, lambda each=each: consume(each(file, pool))) for name, each in contestants.items()}
    )
    return Result(
        title=f"sound, {file.name}",
        samples=samples,
        clips=len(starts_of(file)),
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
    files = find_sounds(seconds, run, [name for name in NAMES if run.wants(f"sound, {name}")])
    shown = [name for name in ("bigbuckbunny",) if run.wants(f"video and sound, {name}")]
    found = find_files(run.folder, shown, run.describe)
    run.leave_out(found.missing)
    sounds = [run_sound(file, run) for file in files]
    videos = [run_video(video, run) for video in found.videos.values()]
    title = f"Files to clips of {SECONDS} s, stride {STRIDE} s; video clips of 16 frames"
    columns = (MS, SPREAD, CLIPS, OF_LIMIT, CLIPX_IS, Column("apart", difference))
    run.show(results_table(title, [*sounds, *videos], columns, "The limit of video is the same clips without sound."))
    for file, result in zip(files, sounds):
        of_rival, of_decoder = ASKED.get(file.name, (1.0, None))
        run.floors.fastest_rival(result, of_rival)
        if of_decoder is not None:
            run.floors.at_least(f"{result.title}: against the decoder alone", of_decoder, result.of_limit(CLIPX))
    for result, name in itertools.product(videos, (OWN_RATE, SPEECH)):
        what = f"{result.title}: time of {name}, against without"
        run.floors.at_most(what, AT_MOST_MORE, 1 / result.of_limit(name))
    run.settings |= {"seconds": SECONDS, "stride_seconds": STRIDE, "file": seconds}
    return {"results": [each.record() for each in (*sounds, *videos)]}


main = command(
    "audio", measure, VERSIONS, (3, 2), quick="few repetitions of shorter files", pinned=True, selectable=True
)
if __name__ == "__main__":
    main()
