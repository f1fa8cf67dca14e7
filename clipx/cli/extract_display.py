"""How far `clipx extract` is: two lines that change on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from clipx.cli.output import counted, duration

if TYPE_CHECKING:
    from clipx.jobs.extraction.progress import Progress

__all__ = ["progress_display"]

EVERY = 30.0
"""Seconds from one line to the next, where there is no terminal; and that rates are of."""

REFRESHES = 4
"""A second, on a terminal."""


class _Rates:
    """What a job has done, and how fast it did that in the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[Progress] = deque()

    def add(self, now: Progress) -> None:
        """The numbers of now."""
        self._seen.append(now)
        while len(self._seen) > 2 and now.elapsed - self._seen[1].elapsed >= EVERY:
            self._seen.popleft()

    @property
    def now(self) -> Progress | None:
        """The last numbers; None before the first."""
        return self._seen[-1] if self._seen else None

    def rate(self, name: str) -> float:
        """How much a number grew in a second."""
        first, last = self._seen[0], self._seen[-1]
        seconds = last.elapsed - first.elapsed
        return (getattr(last, name) - getattr(first, name)) / seconds if seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that the parts which are left take, by those that were done; None before there is one."""
        now = self.now
        done = 0 if now is None else now.parts_done - now.parts_before
        return now.elapsed / done * (now.parts - now.parts_done) if now is not None and done else None


def _facts(rates: _Rates) -> list[str]:
    """The numbers of now, and the rates."""
    now = rates.now
    if now is None:
        return ["reading the input"]
    return [
        counted(now.clips, "clip"),
        f"{rates.rate('clips'):,.1f} clips/s",
        f"{rates.rate('source_seconds') / 3600:.3g} hours of video/s",
        f"{rates.rate('bytes_written') / 1e6:,.1f} MB/s",
        counted(now.failures, "failure"),
    ]


class _Lines:
    """The display on a terminal: a bar of parts with times, and the rates, at any width."""

    def __init__(self, rates: _Rates) -> None:
        self._rates, self._began = rates, time.monotonic()

    def __rich__(self) -> RenderableType:
        now, left = self._rates.now, self._rates.left
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1)
        table.add_column(no_wrap=True, justify="right")
        done, parts = (0, None) if now is None else (now.parts_done, now.parts)
        table.add_row(
            "extracting" if parts is None else f"{done}/{counted(parts, 'part')}",
            ProgressBar(total=parts, completed=done),
            f"{duration(time.monotonic() - self._began)}, {'-:--:--' if left is None else duration(left)} left",
        )
        return Group(table, Columns(_facts(self._rates), padding=(0, 2)))


@contextmanager
def progress_display(console: Console, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A function that shows how far a job is, while the context is open; None where nothing is shown."""
    if quiet:
        yield None
        return
    rates = _Rates()
    if console.is_terminal:
        with Live(_Lines(rates), console=console, transient=True, refresh_per_second=REFRESHES):
            yield rates.add
        return
    shown = 0.0

    def show(now: Progress) -> None:
        nonlocal shown
        rates.add(now)
        if now.elapsed - shown < EVERY:
            return
        shown = now.elapsed
        left = "" if rates.left is None else f", {duration(rates.left)} left"
        line = f"{now.parts_done}/{counted(now.parts, 'part')}, {', '.join(_facts(rates))}, {duration(shown)}{left}"
        console.print(line, highlight=False, soft_wrap=True)

    yield show
