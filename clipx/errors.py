"""Exceptions of clipx, each of them also a standard type that users would catch.

Stability: stable.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Damage", "MediaError", "PoolExhausted", "PoolTooSmall"]


class PoolExhausted(BufferError):
    """Every slot of a pool is leased. The message says how many there are, and which number to raise.

    Stability: stable.
    """


class PoolTooSmall(ValueError):
    """A pool has slots that are too small for a clip, or too few for a source. The message says which are needed.

    Attributes:
        shape: shape of the clip that does not fit; None where slots are too few.

    Stability: stable.
    """

    shape: tuple[int, ...] | None = None


class MediaError(ValueError):
    """A video or audio stream cannot be read. The failure of av, if there was one, is the `__cause__`.

    Attributes:
        seconds: of damage, where it starts on the stream's clock; None where that is not known.

    Stability: stable.
    """

    seconds: float | None = None


class Damage(NamedTuple):
    """A damaged part of a stream.

    Attributes:
        seconds: where it starts, on the stream's clock; None where that is not known.
        reason: the damage, in words.

    Stability: stable.
    """

    seconds: float | None
    reason: str


NOT_A_SAMPLES_FAULT = (PoolExhausted, PoolTooSmall, MemoryError)
"""Errors that end a run: no handler of broken samples gets them."""
