"""Sources read by threads or processes, in their order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

from clipx._threads import task_executor
from clipx._torchless import import_webdataset
from clipx.datasets.index.arrow import arrow, schema
from clipx.datasets.index.media_rows import Row
from clipx.datasets.index.scanning import Listed, listed_samples, rows_of_file, rows_of_samples
from clipx.datasets.index.stores import FILE, Identity, Source

__all__ = ["executor", "read_sources"]

CHUNK = 16
"""Samples, or files, that a thread reads at a time."""

AHEAD = 3
"""Chunks of each thread that have been listed and not yet taken."""


class _Chunk(NamedTuple):
    """What is read at a time: samples of a shard, or files; each source with its identity, and whether it ends here."""

    sources: list[tuple[Source, Identity]]
    samples: list[Listed | Row] | None
    ends: bool


@contextmanager
def executor(threads: int, processes: int) -> Iterator[Executor]:
    """An executor of threads, or of processes where there are to be any; what waits is cancelled in the end."""
    pool: Executor
    if processes:
        pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), import_webdataset)
    else:
        pool = task_executor(threads, "clipx-index")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def read_sources(
    sources: Iterable[tuple[Source, Identity]], pool: Executor, workers: int, is_stopped: Callable[[], bool]
) -> Iterator[tuple[Any, int, int]]:
    """The rows of sources: batches, with the numbers of sources that end with each and of samples in it."""
    waiting: deque[tuple[_Chunk, Future[Any]]] = deque()
    chunks = _chunks(sources)
    while not is_stopped():
        for chunk in islice(chunks, max(workers * AHEAD - len(waiting), 0)):
            waiting.append((chunk, pool.submit(read_chunk, chunk)))
        if not waiting:
            return
        chunk, future = waiting.popleft()
        count = len(chunk.sources) if chunk.samples is None else len(chunk.samples)
        yield future.result(), len(chunk.sources) if chunk.ends else 0, count


def _chunks(sources: Iterable[tuple[Source, Identity]]) -> Iterator[_Chunk]:
    files: list[tuple[Source, Identity]] = []
    for each in sources:
        if each[0].kind == FILE:
            files.append(each)
            if len(files) == CHUNK:
                yield _Chunk(files, None, True)
                files = []
            continue
        if files:
            yield _Chunk(files, None, True)
            files = []
        listed = listed_samples(each[0].name)
        samples = list(islice(listed, CHUNK))
        while samples:
            following = list(islice(listed, CHUNK))
            yield _Chunk([each], samples, not following)
            samples = following
    if files:
        yield _Chunk(files, None, True)


def read_chunk(chunk: _Chunk) -> Any:
    """The rows of a chunk, as a batch."""
    rows: list[Row] = []
    for source, (size, time) in chunk.sources:
        found = rows_of_file(source.name) if chunk.samples is None else rows_of_samples(chunk.samples)
        for row in found:
            row |= {"source": source.name, "source_kind": source.kind, "source_size": size, "source_mtime_ns": time}
        rows += found
    return arrow().RecordBatch.from_pylist(rows, schema())
