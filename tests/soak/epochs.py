"""Epochs of a Loader with threads, some of them resumed, and some read by DataLoader workers."""

from __future__ import annotations

import io
import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.tars import member

import clipx
from soak.measuring import Trace

SHARDS, SAMPLES, FRAMES, LENGTH = 4, 6, 24, 4
WINDOW = clipx.WindowSpec(LENGTH)
CLIPS = SHARDS * SAMPLES * (FRAMES // LENGTH)
RESUMED, WITH_WORKERS = 10, 50
"""One epoch of so many."""


def frames_of(number: int) -> np.ndarray:
    return np.full((FRAMES, 16, 16, 3), number, np.uint8) + np.arange(FRAMES, dtype=np.uint8)[:, None, None, None] * 7


def write_shards(folder: Path) -> list[str]:
    urls = []
    for shard in range(SHARDS):
        members = []
        for number in range(shard * SAMPLES, (shard + 1) * SAMPLES):
            file = io.BytesIO()
            np.save(file, frames_of(number))
            members.append(member(b"%03d.npy" % number, file.getvalue()))
        path = folder / f"{shard}.tar"
        path.write_bytes(b"".join(members) + bytes(1024))
        urls.append(str(path))
    return urls


def make(urls: list[str]) -> clipx.Loader:
    return clipx.Loader(urls, WINDOW, batch_size=4, memory="64MB", threads=2, seed=1, drop_last=False)


class Epoch:
    """The clips that came of an epoch, each of which must come once."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def add(self, batch: dict[str, Any]) -> None:
        for key, clip, facts in zip(batch["__key__"], batch["npy"], batch["clip.json"]):
            if key in self.seen:
                raise AssertionError(f"clip {key} came twice")
            self.seen.add(key)
            start = facts["start"]
            if not np.array_equal(np.asarray(clip), frames_of(int(facts["key"]))[start : start + LENGTH]):
                raise AssertionError(f"clip {key} has other frames than its source")

    def end(self) -> None:
        if len(self.seen) != CLIPS:
            raise AssertionError(f"{len(self.seen)} of {CLIPS} clips came")


def run(total: int, count: int = 200, workers: bool | None = None) -> Trace:
    """Run so many epochs; a trace of them. Raises AssertionError where a clip is missing, comes twice, or is wrong.

    workers: read some epochs by a DataLoader with workers; None: where torch is installed.
    """
    if workers is None:
        workers = find_spec("torch") is not None
    if workers:
        import torch.utils.data  # noqa: F401 -- its memory is there from the start
    with tempfile.TemporaryDirectory() as folder:
        urls = write_shards(Path(folder))
        loader = make(urls)
        trace = Trace("epochs", total, count)
        for number in range(total):
            loader.set_epoch(number)
            epoch = Epoch()
            if workers and number % WITH_WORKERS == WITH_WORKERS // 2:
                read_by_workers(urls, number, epoch)
            elif number % RESUMED == RESUMED // 2:
                loader = resume(loader, urls, number % 17, epoch)
            else:
                for batch in loader:
                    epoch.add(batch)
                    del batch
            epoch.end()
            if number + 1 == trace.next:
                stats = loader.stats()
                trace.measure(number + 1, stats.slots_taken, stats.slots)
        loader.close()
    return trace


def resume(loader: clipx.Loader, urls: list[str], batches: int, epoch: Epoch) -> clipx.Loader:
    """Break an epoch off behind some batches; a new loader, which has gone on from its state to the end."""
    iterator = iter(loader)
    for _ in range(batches):
        epoch.add(next(iterator))
    state = json.loads(json.dumps(loader.state_dict()))
    del iterator
    loader.close()
    after = make(urls)
    after.load_state_dict(state)
    for batch in after:
        epoch.add(batch)
        del batch
    return after


def read_by_workers(urls: list[str], number: int, epoch: Epoch) -> None:
    from torch.utils.data import DataLoader

    loader = make(urls)
    loader.set_epoch(number)
    for batch in DataLoader(loader, batch_size=None, num_workers=2):
        epoch.add(batch)
