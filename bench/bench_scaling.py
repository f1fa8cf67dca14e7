"""What would more cores do for a Loader?

A Loader's batches with 1, 2, 4 and 8 threads, of 720p videos cropped to 224x224 and of small ones, and a model of more
cores than this machine has. Its parts are measured:

- decode: CPU time of the decoder alone for the frames of a clip.
- clips: CPU time of `clipx.video.clips` for it, decoding included.
- Loader: CPU time of all threads for it, from the shard to the batch.
- under the GIL: how long a thread holds it for a clip. py-spy looks at the process while batches are taken, and counts
  how often a thread has the GIL. No number of cores gives more clips a second than fit into a second of it.
- memory: bytes that a clip writes into its slot, and that its batch reads and writes, against what flat copies on all
  cores of this machine reach side by side.

The model says that n threads on n cores give 1 / max(Loader / n, under the GIL, bytes / bandwidth) clips a second. With
1 and 2 threads it stands beside what was measured; above, processes that share the work (a DataLoader's workers, or
ranks) go past the GIL's bound, not past the memory's. Every contestant runs in a process of its own.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _bench import Records, Run, command
from _measure import Sample, consume, spread
from _processes import run_alone
from _results import Column, Record, Result, make_record, results_table
from _videos import DECODER, LENGTH, STRIDE, Job, Video, clipx_clips, decode, find_files, recode, write_shard

import clipx

BATCH, MEMORY, CROP = 8, "1GB", 224
THREADS, CORES = (1, 2, 4, 8), (1, 2, 4, 8, 16, 32, 64)
SECONDS, QUICK_SECONDS = 8.0, 3.0
RATE = 200  # times a second that py-spy looks
SMALL = 112
COPIES = {"720p": 6, "small": 24}  # of the video in the shard
ASKED = {"720p": 0.05, "small": 0.15}  # of a core under the GIL, at full speed, at most
FORMATS = {"720p": clipx.ClipFormat(crop=CROP), "small": clipx.ClipFormat()}
SPY = "py-spy"


# In a process of its own


class Spy:
    """Counts how often a thread of this process holds the GIL while the block runs; `share` is None without py-spy."""

    def __init__(self) -> None:
        self.share: float | None = None
        self._path = shutil.which(SPY)

    def __enter__(self) -> Spy:
        self._folder = tempfile.TemporaryDirectory()
        self._out = Path(self._folder.name) / "stacks"
        if self._path:
            arguments = [
                "record",
                "--gil",
                "--nonblocking",
                "--rate",
                str(RATE),
                "--format",
                "raw",
                "--duration",
                "600",
            ]
            command = [self._path, *arguments, "--output", str(self._out), "--pid", str(os.getpid())]
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        seconds = time.perf_counter() - self._began
        if self._path:
            self._process.send_signal(2)  # as Ctrl-C: it writes what it has
            self._process.wait(30)
            if self._out.is_file():
                held = sum(int(line.rpartition(" ")[2]) for line in self._out.read_text().splitlines())
                self.share = held / (RATE * seconds)
        self._folder.cleanup()


def run_loader(shard: str, kind: str, threads: int, seconds: float, starting: Callable[[], None]) -> dict[str, Any]:
    """Clips a second, CPU seconds of a clip, and the share of the time that the GIL is held, or None."""
    window = clipx.WindowSpec(LENGTH, STRIDE)
    loader = clipx.Loader([shard], window, FORMATS[kind], batch_size=BATCH, memory=MEMORY, threads=threads)
    consume(loader)  # warms up
    starting()
    clips = 0
    with Spy() as spy:
        began, cpu_began = time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            for batch in loader:
                clips += len(batch["__key__"])
                del batch
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return {"seconds": elapsed / clips, "cpu_seconds": cpu / clips, "share": spy.share}


def run_part(name: str, video: Video, kind: str, seconds: float, starting: Callable[[], None]) -> dict[str, Any]:
    """CPU seconds of a clip, with one thread."""
    job = Job(video)
    pool = clipx.ClipPool(job.slots, job.clip_shape)
    run: Callable[[], Any] = partial(decode, job, pool)
    if name != DECODER:
        run = partial(clipx_clips, job, pool, FORMATS[kind])
    consume(run())
    starting()
    began, cpu_began, runs = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
        consume(run())
        runs += 1
    return {"cpu_seconds": (time.process_time() - cpu_began) / (runs * len(job.starts))}


def copied_per_second(cores: int) -> float:
    """Bytes that flat copies of large blocks read and write in a second, on so many threads side by side."""
    blocks = [(np.ones(1 << 26, np.uint8), np.ones(1 << 26, np.uint8)) for _ in range(cores)]
    barrier = threading.Barrier(cores)

    def copy(target: np.ndarray, block: np.ndarray) -> float:
        barrier.wait()
        began = time.perf_counter()
        for _ in range(4):
            np.copyto(target, block)
        return time.perf_counter() - began

    with ThreadPoolExecutor(cores) as executor:
        seconds = max(executor.map(copy, *zip(*blocks)))
    return cores * 4 * 2 * (1 << 26) / seconds


# The model


def modelled(parts: Mapping[str, float], cores: int) -> tuple[float, str]:
    """Clips a second of as many threads as cores, and what bounds them."""
    times = {"CPU": parts["loader"] / cores, "memory": parts["memory"]}
    if "gil" in parts:
        times["GIL"] = parts["gil"]
    bound = max(times, key=lambda name: times[name])
    return 1 / times[bound], bound


def run_kind(kind: str, video: Video, run: Run, bandwidth: float) -> tuple[Result, Record]:
    shard = run.folder / f"scaling-{Path(video.path).stem}.tar"
    if not shard.is_file():
        write_shard(shard, itertools.repeat(video, COPIES[kind]))
    seconds = QUICK_SECONDS if run.quick else SECONDS
    found: dict[str, list[dict[str, Any]]] = {}

    def measured(name: str, function: Callable[..., dict[str, Any]], *arguments: Any) -> Sample:
        run.describe(f"{kind}, {name}")
        figures = run_alone(function, *arguments, seconds, watched=False).found
        found.setdefault(name, []).append(figures)
        return Sample(figures.get("seconds", figures["cpu_seconds"]))

    names = {threads: f"clipx.Loader, {threads} thread{'s' * (threads > 1)}" for threads in THREADS}
    contestants: dict[str, Callable[[], Sample]] = {
        name: partial(measured, name, run_part, name, video, kind) for name in (DECODER, "clipx.video.clips, 1 thread")
    }
    contestants |= {
        names[threads]: partial(measured, names[threads], run_loader, str(shard), kind, threads) for threads in THREADS
    }
    samples = run.interleave(contestants)

    def median(name: str, figure: str) -> float | None:
        values = [each[figure] for each in found[name] if each.get(figure) is not None]
        return spread(values).median if values else None

    cpu = {name: median(name, "cpu_seconds") or 0.0 for name in contestants}
    size = CROP if kind == "720p" else SMALL
    clip_bytes = LENGTH * size * size * 3
    # Written into the slot; read there and written into the batch.
    parts = {"decode": cpu[DECODER], "loader": cpu[names[2]], "memory": 3 * clip_bytes / bandwidth}
    shares = {name: median(name, "share") for name in names.values()}
    if shares[names[2]] is not None:
        parts["gil"] = (shares[names[2]] or 0.0) * spread(each.seconds for each in samples[names[2]]).median
    figures: dict[str, dict[str, float | None]] = {
        name: {"cpu_ms": cpu[name] * 1e3, "gil_share": shares.get(name), "clips_per_second": None}
        for name in contestants
    }
    for name in names.values():
        figures[name]["clips_per_second"] = 1 / spread(each.seconds for each in samples[name]).median
    title = f"{kind}, {video.width}x{video.height}"
    result = Result(title, samples, names[2], clips=1, limits=(DECODER,), figures=figures)
    model = {f"{cores} cores": dict(zip(("clips_per_second", "bound"), modelled(parts, cores))) for cores in CORES}
    record = make_record(title, "2 cores", model, rivals=(), parts={name: each * 1e3 for name, each in parts.items()})
    return result, record


def measure(run: Run) -> Records:
    files = find_files(run.folder, ("720p",), run.describe)
    run.leave_out(files.missing)
    if not shutil.which(SPY):
        run.leave_out({"the share under the GIL": f"{SPY} is not installed"})
    if "720p" not in files.videos:
        return {"results": [], "model": []}
    large = files.videos["720p"]
    videos = {"720p": large, "small": recode(large, SMALL, SMALL, large.frames, 25, 48, run.folder)}
    cores = os.cpu_count() or 1
    bandwidth = spread(copied_per_second(cores) for _ in range(run.repeats + 2)).median
    run.settings |= {"bandwidth": bandwidth, "cores": cores}
    run.expect(len(videos) * (len(THREADS) + 2) * run.repeats)
    pairs = [run_kind(kind, video, run, bandwidth) for kind, video in videos.items()]

    def figure(name: str, text: str) -> Callable[[Result, str], str]:
        def show(result: Result, contestant: str) -> str:
            value = result.figures[contestant][name]
            return "" if value is None else format(value, text)

        return show

    columns = (
        Column("clips/s", figure("clips_per_second", ",.0f")),
        Column("CPU ms a clip", figure("cpu_ms", ".3f")),
        Column("GIL held", figure("gil_share", ".0%")),
    )
    run.show(results_table("A Loader on this machine", [result for result, _ in pairs], columns))
    for kind, (_, record) in zip(videos, pairs):
        text = ", ".join(f"{name} {ms:.3f}" for name, ms in record["parts"].items())
        model = record["contestants"].items()
        rows = ", ".join(f"{cores}: {each['clips_per_second']:,.0f} ({each['bound']})" for cores, each in model)
        run.show(f"{record['title']}: ms a clip: {text}", f"modelled clips/s, by what bounds them: {rows}")
        share = pairs[list(videos).index(kind)][0].figures["clipx.Loader, 2 threads"]["gil_share"]
        if share is not None:
            run.floors.at_most(f"{record['title']}: GIL held, 2 threads, of a core", ASKED[kind], share)
    return {"results": [result.record() for result, _ in pairs], "model": [record for _, record in pairs]}


main = command("scaling", measure, ("numpy", "av"), (3, 1), quick="one repetition, and shorter")
if __name__ == "__main__":
    main()
