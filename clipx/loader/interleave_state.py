"""The state of an interleave: the samples that give clips in rotation, and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clipx.datasets.addresses import START, Address, Position
from clipx.loader.open_samples import OpenState

__all__ = ["BEGINNING", "InterleaveState"]


class InterleaveState(NamedTuple):
    """The samples that give clips, and how far.

    Attributes:
        active: the samples that give clips in rotation.
        next: index of the one that gives the next clip.
        read: the samples that have become active.
        ended: whether the handler has ended them all.
        left: samples of an epoch that was resharded, which others had begun; they become active before all others.
    """

    active: Sequence[OpenState] = ()
    next: int = 0
    read: Position = START
    ended: bool = False
    left: Sequence[OpenState] = ()

    @property
    def left_by_address(self) -> dict[Address, OpenState]:
        """The samples that are left, by their addresses."""
        return {each.address: each for each in self.left}


BEGINNING = InterleaveState()
