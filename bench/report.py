"""All benchmarks on one page: runs them one after another, keeps their results, writes tables and plots.

`python bench/report.py` writes results/<machine>.json, a log and plots beside it, and README.md; `--quick` is passed
on. `--from results/a.json --from results/b.json` draws the page anew from such files, one machine after the other.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TextIO

import click
from _bench import make_console, make_progress, write_json
from _page import page_of
from _paths import without_paths
from _questions import HERE, QUESTIONS, RESULTS, Question
from _results import Record
from rich.console import Console
from rich.text import Text

PAGE = HERE / "README.md"


def run(question: Question, target: Path, quick: bool, log: TextIO, console: Console) -> bool:
    """Run a benchmark, whose output goes to the log and to the console; returns whether it succeeded."""
    command = [sys.executable, str(question.file), "--json", str(target), *["--quick"][:quick]]
    log.write(f"$ {question.file.name}\n")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(without_paths(line))
            log.flush()
            console.print(Text(line.rstrip("\n")), soft_wrap=True)
    return process.returncode == 0 and target.is_file()


def run_all(quick: bool, console: Console) -> Path:
    """Run all benchmarks; returns the file of their results."""
    questions = [question for question in QUESTIONS.values() if question.file.is_file()]
    measured: dict[str, Record] = {}
    failed = []
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, make_progress(console) as progress:
        log_path = Path(scratch) / "log"
        task = progress.add_task("", total=len(questions))
        with log_path.open("w", encoding="utf-8") as log:
            for question in questions:
                progress.update(task, description=question.name, refresh=True)
                target = Path(scratch) / f"{question.name}.json"
                if run(question, target, quick, log, console):
                    measured[question.name] = json.loads(target.read_text())
                else:
                    failed.append(question.name)
                progress.advance(task)
        if not measured:
            raise click.ClickException(f"no benchmark succeeded: {', '.join(failed) or 'there is none'}")
        facts = next(iter(measured.values()))["machine"]
        machine = re.sub("[^a-z0-9]+", "-", f"{facts['cpu']} {facts['cores']} cores".lower()).strip("-")
        path = RESULTS / f"{machine}.json"
        write_json(path, machine=facts, quick=quick, failed=failed, benches=measured)
        path.with_suffix(".log").write_text(log_path.read_text(encoding="utf-8"), encoding="utf-8")
    return path


@click.command(help="Runs all benchmarks and writes bench/README.md.")
@click.option("--quick", is_flag=True, help="A first look: passed on to the benchmarks.")
@click.option(
    "--from",
    "paths",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing, and draw from this file; once for each machine.",
)
def main(quick: bool, paths: tuple[Path, ...]) -> None:
    console = make_console()
    chosen = [path.resolve() for path in paths] or [run_all(quick, console)]
    contents = {path: json.loads(path.read_text()) for path in chosen}
    PAGE.write_text(page_of(contents))
    console.print(f"written: {PAGE} from {', '.join(map(str, chosen))}")
    if any(content["failed"] for content in contents.values()) and not paths:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
