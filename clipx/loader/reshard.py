"""States of other processes than those that an epoch was begun with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from clipx._checks import integer
from clipx.datasets.world import World
from clipx.loader.codec import MOST
from clipx.loader.dealing import deal_runs, deal_samples, open_samples_of, runs_of
from clipx.loader.interleave_state import InterleaveState
from clipx.loader.progress import EpochState, Rest
from clipx.loader.state import check_whole, decode_settings, decode_state, find_states, join_states, make_state

__all__ = ["reshard_states"]


def reshard_states(states: Iterable[Mapping[str, Any]], *, ranks: int, workers: int = 0) -> list[dict[str, Any]]:
    """States that go on in the middle of an epoch with another number of ranks, of DataLoader workers, or of both.

    >>> states = [torch.load(f"loader-{rank}.pt") for rank in range(8)]
    >>> loader.load_state_dict(clipx.reshard_states(states, ranks=6)[rank])

    Each clip that was not handed out comes once, in one of the processes: those that the shuffle and buckets held and
    those of open samples, which come first, and those of samples that had not been read. Clips that
    `equal_batches` repeats do not count, and the new ranks have equal batches of what is left. The parts of the
    dataset that have not been read are dealt out, or the samples of these where they are few. Batches are not those
    that the old processes would have had; but the same states give the same.

    Args:
        states: of all ranks, and of all their workers, of one epoch, in any order: each as `Loader.state_dict` gave it,
            or what holds them, such as the state of a torchdata StatefulDataLoader.
        ranks: number of ranks that go on.
        workers: DataLoader workers of each; 0 where its own process iterates over the Loader.

    Returns a state for each rank. `Loader.load_state_dict` takes it: with workers in the main process, before the
    DataLoader (of any kind) is iterated over, and each worker begins with what is its own. The loader may have another
    memory, batch_size and number of batches. `state_dict` and resharding go on from there.

    Raises TypeError for what is not a state; ValueError where one is missing, comes twice, was edited, or is of other
    settings, another dataset, epoch or version than the others, and for those of a Mix with stop "first" or "never".

    Stability: provisional.
    """
    ranks, workers = integer("ranks", ranks, 1), integer("workers", workers, 0)
    found = [each for state in states for each in find_states(state)]
    if not found:
        raise ValueError("states holds no state of a Loader")
    epochs = [_decode(each) for each in found]
    _check_same(found, epochs)
    _check_stop(found[0]["shards"])
    epochs.sort(key=lambda epoch: epoch.world or ())
    worlds = [World(rank, ranks, worker, max(workers, 1)) for worker in range(max(workers, 1)) for rank in range(ranks)]
    try:
        samples = open_samples_of(epochs)
    except ValueError as exn:
        raise ValueError(f"states are not those of one epoch of all processes: {exn}") from exn
    dealt_runs = deal_runs([run for epoch in epochs for run in runs_of(epoch)], len(worlds))
    finished = all(epoch.finished for epoch in epochs)
    beginnings = {
        world: EpochState(epochs[0].epoch, world, runs=runs, finished=finished, interleave=InterleaveState(left=left))
        for world, runs, left in zip(worlds, dealt_runs, deal_samples(samples, len(worlds)))
    }
    settings, facts = found[0]["settings"], found[0]["shards"]
    dealt: dict[World, dict[str, Any]] = {}
    for world, epoch in beginnings.items():
        peers = [beginnings[world._replace(rank=rank)] for rank in range(ranks)] if settings["equal_batches"] else []
        with_peers = replace(epoch, peers=[] if finished else [Rest.of(each) for each in peers])
        dealt[world] = make_state(settings, facts, world, with_peers)
    if not workers:
        return [dealt[world] for world in worlds]
    return [
        join_states([dealt[World(rank, ranks, worker, workers)] for worker in range(workers)]) for rank in range(ranks)
    ]


def _decode(state: Mapping[str, Any]) -> EpochState:
    check_whole(state)
    return decode_state(state, decode_settings(state["settings"]), MOST)


def _check_stop(facts: Any) -> None:
    """Raise ValueError for a mixture whose epoch is not all that its datasets have."""
    stop = facts.get("stop", "all") if isinstance(facts, Mapping) else "all"
    if stop != "all":
        raise ValueError(
            f"states are of a Mix with stop={stop!r}, whose epoch is what each process draws, but only epochs of all "
            f"samples go on in another world: begin the next epoch there"
        )


def _check_same(states: Sequence[Mapping[str, Any]], epochs: Sequence[EpochState]) -> None:
    """Raise ValueError where states are not those of all processes that read a dataset in an epoch."""
    first, worlds = epochs[0].world, [epoch.world for epoch in epochs]
    assert first is not None
    for state, epoch in zip(states, epochs):
        world = epoch.world
        assert world is not None
        if (world.ranks, world.workers) != (first.ranks, first.workers):
            raise ValueError(f"states are of several worlds: one is of {first}, one of {world}")
        if epoch.epoch != epochs[0].epoch:
            raise ValueError(f"states are of several epochs: {first} is in {epochs[0].epoch}, {world} in {epoch.epoch}")
        for name, word in (("settings", "settings"), ("shards", "datasets")):
            if state[name] != states[0][name]:
                raise ValueError(f"states are of several {word}: {world} has others than {first}")
    for rank in range(first.ranks):
        for worker in range(first.workers):
            world = World(rank, first.ranks, worker, first.workers)
            if worlds.count(world) != 1:
                rule = "is missing" if world not in worlds else "comes more than once"
                raise ValueError(f"the state of {world} {rule}: states must be those of all ranks and workers")
