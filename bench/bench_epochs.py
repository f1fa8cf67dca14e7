"""Does the memory of a Loader grow over its epochs?

EPOCHS epochs of generated 720p videos of 10 seconds (6 frames a second) and of 10 minutes (2 frames a second, 3.3 GB
decoded), to batches of 8 clips, float32 CTHW 224x224, with 1 and with 8 threads; each case once, in a process of its
own. Memory is resident memory above that at the start, when av and torch had been imported.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _bench import Records, Run, command
from _processes import run_alone
from _results import Record, make_record, make_table
from _videos import Video, find_files, load, write_shard

import clipx

BATCH, MEMORY, EPOCHS = 8, 1_000_000_000, 5
WINDOW = clipx.WindowSpec(16, 8)
FORMAT = clipx.ClipFormat(crop=("random", 224), mean="imagenet", order="CTHW")
VIDEOS = {"10 s": 16, "10 min 720p": 2}  # by name, how many are in the shard
THREADS = (1, 8)
MOST_ABOVE, MOST_OF_THREAD, MOST_GROWTH = 60_000_000, 25_000_000, 1.0  # bytes beyond the budget, percent
LOADER = "clipx.Loader"


def run_epochs(shard: str, threads: int, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own: the peak of each epoch, and the curve of the memory."""
    load("torch")
    gc.collect()
    starting()
    peaks, clips, began = [], 0, time.perf_counter()
    with clipx.memory.Meter(interval=0.01) as meter:
        loader = clipx.Loader(shard, WINDOW, FORMAT, batch_size=BATCH, memory=MEMORY, threads=threads, drop_last=False)
        for _ in range(EPOCHS):
            first = len(meter.samples)
            for batch in loader:
                clips += len(batch["__key__"])
                del batch
            meter.sample()
            peaks.append(max(each.rss for each in meter.samples[first:]) - meter.start)
    thinned = meter.samples[:: max(len(meter.samples) // 500, 1)]
    return {
        "epoch_peaks": peaks,
        "peak_bytes": max(peaks),
        "growth": max(peaks[1:]) / peaks[0] - 1,
        "curve": [(each.seconds, each.rss - meter.start) for each in thinned],
        "clips": clips,
        "seconds": time.perf_counter() - began,
    }


def run_video(video: Video, threads: int, run: Run) -> Record:
    count = VIDEOS[video.name]
    shard = run.folder / f"memory-{Path(video.path).stem}-{count}.tar"
    if not shard.is_file():
        write_shard(shard, itertools.repeat(video, count))
    title = f"Loader, {video.name.removesuffix(' 720p')} videos, {threads} thread{'s'[: threads > 1]}"
    run.describe(title)
    found = run_alone(run_epochs, str(shard), threads, watched=False).found
    expected = EPOCHS * count * WINDOW.count(video.frames)
    if found["clips"] != expected:
        raise AssertionError(f"the Loader gives {found['clips']} clips of {video.name}, not {expected}")
    # The time is not of an epoch alone, and is not compared.
    contestant = {name: each for name, each in found.items() if name not in ("clips", "seconds")}
    return make_record(title, LOADER, {LOADER: contestant}, clips=found["clips"], run_seconds=found["seconds"])


def measure(run: Run) -> Records:
    found = find_files(run.folder, [name for name in VIDEOS if not run.quick or name == "10 s"], run.describe)
    run.leave_out(found.missing)
    cases = list(itertools.product(found.videos.values(), THREADS))
    run.expect(len(cases))
    columns = ("case", "", "clips", "seconds", "peak MB", "beyond memory", "allowed", "growth")
    caption = f"resident memory above the start; growth: of the peak of epochs 2 to {EPOCHS} over the first's"
    table = make_table(f"Memory of a Loader of {MEMORY / 1e6:.0f} MB, {EPOCHS} epochs", columns, caption)
    records = []
    for video, threads in cases:
        record = run_video(video, threads, run)
        run.tick()
        records.append(record)
        loader, allowed = record["contestants"][LOADER], MOST_ABOVE + MOST_OF_THREAD * threads
        over, growth = loader["peak_bytes"] - MEMORY, 100 * loader["growth"]
        amounts = (f"{loader['peak_bytes'] / 1e6:,.0f}", f"{over / 1e6:+,.0f}", f"{allowed / 1e6:+,.0f}")
        row = (f"{record['clips']}", f"{record['run_seconds']:.1f}", *amounts, f"{growth:+.2f}%")
        table.add_row(record["title"], "", *row)
        run.floors.bytes_above(f"{record['title']}: peak above the start", "memory", allowed, over)
        run.floors.at_most(f"{record['title']}: growth after the first epoch", MOST_GROWTH, growth, "%")
    run.show(table)
    run.settings |= {"memory": MEMORY, "batch": BATCH, "epochs": EPOCHS}
    return {"memory": records}


VERSIONS = ("numpy", "av", "webdataset", "torch")
main = command("epochs", measure, VERSIONS, (1, 1), quick="no videos of 10 minutes")
if __name__ == "__main__":
    main()
