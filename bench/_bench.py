"""The command that every benchmark is: its options, its progress, its tables, its floors and its file of results.

A benchmark is a function of a Run that measures, shows tables and floors, and returns its records by key; `command`
makes it the program `bench_<name>.py`. What is shown of the records on the page, `_questions.py` says.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import psutil
from _machine import machine, pin
from _measure import CLOCK, Sample, interleave
from _paths import without_paths
from _questions import QUESTIONS, RESULTS
from _results import Floors, Record
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Records = Mapping[str, Sequence[Record]]


def make_console() -> Console:
    """A console wide enough for the tables where the output is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)


def make_progress(console: Console) -> Progress:
    """A progress bar without a thread of its own, which would run beside what is measured."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        auto_refresh=False,
        transient=True,
    )


def reason_of(error: BaseException) -> str:
    """Type and first line of an error, without paths and addresses."""
    line = re.sub(r"<[\w.]+ object at 0x\w+>", "it", str(error).strip().partition(chr(10))[0])
    return without_paths(f"{type(error).__name__}: {line}")


def find_missing(rivals: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Rivals whose modules cannot be imported, and why."""
    missing = {}
    for rival, modules in rivals.items():
        try:
            for module in modules:
                import_module(module)
        except Exception as error:  # torchcodec raises RuntimeError where FFmpeg's libraries are missing
            missing[rival] = reason_of(error)
    return missing


class Run:
    """A run of a benchmark.

    Attributes:
        quick: few repetitions and cases.
        repeats: repetitions of a case.
        folder: where generated files are kept.
        floors: filled by the benchmark.
        left_out: contestants and files that are not measured, and why.
        settings: more of them, for the file of results.
    """

    def __init__(self, quick: bool, repeats: int, folder: Path, progress: Progress, only: str = "") -> None:
        self.quick, self.repeats, self.folder = quick, repeats, folder
        self.floors, self.left_out = Floors(), dict[str, str]()
        self.settings: dict[str, Any] = {"quick": quick, "repeats": repeats}
        self.tables: list[Table | str] = []
        self._only = re.compile(only)
        self._progress, self._task = progress, progress.add_task("", total=None)

    def wants(self, title: str) -> bool:
        """Whether a case is to be measured."""
        return self._only.search(title) is not None

    def describe(self, text: str) -> None:
        """Say on the progress bar what is done now."""
        self._progress.update(self._task, description=text, refresh=True)

    def expect(self, steps: int) -> None:
        """Number of steps that the progress bar shows."""
        self._progress.update(self._task, total=steps)

    def tick(self) -> None:
        """One step is done."""
        self._progress.advance(self._task)
        self._progress.refresh()

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Contestants or files that are not measured, and why."""
        self.left_out |= {name: without_paths(reason) for name, reason in reasons.items()}

    def show(self, *shown: Table | str) -> None:
        """Print after the measurements."""
        self.tables += shown

    def interleave(
        self, contestants: Mapping[str, Callable[[], Sample]], repeats: int | None = None
    ) -> dict[str, list[Sample]]:
        """Samples of every contestant, one a repetition, and one step of the progress bar each."""
        return interleave(contestants, repeats or self.repeats, self.tick)


def print_header(console: Console, question: str, facts: Mapping[str, Any]) -> None:
    """The question, the machine and the versions."""
    caches = ", ".join(f"{level} {size}" for level, size in facts["caches"].items())
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in facts["versions"].items())
    console.print(f"[bold]{question}[/bold]")
    console.print(
        f"{facts['cpu']}, {facts['cores']} cores, {caches or 'caches unknown'}, "
        f"{facts['memory_bytes'] / 2**30:.0f} GiB, {facts['system']}, huge pages: {facts['huge_pages']}"
    )
    console.print(f"{versions}, clipx.simd {facts['simd']}; load at the start {facts['load']:.1f}")


def write_json(path: str | os.PathLike[str], **content: Any) -> None:
    """Write named tuples as objects, and make the folder."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            value = value._asdict()
        if isinstance(value, Mapping):
            return {key: plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(plain(content), indent=1) + "\n")


def command(
    name: str,
    measure: Callable[[Run], Records],
    modules: Iterable[str] = (),
    repeats: tuple[int, int] = (5, 3),
    quick: str = "few repetitions and cases",
    pinned: bool = False,
    selectable: bool = False,
) -> click.Command:
    """The program of the benchmark `name`.

    measure: measures a run, shows it and checks its floors; returns the records by key.
    modules: whose versions are noted.
    repeats: repetitions by default, and with --quick.
    quick: description of what --quick does.
    pinned: keep it, and processes it starts, on one core.
    selectable: add --only, which `Run.wants` answers for.
    """
    question = QUESTIONS[name].question
    normal, fewer = repeats
    repeats_help = f"Repetitions.  [default: {normal}, or {fewer} with --quick]"

    @click.command(help=question)
    @click.option("--quick", is_flag=True, help=f"A first look: {quick}.")
    @click.option("--repeats", type=click.IntRange(1), help=repeats_help)
    @click.option("--json", "path", type=click.Path(dir_okay=False), help=f"Results.  [default: results/{name}.json]")
    @click.option("--cpu-time", is_flag=True, help="CPU time in place of the wall's, where others use the machine.")
    @click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder for generated files.")
    def main(
        quick: bool, repeats: int | None, path: str | None, cpu_time: bool, cache: Path | None, only: str = ""
    ) -> None:
        if cpu_time:
            CLOCK.count_cpu_time()
        if pinned:
            pin()
        console = make_console()
        facts = machine(*modules)
        print_header(console, question, facts)
        folder = cache or Path(tempfile.gettempdir()) / f"clipx-bench-{psutil.Process().username()}"
        folder.mkdir(parents=True, exist_ok=True)
        gc.collect()
        gc.freeze()  # the collections between measurements need not go through what was imported
        with make_progress(console) as progress:
            run = Run(quick, repeats or (fewer if quick else normal), folder, progress, only)
            run.settings |= {"cpu_time": True} if cpu_time else {}
            records = measure(run)
        console.print(f"repetitions: {run.repeats}")
        for left_out, reason in run.left_out.items():
            console.print(f"{left_out} is left out: {reason}")
        for table in run.tables:
            console.print(table)
        run.floors.print(console)
        target = path or str(RESULTS / f"{name}.json")
        facts = {"machine": facts, "settings": run.settings, "left_out": run.left_out}
        write_json(target, **facts, **records, floors=run.floors)
        console.print(f"written to {target}")

    if selectable:
        return click.option("--only", default="", help="Cases in whose title this pattern is found.")(main)
    return main
