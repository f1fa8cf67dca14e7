"""Seconds that the parts of the work on a source take."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Timings"]


@dataclass(slots=True)
class Timings:
    """Seconds that were spent on one source so far. One thread at a time adds to them.

    Attributes:
        opening: headers and packets were read, and clips were planned.
        converting: pictures were resampled and written to clips.
        mapping: the user's function of a sample ran.
        nbytes: bytes of packets that were decoded of files that are opened where they lie; known at the end.
        decodes: whether there is anything to decode: all other work on arrays is converting.
    """

    opening: float = 0.0
    converting: float = 0.0
    mapping: float = 0.0
    nbytes: int = 0
    decodes: bool = True
