"""An index that is built: sources that have changed are read, parts are kept, and all is put together at the end."""

from __future__ import annotations

import errno
import io
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from clipx._threads import call
from clipx.datasets.index.arrow import arrow
from clipx.datasets.index.assembly import write_index
from clipx.datasets.index.entries import Entry, SampleEntry, entries_of
from clipx.datasets.index.locking import locked
from clipx.datasets.index.places import common_root
from clipx.datasets.index.progress import Progress
from clipx.datasets.index.stores import FILE, SHARD, Identity, Source, Stores
from clipx.datasets.index.workers import executor, read_sources
from clipx.datasets.remote import open_range
from clipx.datasets.remote_names import is_remote
from clipx.datasets.urls import local_path

__all__ = ["build_index"]

PART_SECONDS = 2.0
"""Seconds of work that a part holds: what is lost where a build is killed."""

UNKNOWN: Identity = (-1, -1)


def build_index(dataset: Any, path: Path, root: str | None, *, threads: int, processes: int, progress: Progress) -> str:
    """Build the index of a dataset, or renew it; returns its root. See `Index.build`."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "path must be that of a file to write", str(path))
    entries = entries_of(dataset)
    sources = list(dict.fromkeys(_sources(entries)))
    root = _root(sources, root)
    folder = path.with_name(f"{path.name}.parts")

    def build(is_stopped: Callable[[], bool]) -> None:
        with locked(folder):
            stores = Stores(folder, path)
            identities = {source: _identity(source) for source in sources}
            todo = [source for source in sources if not stores.has(source, identities[source])]
            progress.start(len(sources), len(sources) - len(todo))
            _read(((source, identities[source]) for source in todo), stores, threads, processes, progress, is_stopped)
            if is_stopped():
                return
            made = folder / f"{uuid.uuid4().hex}.tmp"
            write_index(made, entries, root, stores, identities)
            os.replace(made, path)
            stores.remove_parts()

    arrow()  # where it is missing, that is said here
    path.parent.mkdir(parents=True, exist_ok=True)
    call(build, "clipx-index")
    return root


def _sources(entries: Iterable[Entry]) -> Iterator[Source]:
    for entry in entries:
        if isinstance(entry, SampleEntry):
            for name in entry.files.values():
                yield Source(FILE, name)
        else:
            yield Source(SHARD, entry.name)


def _root(sources: list[Source], root: str | None) -> str:
    """The root that is given, else the folder that all sources lie in."""
    if root is not None:
        return root if "://" in root else os.path.abspath(root)
    if not sources:
        return os.getcwd()
    found = common_root([source.name for source in sources])
    if found == "/":
        raise ValueError(
            f"the sources, such as {sources[0].name!r} and {sources[-1].name!r}, have no folder in common: give "
            f"root='/', and open the index with trusted=True"
        )
    return found


def _identity(source: Source) -> Identity:
    path = local_path(source.name)
    if path is None:
        return _size_of_remote(source.name), -1
    try:
        found = os.stat(path)
    except OSError:
        return UNKNOWN
    return found.st_size, found.st_mtime_ns


def _size_of_remote(name: str) -> int:
    """Bytes of a remote source; -1 where that cannot be known, or what reads it says why later."""
    if not is_remote(name):
        return -1
    try:
        with open_range(name) as file:
            return file.seek(0, io.SEEK_END)
    except (OSError, ValueError, ImportError):
        return -1


def _read(
    todo: Iterable[tuple[Source, Identity]],
    stores: Stores,
    threads: int,
    processes: int,
    progress: Progress,
    is_stopped: Callable[[], bool],
) -> None:
    """Read sources into parts, whole ones only."""
    batches: list[Any] = []
    ended, since = 0, time.monotonic()
    with executor(threads, processes) as pool:
        for batch, ends, samples in read_sources(todo, pool, processes or threads, is_stopped):
            batches.append(batch)
            progress.advance(ends, samples)
            if ends:
                ended = len(batches)
            if ended and time.monotonic() > since + PART_SECONDS:
                stores.add(batches[:ended])
                del batches[:ended]
                ended, since = 0, time.monotonic()
    if ended:
        stores.add(batches[:ended])
