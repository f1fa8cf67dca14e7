"""Tables of a job: its sums, the expectation of a dry run, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clipx.cli.output import counted, duration, megabytes, printable

if TYPE_CHECKING:
    from clipx.jobs import Expected, Summary

__all__ = ["print_expected", "print_extracted", "print_job"]


def print_extracted(console: Console, out: str, done: Summary) -> None:
    """Print the sums of a job, and its first failures."""
    table = Table(show_header=False, box=None)
    table.add_row("out", escape(printable(out)))
    table.add_row("input", f"{counted(done.samples, 'sample')} in {counted(done.parts, 'part')}")
    _add_sums(table, done)
    console.print(table)
    _print_examples(console, out, done)


def _add_sums(table: Table, done: Summary) -> None:
    table.add_row("clips", f"{counted(done.clips, 'clip')}, {counted(done.frames, 'frame')}, {done.hours:.3g} hours")
    table.add_row("written", f"{megabytes(done.bytes)} in {counted(done.shards, 'shard')}")
    table.add_row("failures", ", ".join(f"{count} {kind}" for kind, count in done.failures.items()) or "none")
    if done.seconds is not None:
        table.add_row("time", duration(done.seconds))


def _print_examples(console: Console, out: str, done: Summary) -> None:
    for example in done.examples:
        console.print(printable(example), markup=False, highlight=False, soft_wrap=True)
    if (more := sum(done.failures.values()) - len(done.examples)) > 0 and done.examples:
        line = printable(f"and {more} more: {out.rstrip('/')}/part-*.failures.jsonl")
        console.print(line, markup=False, highlight=False, soft_wrap=True)


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
    if found.first_error is not None:
        console.print(printable(found.first_error), markup=False, highlight=False, soft_wrap=True)


def print_job(console: Console, out: str) -> None:
    """Print how far the job in a folder is. Raises OSError and ValueError for a folder without one."""
    from clipx.jobs.extraction.job import Job
    from clipx.jobs.extraction.stores import open_store

    job = Job.load(open_store(out))
    options, done = job.facts["options"], job.sums()
    table = Table(show_header=False, box=None)
    table.add_row("job", escape(printable(out)))
    for name in ("encoding", "spec", "segments", "format"):
        if text := _words(options.get(name)):
            table.add_row(name, escape(printable(text)))
    table.add_row("parts", f"{done.parts} of {job.parts} are done")
    table.add_row("input", f"{counted(done.samples, 'sample')} of these")
    _add_sums(table, done)
    console.print(table)
    _print_examples(console, out, done)


def _words(value: Any) -> str:
    """A value of JSON in words, without what says nothing."""
    if isinstance(value, dict):
        words = [
            f"{name} {_words(each)}" for name, each in value.items() if each not in (None, False, value.get("kind"))
        ]
        return ", ".join([*filter(None, [value.get("kind")]), *words])
    return "" if value is None else str(value)
