"""What the benchmarks share: the machine they ran on, contestants measured in turn, tables and JSON.

Contestants take turns: a repetition runs each of them once, in an order that is rotated from one repetition to the
next and reversed in every other one, so that drift of the machine and what the one before left behind meet all alike.
A contestant's figure is the median over the repetitions. Ratios are taken within a repetition, where both sides ran
close together in time, and the median of these is shown. Spreads are the lowest and the highest repetition.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

RESULTS = Path(__file__).parent / "results"
CPU = Path("/sys/devices/system/cpu/cpu0/cache")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


# Measuring


class Sample(NamedTuple):
    """One turn: seconds of a call (the median, where it was called several times), and minor page faults of a call."""

    seconds: float
    faults: float


def minor_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0


def timed(function: Callable[[], object], calls: int = 1) -> Sample:
    """One turn. Several calls back to back come after one that is not counted, which brings its data into the cache.

    What the function returns is dropped inside the timing: its user pays for giving memory back, too.
    """
    if calls > 1:
        function()
    seconds = []
    faults = minor_faults()
    for _ in range(calls):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return Sample(statistics.median(seconds), (minor_faults() - faults) / calls)


def interleave(
    turns: Mapping[str, Callable[[], Sample]], repeats: int, tick: Callable[[], None]
) -> dict[str, list[Sample]]:
    """The samples of every contestant, one a repetition. `tick` is called between turns, never during one."""
    samples: dict[str, list[Sample]] = {name: [] for name in turns}
    names = list(turns)
    for repeat in range(repeats):
        at = repeat % len(names)
        order = names[at:] + names[:at]
        for name in order[::-1] if repeat % 2 else order:
            gc.collect()
            samples[name].append(turns[name]())
            tick()
    return samples


class Spread(NamedTuple):
    """Median, lowest and highest of the repetitions."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def times_as_fast(ours: list[Sample], theirs: list[Sample]) -> float:
    """How many times as fast `ours` is: the median over the repetitions. Below 1 it is slower."""
    return statistics.median(b.seconds / a.seconds for a, b in zip(ours, theirs))


# The limits of the memory


FLAT_COPIES = ("flat block, np.copyto", "flat block, clipx")
FLAT_WRITES = ("flat block, memset", "flat block, clipx's stores")
ALWAYS_STREAM = 1 << 62
WRITTEN_BLOCK = 1 << 16  # stays in the cache while it is written again and again


def flat_copies(out: np.ndarray) -> dict[str, Callable[[], object]]:
    """Copies of one block of as many bytes as `out` has."""
    from clipx import _kernel

    target = out.reshape(1, -1)
    block = np.ones_like(target)
    first = np.zeros(1, np.int64)
    return {
        FLAT_COPIES[0]: partial(np.copyto, target, block),
        FLAT_COPIES[1]: partial(_kernel.gather, block, target, first, None, ALWAYS_STREAM),
    }


def flat_writes(out: np.ndarray) -> dict[str, Callable[[], object]]:
    """Writes of as many bytes as `out` has, to within a block, that read nothing from memory.

    Not of zeros: there are processors that write these at twice the speed.
    """
    from clipx import _kernel

    target = out.reshape(-1).view(np.uint8)
    target = target[: target.size // WRITTEN_BLOCK * WRITTEN_BLOCK].reshape(-1, WRITTEN_BLOCK)
    block = np.random.default_rng(0).integers(1, 256, (1, WRITTEN_BLOCK), dtype=np.uint8)
    first = np.zeros(len(target), np.int64)
    return {
        FLAT_WRITES[0]: partial(ctypes.memset, target.ctypes.data, 1, target.size),
        FLAT_WRITES[1]: partial(_kernel.gather, block, target, first, None, ALWAYS_STREAM),
    }


# The machine


def pin() -> None:
    """Keep this process, and those it starts, on one core, where the system lets it."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        process.cpu_affinity(process.cpu_affinity()[-1:])


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    caches = {}
    for index in sorted(CPU.glob("index*")):
        with contextlib.suppress(OSError):
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
            if kind != "Instruction":
                caches[f"L{level}"] = size
    return caches


def _huge_pages() -> str:
    with contextlib.suppress(OSError):
        return HUGE_PAGES.read_text().partition("[")[2].partition("]")[0]
    return "unknown"


def machine(*modules: str) -> dict[str, Any]:
    """What was measured on, and the versions of `modules`; None for those that are not installed."""
    import clipx

    versions: dict[str, str | None] = {"python": platform.python_version(), "clipx": clipx.__version__}
    for name in modules:
        try:
            versions[name] = str(import_module(name).__version__)
        except ImportError:
            versions[name] = None
    return {
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(),
        "caches": _caches(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "huge_pages": _huge_pages(),
        "load": psutil.getloadavg()[0],
        "simd": clipx.simd,
        "versions": versions,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


# Showing


def make_console() -> Console:
    """A console that is wide enough for the tables where the output is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def print_header(console: Console, question: str, facts: Mapping[str, Any]) -> None:
    caches = ", ".join(f"{level} {size}" for level, size in facts["caches"].items())
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in facts["versions"].items())
    console.print(f"[bold]{question}[/bold]")
    console.print(
        f"{facts['cpu']}, {facts['cores']} cores, {caches or 'caches unknown'}, "
        f"{facts['memory_bytes'] / 2**30:.0f} GiB, {facts['system']}, huge pages: {facts['huge_pages']}"
    )
    console.print(f"{versions}, clipx.simd {facts['simd']}; load at the start {facts['load']:.1f}")


def make_progress(console: Console) -> Progress:
    """A progress bar that draws only when told to: no thread of its own runs beside what is measured."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        auto_refresh=False,
        transient=True,
    )


class Bar(NamedTuple):
    """The progress bar; it draws when told to."""

    progress: Progress
    task: TaskID

    def tell(self, text: str) -> None:
        self.progress.update(self.task, description=text, refresh=True)

    def tick(self) -> None:
        self.progress.advance(self.task)
        self.progress.refresh()


def make_table(title: str, columns: Iterable[str], caption: str | None = None) -> Table:
    """A table whose first two columns hold text, the others numbers."""
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < 2 else "right", no_wrap=True)
    return table


def show_ratio(ratio: float) -> str:
    """`times_as_fast` for a table, red where clipx is slower by more than noise."""
    return f"[red]{ratio:.2f}x[/red]" if ratio < 0.95 else f"{ratio:.2f}x"


class Floor(NamedTuple):
    """What was asked of a figure, and what came out."""

    what: str
    asked: str
    measured: str
    met: bool


def print_floors(console: Console, floors: Iterable[Floor]) -> None:
    table = Table(title="Floors", title_justify="left")
    for name in ("what", "asked", "measured", ""):
        table.add_column(name)
    for floor in floors:
        table.add_row(
            floor.what, floor.asked, floor.measured, "[green]met[/green]" if floor.met else "[red]missed[/red]"
        )
    console.print(table)


def write_json(path: str | os.PathLike[str], **content: Any) -> None:
    """Write named tuples as objects, and make the folder.

    What `report.py` shows is a list of records that have a title, contestants (their figures by name), the names of
    ours, of its rivals and of the limit; and `floors`.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            value = value._asdict()
        if isinstance(value, Mapping):
            return {key: plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(plain(content), indent=1) + "\n")
