"""Epochs of batches of one clip of each sample of shards, each contestant in a process of its own.

Rivals read the shards with webdataset. They run under torch's DataLoader with 2 workers, or in SPDL's pipeline with 2
threads; each makes clips with a function of its own.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import webdataset
from _videos import load

Batch = dict[str, Any]
Epoch = Callable[[], Iterable[Batch]]
ClipsOf = Callable[[Iterable[dict[str, Any]]], Iterator[dict[str, Any]]]

SPDL = "SPDL"
WORKERS = 2
LEAST_SECONDS = 1
"""That epochs are timed for, after the first."""


def collate(field: str, samples: list[dict[str, Any]]) -> Batch:
    """A batch whose `field` is stacked, and whose "clip.json" is a list."""
    stacked = load("torch").stack([each[field] for each in samples])
    return {field: stacked, "clip.json": [each["clip.json"] for each in samples]}


def rival_epochs(name: str, shards: list[str], clips_of: ClipsOf, field: str, batch: int) -> Epoch:
    """A function that begins an epoch of a rival: of batches of the clips that `clips_of` makes of samples."""
    samples = webdataset.WebDataset(shards, shardshuffle=len(shards), nodesplitter=None)
    together = partial(collate, field)
    if name == SPDL:
        load("torch").set_num_threads(1)
        builder = load("spdl.pipeline").PipelineBuilder

        def start() -> Iterator[Batch]:
            one = partial(lambda sample: next(clips_of([sample])))
            steps = builder().add_source(iter(samples)).pipe(one, concurrency=WORKERS).aggregate(batch).pipe(together)
            pipeline = steps.add_sink(2).build(num_threads=WORKERS)
            with pipeline.auto_stop():
                yield from pipeline

        return start
    dataset = samples.compose(clips_of).batched(batch, collation_fn=together)
    workers = {"batch_size": None, "num_workers": WORKERS, "persistent_workers": True}
    return load("torch").utils.data.DataLoader(dataset, **workers).__iter__


def time_epochs(
    make: Callable[[], Epoch], facts_of: Callable[[Batch], Iterable[Any]], starting: Callable[[], None]
) -> dict[str, Any]:
    """Seconds of the epochs after the first, and the facts of the clips of the first; modules are loaded before."""
    load("torch.utils.data")
    gc.collect()
    starting()
    epoch = make()
    clips: list[Any] = []
    for batch in epoch():
        clips += facts_of(batch)
        del batch
    seconds: list[float] = []
    while sum(seconds) < LEAST_SECONDS:
        began = time.perf_counter()
        for batch in epoch():
            del batch
        seconds.append(time.perf_counter() - began)
    return {"seconds": statistics.mean(seconds), "clips": clips}
