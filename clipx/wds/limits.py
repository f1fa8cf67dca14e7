"""Most that a sample may take while its clips are extracted."""

from __future__ import annotations

from typing import NamedTuple

from clipx.datasets.field_paths import MOST_BYTES

__all__ = ["NO_LIMITS", "Limits"]


class Limits(NamedTuple):
    """Most that a sample may take; None for no limit of its own.

    Attributes:
        pixels: of a picture, where that is below the limit of `options`.
        segment_bytes: of its segments, and of a list of frames.
        slots: of a pool that clips of a field are written to at the same time, where it is divided into segments.
        packet_bytes: of the packets of a clip that is copied without decoding.
    """

    pixels: int | None = None
    segment_bytes: int = MOST_BYTES
    slots: int | None = None
    packet_bytes: int | None = None


NO_LIMITS = Limits()
