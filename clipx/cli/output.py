"""Text for a terminal: numbers with their nouns, names that cannot be trusted, progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["counted", "duration", "megabytes", "needs_matplotlib", "one_line", "printable", "progress_bar"]


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 clip", "2 clips"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def megabytes(amount: int) -> str:
    """Bytes as "1,234 MB"."""
    return f"{amount / 1e6:,.0f} MB"


def duration(seconds: float) -> str:
    """Seconds as "1:02:03", hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def printable(text: str) -> str:
    """A text with escapes for what a terminal would obey or could not show; names in shards may hold anything."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def one_line(exn: BaseException) -> str:
    """The message of an error on one line."""
    return printable(" ".join(str(exn).split())) or type(exn).__name__


def progress_bar(console: Console, disable: bool = False) -> Progress:
    """A progress bar for each task, which is gone in the end."""
    columns = TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # Before 14.3 rich ends a disabled bar, too, with an empty line.
    return Progress(*columns, console=Console(quiet=True) if disable else console, transient=True, disable=disable)


@contextmanager
def needs_matplotlib(picture: str) -> Iterator[None]:
    """Turn the ImportError of a missing matplotlib into a message that says how to install it."""
    try:
        yield
    except ImportError as exn:
        raise click.ClickException(f"{picture} needs matplotlib: pip install 'clipx-data[plot]' ({exn})") from exn
