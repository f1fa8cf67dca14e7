"""ClipIterator: what iterators of a stream's clips share: interrupts, and errors of segments after all clips."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator
from typing import TypeVar

from clipx.media.opening import raising_interrupts
from clipx.plan.segmented import SegmentErrors

__all__ = ["ClipIterator"]

Given = TypeVar("Given")


class ClipIterator(Iterator[Given]):
    """Iterator of the clips that a run over a stream gives.

    Attributes:
        raises_errors: the first of `segment_errors` is raised after all clips.
    """

    raises_errors = False

    def __init__(self, clips: Generator[Given]) -> None:
        self._clips = clips

    @property
    @abstractmethod
    def segment_errors(self) -> SegmentErrors:
        """Numbers of segments that give no clips, or not all, and why."""

    def __next__(self) -> Given:
        try:
            with raising_interrupts():
                return next(self._clips)
        except StopIteration:
            errors, self.raises_errors = self.segment_errors if self.raises_errors else [], False
            if not errors:
                raise
        raise errors[0][1]
