"""The files and shards that paths, folders and patterns name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from webdataset.shardlists import expand_urls

from clipx._reading import irregular_kind
from clipx.datasets.fields import AUDIO_EXTENSIONS, SOURCE_EXTENSIONS, VIDEO_EXTENSIONS, extension_of
from clipx.datasets.urls import local_path

__all__ = ["find_sources", "is_shard", "kind_of_name"]

SHARDS = ("tar", "tgz", "tbz2", "txz")
PACKED = ("gz", "bz2", "xz", "zst")


def find_sources(names: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The files and shards of paths, folders, addresses and texts with braces.

    A folder, with all its subfolders, gives the files whose names are those of shards, videos, sounds or arrays. Raises
    ValueError for a folder without any.
    """
    found: list[str] = []
    for given in names:
        name = os.fspath(given)
        if os.path.isdir(name):
            inside = sorted(str(path) for path in Path(name).rglob("*") if path.is_file() and _is_source(path.name))
            if not inside:
                raise ValueError(f"folder {name!r} holds no shard, video, sound or array")
            found += inside
        else:
            found += [name] if os.path.exists(name) else expand_urls(name)
    return found


def _is_source(name: str) -> bool:
    return extension_of(name) in SOURCE_EXTENSIONS or _has_shard_name(name)


def _has_shard_name(name: str) -> bool:
    extension = extension_of(name)
    return extension in SHARDS or (extension in PACKED and extension_of(name.rpartition(".")[0]) in SHARDS)


def is_shard(source: str) -> bool:
    """True for a shard, by its name, else by its first bytes.

    Raises OSError where these cannot be read, and ValueError for a path that is not of a regular file.
    """
    path = local_path(source)
    if path is not None and (kind := irregular_kind(path)):
        raise ValueError(f"it is {kind}, but must be a regular file")
    if path is None or _has_shard_name(source):
        return True
    if extension_of(source) in SOURCE_EXTENSIONS:
        return False
    with open(path, "rb") as file:
        head = file.read(512)
    return head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ"))


def kind_of_name(name: str) -> str:
    """The kind of a file or a field by its extension: "video", "sound", "npy" or "npz"; "" for any other."""
    extension = extension_of(name)
    if extension in VIDEO_EXTENSIONS or extension in AUDIO_EXTENSIONS:
        return "video" if extension in VIDEO_EXTENSIONS else "sound"
    return extension if extension in SOURCE_EXTENSIONS else ""
