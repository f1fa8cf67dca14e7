"""How near are the kernel's rows to what the first cache can do, each by itself?

The kernel writes clips in rows: functions that convert, pack or copy a strip of a few hundred pixels in the first
cache. Each is timed alone, by every implementation that this processor runs (see `CLIPX_SIMD`), in nanoseconds a pixel
or, of rows that know no pixels, a byte. The limit copies as many bytes, and reads or fills those that are read or
written beyond these, likewise in the first cache. The row that writes past the cache is timed on memory that no cache
holds.

_rows.c is compiled for it as the kernel is, from the kernel's own headers, which needs a C compiler (`CC`). All run on
one core. How the figures are measured: see `_measure.py`.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from _bench import Records, Run, command
from _measure import Sample
from _questions import HERE
from _results import OF_LIMIT, Column, Result, results_table

STRIP = 512  # pixels of a call
CALLS = 4000  # of a sample
PAST_THE_CACHE, LARGE = "stream, past the cache", 64 << 20
LIMIT = "bytes copied and filled"
HEADERS = HERE.parent / "clipx" / "_kernel"


class Task(NamedTuple):
    """A row on some numbers, and the bytes that it reads and writes for each pixel or byte."""

    number: int
    name: str
    read: float
    written: float


def build(folder: Path) -> ctypes.CDLL:
    """The library of _rows.c. Raises ClickException where it cannot be compiled."""
    library = folder / "rows.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = ["-O3", "-ffp-contract=off", "-shared", "-fPIC", f"-I{HEADERS}"]
    compiled = subprocess.run(
        [*compiler, *flags, "-o", str(library), str(HERE / "_rows.c")], capture_output=True, text=True, check=False
    )
    if compiled.returncode:
        raise click.ClickException(f"_rows.c cannot be compiled: {compiled.stderr.strip()}")
    rows = ctypes.CDLL(str(library))
    rows.clipx_bench_task.restype = rows.clipx_bench_implementation.restype = ctypes.c_char_p
    rows.clipx_bench_run.restype = ctypes.c_double
    number, size, pointer = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p
    rows.clipx_bench_run.argtypes = [number, number, pointer, pointer, size, number]
    return rows


def tasks_of(rows: ctypes.CDLL) -> Iterator[Task]:
    read, written = ctypes.c_double(), ctypes.c_double()
    number = 0
    while name := rows.clipx_bench_task(number, ctypes.byref(read), ctypes.byref(written)):
        yield Task(number, name.decode(), read.value, written.value)
        number += 1


def implementations_of(rows: ctypes.CDLL) -> dict[str, int]:
    """Those that this processor runs, best first."""
    found, number = {}, 0
    while (name := rows.clipx_bench_implementation(number)) is not None:
        if name:
            found[name.decode()] = number
        number += 1
    return found


def room(size: int) -> np.ndarray:
    """Bytes below 255 from a boundary of 64 on."""
    bytes_ = np.random.default_rng(0).integers(0, 255, size + 64, dtype=np.uint8)
    return bytes_[-bytes_.ctypes.data % 64 :][:size]


def run_task(rows: ctypes.CDLL, task: Task, implementations: dict[str, int], run: Run) -> Result:
    run.describe(task.name)
    large = task.name == PAST_THE_CACHE
    n, calls = (LARGE, 2) if large else (STRIP, CALLS)
    src, dst = room(int(n * task.read)), room(int(n * task.written))

    def timed(implementation: int) -> Sample:
        timing = partial(rows.clipx_bench_run, task.number, implementation, src.ctypes.data, dst.ctypes.data, n)
        timing(1)
        return Sample(timing(calls) / calls)

    names = {name: f"clipx, {name}" for name in implementations}
    contestants = {names[name]: partial(timed, number) for name, number in implementations.items()}
    samples = run.interleave({**contestants, LIMIT: partial(timed, -1)})
    ours = next(iter(contestants))
    result = Result(task.name, samples, ours, limits=(LIMIT,), facts={"implementations": names, "n": n})
    return replace(result, figures={name: {"nanoseconds": result.seconds(name) / n * 1e9} for name in samples})


def nanoseconds(result: Result, name: str) -> str:
    return f"{result.figures[name]['nanoseconds']:.3f}"


def measure(run: Run) -> Records:
    rows = build(run.folder)
    tasks, implementations = list(tasks_of(rows)), implementations_of(rows)
    run.expect(run.repeats * len(tasks) * (len(implementations) + 1))
    results = [run_task(rows, task, implementations, run) for task in tasks]
    columns = (Column("ns", nanoseconds), OF_LIMIT)
    run.show(results_table("Rows, by implementation", results, columns, "ns: a pixel or byte."))
    run.settings |= {"strip": STRIP}
    return {"results": [each.record() for each in results]}


main = command("rows", measure, repeats=(15, 5), quick="few repetitions", pinned=True)
if __name__ == "__main__":
    main()
