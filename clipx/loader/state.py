"""The state of a Loader as JSON takes it: made, and checked before anything is done with it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from clipx.datasets.addresses import Address
from clipx.datasets.dataset import Dataset, refuse
from clipx.datasets.mix import Mix
from clipx.datasets.world import World
from clipx.loader.codec import Decoder, Encoder, whole
from clipx.loader.config import LoaderConfig, Settings
from clipx.loader.progress import EpochState
from clipx.loader.state_checks import check_contents

__all__ = [
    "check_whole",
    "check_world",
    "decode_settings",
    "decode_state",
    "find_states",
    "is_joined",
    "join_states",
    "make_state",
    "read_state",
    "split_states",
]

VERSION = 5

FREE = ("memory", "batch_size", "batches")
"""Settings that may differ where no batch has been asked for."""

State = dict[str, Any]

ENTRIES = frozenset({"settings", "shards", "samples", *(each.name for each in dataclasses.fields(EpochState))})


def _digest(state: Mapping[str, Any]) -> str:
    signed = {name: value for name, value in state.items() if name != "digest"}
    return hashlib.blake2b(json.dumps(signed, sort_keys=True).encode(), digest_size=16).hexdigest()


def make_state(settings: Settings, facts: Any, world: World, epoch: EpochState) -> State:
    """The state of a loader, of numbers and strings alone; what follows from its settings is left out.

    Its size is that of the shuffle, some 30 bytes a clip, and of the dataset's `facts`, such as the names of shards.

    Raises TypeError where `map` gives fields whose names are not strings.
    """
    for name in epoch.batch.layout.fields if epoch.batch.layout is not None else ():
        if not isinstance(name, str):
            raise TypeError(f"map gives a field that is called {name!r}, but a state needs names that are strings")
    encoder = Encoder()
    state: State = {
        "version": VERSION,
        "settings": settings,
        "shards": facts,
        **encoder.encode(EpochState, dataclasses.replace(epoch, world=world)),
    }
    state["samples"] = [list(address) for address in encoder.addresses]
    return {**state, "digest": _digest(state)}


def check_whole(state: Any) -> None:
    """Raise TypeError for what is not a state, ValueError for one that was edited or is of another version."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state is a {type(state).__name__}, but must be a dict that state_dict gave")
    if "version" not in state or "digest" not in state:
        raise ValueError(
            f"state has {', '.join(map(str, state)) or 'nothing'}, but no version and digest: it is truncated"
        )
    if state["version"] != VERSION:
        raise ValueError(
            f"state has version {state['version']!r}, but this clipx reads version {VERSION}: go on with the "
            f"clipx that saved it up to the end of its epoch"
        )
    try:
        found = _digest(state)
    except (TypeError, ValueError) as exn:
        raise ValueError(f"state is not as state_dict gave it: {exn}") from exn
    if found != state["digest"]:
        raise ValueError("state is not as state_dict gave it: its digest does not match, so it was edited or truncated")
    missing = ENTRIES - state.keys()
    if missing:
        raise ValueError(f"state has no {', '.join(sorted(missing))}: it is not as state_dict gave it")


def decode_settings(value: Any) -> Settings:
    """The settings in a state, as far as checks of its other entries need them. Raises ValueError for others."""
    kinds = {"memory": int, "batches": int, "batch_size": int, "shuffle": bool, "equal_batches": bool, "ragged": str}
    if not isinstance(value, Mapping) or any(type(value.get(name)) is not kind for name, kind in kinds.items()):
        raise refuse("settings", value, f"must have {', '.join(kinds)}")
    return dict(value)


def decode_state(state: Mapping[str, Any], settings: Settings, parts: int) -> EpochState:
    """The state of the epoch in a state of a loader with these settings, whose dataset has so many parts.

    Raises ValueError for what cannot be one.
    """
    entries = {name: value for name, value in state.items() if name in ENTRIES - {"settings", "shards", "samples"}}
    epoch = Decoder(_addresses(state["samples"], parts)).decode(EpochState, "", entries)
    check_contents(epoch, settings)
    return epoch


def read_state(state: Any, config: LoaderConfig, world: World) -> EpochState:
    """The state of the epoch in a saved state.

    Raises TypeError for what is not a state, and ValueError for one that is damaged, or another loader's.
    """
    check_whole(state)
    settings, saved = config.settings(), state["settings"]
    if is_untouched(state) and isinstance(saved, Mapping):
        saved = {**saved, **{name: settings[name] for name in FREE}}
    _check_settings(saved, settings)
    config.dataset.check(state["shards"])
    epoch = decode_state(state, settings, _most_parts(config.dataset))
    assert epoch.world is not None
    check_world(epoch.world, world)
    try:
        for runs in (epoch.runs or (), *(peer.runs for peer in epoch.peers)):
            config.joined(epoch.epoch, runs)
    except ValueError as exn:
        raise refuse("runs", epoch.runs, f"must be of the dataset: {exn}") from exn
    return epoch


def _most_parts(dataset: Dataset) -> int:
    """Number of parts that addresses may name."""
    return dataset.most_parts if isinstance(dataset, Mix) else len(dataset)


def find_states(value: Any, exact: bool = True) -> Iterator[Mapping[str, Any]]:
    """The states of Loaders in a state that may be one, or hold them, such as that of a StatefulDataLoader.

    Raises ValueError where that holds them as they were some batches before, unless `exact` is False.
    """
    if isinstance(value, Mapping):
        if {"version", "digest", "settings"} <= value.keys():
            yield value
            return
        if exact and value.get("_steps_since_snapshot"):
            raise ValueError(
                "the state of a StatefulDataLoader is that of its workers some batches before: give it "
                "snapshot_every_n_steps=1"
            )
        for each in value.values():
            yield from find_states(each, exact)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from find_states(each, exact)


def join_states(states: list[State]) -> State:
    """The states of all DataLoader workers of a rank as one, which its main process loads."""
    return {"version": VERSION, "workers": states}


def is_joined(state: Any) -> bool:
    """Whether a state is that of all workers of a rank."""
    return isinstance(state, Mapping) and state.keys() == {"version", "workers"}


def split_states(state: Any) -> list[tuple[int | None, Any]]:
    """The states of all workers of a rank, with their numbers; that of one process has none."""
    if not is_joined(state):
        return [(None, state)]
    if not isinstance(state["workers"], (list, tuple)) or not state["workers"]:
        raise refuse("workers", state["workers"], "must be a list of states")
    return list(enumerate(state["workers"]))


def is_untouched(state: Mapping[str, Any]) -> bool:
    """Whether no batch has been asked for since an epoch began or was resharded: no memory has been divided yet."""
    return state["probed"] is None and state["target"] is None


def _addresses(value: Any, shards: int) -> list[Address]:
    """The samples that a state names."""
    if not isinstance(value, (list, tuple)):
        raise refuse("samples", value, "must be a list")
    found = []
    for each in value:
        if not isinstance(each, (list, tuple)) or len(each) != len(Address._fields):
            raise refuse("a sample", each, f"must be a list of {len(Address._fields)}")
        shard, sample, checksum = each
        found.append(
            Address(whole("a shard", shard, 0, shards - 1), whole("a sample", sample), whole("a sum", checksum))
        )
    if len({address[:2] for address in found}) < len(found):
        raise refuse("samples", value, "must be different")
    return found


def check_world(saved: World, now: World) -> None:
    """Raise ValueError where a state belongs to another process of another, or of the same, world."""
    if saved.ranks != now.ranks:
        raise ValueError(f"state was saved with a world size of {saved.ranks}, but it is {now.ranks} now")
    if saved.workers != now.workers:
        raise ValueError(
            f"state was saved with {saved.workers} DataLoader workers, but there are {now.workers} now; in workers, "
            f"load it through torchdata's StatefulDataLoader"
        )
    if saved != now:
        raise ValueError(f"state is that of {saved}, but this is {now}")


def _check_settings(saved: Any, now: Any, name: str = "") -> None:
    if isinstance(saved, dict) and isinstance(now, dict):
        for each in {**now, **saved}:
            _check_settings(saved.get(each), now.get(each), f"{name}.{each}" if name else each)
    elif saved != now:
        raise ValueError(f"state was saved with {name} {_short(saved)}, but the loader has {name} {_short(now)}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else f"{text[:200]}..."
