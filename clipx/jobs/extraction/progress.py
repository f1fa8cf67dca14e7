"""How far a job is: numbers that grow, for a display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

__all__ = ["Progress", "Report"]


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        parts: number of parts that this call is for.
        parts_done: of these, that are done, with those that were done before.
        parts_before: of these, that were done before.
        samples: that have been read, or failed to be.
        clips, frames: that have been written; frames of sounds are audio samples.
        source_seconds: of the videos and sounds that have been read, each up to the end of its last clip.
        bytes_written: of the clips.
        failures: samples and shards with an error; damage and samples without clips do not count.
        elapsed: seconds since the call.

    Stability: provisional.
    """

    parts: int = 0
    parts_done: int = 0
    parts_before: int = 0
    samples: int = 0
    clips: int = 0
    frames: int = 0
    source_seconds: float = 0.0
    bytes_written: int = 0
    failures: int = 0
    elapsed: float = 0.0

    def __add__(self, other: Progress) -> Progress:
        """The sums of all numbers."""
        return Progress(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __sub__(self, other: Progress) -> Progress:
        """The differences of all numbers."""
        return Progress(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(self)))


Report = Callable[[Progress], None]
"""Takes what has been done since it was called last, of which `parts` and `elapsed` are 0."""
