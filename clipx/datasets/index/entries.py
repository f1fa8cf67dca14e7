"""A dataset as an index takes it: shards whose samples are found in them, and samples whose files are named."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from clipx.datasets.dataset import Dataset
from clipx.datasets.fields import Sample, is_metadata
from clipx.datasets.files import Files
from clipx.datasets.index.places import whole_name
from clipx.datasets.origins import describe_error
from clipx.datasets.shard_list import ShardList
from clipx.datasets.source_names import find_sources, is_shard
from clipx.datasets.stored import StoredFile

__all__ = ["Entry", "SampleEntry", "ShardEntry", "entries_of", "read_values"]

BYTES = "__bytes__"
"""Name of the only entry of an object that stands for bytes: in base64."""


class ShardEntry(NamedTuple):
    """A shard, by its whole name."""

    name: str


class SampleEntry(NamedTuple):
    """A sample of files.

    Attributes:
        key: of the sample.
        files: the whole name of the file of each field.
        values: its other fields as JSON; None without any.
        error: what is wrong with it; None where nothing is.
    """

    key: str
    files: dict[str, str]
    values: str | None = None
    error: str | None = None


Entry = ShardEntry | SampleEntry


def entries_of(dataset: Any) -> Iterable[Entry]:
    """The entries of a dataset, which can be iterated over several times.

    Args:
        dataset: clipx.Files, shards, or paths, folders and addresses of files and shards.

    Raises TypeError for anything else, ValueError for a folder without sources.
    """
    if isinstance(dataset, Files):
        return _FileEntries(dataset)
    if isinstance(dataset, ShardList):
        return [ShardEntry(whole_name(url)) for url in dataset.urls]
    if isinstance(dataset, Dataset):
        raise TypeError(f"dataset is {dataset!r}, but an index is made of clipx.Files, of shards, or of paths")
    if isinstance(dataset, (str, os.PathLike)):
        dataset = [dataset]
    if not isinstance(dataset, Iterable) or isinstance(dataset, (bytes, dict)):
        raise TypeError(f"dataset is a {type(dataset).__name__}, but must be clipx.Files, or paths of shards and files")
    given = list(dataset)
    if not all(isinstance(each, (str, os.PathLike)) for each in given):
        raise TypeError("dataset must hold texts and paths")
    return _found(find_sources(given))


def _found(names: list[str]) -> list[Entry]:
    """The entries of shards and files by name; each file is a sample."""
    if not names:
        raise ValueError("dataset names no source")
    shards = [_is_shard(name) for name in names]
    files = [name for name, shard in zip(names, shards) if not shard]
    samples = iter(_FileEntries(Files(files)) if files else ())
    return [ShardEntry(whole_name(name)) if shard else next(samples) for name, shard in zip(names, shards)]


def _is_shard(name: str) -> bool:
    try:
        return is_shard(name)
    except (OSError, ValueError):
        return False  # a file, whose error is told as a sample's


class _FileEntries:
    """The samples of Files, made one by one."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def __iter__(self) -> Iterator[SampleEntry]:
        for number, key in enumerate(self._files.keys):
            try:
                yield _entry(key, self._files.sample(number))
            except ValueError as exn:
                yield SampleEntry(key, {}, error=describe_error(exn))


def _entry(key: str, sample: Sample) -> SampleEntry:
    files, values = {}, {}
    for name, value in sample.items():
        if isinstance(value, StoredFile):
            files[name] = whole_name(value.url)
        elif not is_metadata(name):
            values[name] = value
    try:
        text = json.dumps(values, default=_plain, ensure_ascii=False) if values else None
        (text or "").encode()
    except (TypeError, ValueError) as exn:
        raise ValueError(f"its other columns cannot be kept as JSON: {exn}") from exn
    return SampleEntry(key, files, text)


def _plain(value: Any) -> Any:
    """Values of tables that JSON does not know: bytes, and numbers of NumPy."""
    if isinstance(value, (bytes, bytearray)):
        return {BYTES: base64.b64encode(value).decode()}
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is not a number or a text")


def read_values(text: str) -> dict[str, Any]:
    """The fields of `SampleEntry.values`. Raises ValueError for a text that is not of such."""
    found = json.loads(text, object_hook=_restored)
    if not isinstance(found, dict):
        raise ValueError("its values are not an object")
    return found


def _restored(found: dict[str, Any]) -> Any:
    if found.keys() == {BYTES} and isinstance(found[BYTES], str):
        return base64.b64decode(found[BYTES], validate=True)
    return found
