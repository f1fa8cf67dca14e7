"""Contestants that run in a process of their own, and the memory of that process with all that it starts."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil

INTERVAL = 0.1


class Outcome(NamedTuple):
    """What a contestant sent: its figures, and its memory over the time since it said that it starts, in bytes."""

    found: dict[str, Any]
    curve: list[tuple[float, int]]
    start_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Of all processes."""
        return max(amount for _, amount in self.curve)

    @property
    def above_bytes(self) -> int:
        """The peak above the start."""
        return self.peak_bytes - self.start_bytes


def held_bytes(process: psutil.Process) -> int:
    """Of a process and those it started. Pages that several share count once, where the system tells (Linux)."""
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    for each in family:
        try:
            total += getattr(each.memory_full_info(), "pss", 0) or each.memory_info().rss
        except psutil.Error:  # it has ended
            continue
    return total


class Starting:
    """Handed to a contestant, which calls it when all is imported and nothing is made."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def __call__(self) -> None:
        self._pipe.send(None)
        self._pipe.recv()


def _serve(function: Callable[..., dict[str, Any]], arguments: tuple[Any, ...], pipe: Any) -> None:
    found: Any
    try:
        found = function(*arguments, Starting(pipe))
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    pipe.send(found)
    pipe.recv()


def run_alone(function: Callable[..., dict[str, Any]], *arguments: Any, watched: bool = True) -> Outcome:
    """`function(*arguments, starting)` in a process of its own. Raises RuntimeError where it fails.

    This process waits in the meantime, but for a thread that looks at the memory every INTERVAL where it is `watched`.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(function, arguments, theirs))
    process.start()
    theirs.close()
    ended = threading.Event()
    curve: list[tuple[float, int]] = []
    try:
        answer = mine.recv()
        family = psutil.Process(process.pid)
        start_bytes, began = 0, time.perf_counter()

        def watch() -> None:
            while not ended.wait(INTERVAL):
                curve.append((time.perf_counter() - began, held_bytes(family)))

        thread = threading.Thread(target=watch, daemon=True)
        if answer is None:
            if watched:
                start_bytes, began = held_bytes(family), time.perf_counter()
                curve.append((0.0, start_bytes))
                thread.start()
            mine.send(None)
            answer = mine.recv()
            ended.set()
            if watched:
                thread.join()
        mine.send(None)
        if not isinstance(answer, dict):
            raise RuntimeError(str(answer))
        return Outcome(answer, curve, start_bytes)
    except EOFError:
        process.join()
        raise RuntimeError(f"it ended with exit status {process.exitcode}; was it out of memory?") from None
    finally:
        ended.set()
        mine.close()
        process.join()
