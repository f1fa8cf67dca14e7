"""UniformSpec: one clip of a number of frames, spread over the whole source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from clipx._checks import integer, one_of
from clipx._reprs import value_repr
from clipx.plan.draws import Rng, as_generator
from clipx.plan.spacing import MOST_POSITIONS, centers, evenly_spaced, part_bounds
from clipx.plan.spec import Extent, FrameSpec, frames_of

__all__ = ["UniformSampling", "UniformSpec"]

UniformSampling = Literal["centers", "random", "linspace"]
"""How a UniformSpec spreads its frames.

Stability: stable.
"""


@dataclass(frozen=True)
class UniformSpec(FrameSpec):
    """One clip of `length` frames, spread over the whole source.

    length 4, a source of 12 frames, in 4 equal parts::

        frame     0 1 2|3 4 5|6 7 8|9 10 11
        centers     f     f     f     f         the middle of each part
        random    f         f   f        f      one frame of each, drawn anew for every epoch
        linspace  f       f       f      f      both ends, and evenly between them: 0, 4, 7, 11

    A source of n < length frames repeats them, in order; one without frames gives no clip.

    Args:
        length: frames of the clip, at most 2**30.
        sampling: "centers": frame `(2 * i + 1) * n // (2 * length)`; "random": a frame of part i, which goes from
            `i * n // length` to `(i + 1) * n // length`, or the first of these where it is empty; "linspace":
            `round(i * (n - 1) / (length - 1))`, halves to even, or frame 0 for a length of 1.

    Raises TypeError for a length that is not an integer, ValueError for one below 1 and for unknown names.

    Stability: stable.
    """

    length: int
    sampling: UniformSampling = "centers"

    __repr__ = value_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", integer("length", self.length, 1, MOST_POSITIONS))
        one_of("sampling", self.sampling, get_args(UniformSampling))

    @property
    def max_length(self) -> int:
        """`length`."""
        return self.length

    def count(self, extent: Extent | int) -> int:
        """1, or 0 for a source without frames."""
        return min(frames_of(extent), 1)

    def rows(self, extent: Extent | int, rng: Rng = None) -> np.ndarray:
        """Source frame of every position, int64 (1, length), or (0, length) of a source without frames.

        rng (a Generator, a seed, or None for a fresh one) is drawn from only where sampling is "random".
        """
        n = frames_of(extent)
        if not n:
            return np.empty((0, self.length), dtype=np.int64)
        if self.sampling == "centers":
            return centers(n, self.length)[None]
        if self.sampling == "linspace":
            return evenly_spaced(n, self.length)[None]
        bounds = part_bounds(n, self.length)
        return as_generator(rng).integers(bounds[:-1], np.maximum(bounds[1:], bounds[:-1] + 1), dtype=np.int64)[None]

    @property
    def rate_varies(self) -> bool:
        return True

    @property
    def fills(self) -> bool:
        return False

    @property
    def is_random(self) -> bool:
        return self.sampling == "random"
