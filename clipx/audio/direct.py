"""Clips of sound whose source has random access: each is written by itself, straight into its slot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clipx.audio.format import AudioFormat
from clipx.audio.open_sounds import OpenSounds
from clipx.audio.pcm import PcmSource
from clipx.clip import Clip
from clipx.errors import MediaError
from clipx.plan import FrameSpec, Selection
from clipx.plan.rows import Plan, Row, first_frames, stop_of
from clipx.plan.segmented import SegmentedPlan
from clipx.pool import ClipPool

__all__ = ["DirectSounds"]


class DirectSounds(OpenSounds):
    """The clips of a source that writes any row; arguments as of OpenSounds."""

    def __init__(
        self,
        spec: FrameSpec,
        plan: Plan,
        format: AudioFormat,
        source: PcmSource,
        pool: ClipPool | None,
        in_step: int,
        selection: Selection,
    ) -> None:
        super().__init__(spec, plan, format, source, pool, in_step, selection)
        self._pcm, self._n = source, source.length()

    def numbers(self) -> Iterator[int]:
        """The numbers of the clips that are given.

        Raises ValueError, behind the complete ones, where the spec does not allow for an incomplete clip.
        """
        if isinstance(self._plan, SegmentedPlan):
            yield from self._selection.of(len(self._plan)).tolist()
            return
        error = None
        try:
            count = self._plan.count(self._n)
        except ValueError as exn:
            count, error = self._plan.count_until_error(self._n), exn
        at = 0
        while (number := self._selection.at(at)) is not None:
            if number >= count:
                if error is not None:
                    raise error
                return
            yield number
            at += 1

    def written(self, number: int, name: str) -> tuple[Row, Clip]:
        """A clip, with all of its samples, and its final row. Raises MediaError where it has more than there are."""
        row, plan = self._plan.row(number), self._plan
        clip = self.make(number, 0, row).clip
        self._begun += 1
        stop = stop_of(row)
        if isinstance(plan, SegmentedPlan):
            clip.of_segment(**plan.describe(number))
        elif stop > self._n:
            final = plan.final_rows(np.array([number], dtype=np.int64), self._n)
            clip.start, clip.valid = int(first_frames(final)[0]), int(self._spec.valid(final, self._n)[0])
            row = final[0]
            self._format.channels_first(clip.data)[:, row < 0] = self.fill
            stop = stop_of(row)
        if stop > self._n:
            raise MediaError(f"{name} gave fewer samples when it was read again")
        self._pcm.write(row, clip.data)
        return row, clip
