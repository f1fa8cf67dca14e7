"""Batches of a Loader whose shard has a mutated member or header, and clips of one that is mapped."""

from __future__ import annotations

import io
import tarfile
import tempfile
import warnings
from collections import Counter
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np

import clipx
from clipx import mapped, wds
from clipx.datasets.shards import Shards
from clipx.datasets.shares import share
from clipx.datasets.streamed_tars import ReadLimits
from clipx.datasets.world import World
from fuzz.arrays import good_array
from fuzz.structure import Random
from fuzz.tars import between

MOST_BATCHES = 60
MOST_BYTES = 1 << 24
"""Of a sample, where no Loader bounds it."""
LOADED = 1 / 16
"""Part of the inputs that a Loader reads, too, whose start takes longer than all else."""
FORMAT = clipx.ClipFormat(crop=(8, 8))
WINDOWS = [
    clipx.WindowSpec(3),
    clipx.WindowSpec(3, dilation=2, policy="repeat_last"),
    clipx.WindowSpec(2, num_clips=2, policy="wrap"),
    clipx.WindowSpec(3, 9, policy="backpad"),
]


def loaded(
    url: str, documented: tuple[type[Exception], ...], known: dict[str, list[Any]], *, window: Any, **more: Any
) -> tuple[Counter, bool]:
    """How many clips of each source come, and whether the run came to its end. What is not documented is raised.

    known: arrays that the clips of a key may be of.
    """
    found: list[Exception] = []
    taken: Counter = Counter()
    loader = clipx.Loader(
        url,
        window,
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
            for batch in islice(loader, MOST_BATCHES):
                taken.update(key.rpartition("_")[0] for key in batch["__key__"])
                for clip, facts in zip(batch.get("npy", ()), batch["clip.json"]):
                    check_frames(facts["key"], clip, facts["index"], known.get(facts["key"], []), window)
                del batch
    except documented:
        return taken, False
    for exn in found:
        if not isinstance(exn, documented):
            raise exn
    return taken, True


def check_frames(what: str, clip: Any, index: int, sources: list[Any], window: clipx.WindowSpec) -> None:
    """Raise AssertionError unless the clip is that of one of the arrays that may be its source."""
    got = np.asarray(clip)
    for source in sources:
        wanted = clipx.windows.extract(source, window)
        if wanted.dtype.names == () or not got.nbytes:
            return  # bytes that are padding, or none
        if index < len(wanted) and got.dtype == wanted.dtype and got.tobytes() == wanted[index].tobytes():
            return
    if sources:
        raise AssertionError(f"clip {index} of {what} has other frames than numpy reads")


def plain(data: bytes, name: str = "") -> Any:
    """The array that numpy reads of npy or npz data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.load(io.BytesIO(data), allow_pickle=False)
        return found[name] if name else found


def use_member(data: bytes, random: Random, documented: tuple[type[Exception], ...], field: str, **more: Any) -> None:
    window = random.choice(WINDOWS)
    if random.random() < LOADED:
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            file.write(between(field.encode(), data))
            file.flush()
            taken, ended = loaded(
                file.name, documented, {"a": [good_array(7)], "z": [good_array(8)]}, window=window, **more
            )
            if ended:
                for key, n in (("a", 7), ("z", 8)):
                    if not more and taken[key] != len(clipx.windows.starts(n, window.length, **plan_of(window))):
                        raise AssertionError(f"{taken[key]} clips of the good sample {key} came")
    with suppress(*documented):
        clips = wds.clips(window, keys=more.get("keys"))(iter([{"__key__": "a", field: data}]))
        for number, clip in enumerate(islice(clips, 100)):
            if number < 2:
                names = [name for name in clip if name.partition(":")[0] == field]
                for name in names:
                    sources = [plain(data, name.partition(":")[2])] if field == "npy" or ":" in name else []
                    check_frames(field, clip[name], clip["clip.json"]["index"], sources, window)


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
        with suppress(*documented):
            array = mapped.open(file.name)
            if array.ndim:
                window = random.choice(WINDOWS)
                for index, clip in enumerate(islice(clipx.windows.iterate(array, window), 20)):
                    if index < 2:
                        check_frames("the mapped array", clip, index, [plain(data)], window)


def use_npz(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    more = random.choice(({}, {"keys": "npz:x"}))
    use_member(data, random, documented, "npz", **more)


def plain_members(data: bytes) -> dict[str, list[Any]] | None:
    """The arrays that tarfile and numpy read, by their samples' keys; None of a tar that tarfile does not read whole.

    A damaged one is read on behind the damage by clipx, so that there may be others.
    """
    found: dict[str, list[Any]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                key, _, field = member.name.rpartition("/")[2].partition(".")
                if member.isreg() and field == "npy" and member.size < 1 << 20:
                    file = tar.extractfile(member)
                    with suppress(Exception):
                        found.setdefault(key, []).append(np.load(file))  # type: ignore[arg-type]
    except Exception:
        return None
    return found


def use_tar(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    known = plain_members(data) or {}
    window = random.choice(WINDOWS)
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(data)
        file.flush()
        if random.random() < LOADED:
            loaded(file.name, documented, known, window=window)
        found: list[Exception] = []
        with suppress(*documented):
            shards = Shards([file.name], lambda exn: not found.append(exn))
            shards.limits = ReadLimits(MOST_BYTES)
            samples = shards.samples(share([0], World(0, 1, 0, 1)))
            stage = wds.clips(window, handler=lambda exn: not found.append(exn))
            for clip in islice(stage(sample for _, sample in samples), MOST_BATCHES):
                facts = clip["clip.json"]
                if "npy" in clip:
                    check_frames(facts["key"], clip["npy"], facts["index"], known.get(facts["key"], []), window)
        for exn in found:
            if not isinstance(exn, documented):
                raise exn
        with suppress(*documented):
            members = list(islice(mapped.members(file.name), 1000))
            for each in members[:10]:
                if each.name.endswith(".npy"):
                    mapped.open_member(file.name, each)
        if random.random() < LOADED / 3:
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
