"""`clipx check`: damage in shards, files and folders."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from clipx.cli.output import counted, printable, progress_bar

if TYPE_CHECKING:
    from clipx.jobs.check import Summary

__all__ = ["check"]

MOST_COMMON = 6
"""Values of a property that the summary names."""


@click.command()
@click.argument("src", nargs=-1, required=True)
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON Lines file to write, a line per finding."
)
@click.option("--headers", is_flag=True, help="Read headers and packets only: fast, but finds little damage.")
@click.option("--threads", type=click.IntRange(1), help="Decoding threads.  [default: one per processor]")
@click.option("-q", "--quiet", is_flag=True, help="Print only problems, without progress and summary.")
def check(src: tuple[str, ...], out: Path | None, headers: bool, threads: int | None, quiet: bool) -> None:
    """Find broken, damaged and truncated files in SRC.

    SRC are shards, videos, sound files, arrays, and folders of them. Prints a line for each problem, and a summary of
    all that was found. The exit status is 1 if there is a problem.

    \b
    Example:
      clipx check shards/ extra.mp4 'more-{000..099}.tar' -o found.jsonl
    """
    from clipx.jobs import check as checking

    console = Console()
    summary = checking.Summary()
    sources = checking.find_sources(src)
    with ExitStack() as stack:
        lines = None if out is None else stack.enter_context(out.open("w"))
        logger = logging.getLogger("clipx")
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.ERROR)  # warnings are findings, and printed below
        progress = stack.enter_context(progress_bar(console, disable=quiet))
        task = progress.add_task("checking", total=len(sources))
        found = checking.check(
            sources,
            threads=threads or os.cpu_count() or 1,
            headers=headers,
            done=lambda: progress.advance(task),
        )
        for each in stack.enter_context(closing(found)):
            summary.add(each)
            if lines is not None:
                lines.write(json.dumps(each.as_json()) + "\n")
            if each.status != "ok":
                line = printable(f"{each.name}: {each.status}: {each.error}")
                console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not quiet:
        _print_summary(console, summary)
    if summary.failed:
        raise click.exceptions.Exit(1)


def _print_summary(console: Console, summary: Summary) -> None:
    table = Table(show_header=False, box=None)

    def row(name: str, counts: Mapping[Any, int], text: Callable[[int, Any], str]) -> None:
        common = sorted(counts.items(), key=lambda each: -each[1])
        texts = [text(count, value) for value, count in common[:MOST_COMMON]]
        if texts:
            more = len(common) - MOST_COMMON
            table.add_row(name, ", ".join(texts) + (f" and {more} more" if more > 0 else ""))

    row("found", summary.kinds, lambda count, kind: counted(count, kind or "unknown file"))
    row("status", summary.statuses, lambda count, status: f"{count} {status}")
    row("sizes", summary.sizes, lambda count, size: f"{count} of {size[1]}x{size[0]}")
    row("frame rates", summary.rates, lambda count, rate: f"{count} at {rate:g}")
    row("sample rates", summary.sample_rates, lambda count, rate: f"{count} at {rate}")
    for kind in ("video", "sound"):
        if summary.kinds[kind]:
            frames = f", {counted(summary.frames, 'frame')}" if kind == "video" else ""
            table.add_row(kind, f"{summary.seconds[kind] / 3600:.2f} hours{frames}")
    if summary.silent:
        table.add_row("without sound", f"{summary.silent} of {counted(summary.kinds['video'], 'video')}")
    console.print(table)
