"""The WebDataset source that maps the arrays of local shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import webdataset

from clipx._checks import check_kind
from clipx.datasets.fields import Sample
from clipx.datasets.iterable import DictDataset
from clipx.datasets.local_tars import local_samples, map_member
from clipx.datasets.origins import locate
from clipx.datasets.urls import expand_urls, local_path

__all__ = ["mapped_samples"]


def _local(url: str) -> str:
    path = local_path(url)
    if path is None:
        raise ValueError(f"shard {url!r} is no local file, and only local files are mapped")
    return path


class _MappedSamples(DictDataset):  # type: ignore[misc]
    def __init__(self, urls: list[str], split: bool, handler: Callable[[Exception], bool]) -> None:
        super().__init__()
        self._urls, self._split, self._handler = urls, split, handler

    def __repr__(self) -> str:
        return f"<clipx.wds.mapped_samples: {len(self._urls)} shard{'s' * (len(self._urls) != 1)}>"

    def _files(self, urls: Iterable[str]) -> Iterator[Sample]:
        for url in urls:
            try:
                path = _local(url)
                for sample in local_samples(path):
                    try:
                        files = sample.files(url, map_member)
                    except (OSError, ValueError, MemoryError) as exn:
                        locate(exn, shard=url)
                        if not self._handler(exn):
                            return
                        continue
                    yield from files
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

    Stability: stable.
    """
    check_kind("split", split, bool)
    if not callable(handler):
        raise TypeError(f"handler is {handler!r}, but must be a function of an exception")
    return _MappedSamples(expand_urls("urls", urls), split, handler)
