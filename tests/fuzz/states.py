"""States of a Loader and of a ClipSampler whose numbers and lists are mutated, and their digest made right again."""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import clipx
from clipx.datasets import shard_list
from clipx.loader import state as states
from fuzz.structure import Random, number
from fuzz.tars import member
from fuzz.use_arrays import check_frames

WINDOW = clipx.WindowSpec(3, 2)
ANYWHERE = ["shard-0.tar", "shard-1.tar"]


@cache
def large(n: int) -> np.ndarray:
    """Frames so large that the shuffle holds few clips, and samples are open where a state is saved; of two sizes."""
    return np.random.default_rng(n).integers(0, 256, (n, 256, 192 if n == 9 else 256, 3), dtype=np.uint8)


def as_npy(frames: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, frames)
    return file.getvalue()


@cache
def shards() -> list[str]:
    folder = tempfile.mkdtemp(prefix="clipx-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    urls = []
    for i, name in enumerate(ANYWHERE):
        path = Path(folder, name)
        path.write_bytes(
            b"".join(member(b"s%d_%d.npy" % (i, j), as_npy(large(7 + 2 * j))) for j in range(3)) + bytes(1024)
        )
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


def change(random: Random, reported: Any) -> Any:
    """A state of a Loader with other entries, whose digest is mostly right."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        # Settings and names are compared with the loader's own; the rest is believed.
        where = [
            each
            for each in places_of(reported)
            if each[1] not in ("settings", "digest") and each[0] is not reported.get("settings")
        ]
        change_one(random, reported, *random.choice(where))
    if random.random() < 0.02:
        reported = random.choice(VALUES)
    if isinstance(reported, dict) and random.random() < 0.97:
        reported["digest"] = states._digest(reported)
    return reported


def change_one(random: Random, whole: Any, inside: Any, key: Any) -> None:
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
        inside[key] = random.choice(places_of(whole))[1]


def state(random: Random) -> bytes:
    """A way that a state is used, whether clips are shuffled, and the state."""
    use, shuffle = random.choice(("loader", "loader", "reshard", "sampler")), random.random() < 0.7
    if use == "sampler":
        reported = sampler(shuffle).state_dict() | {"given": random.randrange(40)}
        for _ in range(random.choice((1, 1, 2))):
            if isinstance(reported, dict) and reported:
                change_one(random, reported, reported, random.choice(sorted(reported)))
        if random.random() < 0.02:
            reported = random.choice(VALUES)
    else:
        reported = change(random, json.loads(saved(shuffle, random.choice((0, 1, 3, 7, 100)))))
    return json.dumps([use, shuffle, reported]).encode()


@cache
def clip_dataset() -> clipx.ClipDataset:
    folder = Path(shards()[0]).parent
    return clipx.ClipDataset(clipx.Index.build(shards(), str(folder / "index.parquet")), WINDOW)


def sampler(shuffle: bool) -> clipx.ClipSampler:
    return clipx.ClipSampler(clip_dataset(), "clips" if shuffle else "sources", seed=1)


def use_sampler(shuffle: bool, reported: Any) -> None:
    order = sampler(shuffle)
    try:
        order.load_state_dict(reported)
    except (ValueError, TypeError):
        return
    left = len(order) - order.state_dict()["given"]
    numbers = list(order)
    if len(numbers) != left or len(set(numbers)) != left or not set(numbers) <= set(range(len(clip_dataset()))):
        raise AssertionError(f"a sampler with {left} clips left gives {numbers}")


def with_own_shards(reported: Any) -> Any:
    """A state of this process's shards, whose digest is as right as before."""
    if isinstance(reported, dict) and isinstance(reported.get("shards"), dict):
        right = reported.get("digest") == states._digest(reported)
        if reported["shards"].get("names") == shard_list._names(ANYWHERE):
            reported["shards"]["names"] = shard_list._names(shards())
        if right:
            reported["digest"] = states._digest(reported)
    return reported


def use_state(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    use, shuffle, reported = json.loads(data)
    if use == "sampler":
        use_sampler(shuffle, reported)
        return
    reported = with_own_shards(reported)
    if use == "reshard":
        ranks = random.choice((1, 1, 2, 5))
        try:
            dealt = clipx.reshard_states([reported], ranks=ranks, workers=random.choice((0, 2)) if ranks > 1 else 0)
        except (ValueError, TypeError):
            return
        if ranks > 1:
            return
        reported = dealt[0]
    with loader(shuffle) as each:
        try:
            each.load_state_dict(reported)
        except (ValueError, TypeError):
            return
        use_loader(each, documented)


def use_loader(each: clipx.Loader, documented: tuple[type[Exception], ...]) -> None:
    """Run a loader that has taken a state: whichever clips it gives, their frames are right."""
    with suppress(*documented):
        for batch in islice(each, 60):
            for clip, facts in zip(batch["npy"], batch["clip.json"]):
                frames = large(7 + 2 * int(facts["key"].rpartition("_")[2]))
                check_frames(facts["key"], clip, facts["index"], [frames], WINDOW)
            del batch
        each.state_dict()
