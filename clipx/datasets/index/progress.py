"""How far the build of an index is, on a line of a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

__all__ = ["Progress", "showing"]


class Progress(Protocol):
    """Is told how far a build is."""

    def start(self, sources: int, known: int) -> None:
        """There are so many sources, of which some are known from before."""

    def advance(self, sources: int, samples: int) -> None:
        """So many more sources, and samples of them, have been read."""


class _Silent:
    """Shows nothing."""

    def start(self, sources: int, known: int) -> None:
        pass

    def advance(self, sources: int, samples: int) -> None:
        pass


class _Bar:
    """A bar with the sources that are done, samples a second, and the time that is left."""

    def __init__(self, progress: Any) -> None:
        self._progress, self._task = progress, progress.add_task("indexing", total=None, rate="")
        self._samples, self._since = 0, time.monotonic()

    def start(self, sources: int, known: int) -> None:
        self._progress.update(self._task, total=sources, completed=known)

    def advance(self, sources: int, samples: int) -> None:
        self._samples += samples
        rate = self._samples / max(time.monotonic() - self._since, 1e-3)
        self._progress.update(self._task, advance=sources, rate=f"{rate:,.0f} samples/s")


@contextmanager
def showing(progress: bool | Progress, console: Any = None) -> Iterator[Progress]:
    """A progress that is shown on a terminal for True, nowhere for False, or the one that is given."""
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield _Silent()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")
    with RichProgress(*columns, TimeRemainingColumn(), console=console, transient=True) as shown:
        yield _Bar(shown)
