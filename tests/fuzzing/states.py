"""States of a Loader whose numbers and lists are mutated, and their digest made right again."""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import clipx
from clipx.datasets import shard_list
from clipx.loader import state as states
from fuzzing.structure import Random, number
from fuzzing.tars import member

WINDOW = clipx.WindowSpec(3, 2)
ANYWHERE = ["shard-0.tar", "shard-1.tar"]


def large(n: int) -> bytes:
    """Frames so large that the shuffle holds few clips, and samples are open where a state is saved; of two sizes."""
    file = io.BytesIO()
    np.save(file, np.random.default_rng(n).integers(0, 256, (n, 256, 192 if n == 9 else 256, 3), dtype=np.uint8))
    return file.getvalue()


@cache
def shards() -> list[str]:
    folder = tempfile.mkdtemp(prefix="clipx-fuzzing-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    urls = []
    for i, name in enumerate(ANYWHERE):
        path = Path(folder, name)
        path.write_bytes(b"".join(member(b"s%d_%d.npy" % (i, j), large(7 + 2 * j)) for j in range(3)) + bytes(1024))
        urls.append(str(path))
    return urls


def loader(shuffle: bool, **more: Any) -> clipx.Loader:
    return clipx.Loader(
        shards(),
        WINDOW,
        batch_size=2,
        memory="48MB",
        threads=2,
        shuffle=shuffle,
        seed=1,
        drop_last=False,
        ragged="bucket",
        **more,
    )


@cache
def saved(shuffle: bool, batches: int) -> str:
    with loader(shuffle) as each:
        for batch in islice(each, batches):
            del batch
        reported = each.state_dict()
    reported["shards"]["names"] = shard_list._names(ANYWHERE)  # not those of this process's folder
    reported["digest"] = states._digest(reported)
    return json.dumps(reported)


def places_of(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key or index in a value."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found.append((value, key))
        found += places_of(value[key])
    return found


VALUES = [
    None,
    True,
    "",
    "x",
    [],
    {},
    0,
    -1,
    1.5,
    1 << 63,
    -(1 << 63),
    1 << 200,
    [[]],
    [0],
    "Δ" * 50,
    float("nan"),
    float("inf"),
]


def state(random: Random) -> bytes:
    shuffle = random.random() < 0.7
    reported = json.loads(saved(shuffle, random.choice((0, 1, 3, 7, 100))))
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        # Settings and names are compared with the loader's own; the rest is believed.
        where = [
            each
            for each in places_of(reported)
            if each[1] not in ("settings", "digest") and each[0] is not reported.get("settings")
        ]
        inside, key = random.choice(where)
        old = inside[key]
        action = random.randrange(7)
        if action == 0:
            del inside[key]
        elif action == 1:
            inside[key] = random.choice(VALUES)
        elif action == 2 and isinstance(old, list):
            inside[key] = random.choice((old[::-1], [], [*old, random.choice(VALUES)], old * 4))
        elif action == 3 and isinstance(old, list) and old:
            old.insert(0, random.choice(old))
        elif isinstance(old, int) and not isinstance(old, bool):
            inside[key] = random.choice((old + 1, old - 1, -old, number(random, 4, old), number(random, 8, old)))
        else:
            inside[key] = random.choice(places_of(reported))[1]
    if random.random() < 0.02:
        reported = random.choice(VALUES)
    if isinstance(reported, dict) and random.random() < 0.97:
        reported["digest"] = states._digest(reported)
    return json.dumps([shuffle, reported]).encode()


def use_state(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    shuffle, reported = json.loads(data)
    if isinstance(reported, dict) and isinstance(reported.get("shards"), dict):
        right = reported.get("digest") == states._digest(reported)
        if reported["shards"].get("names") == shard_list._names(ANYWHERE):
            reported["shards"]["names"] = shard_list._names(shards())
        if right:
            reported["digest"] = states._digest(reported)
    with loader(shuffle) as each:
        try:
            each.load_state_dict(reported)
        except (ValueError, TypeError):
            return
        try:
            for batch in islice(each, 60):
                del batch
            each.state_dict()
        except documented:
            pass
