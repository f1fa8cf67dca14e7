"""Clips cut while their frames arrive: which open clips a frame belongs to, and when a clip is complete."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from clipx.clip import Clip
from clipx.format import View
from clipx.plan.windows import ALL, Selection, WindowSpec

__all__ = ["Cutter", "Memory", "Shown", "Tail", "Target"]


class Memory(NamedTuple):
    """Where a clip is written: its array, that array's frames with time first, and what is taken of each picture."""

    clip: np.ndarray
    frames: np.ndarray
    view: View


Target = tuple[np.ndarray, View]


@dataclass(eq=False)
class _Open:
    clip: Clip
    frames: np.ndarray
    view: View
    frame_indices: np.ndarray
    pts_seconds: np.ndarray
    duration_seconds: np.ndarray
    missing: set[int] = field(default_factory=set)
    """Places that still wait for their frame."""
    damaged: set[int] = field(default_factory=set)
    """Places whose frame may show damage, or stands behind frames that are lost."""
    lost: bool = False
    """Whether frames are lost before the next place."""

    def finish(self) -> Clip:
        """The clip, with the places of damage."""
        self.clip.damaged = sorted(self.damaged) or None
        return self.clip


class Shown(NamedTuple):
    """A frame of the source: its number there, when it is shown and for how long, in seconds.

    damaged: damage may show in it. lost: frames may be missing right before it.
    """

    k: int
    pts: float
    duration: float
    damaged: bool = False
    lost: bool = False


def _put(opened: _Open, place: int, shown: Shown) -> Target:
    opened.frame_indices[place], opened.pts_seconds[place], opened.duration_seconds[place] = shown[:3]
    opened.missing.discard(place)
    if shown.damaged or opened.lost:
        opened.damaged.add(place)
        opened.lost = False
    return opened.frames[place], opened.view


class Cutter:
    """Goes over the frames of a source, in order, and keeps the clips that are being written.

    Args:
        spec: the windows. Their starts are `stride` apart, or those in `starts`.
        make: gives memory for the clip of an index.
        starts: ascending start frames, for specs whose starts depend on the number of frames.
        selection: which of the clips are cut; the others are passed over.

    At most `spec.slots(starts) - 1` clips are open at once.
    """

    def __init__(
        self,
        spec: WindowSpec,
        make: Callable[[int], Memory],
        starts: np.ndarray | None = None,
        selection: Selection = ALL,
    ) -> None:
        self.spec = spec
        self._make = make
        self._starts, self._selection = starts, selection
        self._opened = 0
        self._open: deque[_Open] = deque()
        self._last: int | None = None
        self._index, self._start = self._next()

    def _next(self) -> tuple[int | None, int | None]:
        """Index and start of the clip that is opened next."""
        index = self._selection.at(self._opened)
        return index, None if index is None else self.spec.start(index, self._starts)

    def _begin(self, index: int, start: int) -> _Open:
        length = self.spec.length
        columns = np.full(length, -1, dtype=np.int64), np.full(length, np.nan), np.full(length, np.nan)
        memory = self._make(index)
        clip = Clip(memory.clip, index, start, length, *columns)
        self._opened += 1
        self._index, self._start = self._next()
        return _Open(clip, memory.frames, memory.view, *columns, set(range(length)))

    @property
    def done(self) -> bool:
        """Whether every selected clip is finished, however the source goes on."""
        return self._index is None and not self._open

    def place(self, p: int, shown: Shown) -> list[Target]:
        """The places that frame p of the plan is written to; clips that start at it are opened."""
        if shown.lost and shown.k != self._last:
            for each in self._open:
                each.lost = True
        self._last = shown.k
        while self._start == p and self._index is not None:
            self._open.append(self._begin(self._index, p))
        targets = []
        for each in self._open:
            place, rest = divmod(p - each.clip.start, self.spec.dilation)
            if rest == 0 and place < self.spec.length:
                targets.append(_put(each, place, shown))
        return targets

    @property
    def first_start(self) -> int | None:
        """Start of the first clip that is open and not complete; None where there is none."""
        return next((each.clip.start for each in self._open if each.missing), None)

    def first_pts(self) -> float | None:
        """When the first open clip starts; None where none is open."""
        return float(self._open[0].pts_seconds[0]) if self._open else None

    def finished(self) -> Iterator[Clip]:
        """Clips all of whose places have been written, in order."""
        while self._open and not self._open[0].missing:
            yield self._open.popleft().finish()

    def end(self, n: int) -> Tail:
        """The source has ended after n frames: what is left to be written.

        Raises ValueError where policy "error" leaves an incomplete clip; those that are left are then given up.
        """
        spec, left = self.spec, list(self._open)
        self._open.clear()
        if self._starts is None:
            count = spec.count(n)
            left = [each for each in left if each.clip.index < count]
            if spec.policy == "backpad" and not left and self._index is not None and self._index < count:
                left = [self._begin(self._index, n - spec.span)]
            if spec.policy == "backpad" and left:
                left[0].clip.start = n - spec.span
                left[0].missing = set(range(spec.length))
        at = np.array([each.clip.start for each in left], dtype=np.int64)
        rows = spec.indices_at(at, n)
        tail = Tail({}, left)
        for each, row in zip(left, rows):
            each.clip.valid = spec.valid(each.clip.start, n)
            for place in each.missing:
                k = int(row[place])
                tail.needs.setdefault(k, []).append((each, place))
        return tail


@dataclass
class Tail:
    """Clips whose last places need frames that have gone by.

    `needs` names the places of each frame of the plan, and at -1 those of the fill.
    """

    needs: dict[int, list[tuple[_Open, int]]]
    left: list[_Open]

    def finish(self) -> Clip:
        """The next of the clips that are left, now complete."""
        return self.left.pop(0).finish()

    def fills(self) -> list[np.ndarray]:
        """Places that take fill_value."""
        return [each.frames[place] for each, place in self.needs.pop(-1, [])]

    def place(self, p: int, shown: Shown) -> list[Target]:
        """The places that frame p of the plan is written to."""
        return [_put(each, place, shown) for each, place in self.needs.pop(p, [])]
