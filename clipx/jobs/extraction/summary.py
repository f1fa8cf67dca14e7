"""The summary of a job: sums over its manifests and failures, part by part."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

__all__ = ["MOST_EXAMPLES", "Summary", "as_time"]


def as_time(seconds: float | None) -> str | None:
    """A time as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


MOST_EXAMPLES = 3


@dataclass
class Summary:
    """Sums over the parts of a job that are done.

    Attributes:
        parts: number of parts.
        samples: of the input, that gave clips or failures.
        clips, shards: number of them.
        frames: of the clips; audio samples, of sounds.
        hours: of the clips, where their seconds are known.
        bytes: of the clips.
        failures: number of each kind that is left after all retries: "error", "bad segment", "damage", "no clips".
        failed: number of samples, and of shards, with an error.
        examples: the first failures that are left, at most 3, as "key: reason".
        started, ended: when the job was begun, and its last part was done, ISO 8601 in UTC; None where the store does
            not tell it.
        seconds: between these.

    Stability: provisional.
    """

    parts: int = 0
    samples: int = 0
    clips: int = 0
    shards: int = 0
    frames: int = 0
    hours: float = 0.0
    bytes: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    examples: list[str] = field(default_factory=list)
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None

    def add(self, other: Summary) -> None:
        """Add the numbers of another part."""
        for name in ("parts", "samples", "clips", "shards", "frames", "hours", "bytes", "failed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.examples = [*self.examples, *other.examples][:MOST_EXAMPLES]
        self.failures = dict(sorted((Counter(self.failures) + Counter(other.failures)).items()))

    def as_json(self) -> dict[str, Any]:
        """The numbers, as JSON takes them."""
        return asdict(self)
