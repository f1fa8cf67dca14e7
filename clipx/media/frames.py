"""A decoded frame of a stream, with its number and its time."""

from __future__ import annotations

from typing import NamedTuple

import av

__all__ = ["Frame"]


class Frame(NamedTuple):
    """The k-th frame of a stream; pts and duration in ticks of its time base, made up where the file has none.

    damaged: damage of the file may show in it. lost: frames may be missing right before it.
    """

    k: int
    image: av.VideoFrame
    pts: int
    duration: int
    damaged: bool = False
    lost: bool = False
