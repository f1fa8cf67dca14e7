"""A sample from which clips are extracted, and the clips that it gives."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol

from clipx.datasets.addresses import Address
from clipx.datasets.fields import Sample
from clipx.datasets.segments import BadSegment
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.loader.room import Weight
from clipx.plan import ALL, Selection

__all__ = ["ClipRef", "Extract", "Extracted", "Failure", "NumberedClip", "OpenSample", "OpenState", "choose"]


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
    """A sample that gives clips, or is to.

    Attributes:
        address: of the sample.
        following: number that follows the last clip that it gave.
        damaged: whether damage had been found by then.
        some: numbers of the clips that it gives next.
        first: it then gives all clips from this number on; None for no more.
    """

    address: Address
    following: int
    damaged: bool
    some: Sequence[int] = ()
    first: int | None = 0

    @property
    def selection(self) -> Selection:
        """The clips that are still to be given."""
        return Selection(tuple(self.some), self.first, self.damaged)


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
        state: which clips these are; None for all.
    """

    def __init__(
        self,
        address: Address,
        weight: Weight,
        clips: Generator[NumberedClip | BadSegment],
        state: OpenState | None = None,
    ) -> None:
        self.address, self.weight = address, weight
        self._state = state or OpenState(address, 0, False)
        self.ready: deque[NumberedClip | Failure] = deque()
        self.busy = self.done = False
        self._clips: Generator[NumberedClip | BadSegment] | None = clips

    @property
    def state(self) -> OpenState:
        """The state behind the clip that was given last."""
        return self._state

    def note_given(self, number: int, damaged: bool) -> None:
        """Note that a clip has been given, and whether damage had been found by then."""
        state, following = self._state, number + 1
        first = None if state.first is None else max(state.first, following)
        some = [each for each in state.some if each > number] if state.some else state.some
        self._state = OpenState(self.address, following, damaged, some, first)

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


def choose(extract: Extract, sample: Sample, state: OpenState, weight: Weight) -> Generator[NumberedClip | BadSegment]:
    """The clips of a sample that are still to be given, of which some had been extracted before.

    Raises what extracting raises, and ValueError where the sample does not give the clips that it gave.
    """
    left = deque(state.some)
    # In a damaged file a clip can depend on frames that a selection leaves out: then all are extracted, as before.
    for selection in (state.selection, ALL) if left else (state.selection,):
        error: Exception | None = None
        try:
            with closing(extract(sample, selection, weight)) as clips:
                for clip in clips:
                    if isinstance(clip, BadSegment):
                        continue  # which has been reported before
                    if left and clip.number == left[0]:
                        left.popleft()
                        yield clip
                    elif left and clip.number > left[0]:
                        break
                    elif not left and state.first is not None and clip.number >= state.first:
                        yield clip
                    del clip
                    if not left and state.first is None:
                        return  # what is wrong behind it has been reported before
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            if not left:
                raise
            traceback.clear_frames(exn.__traceback__)
            error = exn
        if not left:
            return
    raise ValueError(
        f"sample {sample.get('__key__')!r} gives {len(state.some) - len(left)} of the {len(state.some)} clips that it "
        f"gave when the state was saved"
    ) from error
