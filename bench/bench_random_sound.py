"""How fast is one random clip of each of many sounds, or a few clips of a long one?

Clips of 2 s, float32 at the file's own rate, channels first and contiguous, of stereo sounds: wav, flac, mp3, Ogg
Vorbis, Opus, and AAC in m4a as FFmpeg's encoder makes it by default, with noise substitution (PNS), and without.

- first visit: one random clip of each of VISITS copies of a file of 5 s and of one of 5 minutes, from bytes and from
  paths. Files are opened and closed, bytes are new objects and files have a new time before each repetition, so that
  nothing is known of them.
- later visits: the same of one file of 5 minutes, again and again.
- segments: a clip of each of SEGMENTS parts of a file of 5 minutes, which is opened once.
- batches: of BATCH random clips of sounds of 5 s, from shards: by `clipx.Loader` with 1 and 2 threads in one process,
  and by rivals under torch's DataLoader with 2 workers, SPDL in its pipeline with 2 threads. Every contestant runs in a
  process of its own: the first epoch is to warm up, those that follow within LEAST_SECONDS are timed.

Rivals are given the starts of clipx's clips. All but the batches run on one thread. Clips are compared with those of a
full decode by PyAV before they are timed: those of clipx are bit for bit the same. Rivals that give other samples than
by rounding are timed, too, as "inexact", and are not compared with clipx; those that fail, or give less, are left out,
as is what is not installed. How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import webdataset
from _batches import SPDL, Epoch, rival_epochs, time_epochs
from _bench import Records, Run, command, find_missing, reason_of
from _measure import Sample, consume, timed
from _processes import run_alone
from _ranges import LIBROSA, MODULES, PYAV, READS, SOUNDFILE, TORCHAUDIO, TORCHCODEC, WAV, Ranges
from _results import CLIPS, CLIPX_IS, MS, SPREAD, Column, Result, results_table
from _sounds import SoundFile, Source, copies, find_sounds, whole
from _videos import load

import clipx

SECONDS, SHORT, LONG = 2, 5, 300
VISITS, SEGMENTS = {SHORT: 24, LONG: 12}, 20
BATCH, BATCHED = 16, 128
BATCHED_NAMES = ("flac", "mp3", "opus")
MEMORY = 500_000_000
MOST_APART = 1e-4  # of full scale: decoders of lossy formats differ in rounding
FIRST, LATER, PARTS = "first visit", "later visits", "segments"
ORDER = ((FIRST, SHORT), (FIRST, LONG), (LATER, LONG), (PARTS, LONG))
BYTES, PATHS = "bytes", "paths"
CLIPX, ONE, TWO = "clipx", "clipx.Loader, 1 thread", "clipx.Loader, 2 threads"
LOADED = (PYAV, SOUNDFILE, TORCHCODEC, TORCHAUDIO, SPDL)
ASKED = {  # of the fastest rival, of sounds of 5 minutes
    FIRST: {"wav": 1.0, "flac": 0.8, "vorbis": 0.8, "mp3": 0.8, "opus": 0.8, "aac without PNS": 0.7},
    LATER: {"mp3": 1.5, "flac": 1.1, "aac without PNS": 1.2},
}


# Cases


class Case(NamedTuple):
    """A clip of each of the ranges: of the source that stands beside it, or all of one source."""

    scenario: str
    file: SoundFile
    seconds: int
    kind: str
    paths: list[str]
    ranges: list[tuple[int, int]]

    @property
    def title(self) -> str:
        return f"{self.scenario}, {self.file.name}, {self.seconds} s, {self.kind}"

    def sources(self) -> list[Source]:
        """Paths or bytes, of which nothing is known when it is a first visit."""
        if self.kind == PATHS:
            if self.scenario == FIRST:
                for path in self.paths:
                    os.utime(path)
            return list(self.paths)
        data = [Path(path).read_bytes() for path in dict.fromkeys(self.paths)]
        return data * (len(self.paths) // len(data))


def spec_of(file: SoundFile) -> clipx.WindowSpec:
    """One random clip."""
    return clipx.WindowSpec.of_seconds(SECONDS, num_clips=1, sampling="random", fps=file.rate)


def random_ranges(file: SoundFile, count: int) -> list[tuple[int, int]]:
    """Those that clipx draws with the seeds 0, 1, 2 and so on."""
    spec = spec_of(file)
    starts = [int(spec.starts(file.samples, rng=seed)[0]) for seed in range(count)]
    return [(start, start + spec.span) for start in starts]


def spread_ranges(file: SoundFile) -> list[tuple[int, int]]:
    """One in each of equal parts."""
    random, part, length = np.random.default_rng(0), file.samples // SEGMENTS, SECONDS * file.rate
    starts = [k * part + int(random.integers(0, part - length)) for k in range(SEGMENTS)]
    return [(start, start + length) for start in starts]


def find_cases(run: Run) -> list[Case]:
    cases = []
    for seconds in (SHORT, LONG):
        visits = VISITS[seconds] // (2 if run.quick else 1)
        for file in find_sounds(seconds, run):
            ranges, paths = random_ranges(file, visits), copies(file, visits, run.folder)
            cases += [Case(FIRST, file, seconds, kind, paths, ranges) for kind in (BYTES, PATHS)]
            if seconds == LONG:
                kinds = (PATHS,) if run.quick else (BYTES, PATHS)
                cases += [Case(LATER, file, seconds, kind, [file.path] * visits, ranges) for kind in kinds]
                cases.append(Case(PARTS, file, seconds, PATHS, [file.path], spread_ranges(file)))
    return [case for case in cases if run.wants(case.title)]


# Contestants: from sources to clips


Clips = Callable[[Sequence[Source]], Iterator[Any]]


def clipx_clips(case: Case, pool: clipx.ClipPool, sources: Sequence[Source]) -> Iterator[np.ndarray]:
    file = case.file
    if case.scenario == PARTS:
        # Half a sample before the first, as seconds are rounded.
        times = [tuple(file.begin_seconds + (each - 0.5) / file.rate for each in ends) for ends in case.ranges]
        window = clipx.WindowSpec.of_seconds(SECONDS, fps=file.rate)
        for clip in clipx.audio.clips(sources[0], window, segments=times, pool=pool):
            yield clip.data
        return
    spec = spec_of(file)
    for seed, source in enumerate(sources):
        for clip in clipx.audio.clips(source, spec, pool=pool, rng=seed):
            yield clip.data


def rival_clips(name: str, case: Case, sources: Sequence[Source]) -> Iterator[Any]:
    if case.scenario == PARTS:
        yield from READS[name](sources[0], case.ranges, case.file)
        return
    for source, each in zip(sources, case.ranges):
        yield from READS[name](source, [each], case.file)


def difference(clips: Iterable[Any], ranges: Ranges, x: np.ndarray) -> float:
    """The largest difference of a sample from those of a full decode; raises where a clip has another shape."""
    worst = 0.0
    for clip, (start, end) in zip(map(np.asarray, clips), ranges, strict=True):
        if clip.dtype != np.float32 or clip.shape != (2, end - start) or not clip.flags.c_contiguous:
            raise AssertionError(f"a clip is {clip.dtype} {clip.shape}, strides {clip.strides}")
        worst = max(worst, float(np.abs(clip - x[:, start:end]).max()))
        del clip
    return worst


def exact_enough(name: str, file: SoundFile, apart: float) -> bool:
    """Whether samples differ from PyAV's by no more than the rounding of another decoder."""
    return apart <= (0 if name == CLIPX or file.recipe.lossless else MOST_APART)


def find_contestants(
    case: Case, x: np.ndarray, missing: Mapping[str, str], run: Run
) -> tuple[dict[str, Clips], dict[str, dict[str, float]]]:
    """Contestants that read the file, those which are inexact under a name that says so, and how far they differ."""
    pool = clipx.ClipPool(4, (2, SECONDS * case.file.rate), "float32")
    contestants: dict[str, Clips] = {}
    figures: dict[str, dict[str, float]] = {}
    tried = {CLIPX: partial(clipx_clips, case, pool)}
    tried |= {name: partial(rival_clips, name, case) for name in MODULES if name not in missing}
    if case.file.name != "wav":
        tried.pop(WAV, None)
    if case.file.recipe.codec == "aac":
        tried.pop(LIBROSA, None)  # it would start a command for each clip
    if case.seconds == LONG:
        tried.pop(TORCHAUDIO, None)  # it decodes from the start
    for name, clips in tried.items():
        try:
            apart = difference(clips(case.sources()), case.ranges, x)
        except Exception as error:
            if name == CLIPX:
                raise
            run.leave_out({f"{name}, {case.file.name}": reason_of(error)})
            continue
        if name == CLIPX and apart:
            raise AssertionError(f"{CLIPX} gives other samples than a full decode: {case.title}, {apart:g} apart")
        label = name
        if not exact_enough(name, case.file, apart):
            label = f"{name}, inexact"
            run.leave_out({f"{name}, {case.file.name}": f"not compared: its samples are {apart:.2g} apart"})
        contestants[label], figures[label] = clips, {"largest_difference": apart}
    return contestants, figures


def run_case(case: Case, x: np.ndarray, missing: Mapping[str, str], run: Run) -> Result:
    run.describe(case.title)
    contestants, figures = find_contestants(case, x, missing, run)

    def once(clips: Clips) -> Sample:
        sources = case.sources()
        return timed(lambda: consume(clips(sources)))

    samples = run.interleave({name: partial(once, each) for name, each in contestants.items()})
    exact = tuple(name for name in contestants if name != CLIPX and not name.endswith("inexact"))
    facts = {"scenario": case.scenario, "file": case.file.name, "seconds": case.seconds, "source": case.kind}
    return Result(case.title, samples, CLIPX, clips=len(case.ranges), rivals=exact, figures=figures, facts=facts)


# Batches


def clips_of(name: str, file: SoundFile, samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A random clip of each sample."""
    random, length = np.random.default_rng(), SECONDS * file.rate
    for sample in samples:
        start = int(random.integers(0, file.samples - length, endpoint=True))
        [clip] = READS[name](sample[file.recipe.suffix], [(start, start + length)], file)
        yield {file.recipe.suffix: load("torch").as_tensor(clip), "clip.json": {"start": start}}


def make_batches(name: str, shards: list[str], file: SoundFile) -> Epoch:
    """A function that begins an epoch."""
    if name in (ONE, TWO):
        threads = 1 if name == ONE else 2
        settings: dict[str, Any] = {"batch_size": BATCH, "memory": MEMORY, "threads": threads, "drop_last": False}
        return clipx.Loader(shards, spec_of(file), **settings).__iter__
    return rival_epochs(name, shards, partial(clips_of, name, file), file.recipe.suffix, BATCH)


def facts_of(field: str, batch: dict[str, Any]) -> Iterator[tuple[int, np.ndarray]]:
    """Start and some samples of each clip."""
    for made, clip in zip(batch["clip.json"], np.asarray(batch[field]), strict=True):
        yield made["start"], clip[:, ::THINNED].copy()


def run_epochs(name: str, shards: list[str], file: SoundFile, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own."""
    return time_epochs(partial(make_batches, name, shards, file), partial(facts_of, file.recipe.suffix), starting)


def find_shards(file: SoundFile, run: Run) -> list[str]:
    """One for each worker."""
    data, shards = Path(file.path).read_bytes(), []
    for half in range(2):
        path = run.folder / f"random-sound-{file.name}-{BATCHED}-{half}.tar"
        if not path.is_file():
            part = path.with_suffix(".part")
            with webdataset.TarWriter(str(part)) as tar:
                for k in range(BATCHED // 2):
                    tar.write({"__key__": f"{half}-{k:03d}", file.recipe.suffix: data})
            part.replace(path)
        shards.append(str(path))
    return shards


def check_batches(name: str, clips: Sequence[Any], file: SoundFile, x: np.ndarray) -> None:
    """Raise unless there is a clip of each sound, with its samples."""
    if len(clips) != BATCHED:
        raise AssertionError(f"{name} gives {len(clips)} clips of {file.name}, not {BATCHED}")
    for start, found in clips:
        apart = float(np.abs(found - x[:, start : start + SECONDS * file.rate : THINNED]).max())
        if not exact_enough(CLIPX if name in (ONE, TWO) else name, file, apart):
            raise AssertionError(f"{name} gives other samples of {file.name}: {apart:g} apart")


def batch_repeats(run: Run) -> int:
    """Repetitions of batches, each of which starts a process for every contestant."""
    return max(run.repeats // 2, 1)


def batches_title(name: str) -> str:
    return f"batches, {name}, {SHORT} s"


def run_batches(file: SoundFile, missing: Mapping[str, str], run: Run) -> Result:
    title = batches_title(file.name)
    shards, x = find_shards(file, run), whole(file.path)

    def once(name: str) -> Sample:
        run.describe(f"{title}, {name}")
        found = run_alone(run_epochs, name, shards, file, watched=False).found
        check_batches(name, found["clips"], file, x)
        return Sample(found["seconds"])

    names = (ONE, TWO, *(name for name in LOADED if name not in missing))
    samples = run.interleave({name: partial(once, name) for name in names}, batch_repeats(run))
    return Result(title, samples, TWO, clips=BATCHED, facts={"file": file.name})


# All


def shown_difference(result: Result, name: str) -> str:
    apart = result.figures.get(name)
    return "" if apart is None else f"{apart['largest_difference']:.2g}"


def measure(run: Run) -> Records:
    missing = find_missing(MODULES)
    run.leave_out(missing)
    cases = find_cases(run)
    names = [name for name in BATCHED_NAMES[: 1 if run.quick else None] if run.wants(batches_title(name))]
    batched = find_sounds(SHORT, run, names)
    steps = batch_repeats(run) * len(batched) * (2 + len([name for name in LOADED if name not in missing]))
    run.expect(run.repeats * len(cases) * (len(MODULES) - len(missing)) + steps)
    results = []
    for path, group in itertools.groupby(cases, lambda case: case.file.path):
        x = whole(path)
        results += [run_case(case, x, missing, run) for case in group]
    results.sort(key=lambda result: ORDER.index((result.facts["scenario"], result.facts["seconds"])))
    batches = [run_batches(file, missing, run) for file in batched]
    columns = (MS, SPREAD, CLIPS, CLIPX_IS, Column("apart", shown_difference))
    run.show(results_table(f"Clips of {SECONDS} s", results, columns))
    run.show(results_table(f"Batches of {BATCH}, of {BATCHED} sounds", batches, columns[:-1]))
    for result in results:
        asked = ASKED.get(result.facts["scenario"], {}).get(result.facts["file"])
        if asked and result.facts["seconds"] == LONG:
            run.floors.fastest_rival(result, asked)
    run.settings |= {"seconds": SECONDS, "visits": VISITS[LONG], "segments": SEGMENTS, "batch": BATCH, "memory": MEMORY}
    return {"results": [each.record() for each in results], "batches": [each.record() for each in batches]}


THINNED = 16  # clips of batches are compared at every so many samples
VERSIONS = ("numpy", "av", "webdataset", "soundfile", "torch", "torchcodec", "torchaudio", "spdl.io")
main = command("random_sound", measure, VERSIONS, (5, 3), quick="few repetitions, visits and batches", selectable=True)
if __name__ == "__main__":
    main()
