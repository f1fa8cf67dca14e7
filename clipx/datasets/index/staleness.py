"""Sources that have changed since an index was built: they are found, and refused or read again."""

from __future__ import annotations

import os
import threading
from typing import Any

from clipx.datasets.index.arrow import columns
from clipx.datasets.index.media_rows import Row
from clipx.datasets.index.scanning import Listed, listed_samples, rows_of_file, rows_of_samples
from clipx.datasets.index.stores import FILE, Identity, Source
from clipx.datasets.urls import local_path

__all__ = ["Renewed", "change_of"]

MOST_KEPT = 1024
"""Files and shards whose rows are kept after they were read again."""

_EMPTY: Row = dict.fromkeys(columns())


def change_of(name: str, before: Identity) -> str | None:
    """How a source differs from what it was, in words; None where it does not, or nothing is known of it.

    Raises OSError where it cannot be looked up.
    """
    path = local_path(name)
    if path is None or -1 in before:
        return None
    found = os.stat(path)
    if found.st_size != before[0]:
        return f"it has {found.st_size} bytes, and had {before[0]}"
    if found.st_mtime_ns != before[1]:
        return "it has been written since, by the time of its last change"
    return None


class Renewed:
    """Rows of sources that have changed, read again when they are asked for."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, int, int], list[Row]] = {}
        self._shards: dict[tuple[str, int, int], dict[str, Listed]] = {}
        self._lock = threading.Lock()

    def rows(self, source: Source, key: str) -> list[Row]:
        """The rows of a file, or of a sample of a shard. Raises ValueError where the shard has it no more."""
        found = os.stat(source.name)
        now = source.name, found.st_size, found.st_mtime_ns
        if source.kind == FILE:
            rows = self._files.get(now)
            if rows is None:
                rows = rows_of_file(source.name)
                self._keep(self._files, now, rows)
        else:
            listed = self._shards.get(now)
            if listed is None:
                listed = {each.key: each for each in listed_samples(source.name) if isinstance(each, Listed)}
                self._keep(self._shards, now, listed)
            if key not in listed:
                raise ValueError(f"{source.name!r} has changed, and holds no sample {key!r} any more")
            rows = rows_of_samples([listed[key]])
        return [{**_EMPTY, **row} for row in rows]

    def _keep(self, kept: dict[Any, Any], name: tuple[str, int, int], value: Any) -> None:
        with self._lock:
            kept[name] = value
            if len(kept) > MOST_KEPT:
                kept.pop(next(iter(kept)))
