"""Rows of an index, and counts over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from clipx.datasets.index import Index
from clipx.datasets.index.field_rows import rows_of_field
from clipx.datasets.index.scanning import listed_samples, rows_of_samples
from clipx.datasets.source_names import is_shard
from clipx.datasets.stored import StoredFile
from clipx.jobs.findings import Finding, Summary

__all__ = ["COUNTED", "findings_of", "rows_of_source", "summary_of"]

COUNTED = [
    *("sample", "key", "field", "source", "kind", "is_best", "codec", "width", "height", "fps_num", "fps_den"),
    *("frames", "duration", "sample_rate", "samples", "channels", "status", "error"),
]
"""Columns that findings are made of."""

KINDS = {"sample": "field", "source": "shard", "picture": "field", "pictures": "picture group"}
"""Kinds of rows, as findings say them where they say another."""


def rows_of_source(name: str) -> Iterator[Mapping[str, Any]]:
    """The rows that an index would have of a shard, or of a file."""
    if not is_shard(name):
        yield from rows_of_field(name.rpartition("/")[2], StoredFile(name), is_file=True)
        return
    for sample in listed_samples(name):
        yield from rows_of_samples([sample])


def findings_of(index: Index) -> Iterator[Finding]:
    """A finding for each field and each problem of an index, in the order of its rows."""
    for _, rows in groupby(index.rows(COUNTED), key=lambda row: (row["sample"], row["field"])):
        yield from _findings(list(rows))


def _findings(rows: list[dict[str, Any]]) -> Iterator[Finding]:
    videos = [row for row in rows if row["kind"] == "video"]
    sounds = [row for row in rows if row["kind"] == "sound"]
    if videos:
        best = next((row for row in videos if row["is_best"]), videos[0])
        sound = next((row for row in sounds if row["is_best"]), None)
        yield _finding(best, sound)
    elif sounds:
        best = next((row for row in sounds if row["is_best"]), sounds[0])
        yield _finding(best, best)
    else:
        for row in rows:
            yield _finding(row, None)


def _finding(row: dict[str, Any], sound: dict[str, Any] | None) -> Finding:
    kind = KINDS.get(row["kind"], row["kind"])
    found = Finding(row["source"] or "", row["key"], row["field"], kind, row["status"] or "ok", row["error"])
    found.codec, found.width, found.height, found.seconds = (row[n] for n in ("codec", "width", "height", "duration"))
    found.frames = row["samples"] if row["kind"] == "sound" else row["frames"]
    found.fps = None if row["fps_num"] is None else round(row["fps_num"] / row["fps_den"], 6)
    if sound is not None:
        found.sample_rate, found.channels = sound["sample_rate"], sound["channels"]
    return found


def summary_of(findings: Iterable[Finding]) -> Summary:
    """Counts over findings."""
    summary = Summary()
    for each in findings:
        summary.add(each)
    return summary
