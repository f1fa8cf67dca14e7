"""Progress of an epoch of a Loader: the state behind the batch that was handed out last."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from clipx.datasets.shares import JoinedShare, Run
from clipx.datasets.world import World
from clipx.loader.batches import BatchState
from clipx.loader.budget import Budget
from clipx.loader.interleave_state import BEGINNING, InterleaveState
from clipx.loader.open_samples import OpenState
from clipx.loader.shuffle import Move, ShuffleState
from clipx.wds.layout import BatchLayout

__all__ = ["Change", "EpochState", "Probed", "Progress", "Reading", "Rest"]


@dataclass(frozen=True)
class Probed:
    """Facts of the first clip that hold for all others.

    Attributes:
        workers: of a DataLoader, that share the loader's bytes.
        fields: those that clips are extracted to.
        clip_bytes: of a clip, in the largest of them.
        budget: what the loader's bytes are divided into.
        layout: what clips' samples have in common before `map`.
    """

    workers: int
    fields: list[str]
    clip_bytes: int
    budget: Budget
    layout: BatchLayout


class Rest(NamedTuple):
    """The rest of an epoch of a rank.

    Attributes:
        runs: the parts that it is to read.
        clips: number of clips that were taken by number, and not handed out.
        opened: samples that were begun, and the number of the clip from which on each gives all.
    """

    runs: Sequence[Run]
    clips: int
    opened: Sequence[OpenState]

    @classmethod
    def of(cls, state: EpochState) -> Rest:
        """The rest of an epoch behind a state."""
        opened = [*state.interleave.left, *state.interleave.active]
        clips = len(state.shuffle.held) + len(state.batch.held) + sum(len(each.some) for each in opened)
        return cls(state.runs or (), clips, [each._replace(some=()) for each in opened if each.first is not None])


class Reading(NamedTuple):
    """The share of an epoch that a process reads.

    Attributes:
        first: in the pass that the epoch began, or was resumed, in.
        whole: in each after that, in which clips are repeated.
        passes: number of passes before the first.
        is_part: whether `first` leaves out what had been read before.
    """

    first: JoinedShare
    whole: JoinedShare
    passes: int = 0
    is_part: bool = False

    @classmethod
    def of(cls, state: EpochState, whole: JoinedShare, joined: Callable[[Sequence[Run]], JoinedShare]) -> Reading:
        """What is read from a state on; `joined` gives the share of runs."""
        if state.runs is None:
            return cls(whole, whole, state.passes)
        return cls(joined(state.runs), whole, state.passes, is_part=True)

    def rest(self, state: EpochState) -> list[Run]:
        """The parts that are to be read behind a state."""
        share = self.first if state.passes == self.passes else self.whole
        return share.rest(state.interleave.read)


@dataclass
class EpochState:
    """The state of an epoch behind a batch: numbers and names alone, no clips.

    A saved state has an entry for each attribute, named after it.

    Attributes:
        epoch: its number.
        world: the process that it belongs to; None for any.
        target: clips that the epoch has; None for as many as there are.
        runs: parts of the dataset that are still to be read in this pass; None for the share of the process.
        peers: the rest of all ranks, of an epoch that was resharded and has no target yet.
        passes: over the process's share of the dataset before this one.
        finished: whether the end of the epoch has been reached.
        probed: what is known of its clips; None before the first.
        interleave, shuffle, batch: the states of the steps.
    """

    epoch: int
    world: World | None = None
    target: int | None = None
    runs: Sequence[Run] | None = None
    peers: Sequence[Rest] = field(default_factory=list)
    passes: int = 0
    finished: bool = False
    probed: Probed | None = None
    interleave: InterleaveState = BEGINNING
    shuffle: ShuffleState = field(default_factory=ShuffleState)
    batch: BatchState = field(default_factory=BatchState)

    def copy(self) -> EpochState:
        """A copy that `apply` does not change."""
        return replace(self, shuffle=ShuffleState(list(self.shuffle.held), self.shuffle.drawn))

    def apply(self, change: Change) -> None:
        """Make this the state behind one batch more."""
        self.passes, self.probed = change.passes, change.probed
        self.interleave, self.batch = change.interleave, change.batch
        self.shuffle.apply(change.moves)


class Change(NamedTuple):
    """The change that a batch makes to the state of its epoch: new entries, and the moves of the shuffle."""

    passes: int
    probed: Probed
    interleave: InterleaveState
    moves: Sequence[Move]
    batch: BatchState


class Progress:
    """The counters of an epoch: the thread that makes batches adds changes, and the consumer moves on in them.

    The consumer may be interrupted at any line; what it sets, it sets in one step.

    Args:
        state: where the epoch begins.
        loaded: whether that is a loaded state, and not what this process did.

    Attributes:
        batches: number of batches handed out.
        finished: whether the consumer has reached the end.
        begun: whether a batch has been asked for.
        reading: the share that is read; None before anything is.
    """

    def __init__(self, state: EpochState, loaded: bool = False) -> None:
        self.loaded, self.begun = loaded, False
        self.reading: Reading | None = None
        self.batches, self.finished = state.batch.count, state.finished
        self._state, self._changes = state, deque[Change]()
        self._protect()

    def _protect(self) -> None:
        self._lock, self._process = threading.Lock(), os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        state = self.state()
        fresh: dict[str, Any] = {
            "_state": state,
            "reading": None,
            "batches": state.batch.count,
            "_changes": deque(),
            "_lock": None,
        }
        return {**self.__dict__, **fresh}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._protect()

    @property
    def epoch(self) -> int:
        """Number of the epoch."""
        return self._state.epoch

    @property
    def world(self) -> World | None:
        """The process that a loaded state belongs to."""
        return self._state.world

    @property
    def target(self) -> int | None:
        """Clips that the epoch has; None for as many as there are."""
        return self._state.target

    @target.setter
    def target(self, target: int) -> None:
        self._state.target, self._state.peers = target, []

    @property
    def peers(self) -> Sequence[Rest]:
        """The rest of all ranks, of an epoch that was resharded and has no target yet."""
        return self._state.peers

    def add(self, change: Change) -> None:
        """Add the change of a batch that is about to be handed out. Called by the thread that makes batches."""
        with self._lock:
            while self._state.batch.count < self.batches:
                self._state.apply(self._changes.popleft())
            self._changes.append(change)

    def state(self) -> EpochState:
        """The state behind the batch that was handed out last. Any thread may call this at any time."""
        # A forked process has no thread that could give the lock back.
        with self._lock if self._process == os.getpid() else threading.Lock():
            batches, finished = self.batches, self.finished
            state, changes = self._state.copy(), list(self._changes)
        for change in changes:
            if state.batch.count < batches:
                state.apply(change)
        state.finished = finished
        if self.reading is not None:
            state.runs = self.reading.rest(state)
        return state
