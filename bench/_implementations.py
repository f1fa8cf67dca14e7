"""The kernel's other implementations: clipx reads CLIPX_SIMD once, so that each has a process of its own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from _measure import CLOCK, Sample, timed

import clipx
from clipx import _kernel

Make = Callable[..., Callable[[], object]]


def serve(pipe: Any, cpu_time: bool) -> None:
    """In the process of an implementation: makes contestants, and times them on this core among those of others."""
    if cpu_time:
        CLOCK.count_cpu_time()
    function: Callable[[], object] | None = None
    pipe.send(clipx.simd)
    while (request := pipe.recv()) is not None:
        try:
            if isinstance(request, int):
                assert function is not None
                pipe.send(timed(function, request))
            else:
                function = None  # its memory goes before the next one's is taken
                make, *arguments = request
                function = make(*arguments)
                function()  # imports, and fills caches
                pipe.send(None)
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")


class Implementation:
    """An implementation in a process of its own, which times one contestant after the other."""

    def __init__(self, name: str, pipe: Any) -> None:
        self.name, self._pipe = name, pipe

    def _ask(self, request: Any) -> Any:
        self._pipe.send(request)
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(f"{self.name}: {answer}")
        return answer

    def prepare(self, make: Make, *arguments: Any) -> None:
        """`make(*arguments)`, a function of a module, checks the clips there, and gives the function that is timed."""
        self._ask((make, *arguments))

    def time(self, calls: int) -> Sample:
        """A sample of so many calls of what was prepared."""
        sample: Sample = self._ask(calls)
        return sample


@contextmanager
def started(name: str) -> Iterator[Implementation]:
    """A process of this implementation."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, CLOCK.counts_cpu_time))
    before = os.environ.get("CLIPX_SIMD")
    os.environ["CLIPX_SIMD"] = name
    try:
        process.start()
    finally:
        os.environ.pop("CLIPX_SIMD")
        if before is not None:
            os.environ["CLIPX_SIMD"] = before
    theirs.close()
    try:
        if mine.recv() != name:
            raise AssertionError(f"CLIPX_SIMD={name} has no effect")
        yield Implementation(name, mine)
    finally:
        mine.send(None)
        process.join()


@contextmanager
def other_implementations() -> Iterator[Mapping[str, Implementation]]:
    """By contestant, those that this processor runs beside the one that runs here."""
    with ExitStack() as stack:
        names = [name for name in _kernel.implementations if name != clipx.simd]
        yield {f"clipx, {name}": stack.enter_context(started(name)) for name in names}


def contestants_of(
    others: Mapping[str, Implementation], calls: int, make: Make, *arguments: Any
) -> dict[str, Callable[[], Sample]]:
    """The timings of what all others have prepared."""
    for each in others.values():
        each.prepare(make, *arguments)
    return {name: partial(each.time, calls) for name, each in others.items()}


def facts_of(ours: str, others: Mapping[str, Implementation]) -> dict[str, dict[str, str]]:
    """For the record: the contestant by its implementation, the one that runs here first."""
    return {"implementations": {clipx.simd: ours, **{each.name: name for name, each in others.items()}}}
