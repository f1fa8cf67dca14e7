"""Is a Loader as fast without the GIL as with it? To be run by a free-threaded Python: python3.14t bench/gil.py

Batches of generated videos, 320x240 cropped to 224x224, are taken in processes of their own whose GIL is on and off in
turn. Prints the clips a second of each, and the median ratio for each number of threads; above 1 is faster without.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import click
from _videos import generate, inspect, write_shard

import clipx

VIDEOS, FRAMES, FPS, BATCH = 8, 300, 30, 8
THREADS = (1, 2)


def clips_per_second(shard: str, threads: int, seconds: float) -> float:
    """Of a Loader in this process, after a first epoch."""
    spec, format = clipx.WindowSpec(16, 8), clipx.ClipFormat(crop=224)
    loader = clipx.Loader([shard], spec, format, batch_size=BATCH, memory="500MB", threads=threads, drop_last=False)
    clips, began = 0, None
    while began is None or time.perf_counter() - began < seconds:
        for batch in loader:
            clips += len(batch["__key__"])
            del batch
        if began is None:
            clips, began = 0, time.perf_counter()
    return clips / (time.perf_counter() - began)


def in_process(gil: str, shard: Path, threads: int, seconds: float) -> float:
    """`clips_per_second` in a new process, whose GIL is "1" (on) or "0" (off)."""
    command = [sys.executable, __file__, "--shard", str(shard), "--threads", str(threads), "--seconds", str(seconds)]
    ran = subprocess.run(command, env={**os.environ, "PYTHON_GIL": gil}, stdout=subprocess.PIPE, text=True, check=True)
    return float(ran.stdout)


@click.command()
@click.option("--repeats", default=5, show_default=True, help="Processes of each kind.")
@click.option("--seconds", default=5.0, show_default=True, help="That each takes batches for.")
@click.option("--shard", hidden=True)
@click.option("--threads", default=1, hidden=True)
def main(repeats: int, seconds: float, shard: str | None, threads: int) -> None:
    """Compare a Loader with and without the GIL."""
    if shard is not None:
        print(clips_per_second(shard, threads, seconds))
        return
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise click.ClickException(f"{sys.executable} is not a free-threaded Python, such as python3.14t")
    with tempfile.TemporaryDirectory() as folder:
        path, made = Path(folder) / "video.mp4", Path(folder) / "videos.tar"
        generate(path, 240, 320, FRAMES, FPS, "veryfast")
        write_shard(made, [inspect("generated", path)] * VIDEOS)
        for count in THREADS:
            pairs = [[in_process(gil, made, count, seconds) for gil in ("1", "0")] for _ in range(repeats)]
            for on, off in pairs:
                print(f"{count} thread{'s' * (count > 1)}: {on:.1f} clips/s with the GIL, {off:.1f} without")
            print(f"{count} thread{'s' * (count > 1)}: {statistics.median(off / on for on, off in pairs):.3f} times")


if __name__ == "__main__":
    main()
