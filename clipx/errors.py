"""Exceptions of clipx, each of them also a standard type that users would catch."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NOT_A_SAMPLES_FAULT", "Damage", "MediaError", "PoolExhausted", "PoolTooSmall"]


class PoolExhausted(BufferError):
    """Every slot of a pool is leased. The message says how many, and which number to raise."""


class PoolTooSmall(ValueError):
    """A pool whose slots are too small for a clip, or too few for a source. The message says what to give.

    Attributes:
        shape: of the clip that does not fit; None where slots are too few.
    """

    shape: tuple[int, ...] | None = None


class MediaError(ValueError):
    """A video or audio stream cannot be read. The failure of av, if there was one, is the `__cause__`."""


class Damage(NamedTuple):
    """A damaged part of a stream: where it starts, in seconds on the stream's clock (None where that is not known), and
    what is wrong there.
    """

    seconds: float | None
    reason: str


NOT_A_SAMPLES_FAULT = (PoolExhausted, PoolTooSmall, MemoryError)
"""They end the run, and no handler sees them."""
