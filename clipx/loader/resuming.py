"""States that a Loader has loaded, until the iteration begins that goes on from them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from clipx.datasets.passes import Passes
from clipx.datasets.world import World, in_worker
from clipx.loader.codec import MOST
from clipx.loader.config import LoaderConfig
from clipx.loader.progress import EpochState, Progress
from clipx.loader.state import check_world, decode_state, find_states, is_joined, read_state, split_states
from clipx.plan.draws import Epoch, count_epoch

__all__ = ["Resuming"]

logger = logging.getLogger("clipx")


class Resuming:
    """The progress of a Loader: of the iteration that runs, or of a state from which the next one goes on.

    Args:
        config: of the loader.
        passes: its epochs.

    Attributes:
        progress: of the iteration that was begun last, or of a state that was loaded since; None before.
        dealt: states of a rank's DataLoader workers, which the main process has loaded for them.
    """

    def __init__(self, config: LoaderConfig, passes: Passes) -> None:
        self._config, self._passes = config, passes
        self.progress: Progress | None = None
        self.dealt: list[EpochState] = []
        self.loaded_in: int | None = None

    @property
    def waiting(self) -> Progress | None:
        """A state that has been loaded, as long as no batch has been asked for since."""
        progress = self.progress
        return progress if progress is not None and progress.loaded and not progress.begun else None

    @property
    def waits_for_workers(self) -> bool:
        """Whether the next iteration is that of DataLoader workers for which states have been loaded."""
        return bool(self.dealt) and not in_worker() and self._passes.following == self.dealt[0].epoch

    def of_workers(self, worlds: Sequence[World], epoch: int, pending: Any) -> list[EpochState]:
        """The states with which the workers of a DataLoader will begin: of `epoch`, unless others have been loaded.

        `pending` is the state that a StatefulDataLoader has loaded.
        """
        settings = self._config.settings()
        found = [decode_state(each, settings, MOST) for each in find_states(pending, exact=False)]
        if not found and self.waits_for_workers:
            found = self.dealt
        by_worker = {each.world.worker: each for each in found if each.world is not None}
        if by_worker.keys() != {world.worker for world in worlds}:
            return [EpochState(epoch)] * len(worlds)
        states = [by_worker[world.worker] for world in worlds]
        return [EpochState(each.epoch + 1) if each.finished else each for each in states]

    def load(self, state: Any, world: World, epoch: Epoch) -> EpochState:
        """Go on from a saved state; returns the one that the iteration begins with. Raises as `load_state_dict`."""
        states = split_states(state)
        worlds = [world if at is None else world._replace(worker=at, workers=len(states)) for at, _ in states]
        found = [read_state(each, self._config, own) for own, (_, each) in zip(worlds, states)]
        saved = found[0]
        if any((each.epoch, each.finished) != (saved.epoch, saved.finished) for each in found):
            raise ValueError("state is of workers in several epochs")
        # In a worker, the DataLoader asks for the end of the epoch that it knows is over.
        if saved.finished and not in_worker():
            saved = EpochState(count_epoch(epoch, saved.epoch + 1), probed=saved.probed)
            found = []
        if epoch is not None and count_epoch(epoch, 0) != saved.epoch:
            raise ValueError(f"state is of epoch {saved.epoch}, but epoch of the loader says {count_epoch(epoch, 0)}")
        if is_joined(state):
            self._passes.advance_to(saved.epoch)
            self.progress, self.dealt = None, found
        else:
            self._passes.advance_to(saved.epoch + 1)
            self.progress, self.dealt, self.loaded_in = Progress(saved, loaded=True), [], os.getpid()
        return saved

    def set_epoch(self, epoch: int, runs: bool) -> None:
        """Make `epoch` that of the next iteration; `runs` says whether one runs that is not affected."""
        waiting, dealt = self.waiting, self.dealt if self.waits_for_workers else []
        if epoch in [each.epoch for each in dealt] or (waiting is not None and waiting.epoch == epoch):
            return
        if waiting is not None or dealt:
            logger.warning("Loader: set_epoch(%d) gives up a state of another epoch that has been loaded", epoch)
        self._passes.set_epoch(epoch)
        self.dealt = []
        if waiting is not None or not runs:
            self.progress = None

    def begin(self, world: World, epoch: Epoch, beginning: EpochState) -> Progress:
        """The progress of the iteration that begins now; without a state it is that of a `beginning`, of its own epoch.

        From now on it is `progress`: its epoch has been counted, so that other threads must not find the one before.

        Raises ValueError where a state was loaded, and this is not the process that it is for.
        """
        self.progress = found = self._begun(world, epoch, beginning)
        return found

    def _begun(self, world: World, epoch: Epoch, beginning: EpochState) -> Progress:
        waiting = self.waiting
        if waiting is not None:
            self._check_process(waiting, world)
            return Progress(waiting.state(), loaded=True)
        number, counted = self._passes.begin(epoch)
        # Workers are started for each iteration, and have the states that the main process has loaded for the first.
        if not self.dealt or self.dealt[0].epoch != counted:
            beginning.epoch = number
            return Progress(beginning)
        dealt = self.dealt[world.worker % len(self.dealt)]
        assert dealt.world is not None
        check_world(dealt.world, world)
        return Progress(dealt.copy(), loaded=True)

    def _check_process(self, waiting: Progress, world: World) -> None:
        if self.loaded_in != os.getpid():
            raise ValueError(
                "a state was loaded before this process was started, and each process goes on from a state of its own: "
                "load it there, in DataLoader workers through torchdata's StatefulDataLoader"
            )
        if waiting.world is not None:
            check_world(waiting.world, world)
