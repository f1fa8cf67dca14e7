"""The views of a source's clips: the crops and flips of each, the same for all or drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clipx.format import ClipFormat, Size, View
from clipx.plan import Rng, as_generator

__all__ = ["Views", "draw_seed"]


class Views:
    """The views of each clip of one source: all the same, or drawn for each from a seed and the clip's index.

    With a `key`, clips are counted by their positions in a plan; it gives what the draws depend on, a tuple of numbers.

    Attributes:
        common: the views of all clips; None where each has its own.
        size: height and width of all views, as they are written.
        plain: every clip has the same single view, which is not among its facts.
    """

    def __init__(self, format: ClipFormat, height: int, width: int, seed: tuple[int, ...] = ()) -> None:
        self.key: Callable[[int], Any] | None = None
        self._format, self._picture, self._seed = format, (height, width), seed
        views = format.views(height, width)
        self.size: Size = format.view_size(height, width)
        self.common = None if format.is_random else views
        self.plain = self.common is not None and len(views) == 1

    def draw(self, rng: Rng) -> None:
        """Draw the seed where a view is random."""
        self._seed = draw_seed(self._format, rng)

    def __getitem__(self, index: int) -> tuple[View, ...]:
        if self.common is not None:
            return self.common
        key = (index,) if self.key is None else self.key(index)
        return self._format.views(*self._picture, np.random.default_rng((*self._seed, *key)))


def draw_seed(format: ClipFormat, rng: Rng) -> tuple[int, ...]:
    """A seed for `Views`. Nothing is drawn from rng where no view is random."""
    if not format.is_random:
        return ()
    return tuple(as_generator(rng).integers(0, 2**63, size=2).tolist())
