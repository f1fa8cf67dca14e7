"""A line on standard error that shows how an epoch goes on: on a terminal always the latest, else one now and then."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from clipx._reprs import byte_text
from clipx.loader.progress import Progress
from clipx.loader.stats import LoaderStats

if TYPE_CHECKING:
    from rich.live import Live

__all__ = ["ProgressLine", "line_of"]

REFRESH_SECONDS = 0.5
"""Seconds between two lines on a terminal."""

PLAIN_SECONDS = 30.0
"""Seconds between two lines elsewhere."""


def line_of(stats: LoaderStats, done: int, total: int) -> str:
    """The line of an epoch of which so many batches of `total`, 0 where that is not known, are done."""
    rate, clips = stats.recent_clips_per_second, stats.clips / max(stats.batches, 1)
    left, problems = max(total - done, 0) * clips, sum(stats.errors.values())
    parts = [
        f"epoch {stats.epoch}: {done:,}{f'/{total:,}' * (total > 0)} batches",
        f"{rate:,.{0 if rate >= 100 else 1}f} clips/s",
        f"{timedelta(seconds=round(left / rate))} left"
        if left and rate
        else str(timedelta(seconds=int(stats.seconds))),
        f"{byte_text(stats.held_bytes)} of {byte_text(stats.memory_bytes)}",
        f"waited {stats.waited_seconds / max(stats.seconds, 1e-9):.0%}",
        *([f"{problems} errors"] if problems else []),
    ]
    return "  ".join(parts)


@dataclass(eq=False)
class _Screen:
    """The lines of all epochs of this process, on one display of a terminal. No thread that Ctrl-C reaches calls it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    lines: dict[ProgressLine, str] = field(default_factory=dict)
    live: Live | None = None

    def show(self, owner: ProgressLine, line: str) -> None:
        """Make this the line of an epoch."""
        from rich.console import Console
        from rich.live import Live

        with self.lock:
            self.lines[owner] = line
            if self.live is None:
                # Not the program's output through rich, whose lock a process that is forked meanwhile would wait for.
                self.live = Live(
                    console=Console(stderr=True),
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self.live.start()
            self._draw(self.live)

    def leave(self, owner: ProgressLine, line: str) -> None:
        """An epoch has ended with this line, which stays."""
        with self.lock:
            self.lines.pop(owner, None)
            live = self.live
            if live is None:
                return
            try:
                self._draw(live)
                live.console.print(line, markup=False, highlight=False, no_wrap=True, overflow="ellipsis")
            finally:
                if not self.lines:
                    self.live = None
                    live.stop()

    def _draw(self, live: Live) -> None:
        from rich.text import Text

        live.update(Text("\n".join(self.lines.values()), no_wrap=True, overflow="ellipsis"), refresh=True)


_screen = _Screen()


def _begin_anew() -> None:
    """A forked process shows no lines of its parent's."""
    global _screen  # noqa: PLW0603
    _screen = _Screen()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


class ProgressLine:
    """The line of one epoch, drawn by a thread of its own that ends with `stop`.

    Args:
        stats: gives the epoch's, now.
        progress: how many batches have been handed out, those before a loaded state included.
        total: number of batches of the epoch; 0 where it is not known.
    """

    def __init__(self, stats: Callable[[], LoaderStats], progress: Progress, total: int) -> None:
        self._stats, self._progress, self._total = stats, progress, total
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let the thread draw the last line, and end."""
        self._stopped.set()

    def run(self) -> None:
        """Draw until `stop`."""
        from rich.console import Console

        with suppress(OSError, ValueError):  # standard error is closed
            console = Console(stderr=True)
            if console.is_terminal and not (console.is_dumb_terminal or console.is_jupyter):
                self._run_live()
            else:
                self._run_plain()

    def _text(self) -> str:
        return line_of(self._stats(), self._progress.batches, self._total)

    def _run_live(self) -> None:
        screen = _screen
        try:
            screen.show(self, self._text())
            while not self._stopped.wait(REFRESH_SECONDS):
                screen.show(self, self._text())
        finally:
            screen.leave(self, self._text())

    def _run_plain(self) -> None:
        while not self._stopped.wait(PLAIN_SECONDS):
            self._print()
        self._print()

    def _print(self) -> None:
        if sys.stderr is not None:
            print(self._text(), file=sys.stderr, flush=True)
