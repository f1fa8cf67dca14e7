"""Names of the files of an output folder."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "JOB",
    "SUMMARY",
    "OutputName",
    "failures_name",
    "is_own",
    "manifest_name",
    "parse_name",
    "shard_name",
]

JOB, SUMMARY = "job.json", "summary.json"

_NAME = re.compile(
    r"(?:clips-(?P<clips>\d{6,})-(?P<shard>\d{4,})|part-(?P<part>\d{6,}))(?:-retry(?P<retry>[1-9]\d*))?"
    r"\.(?P<kind>tar|parquet|failures\.jsonl|jsonl)"
)


class OutputName(NamedTuple):
    """A parsed name.

    Attributes:
        kind: "tar", "parquet", "jsonl" or "failures.jsonl".
        part: number of the part.
        retry: number of the retry; 0 for the part itself.
        shard: number of the shard; None for other files.
    """

    kind: str
    part: int
    retry: int
    shard: int | None


def _retried(retry: int) -> str:
    return f"-retry{retry}" if retry else ""


def shard_name(part: int, shard: int, retry: int = 0) -> str:
    """The name of a shard: "clips-000003-0000.tar"."""
    return f"clips-{part:06d}-{shard:04d}{_retried(retry)}.tar"


def manifest_name(part: int, table: str, retry: int = 0) -> str:
    """The name of a manifest: "part-000003.parquet". `table` is "parquet" or "jsonl"."""
    return f"part-{part:06d}{_retried(retry)}.{table}"


def failures_name(part: int, retry: int = 0) -> str:
    """The name of a list of failures: "part-000003.failures.jsonl"."""
    return f"part-{part:06d}{_retried(retry)}.failures.jsonl"


def parse_name(name: str) -> OutputName | None:
    """The part, the retry and the kind of a file; None for names of other files."""
    match = _NAME.fullmatch(name)
    if match is None or (match["kind"] == "tar") != (match["shard"] is not None):
        return None
    shard = None if match["shard"] is None else int(match["shard"])
    found = OutputName(match["kind"], int(match["clips"] or match["part"]), int(match["retry"] or 0), shard)
    return found if _written(found) == name else None


def _written(name: OutputName) -> str:
    if name.shard is not None:
        return shard_name(name.part, name.shard, name.retry)
    if name.kind == "failures.jsonl":
        return failures_name(name.part, name.retry)
    return manifest_name(name.part, name.kind, name.retry)


def is_own(name: str) -> bool:
    """True for the names that a job writes."""
    return name in (JOB, SUMMARY) or parse_name(name) is not None
