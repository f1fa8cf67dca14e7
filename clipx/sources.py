"""The WebDataset source that maps the arrays of local shards."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

import webdataset
from webdataset.pytorch import IterableDataset
from webdataset.tariterators import base_plus_ext

from clipx._checks import check_kind
from clipx.fields import AUDIO_FIELDS, FILES, Sample, extension_of
from clipx.mapped import Member, members, open_member
from clipx.origins import locate
from clipx.shards import META, local_path

__all__ = ["expand_urls", "mapped_samples"]


def expand_urls(urls: Any) -> list[str]:
    """The shards that a text with braces, a path, or a list of them names. Raises ValueError where there are none."""
    if isinstance(urls, (str, os.PathLike)):
        found = webdataset.shardlists.expand_urls(os.fspath(urls))
    elif isinstance(urls, Iterable) and not isinstance(urls, bytes):
        found = list(urls)
        if not all(isinstance(each, (str, os.PathLike)) for each in found):
            raise TypeError(f"urls is {found!r}, but must hold texts and paths")
        found = [os.fspath(each) for each in found]
    else:
        raise TypeError(f"urls is {urls!r}, but must be a text, a path, or a list of them")
    if not found or not all(isinstance(each, str) and each for each in found):
        raise ValueError(f"urls is {urls!r}, but must name at least one shard")
    for url in found:
        _check_pattern(url)
        _check_shard(url)
    return list(found)


def _check_shard(url: str) -> None:
    """Raise ValueError for what is no shard but something that one is made of, or that names several."""
    address = urlsplit(url).path if "://" in url else url
    kind, path = extension_of(address), local_path(url)
    if url.startswith("pipe:"):
        return
    if kind in FILES:
        what = "an array" if kind in ("npy", "npz") else "a sound" if kind in AUDIO_FIELDS else "a video"
        cuts = "windows.extract" if what == "an array" else "audio.clips" if what == "a sound" else "video.clips"
        raise ValueError(
            f"urls names {url!r}, {what}, but must name shards, tar files of samples: clipx.{cuts} cuts one {kind} "
            f"file, and webdataset.TarWriter writes many into shards"
        )
    if path is None or kind in ("tar", "tgz", "gz", "zst", "bz2", "xz"):
        return
    if os.path.isdir(path):
        raise ValueError(
            f"urls names {url!r}, a folder, but must name shards: give its tar files, "
            f"sorted(glob.glob({os.path.join(path, '*.tar')!r}))"
        )


def _check_pattern(url: str) -> None:
    """Raise ValueError for a pattern of the shell's, which webdataset does not expand."""
    path = local_path(url)
    if path is not None and re.search(r"[*?]|\[[^\]]+\]", path) and not os.path.exists(path):
        raise ValueError(
            f"urls names {url!r}, a pattern: give sorted(glob.glob({path!r})), or a text with braces such as "
            f"'shard-{{000..099}}.tar'"
        )


def _local(url: str) -> str:
    path = local_path(url)
    if path is None:
        raise ValueError(f"shard {url!r} is no local file, and only local files are mapped")
    return path


def _read(path: str, member: Member) -> Sample:
    """The name of a member, and its array or its bytes."""
    if member.name.endswith(".npy"):
        return {"fname": member.name, "data": open_member(path, member)}
    if member.sparse:
        raise ValueError(f"{member.name!r} in {path!r} is stored with holes, and is not read")
    with open(path, "rb") as file:
        file.seek(member.offset)
        return {"fname": member.name, "data": file.read(member.size)}


class _MappedSamples(IterableDataset):  # type: ignore[misc]
    def __init__(self, urls: list[str], split: bool, handler: Callable[[Exception], bool]) -> None:
        super().__init__()
        self._urls, self._split, self._handler = urls, split, handler

    def _files(self, urls: Iterable[str]) -> Iterator[Sample]:
        for url in urls:
            try:
                path = _local(url)
                for _, group in groupby(members(path), lambda member: base_plus_ext(member.name)[0]):
                    try:
                        files = [_read(path, member) for member in group if not META.match(member.name)]
                    except (OSError, ValueError, MemoryError) as exn:
                        locate(exn, shard=url)
                        # The sample is lost; what is left of its members is passed over with it.
                        if not self._handler(exn):
                            return
                        continue
                    for file in files:
                        yield {**file, "__url__": url}
                    del files
            except (OSError, ValueError) as exn:
                locate(exn, shard=url)
                if not self._handler(exn):
                    return
            # Where a shard ends a sample does, whatever the next one is called.
            yield {}

    def __iter__(self) -> Iterator[Sample]:
        urls: Iterable[str] = self._urls
        if self._split:
            urls = webdataset.split_by_worker(webdataset.split_by_node(iter(urls)))
        return iter(webdataset.tariterators.group_by_keys(self._files(urls), handler=self._handler))


def mapped_samples(
    urls: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    split: bool = True,
    handler: Callable[[Exception], bool] = webdataset.reraise_exception,
) -> Iterable[Sample]:
    """A source of samples from local, uncompressed shards whose `.npy` members are mapped, not read.

    >>> source = clipx.wds.mapped_samples("arrays-{00..09}.tar")
    >>> dataset = webdataset.DataPipeline(source, clipx.wds.clips(window, pool=pool))

    Args:
        urls: shards: a text with braces, a path, or a list.
        split: whether nodes and DataLoader workers share the shards.
        handler: called with the error of a shard that cannot be read, as webdataset's are; true goes on with the next.

    Gives samples as webdataset does, with `__key__` and `__url__`: arrays as `clipx.mapped.open` gives them, all other
    members as bytes.
    """
    check_kind("split", split, bool)
    if not callable(handler):
        raise TypeError(f"handler is {handler!r}, but must be a function of an exception")
    return _MappedSamples(expand_urls(urls), split, handler)
