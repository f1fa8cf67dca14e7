"""Batches of a Loader whose shard has a mutated member or header, and clips of one that is mapped."""

from __future__ import annotations

import tempfile
from collections import Counter
from itertools import islice
from typing import Any

import clipx
from clipx import mapped, wds
from fuzzing.structure import Random
from fuzzing.tars import between

MOST_BATCHES = 60
FORMAT = clipx.ClipFormat(crop=(8, 8))
WINDOWS = [
    clipx.WindowSpec(3),
    clipx.WindowSpec(3, dilation=2, policy="repeat_last"),
    clipx.WindowSpec(2, num_clips=2, policy="wrap"),
    clipx.WindowSpec(3, 9, policy="backpad"),
]


def loaded(
    url: str, documented: tuple[type[Exception], ...], most: int = MOST_BATCHES, **more: Any
) -> tuple[Counter, bool]:
    """How many clips of each source come, and whether the run came to its end. What is not documented is raised."""
    found: list[Exception] = []
    taken: Counter = Counter()
    loader = clipx.Loader(
        url,
        more.pop("window"),
        FORMAT,
        batch_size=2,
        memory="48MB",
        threads=2,
        shuffle=False,
        drop_last=False,
        handler=lambda exn: not found.append(exn),
        **more,
    )
    try:
        with loader:
            for batch in islice(loader, most):
                taken.update(key.rpartition("_")[0] for key in batch["__key__"])
                del batch
    except documented:
        return taken, False
    for exn in found:
        if not isinstance(exn, documented):
            raise exn
    return taken, True


def use_member(data: bytes, random: Random, documented: tuple[type[Exception], ...], field: str, **more: Any) -> None:
    window = random.choice(WINDOWS)
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(between(field.encode(), data))
        file.flush()
        taken, ended = loaded(file.name, documented, window=window, **more)
        if ended:
            for key, n in (("a", 7), ("z", 8)):
                if not more and taken[key] != len(clipx.windows.starts(n, window.length, **plan_of(window))):
                    raise AssertionError(f"{taken[key]} clips of the good sample {key} came")
    try:
        for _ in islice(wds.clips(window, keys=more.get("keys"))(iter([{"__key__": "a", field: data}])), 100):
            pass
    except documented:
        pass


def plan_of(window: clipx.WindowSpec) -> dict[str, Any]:
    return {
        "stride": window.stride,
        "dilation": window.dilation,
        "policy": window.policy,
        "num_clips": window.num_clips,
    } | ({"stride": None} if window.num_clips is not None else {})


def use_npy(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    use_member(data, random, documented, "npy")
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        file.write(data)
        file.flush()
        try:
            array = mapped.open(file.name)
            if array.ndim:
                for _ in islice(clipx.windows.iterate(array, 2), 20):
                    pass
        except documented:
            pass


def use_npz(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    more = random.choice(({}, {"keys": "npz:x"}))
    use_member(data, random, documented, "npz", **more)


def use_tar(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(data)
        file.flush()
        loaded(file.name, documented, window=random.choice(WINDOWS))
        try:
            found = list(islice(mapped.members(file.name), 1000))
            for each in found[:10]:
                if each.name.endswith(".npy"):
                    mapped.open_member(file.name, each)
        except documented:
            pass
        if random.random() < 0.3:
            resumed(file.name, random, documented)


def resumed(url: str, random: Random, documented: tuple[type[Exception], ...]) -> None:
    """A run is stopped behind its first batch, and goes on by its state; its clips are counted, too."""
    arguments: Any = {
        "batch_size": 1,
        "memory": "48MB",
        "threads": 1,
        "shuffle": random.random() < 0.5,
        "handler": lambda exn: True,
    }
    window = clipx.WindowSpec(3)
    try:
        with clipx.Loader(url, window, FORMAT, **arguments) as loader:
            for batch in loader:
                del batch
                break
            state = loader.state_dict()
        with clipx.Loader(url, window, FORMAT, **arguments) as loader:
            loader.load_state_dict(state)
            for batch in islice(loader, MOST_BATCHES):
                del batch
        with clipx.Loader(url, window, FORMAT, equal_batches=True, **arguments) as loader:
            for batch in islice(loader, MOST_BATCHES):
                del batch
    except documented:
        pass
