"""Checks of a saved state's numbers: its digest only shows that it was not truncated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from clipx.datasets.dataset import refuse
from clipx.datasets.shares import Run
from clipx.loader.budget import MOST_SOURCES, Budget
from clipx.loader.open_samples import ClipRef
from clipx.loader.progress import EpochState, Probed
from clipx.wds.layout import BatchLayout

__all__ = ["check_contents"]

MOST_CLIPS = 1 << 31  # of an epoch of a process: what was drawn for each is passed over again


def check_contents(state: EpochState, settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a state that cannot be that of a loader with these settings."""
    if state.world is None:
        raise refuse("world", None, "must be known")
    if state.runs is None:
        raise refuse("runs", None, "must be known")
    for runs in (state.runs, *(peer.runs for peer in state.peers)):
        _check_runs(runs)
    if state.peers and len(state.peers) != state.world.ranks:
        raise refuse("peers", state.peers, f"the world has {state.world.ranks} ranks")
    # Runs of a mixture whose datasets begin anew have no beginning: those are of the first pass.
    after = {run.after for run in state.runs} - {None}
    if after and not {*state.interleave.read.last} <= after:
        raise refuse("interleave.read.last", state.interleave.read.last, "must be where runs begin")
    if state.shuffle.drawn > MOST_CLIPS:
        raise refuse("shuffle.drawn", state.shuffle.drawn, f"must be at most {MOST_CLIPS}")
    if state.probed is not None:
        _check_probed(state.probed, state.world.workers, settings)
    if state.batch.layout is not None:
        _check_layout("batch.layout", state.batch.layout, settings["memory"])
    budget = None if state.probed is None else state.probed.budget
    _check_interleave(state, budget)
    bucketed = budget.bucketed if budget is not None and settings["ragged"] == "bucket" else 0
    shuffled = budget.shuffled if budget is not None and settings["shuffle"] else 0
    _check_held("shuffle.held", state.shuffle.held, shuffled, state)
    _check_held("batch.held", state.batch.held, bucketed, state)
    both = [ref[:2] for ref in (*state.shuffle.held, *state.batch.held)]
    if len({*both}) < len(both):
        raise refuse("batch.held", state.batch.held, "the shuffle holds some of them")


def _check_probed(probed: Probed, workers: int, settings: Mapping[str, Any]) -> None:
    if probed.workers != workers or workers < 1:
        raise refuse("probed.workers", probed.workers, f"the world has {workers}")
    names, budget, clip_bytes = probed.fields, probed.budget, probed.clip_bytes
    if not names or len({*names}) < len(names):
        raise refuse("probed.fields", names, "must name fields, each once")
    memory = settings["memory"] // workers
    if clip_bytes > memory:
        raise refuse("probed.clip_bytes", clip_bytes, f"memory is {memory} bytes")
    within = (
        1 <= budget.active <= budget.sources <= MOST_SOURCES
        and 1 <= budget.ready <= budget.slots
        and budget.shuffled + budget.bucketed <= budget.slots
        and max(vars(budget).values()) <= memory
    )
    held = (budget.slots + settings["batches"] * settings["batch_size"] * len(names)) * clip_bytes
    if not within or held > memory:
        raise refuse("probed.budget", vars(budget), f"must divide {memory} bytes")
    _check_layout("probed.layout", probed.layout, settings["memory"])


def _check_layout(name: str, layout: BatchLayout, memory: int) -> None:
    if not {*layout.clips} <= layout.fields.keys():
        raise refuse(f"{name}.clips", layout.clips, "must be among its fields")
    for field, kind in layout.fields.items():
        count = 1
        for size in kind[0] if kind is not None else ():
            count *= max(size, 1)
        if kind is not None and count > memory:
            raise refuse(f"the shape of {name}.fields[{field!r}]", kind[0], f"memory is {memory} bytes")


def _check_interleave(state: EpochState, budget: Budget | None) -> None:
    """Check which samples are active."""
    active, most = state.interleave.active, 0 if budget is None else budget.active
    if len({opened.address for opened in active}) < len(active) or len(active) > most:
        raise refuse("interleave.active", active, f"must be at most {most} different samples")
    if state.interleave.next > len(active):
        raise refuse("interleave.next", state.interleave.next, f"must be at most {len(active)}")
    read = state.interleave.read
    if len({*read.last}) < len(read.last) or len(read.last) > read.samples or (read.samples and not read.last):
        raise refuse("interleave.read.last", read.last, f"must be different ones of {read.samples}")
    left = [opened.address for opened in (*state.interleave.left, *active)]
    if len({*left}) < len(left):
        raise refuse("interleave.left", state.interleave.left, "must be different samples, and none that are active")
    for opened in (*state.interleave.left, *active):
        numbers = [opened.following - 1, *opened.some, *([] if opened.first is None else [opened.first])]
        if any(number >= after for number, after in itertools.pairwise(numbers)):
            raise refuse("the clips of a sample", opened, "must be in order")


def _check_runs(runs: Sequence[Run]) -> None:
    """Check numbers that need no dataset."""
    for run in runs:
        world = run.world
        if not (world.rank < world.ranks <= MOST_CLIPS and world.worker < world.workers <= MOST_CLIPS):
            raise refuse("the world of a run", world, "must be a process of a world")
        if not (run.start <= run.stop and run.number < run.split <= MOST_CLIPS):
            raise refuse("a run", run, "must be of parts, and of one of several samples")


def _check_held(name: str, held: Sequence[ClipRef], most: int, state: EpochState) -> None:
    """Check which clips a step holds."""
    if len({ref[:2] for ref in held}) < len(held) or len(held) > most:
        raise refuse(name, held, f"must be at most {most} different clips")
    following = {opened.address: opened.following for opened in state.interleave.active}
    for ref in held:
        if ref.number >= following.get(ref.address, ref.number + 1):
            raise refuse(name, held, f"{ref.address} has not given clip {ref.number}")
