"""A sample from which clips are extracted, and the clips that it gives."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import NamedTuple, Protocol

from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.datasets.segments import BadSegment
from clipx.loader.room import Weight
from clipx.plan import Selection

__all__ = ["ClipRef", "Extract", "Extracted", "Failure", "NumberedClip", "OpenSample", "OpenState"]


class ClipRef(NamedTuple):
    """A clip, by its sample's address and its number in the plan there; whether damage had been found by then."""

    address: Address
    number: int
    damaged: bool = False


class Extracted(NamedTuple):
    """The sample of a clip, which clip it is, and the bytes that it has beside its slots."""

    ref: ClipRef
    sample: Sample
    beside: int


class NumberedClip(Protocol):
    """A clip's sample as it is extracted."""

    @property
    def number(self) -> int:
        """Of the clip in the plan of its sample."""

    @property
    def damaged(self) -> bool:
        """Whether damage had been found in the source by then."""

    @property
    def sample(self) -> Sample:
        """The clip and what goes with it."""


Extract = Callable[[Sample, Selection, Weight], Generator[NumberedClip | BadSegment]]
"""Gives the selected clips of a sample that takes so much, behind its bad segments, or raises why there are none."""


class OpenState(NamedTuple):
    """A sample that gives clips: the number that follows its last clip, and whether damage had been found by then."""

    address: Address
    following: int
    damaged: bool


class Failure(NamedTuple):
    """The error that comes instead of a clip.

    Attributes:
        ends: whether its sample gives no more clips: not that of a segment, behind which others come.
    """

    error: BaseException
    ends: bool = True


class OpenSample:
    """A sample from which clips are extracted, some ahead of the time when they are given.

    Args:
        clips: those that come next.
        following: number that follows the last clip given.
        damaged: whether damage had been found by then.
    """

    def __init__(
        self,
        address: Address,
        weight: Weight,
        clips: Generator[NumberedClip | BadSegment],
        following: int = 0,
        damaged: bool = False,
    ) -> None:
        self.address, self.weight, self.following, self.damaged = address, weight, following, damaged
        self.ready: deque[NumberedClip | Failure] = deque()
        self.busy = self.done = False
        self._clips: Generator[NumberedClip | BadSegment] | None = clips

    def extract(self) -> NumberedClip | Failure | None:
        """The next clip; None at the end."""
        assert self._clips is not None
        try:
            clip = next(self._clips, None)
            return Failure(clip.error, ends=False) if isinstance(clip, BadSegment) else clip
        except BaseException as exn:  # it is raised where the clip is asked for
            return Failure(exn)

    def close(self) -> None:
        """Give up the clips that were not extracted."""
        clips, self._clips = self._clips, None
        if clips is not None:
            clips.close()
