"""How fast are clips cut from mapped files, and in how much memory?

A shard with one `.npy` member of 4 GB, frames of 224x224x3: clips of 16 frames, a new one every 64 frames, shuffled
with 200 clips. clipx maps the member (`wds.mapped_samples`) and cuts into a pool; webdataset reads it, and its clips
are slices and `.copy()`; for np.memmap the tar's header is looked at first, to tell it where the member lies.

Each contestant runs in a process of its own, on one core, with the page cache warm: PASSES passes, the first of which
touches new memory and is shown apart. Memory is resident memory, mapped pages included, of all passes above that at
the start, when all was imported. The clips of a contestant's first pass are compared by checksum.

Run `python bench/bench_mapped.py`, with `--quick` for a member of 1 GB. How the figures are taken: see `_measure.py`.
"""

from __future__ import annotations

import gc
import io
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import psutil
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
    pin,
    print_floors,
    print_header,
    show_ratio,
    spread,
    times_as_fast,
    write_json,
)
from _processes import run_alone
from _videos import kept_files, read_once
from rich.console import Console

import clipx

FRAME = (224, 224, 3)
BLOCK = 64  # frames that are written at a time
WINDOW = clipx.WindowSpec(length=16, stride=64)
CLIP_BYTES = WINDOW.length * int(np.prod(FRAME))
SHUFFLED, SLOTS = 200, 204
PASSES = 2
MOST_ABOVE_POOL = 60_000_000
CLIPX, HEAP = "clipx, pool", "clipx, heap"
WEBDATASET, MEMMAP = "webdataset, slices .copy()", "np.memmap, slices .copy()"

Clips = Iterator[dict[str, Any]]


# The shard


def write_shard(path: Path, frames: int) -> None:
    """Every block of frames is of its own, and starts with its number."""
    part = path.with_suffix(".part")
    header = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": (frames, *FRAME)}
    np.lib.format.write_array_header_1_0(header, described)
    random = np.random.default_rng(0).integers(0, 256, (BLOCK + 1) * int(np.prod(FRAME)), dtype=np.uint8)
    size = len(header.getvalue()) + frames * int(np.prod(FRAME))
    with tarfile.open(part, "w") as tar:
        entry = tarfile.TarInfo("recording.npy")
        entry.size = size
        tar.addfile(entry)  # the header alone; the bytes follow by hand, block by block
        assert tar.fileobj is not None
        tar.fileobj.write(header.getvalue())
        for first in range(0, frames, BLOCK):
            block = random[first % 4099 :][: min(BLOCK, frames - first) * int(np.prod(FRAME))].copy()
            block[:8] = np.frombuffer(np.int64(first).tobytes(), np.uint8)
            tar.fileobj.write(block)
        tar.fileobj.write(bytes(-size % tarfile.BLOCKSIZE))
        tar.offset += -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    part.replace(path)


def find_shard(folder: Path, frames: int, tell: Callable[[str], None]) -> Path:
    """The shard, made where the folder does not have it yet, and read once into the page cache."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"mapped-{frames}.tar"
    if not path.is_file():
        needed = frames * int(np.prod(FRAME))
        free = shutil.disk_usage(folder).free
        if free < 2 * needed:
            raise click.ClickException(f"{folder} has {free / 1e9:.1f} GB free; the shard takes {needed / 1e9:.1f} GB")
        tell("writing the shard")
        write_shard(path, frames)
    tell("reading the shard")
    read_once(path)
    return path


# Contestants


def slices(samples: Clips) -> Clips:
    for sample in samples:
        x = sample["npy"]
        for start in range(0, len(x) - WINDOW.length + 1, WINDOW.stride):
            yield {"__key__": f"{sample['__key__']}_{start}", "npy": x[start : start + WINDOW.length].copy()}


def mapped_alone(path: str) -> Clips:
    """What a user of np.memmap writes for such a shard."""
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            with open(path, "rb") as file:
                file.seek(member.offset_data)
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                offset = file.tell()
            yield {"__key__": member.name.partition(".")[0], "npy": np.memmap(path, dtype, "r", offset, shape)}


def pipeline(name: str, path: str) -> Any:
    shuffled = webdataset.shuffle(SHUFFLED, initial=SHUFFLED)
    if name in (CLIPX, HEAP):
        pool = clipx.ClipPool(SLOTS, (WINDOW.length, *FRAME)) if name == CLIPX else None
        stage = clipx.wds.clips(WINDOW, pool=pool)
        return webdataset.DataPipeline(clipx.wds.mapped_samples(path), stage, shuffled)
    if name == WEBDATASET:
        return webdataset.WebDataset(path, shardshuffle=False).decode().compose(slices).compose(shuffled)
    return webdataset.DataPipeline(partial(mapped_alone, path), slices, shuffled)


CONTESTANTS = (CLIPX, HEAP, WEBDATASET, MEMMAP)


def run(name: str, path: str, checked: bool, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own: seconds of the passes after the first, and what the memory was."""
    pin()
    gc.collect()
    checksums: list[int] = []
    starting()
    with clipx.memory.Meter(interval=0.005) as meter:
        dataset = pipeline(name, path)
        seconds = []
        for number in range(PASSES):
            began, count = time.perf_counter(), 0
            for sample in dataset:
                count += 1
                if checked and number == 0:
                    checksums.append(zlib.crc32(sample["npy"]))
                del sample
            seconds.append(time.perf_counter() - began)
    return {
        "seconds": sum(seconds[1:]) / (PASSES - 1),
        "first_seconds": seconds[0],
        "clips": count,
        "checksums": sorted(checksums),
        "peak_bytes": meter.peak - meter.start,
    }


class Result(NamedTuple):
    """All repetitions."""

    title: str
    clips: int
    samples: dict[str, list[Sample]]
    peaks: dict[str, list[int]]
    firsts: dict[str, list[float]]

    @property
    def rivals(self) -> list[str]:
        return [name for name in self.samples if not name.startswith("clipx")]

    def seconds(self, name: str) -> float:
        return spread(sample.seconds for sample in self.samples[name]).median

    def ratio(self, name: str) -> float:
        return times_as_fast(self.samples[CLIPX], self.samples[name])

    def peak(self, name: str) -> int:
        return max(self.peaks[name])


def measure(path: Path, frames: int, names: Sequence[str], repeats: int, bar: Bar) -> Result:
    peaks: dict[str, list[int]] = {name: [] for name in names}
    expected = WINDOW.count(frames)
    checksums: dict[str, list[int]] = {}
    firsts: dict[str, list[float]] = {name: [] for name in names}

    def turn(name: str) -> Sample:
        bar.tell(name)
        found = run_alone(run, name, str(path), name not in checksums, watched=False).found
        if name not in checksums:
            checksums[name] = found["checksums"]
            if found["clips"] != expected or found["checksums"] != next(iter(checksums.values())):
                raise AssertionError(f"{name} gives {found['clips']} clips, not {expected}, or others")
        else:  # without the time of checksums
            firsts[name].append(found["first_seconds"])
        peaks[name].append(found["peak_bytes"])
        return Sample(found["seconds"], 0)

    samples = interleave({name: partial(turn, name) for name in names}, repeats, bar.tick)
    title = f"a member of {frames * np.prod(FRAME) / 1e9:.3g} GB, shuffled with {SHUFFLED}"
    return Result(title, expected, samples, peaks, firsts)


# Showing


def print_result(console: Console, result: Result) -> None:
    caption = "peak: resident memory above the start, mapped pages included. clipx is: so many times as fast"
    columns = ("how", "clips", "ms", "spread", "clips/s", "GB/s", "clipx is", "first ms", "peak MB")
    table = make_table(f"{result.title}: {result.clips} clips of {CLIP_BYTES / 1e6:.3g} MB", columns, caption)
    for name in result.samples:
        seconds = spread(sample.seconds for sample in result.samples[name])
        table.add_row(
            name,
            f"{result.clips:,}",
            f"{seconds.median * 1e3:.4g}",
            f"{seconds.low * 1e3:.4g}..{seconds.high * 1e3:.4g}",
            f"{result.clips / seconds.median:,.0f}",
            f"{result.clips * CLIP_BYTES / seconds.median / 1e9:.2f}",
            show_ratio(result.ratio(name)) if name != CLIPX else "",
            f"{spread(result.firsts[name]).median * 1e3:.4g}" if result.firsts[name] else "",
            f"{result.peak(name) / 1e6:,.0f}",
            style="bold" if name == CLIPX else None,
        )
    console.print(table)


def check_floors(result: Result) -> list[Floor]:
    pool = SLOTS * CLIP_BYTES
    over = result.peak(CLIPX) - pool
    asked = f"at most the pool ({pool / 1e6:.0f} MB) +{MOST_ABOVE_POOL / 1e6:.0f} MB"
    floors = [Floor("peak above the start", asked, f"the pool {over / 1e6:+.0f} MB", over <= MOST_ABOVE_POOL)]
    if WEBDATASET in result.samples:
        ratio = result.ratio(WEBDATASET)
        floors.append(Floor(f"clips/s, against {WEBDATASET}", ">= 3.00x", f"{ratio:.2f}x", ratio >= 3))
    return floors


def as_record(result: Result) -> dict[str, Any]:
    return {
        "title": result.title,
        "ours": CLIPX,
        "rivals": result.rivals,
        "limit": None,
        "clips": result.clips,
        "clip_bytes": CLIP_BYTES,
        "contestants": {
            name: {
                "clips_per_second": result.clips / result.seconds(name),
                "clipx_times_as_fast": result.ratio(name),
                "peak_bytes": result.peak(name),
                "first_seconds": result.firsts[name],
                "seconds": [sample.seconds for sample in samples],
            }
            for name, samples in result.samples.items()
        },
    }


def as_memory_record(result: Result) -> dict[str, Any]:
    record = as_record(result)
    peaks = {name: {"peak_bytes": each["peak_bytes"]} for name, each in record["contestants"].items()}
    return {**record, "contestants": peaks}


@click.command(help="Clips of a large array in a shard, mapped and read: speed and memory.")
@click.option("--quick", is_flag=True, help="Few repetitions, and a member of 1 GB.")
@click.option("--repeats", type=click.IntRange(1), help="Repetitions.  [default: 3, or 2 with --quick]")
@click.option(
    "--json", "path", type=click.Path(dir_okay=False), default=str(RESULTS / "mapped.json"), show_default=True
)
@click.option("--cache", "folder", type=click.Path(file_okay=False), help="Where the shard is kept.")
def main(quick: bool, repeats: int | None, path: str, folder: str | None) -> None:
    repeats = repeats or (2 if quick else 3)
    console = make_console()
    facts = machine("numpy", "webdataset")
    print_header(console, "How fast are clips cut from mapped files?", facts)
    console.print(f"{repeats} repetitions, one core; clips of {WINDOW.length} frames, stride {WINDOW.stride}")
    frames = -(-(10**9 if quick else 4 * 10**9) // int(np.prod(FRAME)))
    left_out = {}
    with make_progress(console) as progress:
        bar = Bar(progress, progress.add_task("", total=None))
        shard = find_shard(kept_files(folder), frames, bar.tell)
        names = list(CONTESTANTS)
        needed, free = 2.2 * shard.stat().st_size + SHUFFLED * CLIP_BYTES, psutil.virtual_memory().available
        if needed > free:
            names.remove(WEBDATASET)
            left_out[WEBDATASET] = f"it takes {needed / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are free"
        progress.update(bar.task, total=repeats * len(names))
        result = measure(shard, frames, names, repeats, bar)
    for name, reason in left_out.items():
        console.print(f"{name} is left out: {reason}")
    print_result(console, result)
    floors = check_floors(result)
    print_floors(console, floors)
    write_json(
        path,
        machine=facts,
        settings={"quick": quick, "repeats": repeats, "passes": PASSES, "length": WINDOW.length, "slots": SLOTS},
        left_out=left_out,
        pool_bytes=SLOTS * CLIP_BYTES,
        results=[as_record(result)],
        memory=[as_memory_record(result)],
        floors=floors,
    )
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
