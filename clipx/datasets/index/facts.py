"""Rows of an index as facts of a stream, checked before they are believed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from clipx.media.rates import Grace
from clipx.media.stream_facts import KnownPackets, StreamFacts

__all__ = ["facts_of_row", "picture_memory"]

MOST_PIXELS = 2**31
MOST_REFERENCES = 16
MOST_BYTES = 64
"""Bytes of a pixel."""


def facts_of_row(row: dict[str, Any], memory: tuple[int, Fraction, int]) -> StreamFacts | None:
    """The facts of a row of a video; None where they do not say enough to open it by.

    memory: see StreamFacts. Raises ValueError for numbers that cannot be.
    """
    if row["status"] not in ("ok", "truncated") or row["codec"] is None or row["stream"] is None:
        return None
    grace = None
    if row["grace_ticks"] is not None:
        period = row["grace_period"]
        if row["grace_ticks"] not in (0, 1) or (period is not None and period < 2):
            raise ValueError(f"has grace_ticks {row['grace_ticks']} and grace_period {period}")
        grace = Grace(row["grace_ticks"], period)
    size = row["width"] or 0, row["height"] or 0
    if min(size) < 0 or size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"has a width and height of {size[0]} and {size[1]}")
    listed, packets = row["listed"], _packets(row)
    if (listed is not None and listed < 0) or (packets is not None and row["frames"] != len(packets.pts)):
        raise ValueError(f"has {row['frames']} frames, of which {listed} are listed, but other times of them")
    if min(row["stream"], row["stream_of_kind"] or 0) < 0:
        raise ValueError("has the number of a stream below 0")
    return StreamFacts(
        stream=row["stream"],
        number=row["stream_of_kind"] or 0,
        is_best=bool(row["is_best"]),
        container=row["container"] or "",
        codec=row["codec"],
        width=size[0],
        height=size[1],
        time_base=_fraction(row, "time_base"),
        rate=_fraction(row, "fps"),
        grace=grace,
        listed=listed,
        packets=packets,
        memory=memory,
    )


def picture_memory(rows: list[dict[str, Any]]) -> tuple[int, Fraction, int]:
    """The most memory of a decoder's pictures, of the videos of a file. Raises ValueError for what cannot be."""
    found = [row for row in rows if row["picture_pixels"] is not None]
    if not found:
        return 0, Fraction(0), 0
    pixels, references = (max(row[name] or 0 for row in found) for name in ("picture_pixels", "references"))
    pixel_bytes = max(_fraction(row, "picture_bytes") for row in found)
    if not 0 <= pixels <= MOST_PIXELS or not 0 <= references <= MOST_REFERENCES or pixel_bytes > MOST_BYTES:
        raise ValueError(f"has pictures of {pixels} pixels of {pixel_bytes} bytes, of which {references} are kept")
    return pixels, pixel_bytes, references


def _fraction(row: dict[str, Any], name: str) -> Fraction:
    numerator, denominator = row[f"{name}_num"], row[f"{name}_den"]
    if numerator is None or denominator is None or numerator <= 0 or denominator <= 0:
        raise ValueError(f"has {name} {numerator}/{denominator}, which is not above 0")
    return Fraction(numerator, denominator)


def _packets(row: dict[str, Any]) -> KnownPackets | None:
    pts, durations, keys, key_pts = (row[name] for name in ("pts", "durations", "key_frames", "key_pts"))
    if not row["exact"]:
        return None
    if pts is None or durations is None or keys is None or key_pts is None:
        raise ValueError("is exact, but has no times of its frames")
    if len(keys) and (int(keys.min()) < 0 or int(keys.max()) >= len(pts) or not np.array_equal(pts[keys], key_pts)):
        raise ValueError("has key frames that are not among its frames, or with other times")
    return KnownPackets(pts, durations, row["frame_of"], keys, row["key_positions"])
