"""The inputs of a job: the samples of a dataset in parts, each of which can be read alone, in any process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from clipx._lazy import lazy
from clipx.datasets.dataset import Dataset
from clipx.datasets.fields import Sample
from clipx.datasets.files import Files
from clipx.datasets.index import Index
from clipx.datasets.index.places import common_root, relative_name, whole_name
from clipx.datasets.origins import origin_of
from clipx.datasets.remote_names import is_remote
from clipx.datasets.shard_list import ShardList
from clipx.datasets.shares import Share
from clipx.datasets.streamed_tars import IncompleteSample, ReadLimits
from clipx.datasets.urls import local_path
from clipx.jobs.datasets import dataset_of
from clipx.loader.indexed import IndexReader

__all__ = ["InputHandler", "Inputs", "Part"]

InputHandler = Callable[[Exception, str | None, str], None]
"""Takes an error, the key of its sample, and the name of its source."""


class Part(NamedTuple):
    """A part of the inputs.

    Attributes:
        first, stop: of a dataset of files or of an index, its samples; of shards, the shard `first`.
        samples: number of its samples; None where that is not known.
        problems: shards that were damaged as a whole when they were indexed, and how; they are reported with this part.
    """

    first: int
    stop: int
    samples: int | None
    problems: tuple[tuple[str, str], ...] = ()


class Inputs:
    """The samples of a dataset in parts: input shards, or so many files.

    Args:
        src: shards, files, folders, patterns, a table or an index, by their names; `clipx.Files`, `clipx.Index`, or a
            table as `clipx.Files` takes it.
        files_per_part: files, or samples of an index that are files of their own, of a part.
        limit: number of samples that are taken, from the first on; None for all.

    Names of sources are relative to the folder that all lie in, and so are keys that are paths: what is made of the
    samples does not depend on where they lie. It can be pickled, and costs little then.

    Raises what `dataset_of`, `clipx.Files` and `clipx.Index` raise; TypeError for other values.
    """

    def __init__(self, src: Any, *, files_per_part: int = 64, limit: int | None = None) -> None:
        self._dataset = _dataset(src)
        names = [_whole(name) for name in self._names()]
        self.root = common_root(filter(None, names)) if any(names) else ""
        self.parts = self._parts(files_per_part, limit)

    def _names(self) -> Iterable[str]:
        """The sources: shards, or the first file of each sample."""
        dataset = self._dataset
        if isinstance(dataset, ShardList):
            return dataset.urls
        if isinstance(dataset, Index):
            return dict.fromkeys(dataset.sources)
        return (dataset.first_path(number) for number in range(len(dataset)))

    def _parts(self, files: int, limit: int | None) -> list[Part]:
        dataset = self._dataset
        if isinstance(dataset, ShardList):
            return _limited_shards(dataset, limit) if limit else [Part(i, i + 1, None) for i in range(len(dataset))]
        count = len(dataset) if limit is None else min(limit, len(dataset))
        if isinstance(dataset, Files):
            return [Part(at, min(at + files, count), min(files, count - at)) for at in range(0, count, files)]
        parts = [Part(first, stop, stop - first) for first, stop in _index_parts(dataset, files, count)]
        return _with_problems(parts, dataset)

    def __len__(self) -> int:
        return len(self.parts)

    def __repr__(self) -> str:
        return f"<Inputs: {len(self)} parts of {self._dataset!r}>"

    @property
    def is_remote(self) -> bool:
        """Whether some of it is read through fsspec."""
        return self._dataset.is_remote

    def name_of(self, source: str) -> str:
        """The name of a source, relative to the folder that all lie in."""
        whole = _whole(source)
        return relative_name(whole, self.root) if whole else source

    @lazy
    def facts(self) -> list[dict[str, Any]]:
        """Facts by which a job knows its inputs again, as JSON takes them: of each part the name of its first source,
        the numbers of its samples and bytes, where these are known, and a digest of names and sizes.
        """
        return [self._facts_of(part) for part in self.parts]

    def _facts_of(self, part: Part) -> dict[str, Any]:
        names, digest, total = self._sources(part), hashlib.sha256(), 0
        for name in names:
            path = local_path(name)
            size = _size(path) if path is not None else None
            total += size or 0
            digest.update(f"{self.name_of(name)}\0{size}\n".encode("utf-8", "surrogateescape"))
        if isinstance(self._dataset, Index):
            for number in range(part.first, part.stop):
                digest.update(f"{self._dataset.keys[number]}\n".encode("utf-8", "surrogateescape"))
        first = self.name_of(names[0]) if names else ""
        return {"source": first, "samples": part.samples, "bytes": total, "digest": digest.hexdigest()[:32]}

    def _sources(self, part: Part) -> list[str]:
        dataset = self._dataset
        if isinstance(dataset, ShardList):
            return [dataset.urls[part.first]]
        if isinstance(dataset, Index):
            return list(dict.fromkeys(dataset.sources[part.first : part.stop]))
        return [dataset.first_path(number) for number in range(part.first, part.stop)]

    def samples(self, number: int, handler: InputHandler, limits: ReadLimits | None = None) -> Iterator[Sample]:
        """The samples of a part that can be read as a whole, in order.

        Args:
            handler: called with the error of a broken shard, member or row, the key of its sample, where that is
                known, and the name of its source.
            limits: how much of a sample is read.
        """
        part, dataset = self.parts[number], self._dataset
        for source, reason in part.problems:
            handler(ValueError(f"it was damaged when it was indexed: {reason}"), None, self.name_of(source))
        if isinstance(dataset, ShardList):
            yield from self._of_shard(dataset, part, handler, limits)
            return
        for at in range(part.first, part.stop):
            key, source = self._names_of(dataset, at)

            def handle(exn: Exception, key: str = key, source: str = source) -> bool:
                handler(exn, key, source)
                return True

            reader: Any = IndexReader(dataset, handle) if isinstance(dataset, Index) else dataset.reader(handle)
            reader.limits = limits or reader.limits
            for _, sample in reader.samples(Share([at])):
                sample["__key__"], sample["__url__"] = key, source
                yield sample
                del sample

    def _of_shard(
        self, dataset: ShardList, part: Part, handler: InputHandler, limits: ReadLimits | None
    ) -> Iterator[Sample]:
        source = self.name_of(dataset.urls[part.first])

        ends: list[bool] = []

        def handle(exn: Exception) -> bool:
            # A truncated shard is reported by the readers of its members and of the shard; once is enough.
            if "unexpected end" not in str(exn) or not ends:
                handler(exn, origin_of(exn).key, source)
            ends.extend([True] if "unexpected end" in str(exn) else [])
            return True

        reader = dataset.reader(handle)
        reader.limits = limits or reader.limits
        for taken, (_, sample) in enumerate(reader.samples(Share([part.first]))):
            if part.samples is not None and taken >= part.samples:
                return
            if not isinstance(sample, IncompleteSample):
                sample["__url__"] = source
                yield sample
            del sample

    def _names_of(self, dataset: Files | Index, number: int) -> tuple[str, str]:
        """The key and the source of a sample, which do not say where it lies."""
        key = dataset.keys[number]
        if isinstance(dataset, Index):
            source = self.name_of(dataset.sources[number])
            is_path = (os.path.isabs(key) or is_remote(key)) and _stem(source).endswith(key.rpartition("/")[2])
        else:
            source = self.name_of(dataset.first_path(number))
            is_path = not dataset.has_key_column and source != ""
        return _stem(source) if is_path else key, source


def _stem(source: str) -> str:
    """The name of a source without its extension."""
    folder, slash, last = source.rpartition("/")
    return f"{folder}{slash}{last.rpartition('.')[0] or last}"


def _dataset(src: Any) -> ShardList | Files | Index:
    if isinstance(src, (ShardList, Files, Index)):
        return src
    if isinstance(src, (str, os.PathLike)):
        src = [src]
    if isinstance(src, Dataset):
        raise TypeError(f"src is a {type(src).__name__}, but must be shards, files, clipx.Files or clipx.Index")
    if isinstance(src, (bytes, bytearray)) or not (hasattr(src, "columns") or isinstance(src, Iterable)):
        raise TypeError(
            f"src is a {type(src).__name__}, but must be names of shards, files, a table or an index, or clipx.Files "
            f"or clipx.Index"
        )
    if hasattr(src, "columns"):
        return Files(src)
    given = list(src)
    if not given:
        raise ValueError("src is empty, but must name at least one shard or file")
    if not all(isinstance(each, (str, os.PathLike)) for each in given):
        return Files(given)
    found = dataset_of(given)
    return ShardList(found) if isinstance(found, list) else found


def _whole(name: str) -> str:
    """The whole name of a source; "" for a pipe, and for a row without one."""
    try:
        return whole_name(name) if name else ""
    except ValueError:
        return ""


def _size(path: str) -> int | None:
    with suppress(OSError):
        return os.stat(path).st_size
    return None


def _limited_shards(dataset: ShardList, limit: int) -> list[Part]:
    """The parts of the first samples of shards, whose headers are read until there are enough."""
    parts: list[Part] = []
    reader: Any = dataset.reader(lambda exn: True)
    for number in range(len(dataset)):
        count = 0
        for count, _ in enumerate(reader.views(number), 1):
            if count == limit:
                break
        parts.append(Part(number, number + 1, count))
        limit -= count
        if limit <= 0:
            break
    return parts


def _index_parts(index: Index, files: int, count: int) -> Iterator[tuple[int, int]]:
    """The first and the last sample of parts of an index, exclusively: a shard, or so many files."""
    begin, groups = 0, [min(int(at), count) for at in index.groups]
    for first, stop in zip(groups, groups[1:]):
        is_shard = stop - first > 1
        if begin < first and (is_shard or first - begin >= files):
            yield begin, first
            begin = first
        if is_shard:
            yield first, stop
            begin = stop
    if begin < count:
        yield begin, count


def _with_problems(parts: list[Part], index: Index) -> list[Part]:
    """The parts, with the problems of their sources; of sources without samples, with the first part."""
    problems = index.problems
    if not problems:
        return parts
    home: dict[str, int] = {}
    for number, part in enumerate(parts):
        for source in index.sources[part.first : part.stop]:
            home.setdefault(source, number)
    found: dict[int, list[tuple[str, str]]] = {}
    for source, reason in problems:
        found.setdefault(home.get(source, 0), []).append((source, reason))
    return [part._replace(problems=tuple(found.get(number, ()))) for number, part in enumerate(parts)]
