"""The step that shuffles clips."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from clipx.loader.open_samples import ClipRef, Extracted
from clipx.wds.shuffling import Draw, take_out

__all__ = ["Move", "Shuffle", "ShuffleState"]

Move = ClipRef | int
"""A clip that the shuffle took, or the index of one that it gave, as `take_out` has it."""


@dataclass
class ShuffleState:
    """The clips that a shuffle holds.

    Attributes:
        held: the clips, in its order.
        drawn: number of clips that it has given.
    """

    held: list[ClipRef] = field(default_factory=list)
    drawn: int = 0

    def apply(self, moves: Sequence[Move]) -> None:
        """Make this the state behind some moves more."""
        for move in moves:
            if isinstance(move, int):
                take_out(self.held, move)
                self.drawn += 1
            else:
                self.held.append(move)


class Shuffle:
    """Gives clips in a random order, and holds as many back as there is room for.

    Args:
        rng: what the order is drawn from.
        most: clips that are held, or none where it is 0.
        most_beside: bytes that they may have beside their slots.
        held: clips of a state, in its order.
        drawn: number of clips given before that state.
    """

    def __init__(
        self, rng: random.Random, most: int, most_beside: int, held: Iterable[Extracted] = (), drawn: int = 0
    ) -> None:
        self._buffer = Draw(rng, held, drawn)
        self._most, self._most_beside, self._drawn = most, most_beside, drawn
        self._beside = sum(clip.beside for clip in self._buffer)
        self._moves: list[Move] = []

    def clips(self, clips: Iterator[Extracted]) -> Iterator[Extracted]:
        """The clips in a random order."""
        buffer = self._buffer
        while True:
            # A state may have been saved between two clips that one which came has displaced.
            while len(buffer) > self._most or (len(buffer) and self._beside > self._most_beside):
                yield self._pick()
            clip = next(clips, None)
            if clip is None:
                break
            buffer.add(clip)
            self._beside += clip.beside
            self._moves.append(clip.ref)
            del clip
        while len(buffer):
            yield self._pick()

    def __len__(self) -> int:
        return len(self._buffer)

    def _pick(self) -> Extracted:
        index, clip = self._buffer.pick()
        self._beside -= clip.beside
        self._drawn += 1
        self._moves.append(index)
        return clip

    def state(self) -> ShuffleState:
        """The state behind the clip that was given last."""
        return ShuffleState([clip.ref for clip in self._buffer], self._drawn)

    def take_moves(self) -> list[Move]:
        """The moves since this was called last: what changes a state before them costs less than a new one."""
        moves, self._moves = self._moves, []
        return moves
