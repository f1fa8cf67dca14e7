"""The WebDataset source that maps the arrays of local shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import webdataset
from webdataset.pytorch import IterableDataset
from webdataset.tariterators import base_plus_ext

from clipx._checks import check_kind
from clipx.datasets.fields import Sample
from clipx.datasets.origins import locate
from clipx.datasets.shards import META
from clipx.datasets.urls import expand_urls, local_path
from clipx.mapped import Member, members, open_member

__all__ = ["mapped_samples"]


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
    >>> dataset = webdataset.DataPipeline(source, clipx.wds.clips(spec, pool=pool))

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
    return _MappedSamples(expand_urls("urls", urls), split, handler)
