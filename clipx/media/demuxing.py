"""Packets out of an open file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av

__all__ = ["demuxed"]


def demuxed(container: av.container.InputContainer, *streams: Any) -> Iterator[av.Packet]:
    """The packets of some streams, in the file's order.

    Empty packets hold nothing; those that av gives at the end of the file have no time either.
    """
    try:
        yield from container.demux(*streams)
    except IndexError:
        # av at the end of a file in which further streams have begun, which it does not know.
        return
