"""Addresses of shards as users give them: texts with braces, paths, or lists of these."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import webdataset

from clipx.datasets.fields import AUDIO_EXTENSIONS, SOURCE_EXTENSIONS, extension_of
from clipx.datasets.tables import TABLE_EXTENSIONS

__all__ = ["expand_urls", "local_path"]


def local_path(url: str) -> str | None:
    """The path of a shard that is a local file; None for all others."""
    path = url.removeprefix("file:")
    return None if path.startswith("pipe:") or "://" in path or path == "-" else path


def expand_urls(name: str, urls: Any) -> list[str]:
    """The shards of a text with braces, a path, or a list of these. `name` is the argument's in messages.

    Raises TypeError for other values, ValueError for no shards and for addresses that are not of shards.
    """
    if isinstance(urls, (str, os.PathLike)):
        try:
            found = webdataset.shardlists.expand_urls(os.fspath(urls))
        except ValueError as exn:
            raise ValueError(f"{name} is {urls!r}, whose braces do not match: {exn}") from exn
    elif isinstance(urls, Iterable) and not isinstance(urls, bytes):
        found = list(urls)
        if not all(isinstance(each, (str, os.PathLike)) for each in found):
            raise TypeError(f"{name} is {found!r}, but must hold texts and paths")
        found = [os.fspath(each) for each in found]
    else:
        raise TypeError(f"{name} is {urls!r}, but must be a text, a path, or a list of them")
    if not found or not all(isinstance(each, str) and each for each in found):
        raise ValueError(f"{name} is {urls!r}, but must name at least one shard")
    for url in found:
        _check_pattern(name, url)
        _check_shard(name, url)
    return list(found)


def _check_shard(name: str, url: str) -> None:
    """Raise ValueError for a video, a sound, an array, a table or a folder."""
    address = urlsplit(url).path if "://" in url else url
    kind, path = extension_of(address), local_path(url)
    if url.startswith("pipe:"):
        return
    if kind in SOURCE_EXTENSIONS:
        what = "an array" if kind in ("npy", "npz") else "a sound" if kind in AUDIO_EXTENSIONS else "a video"
        reader = "windows.extract" if what == "an array" else "audio.clips" if what == "a sound" else "video.clips"
        raise ValueError(
            f"{name} names {url!r}, {what}, but must name shards, tar files of samples: clipx.{reader} takes one "
            f"{kind} file, and webdataset.TarWriter writes many into shards"
        )
    if kind in TABLE_EXTENSIONS:
        index = f", or clipx.Index({url!r}) if it is an index" if kind == "parquet" else ""
        raise ValueError(
            f"{name} names {url!r}, a table, but must name shards: give clipx.Files({url!r}, path=...) with the name "
            f"of its column of paths{index}"
        )
    if path is None or kind in ("tar", "tgz", "gz", "zst", "bz2", "xz"):
        return
    if os.path.isdir(path):
        raise ValueError(
            f"{name} names {url!r}, a folder, but must name shards: give its tar files, "
            f"sorted(glob.glob({os.path.join(path, '*.tar')!r})), or clipx.Files({url!r}) for the files in it"
        )


def _check_pattern(name: str, url: str) -> None:
    """Raise ValueError for a shell pattern such as "*.tar", which WebDataset does not expand."""
    path = local_path(url)
    if path is not None and re.search(r"[*?]|\[[^\]]+\]", path) and not os.path.exists(path):
        raise ValueError(
            f"{name} names {url!r}, a pattern: give sorted(glob.glob({path!r})), or a text with braces such as "
            f"'shard-{{000..099}}.tar'"
        )
