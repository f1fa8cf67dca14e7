"""How fast are clips made from mapped files, and in how much memory?

A shard with one `.npy` member of 4 GB, frames of 224x224x3: clips of 16 frames, a new one every 64 frames, shuffled
with 200 clips. clipx maps the member (`wds.mapped_samples`) and writes clips into a pool; webdataset reads it, and its
clips are slices and `.copy()`; for np.memmap the header of the tar gives the member's position.

Each contestant runs in a process of its own, on one core, with the page cache warm: PASSES passes, the first of which
touches new memory and is shown apart. Memory is resident memory, mapped pages included, of all passes above that at
the start, when all was imported. The clips of a contestant's first pass are compared by checksum. How the figures are
measured: see `_measure.py`.
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
from typing import Any

import click
import numpy as np
import psutil
import webdataset
from _bench import Records, Run, command
from _machine import pin
from _measure import Sample, spread
from _processes import run_alone
from _results import CLIPS, CLIPX_IS, GIGABYTES, MS, SPREAD, Column, Result, make_record, results_table
from _videos import read_once

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
FASTER = 3.0

Clips = Iterator[dict[str, Any]]


# The shard


def write_shard(path: Path, frames: int) -> None:
    """Write blocks of frames that all differ; each begins with its number."""
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


def find_shard(frames: int, run: Run) -> Path:
    """The shard, made where the folder does not have it yet, and read once into the page cache."""
    folder = run.folder
    path = folder / f"mapped-{frames}.tar"
    if not path.is_file():
        needed = frames * int(np.prod(FRAME))
        free = shutil.disk_usage(folder).free
        if free < 2 * needed:
            raise click.ClickException(f"the cache has {free / 1e9:.1f} GB free; the shard takes {needed / 1e9:.1f} GB")
        run.describe("writing the shard")
        write_shard(path, frames)
    run.describe("reading the shard")
    read_once(path)
    return path


# Contestants


def slices(samples: Clips) -> Clips:
    for sample in samples:
        x = sample["npy"]
        for start in range(0, len(x) - WINDOW.length + 1, WINDOW.stride):
            yield {"__key__": f"{sample['__key__']}_{start}", "npy": x[start : start + WINDOW.length].copy()}


def mapped_alone(path: str) -> Clips:
    """The samples as a user of np.memmap finds them."""
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


def run_passes(name: str, path: str, checked: bool, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own: seconds of the passes after the first, and the peak of the memory."""
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


def run_shard(path: Path, frames: int, names: Sequence[str], run: Run) -> Result:
    peaks: dict[str, list[int]] = {name: [] for name in names}
    expected = WINDOW.count(frames)
    checksums: dict[str, list[int]] = {}
    firsts: dict[str, list[float]] = {name: [] for name in names}

    def once(name: str) -> Sample:
        run.describe(name)
        found = run_alone(run_passes, name, str(path), name not in checksums, watched=False).found
        if name not in checksums:
            checksums[name] = found["checksums"]
            if found["clips"] != expected or found["checksums"] != next(iter(checksums.values())):
                raise AssertionError(f"{name} gives {found['clips']} clips, not {expected}, or others")
        else:  # without the time of checksums
            firsts[name].append(found["first_seconds"])
        peaks[name].append(found["peak_bytes"])
        return Sample(found["seconds"])

    samples = run.interleave({name: partial(once, name) for name in names})
    return Result(
        title=f"a member of {frames * np.prod(FRAME) / 1e9:.3g} GB, shuffled with {SHUFFLED}",
        samples=samples,
        ours=CLIPX,
        clips=expected,
        clip_bytes=CLIP_BYTES,
        notes=(f"{expected} clips", f"of {CLIP_BYTES / 1e6:.3g} MB"),
        figures={name: {"peak_bytes": max(peaks[name]), "first_seconds": firsts[name]} for name in names},
    )


def measure(run: Run) -> Records:
    frames = -(-(10**9 if run.quick else 4 * 10**9) // int(np.prod(FRAME)))
    shard = find_shard(frames, run)
    names = list(CONTESTANTS)
    needed, free = 2.2 * shard.stat().st_size + SHUFFLED * CLIP_BYTES, psutil.virtual_memory().available
    if needed > free:
        names.remove(WEBDATASET)
        run.leave_out({WEBDATASET: f"it needs {needed / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are free"})
    run.expect(run.repeats * len(names))
    result = run_shard(shard, frames, names, run)

    def first(result: Result, name: str) -> str:
        firsts = result.figures[name]["first_seconds"]
        return f"{spread(firsts).median * 1e3:.4g}" if firsts else ""

    peak = Column("peak MB", lambda result, name: f"{result.figures[name]['peak_bytes'] / 1e6:,.0f}")
    columns = (MS, SPREAD, CLIPS, GIGABYTES, CLIPX_IS, Column("first ms", first), peak)
    caption = "first: of the first pass. peak: resident memory above the start, mapped pages included."
    run.show(results_table(result.title, [result], columns, caption))
    pool = SLOTS * CLIP_BYTES
    over = result.figures[CLIPX]["peak_bytes"] - pool
    run.floors.bytes_above("peak above the start", "the pool", MOST_ABOVE_POOL, over)
    run.floors.fastest_rival(result, FASTER)
    run.settings |= {"passes": PASSES, "length": WINDOW.length, "slots": SLOTS, "pool_bytes": pool}
    peaks = {name: {"peak_bytes": each["peak_bytes"]} for name, each in result.figures.items()}
    return {"results": [result.record()], "memory": [make_record(result.title, CLIPX, peaks)]}


main = command("mapped", measure, ("numpy", "webdataset"), (3, 2), quick="few repetitions, and a member of 1 GB")
if __name__ == "__main__":
    main()
