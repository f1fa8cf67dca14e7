"""Runs inputs from the command line; see the package's docstring."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from fuzz.running import KINDS, Bounds, Report, child, run, use


@click.command()
@click.argument("kind", type=click.Choice([*KINDS, "all"]))
@click.option("--inputs", default=1000, show_default=True, help="Inputs of each kind.")
@click.option("--first", default=0, show_default=True, help="Number of the first one, which seeds it.")
@click.option("--jobs", default=1, show_default=True, help="Child processes at a time.")
@click.option("--seconds", default=20.0, show_default=True, help="That an input may take.")
@click.option("--megabytes", default=1000, show_default=True, help="That a child process may hold.")
@click.option("--failures", type=click.Path(path_type=Path), default="failures", show_default=True)
@click.option("--replay", type=click.Path(exists=True, path_type=Path), help="The bytes of a failed input.")
@click.option("--child", "is_child", is_flag=True, hidden=True)
def main(
    kind: str,
    inputs: int,
    first: int,
    jobs: int,
    seconds: float,
    megabytes: int,
    failures: Path,
    replay: Path | None,
    is_child: bool,
) -> None:
    """Use mutated inputs of a kind; exit status 1 if any fails."""
    if is_child:
        child(kind, first, inputs)
        return
    if replay is not None:
        error = use(kind, int(replay.stem.rpartition("-")[2]), replay.read_bytes())
        click.echo(error or "no failure")
        sys.exit(1 if error else 0)
    failures.mkdir(parents=True, exist_ok=True)
    bounds, failed = Bounds(seconds, megabytes * 1_000_000), False
    for each in KINDS if kind == "all" else [kind]:
        share = -(-inputs // jobs)
        parts = [(first + at, min(share, inputs - at)) for at in range(0, inputs, share)]
        report = Report(each)
        with ThreadPoolExecutor(jobs) as threads:
            for part in threads.map(lambda part, each=each: run(each, *part, bounds, failures), parts):
                report.add(part)
        click.echo(f"{report} (inputs {first} to {first + inputs - 1})")
        for number, text in report.failed:
            failed = True
            click.echo(f"  {each} {number}: {text.strip().splitlines()[-1] if text.strip() else ''}")
    sys.exit(1 if failed else 0)


main()
