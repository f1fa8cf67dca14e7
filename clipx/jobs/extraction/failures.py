"""Failures of a part: samples, segments and shards that gave less than all of their clips."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from clipx.datasets.origins import shorten
from clipx.jobs.extraction.manifest import as_text

__all__ = ["KINDS", "RETRIED", "Failure", "read_failures"]

KINDS = ("error", "bad segment", "damage", "no clips")
"""Kinds of failures: as `Entry.kind` of a Loader's errors."""

RETRIED = ("error", "bad segment")
"""Kinds that another try may cure."""

MOST_TEXT = 1000


class Failure(NamedTuple):
    """A failure.

    Attributes:
        key: of the source's sample; None where a shard is broken and no sample is known.
        source: path or address of the shard or the file.
        field: of the sample; None where that is not known.
        segment: number of the segment; None where it is the whole sample that failed.
        kind: one of KINDS.
        reason: in words.
        seconds: where in the source; None where that is not known.
        clips: number of clips of the sample that were written before.
    """

    key: str | None
    source: str | None
    field: str | None
    segment: int | None
    kind: str
    reason: str
    seconds: float | None = None
    clips: int = 0

    @property
    def is_retried(self) -> bool:
        """True if another try may cure it."""
        return self.kind in RETRIED

    def line(self) -> bytes:
        """The failure as a line of JSON; addresses of objects in memory, which differ from run to run, are left out."""
        reason = shorten(re.sub(r"\b0x[0-9A-Fa-f]{6,}\b", "0x...", self.reason), MOST_TEXT)
        values = self._replace(reason=reason)._asdict()
        values = {name: as_text(value) if isinstance(value, str) else value for name, value in values.items()}
        return json.dumps(values, ensure_ascii=True, allow_nan=False).encode() + b"\n"


_TYPES: dict[str, tuple[type, ...]] = {
    "key": (str,),
    "source": (str,),
    "field": (str,),
    "segment": (int,),
    "kind": (str,),
    "reason": (str,),
    "seconds": (int, float),
    "clips": (int,),
}


def read_failures(data: bytes) -> Iterator[Failure]:
    """The failures of a list of them. Raises ValueError for bytes that are no such list."""
    if data and not data.endswith(b"\n"):
        raise ValueError("it is truncated: its last line has no end")
    for number, line in enumerate(data.splitlines(), 1):
        try:
            values: Any = json.loads(line)
        except (ValueError, RecursionError) as exn:
            raise ValueError(f"line {number} is not JSON: {exn}") from exn
        if not isinstance(values, dict) or values.keys() != _TYPES.keys():
            raise ValueError(f"line {number} is not a failure")
        for name, kinds in _TYPES.items():
            is_missing = values[name] is None and name not in ("kind", "reason", "clips")
            if not is_missing and (not isinstance(values[name], kinds) or isinstance(values[name], bool)):
                raise ValueError(f"line {number} has {name} {values[name]!r}")
        if values["kind"] not in KINDS:
            raise ValueError(f"line {number} has kind {values['kind']!r}, but it must be one of {', '.join(KINDS)}")
        yield Failure(**values)
