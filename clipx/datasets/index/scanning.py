"""The samples of a source, a shard or a file, as rows of an index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import webdataset

from clipx.datasets.addresses import UnreadMember
from clipx.datasets.fields import Sample, is_metadata
from clipx.datasets.index.field_rows import broken_row, printable, row_of_pictures, rows_of_field
from clipx.datasets.index.media_rows import Row
from clipx.datasets.local_tars import LocalSample, local_samples
from clipx.datasets.pictures import names_of_groups
from clipx.datasets.shards import Shards
from clipx.datasets.shares import Share
from clipx.datasets.stored import StoredFile
from clipx.datasets.streamed_tars import IncompleteSample
from clipx.datasets.urls import local_path
from clipx.mapped import Member

__all__ = ["Listed", "listed_samples", "rows_of_file", "rows_of_samples"]

MOST_SAMPLE = 1 << 30
"""Bytes of a sample that are read of a shard which is not a plain local file."""


class Listed(NamedTuple):
    """A sample of a shard, whose fields have not been looked into.

    Attributes:
        number: of the sample in its shard.
        key: of the sample.
        fields: each as it lies in the shard, or its bytes.
        error: what is wrong with the sample as a whole; None where nothing is.
    """

    number: int
    key: str
    fields: dict[str, StoredFile | bytes]
    error: str | None = None


def listed_samples(url: str) -> Iterator[Listed | Row]:
    """The samples of a shard, and at the end a row for what is wrong with it.

    Of a local, uncompressed shard only headers are read; of others, and of those with damage, all bytes.
    """
    path, number = local_path(url), 0
    if path is not None:
        try:
            with closing(local_samples(path)) as samples:
                for sample in samples:
                    if any(member.sparse for member in sample.members):
                        break
                    listed = _listed(number, url, sample)
                    if listed is None:
                        continue
                    yield listed
                    number += 1
                else:
                    if not number:
                        yield broken_row("source", "ValueError: it holds no samples")
                    return
        except (OSError, ValueError):
            pass  # compressed or damaged: reported below
    yield from _streamed(url, number)


def _listed(number: int, url: str, sample: LocalSample) -> Listed | None:
    files = sample.files(url, lambda path, member: member)
    found: Any = next(webdataset.tariterators.group_by_keys(files, handler=webdataset.ignore_and_continue), None)
    if found is None:
        return None
    fields: dict[str, StoredFile | bytes] = {
        name: StoredFile(sample.path, member.offset, member.size)
        for name, member in found.items()
        if isinstance(member, Member)
    }
    return Listed(number, sample.key, fields)


def _streamed(url: str, first: int) -> Iterator[Listed | Row]:
    """The samples of a shard from number `first` on, read as a stream."""
    errors: list[Exception] = []

    def handler(exn: Exception) -> bool:
        errors.append(exn)
        return True

    shards, number = Shards([url], handler), -1
    shards.limits.sample_bytes = MOST_SAMPLE
    with closing(shards.samples(Share([0]))) as samples:  # type: ignore[type-var]
        try:
            for number, (_, sample) in enumerate(samples):
                if number >= first:
                    yield _read(number, sample)
                del sample
        except (OSError, ValueError, MemoryError) as exn:
            errors.append(exn)
    if errors:
        status = "truncated" if "unexpected end" in str(errors[0]) else "broken"
        yield broken_row("source", errors[0], status)
    elif number < 0:
        yield broken_row("source", "ValueError: it holds no samples")


def _read(number: int, sample: Sample) -> Listed:
    key = str(sample["__key__"])
    fields = {name: value for name, value in sample.items() if not is_metadata(name)}
    if isinstance(sample, IncompleteSample):
        return Listed(number, key, {}, "ValueError: a member of it cannot be read")
    large = next((name for name, value in fields.items() if isinstance(value, UnreadMember)), None)
    if large is not None:
        return Listed(number, key, {}, f"ValueError: it has more than {MOST_SAMPLE} bytes, and is not read")
    return Listed(number, key, fields)


def rows_of_samples(samples: Iterable[Listed | Row], is_stopped: Callable[[], bool] = lambda: False) -> list[Row]:
    """The rows of samples, in order; what is a row already stays one."""
    rows: list[Row] = []
    for sample in samples:
        if is_stopped():
            break
        if not isinstance(sample, Listed):
            rows.append(sample)
            continue
        number, key, fields, error = sample
        if error is not None or not fields:
            found = [broken_row("sample", error or "ValueError: it has no fields")]
        elif printable(key) != key:
            found = [broken_row("sample", f"ValueError: its key {key!r} is not UTF-8: rename its files")]
        else:
            found = [row for name, value in fields.items() for row in _rows_of_field(name, value)]
            found += _rows_of_pictures(fields, found)
        for row in found:
            row["shard_sample"], row["key"] = number, printable(key)
        rows += found
    return rows


def _rows_of_field(name: str, value: StoredFile | bytes) -> list[Row]:
    rows = rows_of_field(name, value)
    for row in rows:
        row["field"] = printable(name)
        row["size"] = value.nbytes if isinstance(value, StoredFile) else len(value)
        if isinstance(value, StoredFile):
            row["offset"] = value.offset
    return rows


def _rows_of_pictures(fields: dict[str, StoredFile | bytes], rows: list[Row]) -> list[Row]:
    """A row for each group of numbered pictures, whose own rows become those of a picture."""
    groups = names_of_groups(fields)
    numbered = {printable(name) for names in groups.values() for name in names}
    for row in rows:
        if row["field"] in numbered:
            row["kind"] = "picture"
    sizes = {row["field"]: row["size"] for row in rows}
    found = []
    for name, names in groups.items():
        row = row_of_pictures(name, names, fields)
        found.append({**row, "field": printable(name), "size": sum(sizes[printable(each)] for each in names)})
    return found


def rows_of_file(url: str) -> list[Row]:
    """The rows of a file that is a field of its own."""
    return rows_of_field(url.rpartition("/")[2], StoredFile(url), is_file=True)
