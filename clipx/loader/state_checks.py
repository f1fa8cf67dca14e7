"""What a saved state says, checked as if a stranger had written it: its digest only tells that it was not cut short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from clipx.loader.budget import MOST_SOURCES, Budget

__all__ = ["check_contents", "refuse"]

MOST = 1 << 53
MOST_CLIPS = 1 << 33  # of an epoch: what was drawn for each is drawn again


def refuse(name: str, value: Any, rule: str) -> ValueError:
    """The error of an entry that breaks a rule."""
    text = repr(value)
    return ValueError(
        f"state is not as state_dict gave it: {name} is {text if len(text) < 100 else text[:100] + '...'}, but {rule}"
    )


def _whole(name: str, value: Any, least: int = 0, most: int = MOST) -> int:
    if type(value) is not int or not least <= value <= most:
        raise refuse(name, value, f"must be an integer from {least} to {most}")
    return value


def _items(name: str, value: Any, length: int | None = None) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or length not in (None, len(value)):
        raise refuse(name, value, "must be a list" if length is None else f"must be a list of {length}")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise refuse(name, value, "must be a text")
    return value


def _truth(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise refuse(name, value, "must be True or False")


def check_contents(state: Mapping[str, Any], shards: int, settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a state whose numbers cannot be those of a loader with these settings and so many shards."""
    world = [_whole("world", each) for each in _items("world", state["world"], 4)]
    for name in ("finished", "ended"):
        _truth(name, state[name])
    for name in ("epoch", "passes"):
        _whole(name, state[name])
    if state["target"] is not None:
        _whole("target", state["target"])
    _whole("batches", state["batches"])
    _whole("drawn", state["drawn"], 0, MOST_CLIPS)
    budget = None if state["looked"] is None else _check_looked(state["looked"], world[3], settings)
    if state["like"] is not None:
        _check_like("like", state["like"], settings)
    _check_position(state, shards, budget, settings["shuffle"])


def _check_looked(looked: Any, workers: int, settings: Mapping[str, Any]) -> Budget:
    shared, names, clip_bytes, told, like = _items("looked", looked, 5)
    _whole("looked's workers", shared, workers, workers)
    if not _items("looked's fields", names) or len({_text("a field", each) for each in names}) < len(names):
        raise refuse("looked's fields", names, "must name fields, each once")
    memory = settings["memory"] // workers
    _whole("the bytes of a clip", clip_bytes, 0, memory)
    if not isinstance(told, dict) or told.keys() != {each.name for each in fields(Budget)}:
        raise refuse("looked's budget", told, "must have the entries of a Budget")
    budget = Budget(**{name: _whole(f"budget's {name}", value, 0, memory) for name, value in told.items()})
    within = (
        1 <= budget.active <= budget.sources <= MOST_SOURCES
        and 1 <= budget.ready <= budget.slots
        and budget.shuffled <= budget.slots
    )
    held = (budget.slots + settings["batches"] * settings["batch_size"] * len(names)) * clip_bytes
    if not within or held > memory:
        raise refuse("looked's budget", told, f"must divide {memory} bytes")
    if like is None:
        raise refuse("what clips are like", like, "must be known with looked")
    _check_like("looked's like", like, settings)
    return budget


def _check_like(name: str, like: Any, settings: Mapping[str, Any]) -> None:
    key, names, kinds, clips = _items(name, like, 4)
    _text(f"{name}'s key", key)
    known = {_text(f"{name}'s field", each) for each in _items(f"{name}'s fields", names)}
    if len(known) < len(names):
        raise refuse(f"{name}'s fields", names, "must be different")
    for each in _items(f"{name}'s clips", clips):
        if _text(f"{name}'s clip", each) not in known:
            raise refuse(f"{name}'s clips", clips, "must be among its fields")
    for kind in _items(f"{name}'s kinds", kinds, len(names)):
        if kind is None:
            continue
        shape, _ = _items(f"{name}'s kind", kind, 2)
        count = 1
        for size in _items(f"{name}'s shape", shape):
            count *= max(_whole(f"{name}'s shape", size), 1)
        if count > settings["memory"]:
            raise refuse(f"{name}'s shape", shape, f"memory is {settings['memory']} bytes")


def _check_position(state: Mapping[str, Any], shards: int, budget: Budget | None, shuffles: bool) -> None:
    """Check which samples are cut, and which clips wait."""
    places = []
    for each in _items("places", state["places"]):
        shard, sample, check = _items("a place", each, 3)
        places.append((_whole("a shard", shard, 0, shards - 1), _whole("a sample", sample)))
        _whole("a sum", check)
    if len(set(places)) < len(places):
        raise refuse("places", state["places"], "must be different")

    def place(value: Any) -> int:
        return _whole("the number of a place", value, 0, len(places) - 1)

    active = {}
    for each in _items("active", state["active"], None):
        number, given = _items("an active sample", each, 2)
        active[place(number)] = _whole("the index of a clip", given)
    most = 0 if budget is None else budget.active
    if len(active) < len(state["active"]) or len(active) > most:
        raise refuse("active", state["active"], f"must be at most {most} different samples")
    _whole("turn", state["turn"], 0, len(active))
    if state["read"] is not None:
        place(state["read"])
    elif active:
        raise refuse("read", None, "samples are cut")
    numbers, clips = _items("held", state["held"], 2)
    held = [
        (place(each), _whole("the index of a clip", clip))
        for each, clip in zip(_items("held's places", numbers), _items("held's clips", clips, len(numbers)))
    ]
    most = budget.shuffled if budget is not None and shuffles else 0
    if len(set(held)) < len(held) or len(held) > most:
        raise refuse("held", held, f"must be at most {most} different clips")
    for number, clip in held:
        if clip >= active.get(number, clip + 1):
            raise refuse("held", held, f"sample {number} has not given clip {clip}")
    for each in _items("damaged", state["damaged"]):
        place(each)
