"""Runs from the command line; see the package's docstring."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

from soak import epochs, small_clips
from soak.measuring import MOST_DRIFT
from soak.report import plot, table

RUNS = {"clips": (small_clips.run, 10_000_000), "epochs": (epochs.run, 1000)}


@click.command()
@click.argument("run", type=click.Choice([*RUNS, "all"]))
@click.option("--clips", default=RUNS["clips"][1], show_default=True, help="Small clips.")
@click.option("--epochs", "epoch_count", default=RUNS["epochs"][1], show_default=True, help="Epochs of a Loader.")
@click.option("--measurements", default=200, show_default=True, help="Of each run.")
@click.option("--drift", default=MOST_DRIFT, show_default=True, help="That memory may have.")
@click.option("--plot", "drawing", type=click.Path(path_type=Path), help="A drawing: a .svg or .png file.")
@click.option("--json", "numbers", type=click.Path(path_type=Path), help="The measurements.")
def main(
    run: str, clips: int, epoch_count: int, measurements: int, drift: float, drawing: Path | None, numbers: Path | None
) -> None:
    """Run small clips, or epochs, and show memory over time; exit status 1 if something grew."""
    totals, traces, problems = {"clips": clips, "epochs": epoch_count}, [], []
    # Epochs come first: what 10^7 clips have left behind would be in their memory.
    for name in ("epochs", "clips") if run == "all" else (run,):
        trace = RUNS[name][0](totals[name], count=measurements)
        traces.append(trace)
        click.echo(table(trace) + "\n")
        problems += [f"{name}: {each}" for each in trace.problems(drift)]
    if drawing is not None:
        plot(traces, drawing)
    if numbers is not None:
        found = {trace.name: [dataclasses.asdict(each) for each in trace.measurements] for trace in traces}
        numbers.write_text(json.dumps(found))
    for each in problems:
        click.echo(each)
    sys.exit(1 if problems else 0)


main()
