"""How fast does a stopped run go on?

A Loader has given its batches up to 10, 50 or 90 % of an epoch, and its state is saved. What is timed is the way to the
batch that comes next, uint8 clips of 16 frames, in batches of 8:

- clipx.Loader, from `load_state_dict` to that batch, in a process that has only imported. It is compared with the
  one of the run that was not broken, byte for byte.
- the same Loader, from the start of the epoch to that batch.
- webdataset has no state: the same pipeline is run again, and what it gives up to there is dropped. PyAV with one
  reformatter, whose decoder has as many threads as the Loader, crops in a list, `np.stack`; or slices and `.copy()` of
  arrays; then `wds.shuffle` and `wds.batched`, in one process.
- torchdata's StatefulDataLoader over that pipeline, with two workers: it saves how far it is, and runs up to there.

Of webdataset's clips every one is compared, by the mean of some of its bytes. The fifth batch is timed, too: who has
the first one early and then stands still has won nothing.

A Loader that goes on cuts the clips again that its shuffle held. For a clip of an H.264 video the frames from the key
frame before it are decoded, together two to three times as many as these clips have; a sample of arrays is read whole,
and a gzip'd shard from its beginning. So the time is that of the shuffle, and how often it goes into the way from the
start depends on the epoch: the shuffle is a twentieth of it here, then a tenth and a half. Floors are for at most a
tenth, and plain shards. Where the epoch is about as long as the shuffle, nothing is won.

The videos: H.264 by x264's defaults, key frames 250 apart, 640x360, 32 to 48 seconds, centre crops of 224x224. The
arrays: 112x112 as they are. Shards are plain tars on a local disk, in the page cache.

Then what a state takes: its bytes as JSON, and the time of a call; and batches a second where `state_dict()` is called
after every batch, against never.

Run `python bench/bench_resume.py`, with `--quick` for 90 % alone, and half of the shards and of the shuffle. How the
figures are taken: see `_measure.py`.
"""

from __future__ import annotations

import gc
import gzip
import io
import itertools
import json
import logging
import pickle
import statistics
import time
import warnings
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import click
import numpy as np
import webdataset
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
    print_floors,
    print_header,
    show_ratio,
    spread,
    times_as_fast,
    write_json,
)
from _processes import run_alone
from _videos import Video, find_files, kept_files, load, read_once, texture, write_shard
from av.video.reformatter import VideoReformatter
from rich.console import Console

import clipx
from clipx.loader.budget import divide

LENGTH, BATCH, SEED = 16, 8, 1
THREADS, WORKERS = 2, 2
POINTS = (0.1, 0.5, 0.9)
FASTER = 5.0  # asked for in the last tenth
MOST_STATE_BYTES, MOST_CLIPS = 100_000, 1000
CALLS = 50  # of state_dict, to time one
AFTER = 5  # batches from a point on that are timed together, too
MOST_MEAN_APART = 2.0  # of bytes: decoders' colours differ by a rounding

VIDEOS = ("360p 32 s", "360p 38 s", "360p 42 s", "360p 48 s")
COPIES, CROP = 2, 224  # of each video in a shard
ARRAYS, ARRAY_SHAPE = 10, (800, 112, 112, 3)  # arrays in a shard
FRAMES = {"mp4": (800, 960, 1040, 1200) * COPIES, "npy": ARRAY_SHAPE[:1] * ARRAYS}  # of the samples of a shard
SHAPES = {"mp4": (LENGTH, CROP, CROP, 3), "npy": (LENGTH, *ARRAY_SHAPE[1:])}

RESUME, AGAIN = "clipx, load_state_dict", "clipx, run up to there"
WEBDATASET, STATEFUL = "webdataset, run up to there", "torchdata StatefulDataLoader, 2 workers"
NEVER, EVERY = "never", "after every batch"


class Case(NamedTuple):
    """An epoch that is broken off at some points.

    Attributes:
        field: of the samples: "mp4" or "npy".
        shards: how many.
        shuffled: clips that the shuffle holds.
        gzipped: whether the shards are.
        rivals: that take part.
    """

    field: str
    shards: int
    stride: int
    shuffled: int
    points: tuple[float, ...] = POINTS
    gzipped: bool = False
    rivals: tuple[str, ...] = ()

    @property
    def window(self) -> clipx.WindowSpec:
        return clipx.WindowSpec(LENGTH, self.stride)

    @property
    def clips(self) -> int:
        """Of an epoch."""
        return self.shards * sum(self.window.count(frames) for frames in FRAMES[self.field])

    @property
    def title(self) -> str:
        kind = {"mp4": "H.264", "npy": ".npy"}[self.field] + (", gzip'd" if self.gzipped else "")
        stride = "every frame" if self.stride == LENGTH else f"{LENGTH} frames of {self.stride}"
        return f"{kind}, {stride}, {self.clips:,} clips, shuffle of {self.shuffled:,}"

    @property
    def part(self) -> float:
        """What the shuffle is of the epoch."""
        return self.shuffled / self.clips

    @property
    def memory(self) -> int:
        """The least, in steps of a clip, that gives the Loader a shuffle of so many clips."""
        clip_bytes = int(np.prod(SHAPES[self.field]))
        for memory in itertools.count(self.shuffled * clip_bytes, clip_bytes):
            try:
                budget = divide(
                    memory,
                    clip_bytes,
                    held=self.window.slots(),
                    fields=1,
                    batch_size=BATCH,
                    batches=3,
                    shuffle=True,
                )
            except ValueError:  # too little for anything
                continue
            if budget.shuffled >= self.shuffled:
                return memory
        raise AssertionError

    def batch_at(self, point: float) -> int:
        """Batches before the one that is waited for."""
        return int(point * (self.clips // BATCH))

    def shortened(self) -> Case:
        """Half of it, and the last point alone."""
        return self._replace(shards=self.shards // 2, shuffled=self.shuffled // 2, points=self.points[-1:])

    def without(self, left_out: Collection[str]) -> Case:
        return self._replace(rivals=tuple(name for name in self.rivals if name not in left_out))


CASES = (
    Case("mp4", 4, LENGTH, 100, rivals=(WEBDATASET,)),
    Case("mp4", 4, LENGTH, 200, POINTS[-1:]),
    Case("mp4", 2, LENGTH, 500, POINTS[1:2]),
    Case("mp4", 8, 64, 50),
    Case("npy", 4, LENGTH, 100, rivals=(WEBDATASET, STATEFUL)),
    Case("npy", 2, LENGTH, 50, POINTS[-1:], gzipped=True),
)
TRACKED = (Case("mp4", 1, LENGTH, 100), Case("npy", 4, LENGTH, MOST_CLIPS))


# Shards


def write_arrays(path: Path, gzipped: bool) -> None:
    """Pictures that move over a larger one, each array from a place of its own."""
    frames, height, width, _ = ARRAY_SHAPE
    picture = np.stack([texture(4 * height, 4 * width, seed) for seed in (1, 2, 3)], axis=-1)
    part = path.with_suffix(".part")
    with gzip.open(part, "wb", 1) if gzipped else part.open("wb") as file, webdataset.TarWriter(file) as tar:
        for number in range(ARRAYS):
            x = np.empty(ARRAY_SHAPE, np.uint8)
            for k in range(frames):
                top, left = (number * 29 + k) % (3 * height), (number * 17 + 2 * k) % (3 * width)
                x[k] = picture[top : top + height, left : left + width]
            tar.write({"__key__": f"{path.name.partition('.')[0]}-{number:03d}", "npy": x, "cls": number})
    part.replace(path)


def find_shards(folder: Path, case: Case, videos: Sequence[Video], tell: Callable[[str], None]) -> list[str]:
    """The shards, made where the folder does not have them yet, and read once into the page cache."""
    paths = []
    for number in range(case.shards):
        path = folder / f"resume-{case.field}-{number:03d}.tar{'.gz' if case.gzipped else ''}"
        if not path.is_file():
            tell(f"writing {path.name}")
            if case.field == "mp4":
                write_shard(path, list(videos) * COPIES)
            else:
                write_arrays(path, case.gzipped)
        tell(f"reading {path.name}")
        read_once(path)
        paths.append(str(path))
    return paths


# Contestants, each in a process of its own


def make_loader(case: Case, shards: list[str]) -> clipx.Loader:
    format = clipx.ClipFormat(crop=CROP) if case.field == "mp4" else None
    return clipx.Loader(shards, case.window, format, batch_size=BATCH, memory=case.memory, threads=THREADS, seed=SEED)


def digest(batch: Mapping[str, Any]) -> int:
    """Of all that a batch has."""
    found = 0
    for name in sorted(batch):
        value = batch[name]
        found = zlib.crc32(value if isinstance(value, np.ndarray) else repr(value).encode(), found)
    return found


def digest_clips(case: Case, batch: dict[str, Any]) -> int:
    return digest({"__key__": batch["__key__"], case.field: np.asarray(batch[case.field])})


def means(clips: Any) -> list[float]:
    """Of some bytes of each clip."""
    return [float(mean) for mean in np.asarray(clips)[:, ::5, ::37, ::41].mean(axis=(1, 2, 3, 4))]


def to_later(batches: Iterator[Any], began: float) -> float:
    """Seconds to the last of AFTER batches, the first of which has been had."""
    for _ in itertools.islice(batches, AFTER - 1):
        pass
    return time.perf_counter() - began


def run_up(case: Case, shards: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    """A Loader from the start of an epoch to its last point: seconds, and the states before."""
    loader = make_loader(case, shards)
    places = [case.batch_at(point) for point in case.points]
    seconds, later, digests, states = [], [], [], []
    clips: dict[str, float] = {}
    gc.collect()
    starting()
    began = time.perf_counter()
    for number, batch in enumerate(loader):
        if number in places:
            seconds.append(time.perf_counter() - began)
            digests.append(digest(batch))
        if number + 1 - AFTER in places:
            later.append(time.perf_counter() - began)
        if number + 1 in places:
            states.append(json.dumps(loader.state_dict()))
        for key, made, mean in zip(batch["__key__"], batch["clip.json"], means(batch[case.field])):
            clips[f"{key.rpartition('_')[0]}_{made['start']:06d}"] = mean
        del batch
        if number + 1 == places[-1] + AFTER:
            break
    loader.close()
    return {"seconds": seconds, "later": later, "digests": digests, "states": states, "clips": clips}


def resume(case: Case, shards: list[str], told: str, starting: Callable[[], None]) -> dict[str, Any]:
    loader = make_loader(case, shards)
    gc.collect()
    starting()
    began = time.perf_counter()
    loader.load_state_dict(json.loads(told))
    batches = iter(loader)
    batch = next(batches)
    seconds = time.perf_counter() - began
    digests = [digest(batch)]
    del batch
    later = to_later(batches, began)
    loader.close()
    return {"seconds": [seconds], "later": [later], "digests": digests}


def cropped_frames(data: bytes, case: Case, threads: int, reformatter: VideoReformatter) -> Iterator[tuple[int, Any]]:
    """The frames that clips need, with their numbers."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "AUTO", threads
        for k, frame in enumerate(container.decode(stream)):
            if k % case.stride < LENGTH:
                pixels = reformatter.reformat(frame, format="rgb24", threads=threads).to_ndarray()
                top, left = ((size - CROP) // 2 for size in pixels.shape[:2])
                yield k, pixels[top : top + CROP, left : left + CROP]


def clips_of(case: Case, threads: int, samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    reformatter, from_numpy = VideoReformatter(), load("torch").from_numpy
    for sample in samples:
        rest = {name: value for name, value in sample.items() if name not in (case.field, "__key__")}
        if case.field == "npy":
            x = sample["npy"]
            found = ((k, x[k : k + LENGTH].copy()) for k in range(0, len(x) - LENGTH + 1, case.stride))
        else:
            frames = cropped_frames(sample["mp4"], case, threads, reformatter)
            found = ((pack[0][0], np.stack([pixels for _, pixels in pack])) for pack in packs(frames))
        for start, clip in found:
            yield {"__key__": f"{sample['__key__']}_{start:06d}", case.field: from_numpy(clip), **rest}


def packs(frames: Iterable[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    """Frames of one clip each; what is left at the end makes none."""
    frames = iter(frames)
    while len(pack := list(itertools.islice(frames, LENGTH))) == LENGTH:
        yield pack


def pipeline(case: Case, shards: list[str], workers: int) -> Any:
    """webdataset's: the same batches each time it is run."""
    shuffled = max(case.shuffled // max(workers, 1), 1)
    return (
        webdataset.WebDataset(shards, shardshuffle=len(shards), seed=SEED)
        .decode()
        .compose(partial(clips_of, case, 1 if workers else THREADS))
        .shuffle(shuffled, initial=shuffled, seed=SEED)
        .batched(BATCH)
    )


def run_webdataset(case: Case, shards: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    dataset = pipeline(case, shards, 0)
    places = [case.batch_at(point) for point in case.points]
    seconds, later, digests = [], [], []
    clips: dict[str, float] = {}
    gc.collect()
    starting()
    began = time.perf_counter()
    for number, batch in enumerate(dataset):
        if number in places:
            seconds.append(time.perf_counter() - began)
            digests.append(digest_clips(case, batch))
        if number + 1 - AFTER in places:
            later.append(time.perf_counter() - began)
        clips.update(zip(batch["__key__"], means(batch[case.field])))
        del batch
        if number + 1 == places[-1] + AFTER:
            break
    return {"seconds": seconds, "later": later, "digests": digests, "clips": clips}


def stateful_batches(case: Case, shards: list[str]) -> Any:
    load("torch.utils.data")
    loader = load("torchdata.stateful_dataloader").StatefulDataLoader
    load("torch").set_num_threads(1)
    # It warns that it can only run up to there, which is what is measured.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    return loader(pipeline(case, shards, WORKERS), batch_size=None, num_workers=WORKERS)


def save_stateful(case: Case, shards: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    """The state of a StatefulDataLoader before the last point, and what then comes."""
    loader, found, state = stateful_batches(case, shards), [], b""
    starting()
    for number, batch in enumerate(loader):
        if number + 1 == case.batch_at(case.points[-1]):
            state = pickle.dumps(loader.state_dict())
        if number == case.batch_at(case.points[-1]):
            found.append(digest_clips(case, batch))
    return {"state": state, "digests": found}


def resume_stateful(case: Case, shards: list[str], state: bytes, starting: Callable[[], None]) -> dict[str, Any]:
    loader = stateful_batches(case, shards)
    gc.collect()
    starting()
    began = time.perf_counter()
    loader.load_state_dict(pickle.loads(state))
    batches = iter(loader)
    batch = next(batches)
    seconds = time.perf_counter() - began
    found = digest_clips(case, batch)
    later = to_later(batches, began)
    for _ in batches:  # workers that are ended amid their work can end with an abort
        pass
    return {"seconds": [seconds], "later": [later], "digests": [found]}


# Going on


class Result(NamedTuple):
    """A point of a case: how many clips its state held; all repetitions, to the first and the last of AFTER batches."""

    case: Case
    point: float
    held: int
    samples: dict[str, list[Sample]]
    later: dict[str, list[float]]

    @property
    def title(self) -> str:
        return f"{self.case.title}, at {self.point:.0%}"

    @property
    def floored(self) -> bool:
        """Whether it is what the floor was asked for: the last tenth, a shuffle well below the epoch, plain shards."""
        return self.point >= 0.9 and self.case.part <= 0.1 and not self.case.gzipped

    def seconds(self, name: str) -> float:
        return spread(sample.seconds for sample in self.samples[name]).median

    def ratio(self, name: str) -> float:
        return times_as_fast(self.samples[RESUME], self.samples[name])

    def later_ratio(self, name: str) -> float:
        return statistics.median(b / a for a, b in zip(self.later[RESUME], self.later[name]))


def compare_clips(case: Case, found: Mapping[str, Mapping[str, float]]) -> None:
    """Raise unless those clips that both gave are the same, and each was given once."""
    for name, clips in found.items():
        if len(clips) != BATCH * (case.batch_at(case.points[-1]) + AFTER):
            raise AssertionError(f"{name} gives {len(clips)} different clips of {case.title}")
        both = clips.keys() & found[AGAIN].keys()
        worst = max(abs(clips[key] - found[AGAIN][key]) for key in both)
        if worst > MOST_MEAN_APART:
            raise AssertionError(f"{name} gives other clips of {case.title}: their means are {worst:.2f} apart")


def measure(case: Case, shards: list[str], repeats: int, bar: Bar) -> list[Result]:
    samples: dict[float, dict[str, list[Sample]]] = {point: {} for point in case.points}
    later: dict[float, dict[str, list[float]]] = {point: {} for point in case.points}
    digests: dict[str, list[int]] = {}
    clips: dict[str, dict[str, float]] = {}
    states: list[str] = []

    def turn(name: str, points: Sequence[float], function: Callable[..., dict[str, Any]], *arguments: Any) -> Sample:
        bar.tell(f"{case.title}: {name}")
        found = run_alone(function, case, shards, *arguments, watched=False).found
        for point, seconds, at_last in zip(points, found["seconds"], found["later"], strict=True):
            samples[point].setdefault(name, []).append(Sample(seconds, 0))
            later[point].setdefault(name, []).append(at_last)
        # What goes on gives what the first run gave there, and so does every later run.
        source = AGAIN if name == RESUME else name
        for point, each in zip(points, found.get("digests", ())):
            if digests.setdefault(f"{source} {point}", each) != each:
                raise AssertionError(f"{name} gives another batch of {case.title} at {point:.0%}")
        if "clips" in found:
            clips[name] = found["clips"]
        states[:] = found.get("states", states)
        return samples[points[-1]][name][-1]

    def go_on(at: int) -> Sample:
        return turn(RESUME, case.points[at : at + 1], resume, states[at])

    turns: dict[str, Callable[[], Sample]] = {AGAIN: partial(turn, AGAIN, case.points, run_up)}
    turns |= {f"{RESUME} {at}": partial(go_on, at) for at in range(len(case.points))}
    if WEBDATASET in case.rivals:
        turns[WEBDATASET] = partial(turn, WEBDATASET, case.points, run_webdataset)
    if STATEFUL in case.rivals:
        bar.tell(f"{case.title}: {STATEFUL}, its state")
        found = run_alone(save_stateful, case, shards, watched=False).found
        digests[f"{STATEFUL} {case.points[-1]}"] = found["digests"][0]
        turns[STATEFUL] = partial(turn, STATEFUL, case.points[-1:], resume_stateful, found["state"])
    interleave(turns, repeats, bar.tick)
    compare_clips(case, clips)
    held = [len(json.loads(state)["shuffle"]["held"][0]) for state in states]
    order = (RESUME, AGAIN, *case.rivals)
    return [
        Result(
            case, point, count, {name: samples[point][name] for name in order if name in samples[point]}, later[point]
        )
        for point, count in zip(case.points, held)
    ]


# What a state takes


def keep_track(case: Case, shards: list[str], every: bool, starting: Callable[[], None]) -> dict[str, Any]:
    """Seconds of a whole epoch."""
    loader = make_loader(case, shards)
    gc.collect()
    starting()
    began = time.perf_counter()
    for batch in loader:
        if every:
            loader.state_dict()
        del batch
    return {"seconds": time.perf_counter() - began}


def weigh(case: Case, shards: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    """The state in the middle of an epoch."""
    loader = make_loader(case, shards)
    starting()
    for _ in itertools.islice(loader, case.batch_at(0.5)):
        pass
    state, seconds = loader.state_dict(), []
    for _ in range(CALLS):
        began = time.perf_counter()
        loader.state_dict()
        seconds.append(time.perf_counter() - began)
    loader.close()
    return {"state": state, "seconds": statistics.median(seconds)}


class Kept(NamedTuple):
    """What a state takes in the middle of an epoch, and an epoch with and without `state_dict()`."""

    case: Case
    held: int
    state_bytes: int
    call_seconds: float
    samples: dict[str, list[Sample]]

    @property
    def part(self) -> float:
        """Of the speed without."""
        return times_as_fast(self.samples[EVERY], self.samples[NEVER])

    def batches_per_second(self, name: str) -> float:
        return self.case.clips // BATCH / spread(sample.seconds for sample in self.samples[name]).median


def measure_tracking(case: Case, shards: list[str], repeats: int, bar: Bar) -> Kept:
    def turn(every: bool) -> Sample:
        bar.tell(f"{case.title}: state_dict() {EVERY if every else NEVER}")
        return Sample(run_alone(keep_track, case, shards, every, watched=False).found["seconds"], 0)

    samples = interleave({NEVER: partial(turn, False), EVERY: partial(turn, True)}, repeats, bar.tick)
    found = run_alone(weigh, case, shards, watched=False).found
    state = found["state"]
    return Kept(case, len(state["shuffle"]["held"][0]), len(json.dumps(state)), found["seconds"], samples)


# Showing


def print_results(console: Console, results: Sequence[Result]) -> None:
    """The points of one case."""
    case = results[0].case
    caption = "clipx is: so many times as soon there. held: clips of the shuffle, which are cut again"
    columns = ("at", "how", "held", "seconds", "spread", "clipx is", f"to the {AFTER}th", "clipx is")
    table = make_table(f"{case.title} ({case.part:.0%}), {case.memory / 1e6:,.0f} MB", columns, caption)
    for result in results:
        for name in result.samples:
            seconds = spread(sample.seconds for sample in result.samples[name])
            table.add_row(
                f"{result.point:.0%}" if name == RESUME else "",
                name,
                f"{result.held}" if name == RESUME else "",
                f"{seconds.median:.2f}",
                f"{seconds.low:.2f}..{seconds.high:.2f}",
                show_ratio(result.ratio(name)) if name != RESUME else "",
                f"{statistics.median(result.later[name]):.2f}",
                show_ratio(result.later_ratio(name)) if name != RESUME else "",
                style="bold" if name == RESUME else None,
            )
        table.add_section()
    console.print(table)


def print_tracking(console: Console, results: Sequence[Kept]) -> None:
    table = make_table("Keeping track", ("case", "state_dict()", "batches/s", "spread", "of never"))
    for result in results:
        for name, samples in result.samples.items():
            seconds = spread(sample.seconds for sample in samples)
            batches = result.case.clips // BATCH
            table.add_row(
                result.case.title if name == NEVER else "",
                name,
                f"{batches / seconds.median:.1f}",
                f"{batches / seconds.high:.1f}..{batches / seconds.low:.1f}",
                f"{result.part:.2f}" if name == EVERY else "",
            )
    console.print(table)
    table = make_table("A state in the middle of the epoch", ("case", "held", "bytes of JSON", "ms a call"))
    for result in results:
        call = f"{result.call_seconds * 1e3:.2f}"
        table.add_row(result.case.title, f"{result.held:,}", f"{result.state_bytes:,}", call)
    console.print(table)


def check_floors(results: Sequence[Result], kept: Sequence[Kept]) -> list[Floor]:
    floors = []
    for result in results:
        if result.floored:
            ratio = result.ratio(AGAIN)
            what = f"{result.title}: against running up to there"
            floors.append(Floor(what, f">= {FASTER:.2f}x", f"{ratio:.2f}x", ratio >= FASTER))
    for each in kept:
        if each.held >= MOST_CLIPS:
            what = f"bytes of a state with {each.held:,} clips in the shuffle"
            asked = f"< {MOST_STATE_BYTES:,}"
            floors.append(Floor(what, asked, f"{each.state_bytes:,}", each.state_bytes < MOST_STATE_BYTES))
    return floors


def as_record(result: Result) -> dict[str, Any]:
    return {
        "title": result.title,
        "ours": RESUME,
        "rivals": [name for name in result.samples if name != RESUME],
        "limit": None,
        "held": result.held,
        "shuffle_of_epoch": result.case.part,
        "contestants": {
            name: {
                "to_the_batch": result.seconds(name),
                "clipx_times_as_fast": result.ratio(name),
                "seconds": [sample.seconds for sample in samples],
                "later_seconds": result.later[name],
            }
            for name, samples in result.samples.items()
        },
    }


def as_tracking_record(result: Kept) -> dict[str, Any]:
    contestants = {
        f"clipx, state_dict() {name}": {
            "batches_per_second": result.batches_per_second(name),
            "seconds": [sample.seconds for sample in samples],
        }
        for name, samples in result.samples.items()
    }
    ours, limit = (f"clipx, state_dict() {name}" for name in (EVERY, NEVER))
    return {"title": result.case.title, "ours": ours, "rivals": [], "limit": limit, "contestants": contestants}


def as_state_record(result: Kept) -> dict[str, Any]:
    found = {"state_bytes": result.state_bytes, "call_seconds": result.call_seconds}
    title = f"{result.case.title}, {result.held:,} held"
    return {"title": title, "ours": "clipx", "rivals": [], "limit": None, "contestants": {"clipx": found}}


@click.command(help="A Loader that goes on from its state, against what runs up to there again.")
@click.option("--quick", is_flag=True, help="One repetition of the last point, with half of the shards.")
@click.option("--repeats", type=click.IntRange(1), help="Repetitions.  [default: 3, or 1 with --quick]")
@click.option(
    "--json", "path", type=click.Path(dir_okay=False), default=str(RESULTS / "resume.json"), show_default=True
)
@click.option("--cache", "folder", type=click.Path(file_okay=False), help="Where shards and generated files are kept.")
def main(quick: bool, repeats: int | None, path: str, folder: str | None) -> None:
    repeats = repeats or (1 if quick else 3)
    console = make_console()
    facts = machine("numpy", "av", "webdataset", "torch", "torchdata")
    print_header(console, "How fast does a stopped run go on?", facts)
    console.print(f"{repeats} repetitions; clips of {LENGTH} frames, batches of {BATCH}; {THREADS} threads")
    results: list[list[Result]] = []
    kept = []
    with make_progress(console) as progress:
        bar = Bar(progress, progress.add_task("", total=None))
        files = kept_files(folder)
        found = find_files(files, VIDEOS, bar.tell)
        left_out = dict(found.missing)
        if facts["versions"]["torchdata"] is None:
            left_out[STATEFUL] = "torchdata is not installed"
        wanted = map(Case.shortened, CASES) if quick else CASES
        cases = [case.without(left_out) for case in wanted if case.field != "mp4" or not found.missing]
        tracked = [case for case in TRACKED if case.field != "mp4" or not (quick or found.missing)]
        turns = sum(1 + len(case.points) + len(case.rivals) for case in cases) + 2 * len(tracked)
        progress.update(bar.task, total=repeats * turns)
        for case in cases:
            shards = find_shards(files, case, list(found.videos.values()), bar.tell)
            results.append(measure(case, shards, repeats, bar))
        for case in tracked:
            shards = find_shards(files, case, list(found.videos.values()), bar.tell)
            kept.append(measure_tracking(case, shards, repeats, bar))
    for name, reason in left_out.items():
        console.print(f"{name} is left out: {reason}")
    for points in results:
        print_results(console, points)
    print_tracking(console, kept)
    every = [result for points in results for result in points]
    floors = check_floors(every, kept)
    print_floors(console, floors)
    write_json(
        path,
        machine=facts,
        settings={"quick": quick, "repeats": repeats, "batch": BATCH, "threads": THREADS},
        left_out=left_out,
        results=[as_record(each) for each in every],
        tracking=[as_tracking_record(each) for each in kept],
        states=[as_state_record(each) for each in kept],
        floors=floors,
    )
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
