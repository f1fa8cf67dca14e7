"""The dataset that a job reads: what names of shards, files, folders, patterns, tables and indexes are together."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterable, Sequence

from clipx.datasets.fields import SOURCE_EXTENSIONS, extension_of
from clipx.datasets.files import Files
from clipx.datasets.index import Index
from clipx.datasets.remote_names import expand_remote, is_remote
from clipx.datasets.source_names import find_sources, is_shard
from clipx.datasets.tables import is_table_name
from clipx.datasets.urls import local_path

__all__ = ["dataset_of"]


def dataset_of(
    names: Iterable[str | os.PathLike[str]],
    *,
    is_table: bool = False,
    columns: Sequence[str] = (),
    root: str | None = None,
    key: str | None = None,
    segments: tuple[str, str] | None = None,
) -> Files | Index | list[str]:
    """The dataset that names are: an index, shards, or files in folders, by themselves or in a table.

    Args:
        names: of one table or index; or of shards, or of videos, sounds and arrays: paths, folders of them, patterns
            such as "videos/*.mp4", texts with braces, and addresses.
        is_table: whether a Parquet file is a table of files, and not an index.
        columns: of paths in a table; default "path".
        root: folder or address that the paths of a table, or the sources of an index, are relative to.
        key: column of the keys of a table's samples; see `clipx.Files`.
        segments: columns of a table with the start and the end of segments; see `clipx.Files`.

    Raises ValueError for shards beside files, for tables beside others and for a folder or a pattern with nothing;
    FileNotFoundError for a path that is not there; OSError for what cannot be read.
    """
    given = [os.fspath(name) for name in names]
    if not given:
        raise ValueError("there are no names of shards or files")
    tables = [name for name in given if is_table or is_table_name(name)]
    if tables and len(given) > 1:
        raise ValueError(
            f"{tables[0]!r} is one table or index, and goes with no other, but {len(given)} names are given"
        )
    if tables and extension_of(given[0]) in ("parquet", "pq") and not is_table:
        if columns or key or segments:
            raise ValueError(f"{given[0]!r} is read as an index, but columns are those of a table: say that it is one")
        return Index(given[0], root=root)
    if tables:
        return Files(given[0], path=list(columns) or "path", root=root, key=key, segments=segments)
    if root is not None or columns or key or segments:
        raise ValueError(f"{given[0]!r} is no table, which columns and a root go with")
    found = [name for each in given for name in _found(each)]
    shards = [name for name in found if _is_shard(name)]
    if not shards:
        return Files(found)
    if len(shards) < len(found):
        other = next(name for name in found if name not in shards)
        raise ValueError(f"{shards[0]!r} is a shard and {other!r} is not, but a dataset is of the one or of the other")
    return shards


def _found(name: str) -> list[str]:
    """The shards and files of a name. Raises FileNotFoundError for paths that are not there."""
    path = local_path(name)
    if any(sign in name for sign in "*?[") and not name.startswith("pipe:") and not os.path.exists(path or name):
        found = expand_remote(name) if is_remote(name) else sorted(glob.glob(path or name, recursive=True))
        if not found:
            raise ValueError(f"no file is named as the pattern {name!r} says")
        return find_sources(found)
    found = find_sources([name])
    for each in found:
        path = local_path(each)
        if path is not None and path != "-" and not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), each)
    return found


def _is_shard(name: str) -> bool:
    """True for a shard, by its name or first bytes; remote files go by their names alone."""
    return is_shard(name) if not is_remote(name) else extension_of(name) not in SOURCE_EXTENSIONS
