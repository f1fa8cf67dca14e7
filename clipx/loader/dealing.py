"""The rest of an epoch, dealt out to other processes than those that began it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from clipx.datasets.addresses import Address
from clipx.datasets.shares import Run
from clipx.loader.open_samples import OpenState
from clipx.loader.progress import EpochState

__all__ = ["deal_runs", "deal_samples", "open_samples_of", "runs_of"]

FEW = 8
"""Parts a process below which those that are over are divided by samples, so that all processes have as much."""


def runs_of(state: EpochState) -> list[Run]:
    """The parts that a process would have read next."""
    ended = state.finished or state.passes or state.interleave.ended or state.batch.ended
    return [] if ended else [run for run in state.runs or () if run.start < run.stop]


@dataclass
class _Clips:
    """Clips of a sample that were not handed out: these, and all from `first` on, if that is not None."""

    numbers: set[int] = field(default_factory=set)
    first: int | None = None
    damaged: bool = False

    def add(self, numbers: Iterable[int], first: int | None, damaged: bool) -> None:
        """Add clips. Raises ValueError for those that are there."""
        numbers = list(numbers)
        if not self.numbers.isdisjoint(numbers) or (first is not None and self.first is not None):
            raise ValueError("two of them hold the same clip")
        self.numbers.update(numbers)
        self.first = self.first if first is None else first
        self.damaged = self.damaged or damaged

    def state(self, address: Address) -> OpenState:
        """The sample, of which nothing has been given by the process that gets it."""
        return OpenState(address, 0, self.damaged, sorted(self.numbers), self.first)


def open_samples_of(states: Iterable[EpochState]) -> list[OpenState]:
    """The samples that were begun, with the clips of them that were not handed out, each sample once.

    Raises ValueError where two states have the same clip.
    """
    found: dict[Address, _Clips] = {}
    for state in states:
        if state.finished:
            continue
        # What a handler has ended stays ended.
        held = state.batch.held if state.batch.ended else [*state.shuffle.held, *state.batch.held]
        for ref in held:
            found.setdefault(ref.address, _Clips()).add([ref.number], None, ref.damaged)
        if state.passes or state.interleave.ended or state.batch.ended:
            continue  # clips of a later pass are repeated
        for each in (*state.interleave.active, *state.interleave.left):
            found.setdefault(each.address, _Clips()).add(each.some, each.first, each.damaged)
    return [
        clips.state(address) for address, clips in sorted(found.items()) if clips.numbers or clips.first is not None
    ]


def deal_runs(runs: Sequence[Run], processes: int) -> list[list[Run]]:
    """Runs for each process, of as many parts each; the parts that are over are divided by samples where these are few.

    They read each sample once that is read in `runs`.
    """
    # A part that has been begun is shorter than the others.
    begun = [run._replace(stop=run.start + 1) for run in runs if run.after is not None]
    others = [run if run.after is None else run._replace(start=run.start + 1, after=None) for run in runs]
    others = [run for run in others if run.start < run.stop]
    count = len(begun) + sum(run.stop - run.start for run in others)
    if count >= FEW * processes:
        return _deal_many(begun, others, count, processes)
    parts = begun + [run._replace(start=at, stop=at + 1) for run in others for at in range(run.start, run.stop)]
    over = len(parts) % processes
    found = [parts[process : len(parts) - over : processes] for process in range(processes)]
    for at, run in enumerate(parts[len(parts) - over :]):
        for process, mine in enumerate(found):
            number = run.number + run.split * ((process + at) % processes)
            mine.append(run._replace(split=run.split * processes, number=number))
    return found


def _deal_many(begun: Sequence[Run], others: Sequence[Run], count: int, processes: int) -> list[list[Run]]:
    found = [list(begun[process::processes]) for process in range(processes)]
    left = list(reversed(others))
    for process, mine in enumerate(found):
        wanted = count // processes + (process < count % processes) - len(mine)
        while wanted > 0 and left:
            run = left.pop()
            stop = min(run.start + wanted, run.stop)
            mine.append(run._replace(stop=stop))
            wanted -= stop - run.start
            if stop < run.stop:
                left.append(run._replace(start=stop))
    assert not left
    return found


def deal_samples(samples: Sequence[OpenState], processes: int) -> list[list[OpenState]]:
    """Samples for each process, of as many clips each, in the order of addresses; those of one may go to several."""
    going_on = [each for each in samples if each.first is not None]
    total = sum(len(each.some) for each in samples)
    most = max(-(-total // processes), 1)
    found: list[dict[Address, _Clips]] = [{} for _ in range(processes)]
    for at, each in enumerate(going_on):
        found[at % processes].setdefault(each.address, _Clips()).add((), each.first, each.damaged)
    heap = [(0, process) for process in range(processes)]
    pieces = [
        each._replace(some=each.some[at : at + most]) for each in samples for at in range(0, len(each.some), most)
    ]
    for each in sorted(pieces, key=lambda piece: -len(piece.some)):
        load, process = heap[0]
        found[process].setdefault(each.address, _Clips()).add(each.some, None, each.damaged)
        heapq.heapreplace(heap, (load + len(each.some), process))
    return [[clips.state(address) for address, clips in sorted(mine.items())] for mine in found]
