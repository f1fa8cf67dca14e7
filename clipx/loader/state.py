"""The state of a Loader as JSON takes it: made, and checked before anything is done with it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from clipx.datasets.addresses import Address
from clipx.datasets.urls import local_path
from clipx.datasets.world import World
from clipx.loader.budget import Budget
from clipx.loader.interleave import Position, Ref
from clipx.loader.position import Looked, Progress
from clipx.loader.state_checks import check_contents, refuse
from clipx.wds.batching import Kind, Like

__all__ = ["Settings", "check_state", "check_world", "make_state", "plain", "progress_of", "shard_sizes"]

VERSION = 2
NAME_BYTES = 4  # of a shard's name's digest

Settings = dict[str, Any]
"""What fixes the order and the bytes of a loader's batches, as JSON takes it."""

State = dict[str, Any]

ENTRIES = frozenset((
    "settings", "shards", "world", "epoch", "finished", "target", "batches", "passes", "drawn", "active", "turn",
    "ended", "read", "held", "damaged", "looked", "like", "places",
))  # fmt: skip


def plain(value: Any) -> Any:
    """A value of an argument as JSON takes it, the same for the same value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return repr(value)


def shard_sizes(urls: Iterable[str]) -> list[int | None]:
    """Bytes of the shards that are local files; None for others, and for those that are not there."""
    return [None if (path := local_path(url)) is None else _size(path) for url in urls]


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def _names(urls: Iterable[str]) -> str:
    """A short digest of each shard's name, one after the other."""
    digests = [hashlib.blake2b(url.encode("utf-8", "surrogateescape"), digest_size=NAME_BYTES).digest() for url in urls]
    return base64.b64encode(b"".join(digests)).decode()


def _digest(state: Mapping[str, Any]) -> str:
    told = {name: value for name, value in state.items() if name != "digest"}
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()


# Arrays' kinds


def _dtype_to_json(dtype: np.dtype) -> Any:
    # Types that NumPy does not know by their letters, such as bfloat16, it knows by their names.
    for text in (dtype.str, dtype.name):
        try:
            if np.dtype(text) == dtype:
                return text
        except TypeError:
            continue
    return np.lib.format.dtype_to_descr(dtype)


def _dtype_of_json(told: Any) -> np.dtype:
    if isinstance(told, str):
        try:
            return np.dtype(told)
        except TypeError:
            import_module("ml_dtypes")  # which makes its names known to NumPy
            return np.dtype(told)
    return np.lib.format.descr_to_dtype([_field_of_json(*each) for each in told])


def _field_of_json(name: Any, told: Any, *shape: Any) -> tuple[Any, ...]:
    """A field of a structured dtype, whose tuples JSON has made lists."""
    name = tuple(name) if isinstance(name, list) else name
    inner = told if isinstance(told, str) else [_field_of_json(*each) for each in told]
    return (name, inner, *(tuple(each) for each in shape))


def _like_to_json(like: Like | None) -> Any:
    if like is None:
        return None
    for name in like.fields:
        if not isinstance(name, str):
            raise TypeError(f"map gives a field that is called {name!r}, but a state needs names that are texts")
    kinds = [None if kind is None else [list(kind[0]), _dtype_to_json(kind[1])] for kind in like.fields.values()]
    return [like.key, list(like.fields), kinds, list(like.clips)]


def _like_of_json(told: Any) -> Like | None:
    if told is None:
        return None
    key, names, kinds, clips = told
    fields: dict[Any, Kind] = {
        name: None if kind is None else (tuple(kind[0]), _dtype_of_json(kind[1])) for name, kind in zip(names, kinds)
    }
    return Like(key, fields, tuple(clips))


# Making


def make_state(
    settings: Settings, urls: Sequence[str], sizes: Sequence[int | None], world: World, progress: Progress
) -> State:
    """The state of a loader whose epoch stands at `progress`.

    Of numbers and texts alone; what follows from its settings is left out. Its size is that of the shuffle, some 30
    bytes a clip, and of the shards' names and sizes, some 16 bytes each.
    """
    progress = progress.settled()
    places: dict[Address, int] = {}

    def number(place: Address) -> int:
        return places.setdefault(place, len(places))

    looked, position = progress.looked, progress.position
    state: State = {
        "version": VERSION,
        "settings": settings,
        "shards": {"names": _names(urls), "sizes": list(sizes)},
        "world": list(world),
        "epoch": progress.epoch,
        "finished": progress.finished,
        "target": progress.target,
        "batches": progress.batches,
        "passes": progress.passes,
        "drawn": progress.drawn,
        "active": [[number(place), given] for place, given, _ in position.active],
        "turn": position.turn,
        "ended": position.ended,
        "read": None if position.read is None else number(position.read),
        "held": [[number(ref.place) for ref in progress.held], [ref.clip for ref in progress.held]],
        "damaged": sorted({number(place) for place, _, found in [*progress.held, *position.active] if found}),
        "looked": None
        if looked is None
        else [
            looked.workers,
            looked.fields,
            looked.clip_bytes,
            dataclasses.asdict(looked.budget),
            _like_to_json(looked.like),
        ],
        "like": _like_to_json(progress.like),
    }
    state["places"] = [list(place) for place in places]
    return {**state, "digest": _digest(state)}


# Checking


def check_state(state: Any, settings: Settings, urls: Sequence[str], sizes: Sequence[int | None], world: World) -> None:
    """Raise TypeError for what is no state, and ValueError for one that is damaged, or another loader's."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state is a {type(state).__name__}, but must be a dict that state_dict gave")
    if "version" not in state or "digest" not in state:
        raise ValueError(
            f"state has {', '.join(map(str, state)) or 'nothing'}, but no version and digest: it is cut short"
        )
    if state["version"] != VERSION:
        raise ValueError(f"state has version {state['version']!r}, but this clipx reads version {VERSION}")
    try:
        found = _digest(state)
    except (TypeError, ValueError) as exn:
        raise ValueError(f"state is not as state_dict gave it: {exn}") from exn
    if found != state["digest"]:
        raise ValueError("state is not as state_dict gave it: its digest does not match, so it was edited or cut short")
    missing = ENTRIES - state.keys()
    if missing:
        raise ValueError(f"state has no {', '.join(sorted(missing))}: it is not as state_dict gave it")
    _check_settings(state["settings"], settings)
    _check_shards(state["shards"], urls, sizes)
    check_contents(state, len(urls), settings)
    check_world(World(*state["world"]), world)
    for name, told in (("like", state["like"]), ("looked's like", (state["looked"] or [None])[-1])):
        try:
            _like_of_json(told)
        except (TypeError, ValueError, ImportError, LookupError, OverflowError, SyntaxError, RecursionError) as exn:
            raise refuse(name, told, f"it names no dtype: {exn}") from exn


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
        raise ValueError(f"state was saved with {name} {_told(saved)}, but the loader has {name} {_told(now)}")


def _told(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 200 else f"{text[:200]}..."


def _check_shards(saved: Any, urls: Sequence[str], sizes: Sequence[int | None]) -> None:
    if not isinstance(saved, dict) or saved.keys() != {"names", "sizes"} or not isinstance(saved["sizes"], list):
        raise refuse("shards", saved, "must have names and sizes")
    if not isinstance(saved["names"], str) or not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", saved["names"]):
        raise refuse("the names of shards", saved["names"], "must be base64")
    if len(saved["sizes"]) != len(urls):
        raise ValueError(f"state is of {len(saved['sizes'])} shards, but dataset names {len(urls)}")
    try:
        names, now = base64.b64decode(saved["names"]), base64.b64decode(_names(urls))
    except ValueError as exn:
        raise refuse("the names of shards", saved["names"], "must be base64") from exn
    for shard, (url, before, size) in enumerate(zip(urls, saved["sizes"], sizes)):
        here = slice(shard * NAME_BYTES, (shard + 1) * NAME_BYTES)
        if names[here] != now[here]:
            raise ValueError(f"shard {shard} of dataset is {url!r}, but was called otherwise when the state was saved")
        if before is not None and size is None:
            raise ValueError(f"shard {shard}, {url!r}, is missing; it had {before} bytes when the state was saved")
        if before != size:
            raise ValueError(f"shard {shard}, {url!r}, has {size} bytes, but had {before} when the state was saved")


def progress_of(state: State) -> Progress:
    """Where a state that has been checked stands."""
    places, damaged = [Address(*each) for each in state["places"]], set(state["damaged"])
    looked = None
    if state["looked"] is not None:
        workers, fields, clip_bytes, budget, told = state["looked"]
        like = _like_of_json(told)
        assert like is not None
        looked = Looked(workers, list(fields), clip_bytes, Budget(**budget), like)
    read = state["read"]
    return Progress(
        epoch=state["epoch"],
        target=state["target"],
        looked=looked,
        batches=state["batches"],
        position=Position(
            [(places[at], given, at in damaged) for at, given in state["active"]],
            state["turn"],
            None if read is None else places[read],
            state["ended"],
        ),
        passes=state["passes"],
        held=[Ref(places[at], clip, at in damaged) for at, clip in zip(*state["held"])],
        drawn=state["drawn"],
        like=_like_of_json(state["like"]),
        world=World(*state["world"]),
        finished=state["finished"],
        loaded=True,
    )
