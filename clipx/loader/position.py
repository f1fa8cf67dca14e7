"""Where an epoch of a Loader stands: behind the batch that was handed out last."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from clipx.datasets.world import World
from clipx.loader.budget import Budget
from clipx.loader.interleave import BEGINNING, Position, Ref
from clipx.wds.batching import Like
from clipx.wds.shuffling import take_out

__all__ = ["Looked", "Progress", "Step"]


class Looked(NamedTuple):
    """What the first clips told of all others.

    Attributes:
        workers: that share the loader's bytes.
        fields: that are cut.
        clip_bytes: of a clip, in the largest of them.
        budget: what the loader's bytes are divided into.
        like: what a clip's sample is like before `map`.
    """

    workers: int
    fields: list[str]
    clip_bytes: int
    budget: Budget
    like: Like


class Step(NamedTuple):
    """What a batch changed.

    Attributes:
        moves: of the shuffle, in order: a clip that it took, or the place of one that it gave, as `take_out` has it.
        position: of the samples that are cut.
        passes: over the share before this one.
        like: what clips are like after `map`; None where there is no `map`.
    """

    moves: Sequence[Ref | int]
    position: Position
    passes: int
    looked: Looked
    like: Like | None


@dataclass(eq=False)
class Progress:
    """Where an epoch stands: numbers alone, no clips.

    Attributes:
        epoch: its number.
        target: clips that the epoch has; None for as many as there are.
        looked: what was known when the epoch began, and, once a batch was handed out, what is known.
        batches: that were handed out; set by the consumer alone, in one step, so that an interrupt leaves it right.
        folded: batches whose steps are taken up in what the other fields say.
        steps: what the batches after these changed, also those that are still to be handed out.
        held: the clips in the shuffle, in its order.
        drawn: clips that the shuffle has given.
        world: of the process that a loaded state belongs to.
        finished: whether the end of the epoch has been told.
        loaded: whether it is a loaded state, and not what this process did.
        begun: whether a batch has been asked for since.
    """

    epoch: int
    target: int | None = None
    looked: Looked | None = None
    batches: int = 0
    position: Position = BEGINNING
    passes: int = 0
    held: list[Ref] = field(default_factory=list)
    drawn: int = 0
    like: Like | None = None
    world: World | None = None
    finished: bool = False
    loaded: bool = False
    begun: bool = False
    folded: int = -1
    steps: deque[Step] = field(default_factory=deque, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    process: int = field(default_factory=os.getpid, repr=False)

    def __post_init__(self) -> None:
        if self.folded < 0:
            self.folded = self.batches

    def __getstate__(self) -> dict[str, Any]:
        return {**self.settled().__dict__, "lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.Lock(), process=os.getpid())

    def add(self, step: Step) -> None:
        """A batch is about to be handed out. Called by the thread that makes them, which also takes up those before."""
        with self.lock:
            self._take_up(self.batches)
            self.steps.append(step)

    def settled(self) -> Progress:
        """A copy, for which what has been handed out is taken up; for any thread, at any time."""
        # A forked process has no thread that could give the lock back.
        with self.lock if self.process == os.getpid() else threading.Lock():
            batches = self.batches
            copy = replace(
                self,
                held=list(self.held),
                steps=deque(self.steps),
                lock=threading.Lock(),
                process=os.getpid(),
            )
        copy._take_up(batches)
        copy.batches = batches
        copy.steps.clear()
        return copy

    def _take_up(self, batches: int) -> None:
        """Apply the steps of the first so many batches."""
        while self.folded < batches:
            step = self.steps.popleft()
            for move in step.moves:
                if isinstance(move, int):
                    take_out(self.held, move)
                    self.drawn += 1
                else:
                    self.held.append(move)
            self.position, self.passes = step.position, step.passes
            self.looked, self.like = step.looked, step.like
            self.folded += 1
