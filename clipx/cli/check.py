"""`clipx check`: damage in shards, files and folders."""

from __future__ import annotations

import json
import logging
import os
from contextlib import ExitStack, closing
from pathlib import Path

import click
from rich.console import Console

from clipx.cli.completions import complete_files
from clipx.cli.output import printable, progress_bar
from clipx.cli.summary import print_summary

__all__ = ["check"]


@click.command()
@click.argument("src", nargs=-1, required=True, shell_complete=complete_files)
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
        print_summary(console, summary)
    if summary.failed:
        raise click.exceptions.Exit(1)
