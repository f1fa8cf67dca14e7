"""Tables of a job: its sums at the end, and the expectation of a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clipx.cli.output import counted, duration, megabytes, printable

if TYPE_CHECKING:
    from clipx.jobs.extraction.expected import Expected
    from clipx.jobs.extraction.summary import Summary

__all__ = ["print_expected", "print_extracted"]


def print_extracted(console: Console, out: str, done: Summary) -> None:
    """Print the sums of a job."""
    table = Table(show_header=False, box=None)
    table.add_row("out", escape(printable(out)))
    table.add_row("input", f"{counted(done.samples, 'sample')} in {counted(done.parts, 'part')}")
    table.add_row("clips", f"{counted(done.clips, 'clip')}, {counted(done.frames, 'frame')}, {done.hours:.3g} hours")
    table.add_row("written", f"{megabytes(done.bytes)} in {counted(done.shards, 'shard')}")
    table.add_row("failures", ", ".join(f"{count} {kind}" for kind, count in done.failures.items()) or "none")
    if done.failures:
        table.add_row("", escape(printable(f"{out.rstrip('/')}/part-*.failures.jsonl lists them")))
    if done.seconds is not None:
        table.add_row("time", duration(done.seconds))
    console.print(table)


def print_expected(console: Console, out: str, found: Expected) -> None:
    """Print what a job would do."""
    table = Table(show_header=False, box=None)
    table.add_row("out", escape(printable(out)))
    table.add_row("parts", f"{found.parts}, of which {found.parts_done} are done")
    unreadable = f", of which {found.unreadable} cannot be read" if found.unreadable else ""
    table.add_row("to do", f"{counted(found.samples, 'sample')}{unreadable}")
    table.add_row("clips", str(found.clips))
    if found.bytes is not None:
        table.add_row("bytes", f"about {megabytes(found.bytes)}")
    console.print(table)
