"""SampleSource: where the samples of a file's sound come from, and where damage may show in them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from clipx.media.damage import Report
from clipx.plan.rows import Row

__all__ = ["NEAR_SECONDS", "Harmed", "SampleSource", "check_rate"]

NEAR_SECONDS = 0.5
"""Sound of this length is decoded rather than passed over."""


class Harmed(list[list[int]]):
    """Where damage may show: [first, end) of samples, ascending."""

    def touches(self, first: Any, end: Any) -> Any:
        """Damage may show in samples [first, end) of one clip or, with arrays, of each of several."""
        firsts, ends = np.array(self).T
        after = np.searchsorted(ends, first, side="right")
        return np.append(firsts, np.inf)[after] < end

    def shown_in(self, row: np.ndarray, step: int | None) -> np.ndarray:
        """Positions of a clip that damage may show in, or lies right before, after the position before; bool as `row`.

        step: samples from one position to the next in time; None where they differ.
        """
        since, steps = row.copy(), np.diff(row)
        since[1:] -= np.where(steps == step if step else (steps > 0) & (row[:-1] >= 0), steps - 1, 0)
        return np.asarray(self.touches(since, row + 1) & (row >= 0))

    def touches_row(self, row: Row, step: int | None) -> bool:
        """Damage may show in the samples of a row, or between them; step as in `shown_in`."""
        if not self:
            return False
        if isinstance(row, range):
            return bool(self.touches(row.start, row.stop))
        return bool(self.shown_in(row, step).any())


class SampleSource(Protocol):
    """The samples of a stream of a file's sound, in pieces: from the first to the last, or near where they are wanted.

    Positions count the samples that come out, at their rate, from 0 for the first of a full decode. A source that is
    open can be closed at any time.

    Attributes:
        report: the damage that is found.
        harmed: where damage may show. Known no later than the samples.
    """

    report: Report
    harmed: Harmed

    @property
    def rate(self) -> int:
        """Samples a second; 0 where it is not known before the first piece."""

    @property
    def channels(self) -> int:
        """Channels of the pieces; 0 where they are not known before the first one."""

    def length(self) -> int | None:
        """Number of samples of a full decode, found without decoding and exact; None where it is not known."""

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """Position of its first sample, and samples (channels, m), of each piece: ascending, valid until the next.

        Pieces follow each other, but where `skip_to` has let some out. The last one ends at the end of the sound.
        Raises MediaError for what cannot be read, for sound of another kind midway and, with damage="stop", for damage,
        after the samples before it; ValueError for sound of another rate than the window's.
        """

    def skip_to(self, position: int, end: int) -> None:
        """Say, before or between pieces, that what is wanted next are the samples from a position up to an end.

        The next piece begins at or before it, as near as it can. The position is below the length.
        """

    def time(self, position: int) -> Fraction:
        """When a sample that has come begins, in seconds on the file's clock."""

    def close(self) -> None:
        """Close the file."""


def check_rate(name: str, rate: int, of_window: Fraction | None) -> None:
    """Raise ValueError where a sound's rate is not the one that a window was made for."""
    if of_window is not None and rate != of_window:
        raise ValueError(
            f"the window was made for {of_window} samples a second, but {name} has {rate}; say it in "
            f"AudioFormat(sample_rate=)"
        )
