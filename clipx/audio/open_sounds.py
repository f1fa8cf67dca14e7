"""The open clips of sound, and the samples that the end of a stream may need."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from clipx._checks import check_total
from clipx.audio.format import AudioFormat
from clipx.audio.sample_source import SampleSource
from clipx.clip import Clip
from clipx.media.open_clips import OpenClip, OpenClips
from clipx.plan import FrameSpec, Selection
from clipx.plan.rows import Plan, Row, first_frame, stop_of
from clipx.pool import ClipPool

__all__ = ["KeptSamples", "OpenSound", "OpenSounds"]


@dataclass(eq=False, slots=True)
class OpenSound(OpenClip):
    samples: np.ndarray
    """The clip as (channels, length)."""
    stop: int
    """The sample before which it is complete."""

    def write(self, at: int, piece: np.ndarray) -> None:
        """Write what a piece of samples (channels, m), the first of which is sample `at`, has for the clip."""
        row, m = self.row, piece.shape[1]
        if not isinstance(row, range):
            here = np.flatnonzero((row >= at) & (row < at + m))
            self.samples[:, here] = piece[:, row[here] - at]
            return
        step, position, first = row.step, 0, row.start - at
        if first < 0:
            position = -(first // step)
            first += position * step
        count = min(-((first - m) // step), len(row) - position)
        if count > 0:
            self.samples[:, position : position + count] = piece[:, first : first + (count - 1) * step + 1 : step]


class OpenSounds(OpenClips[OpenSound]):
    """The open clips of a stream of sound.

    Args:
        spec, plan: the rows of the clips.
        format: how their samples are written.
        source: of the samples; how many channels there are is asked when the first clip is opened.
        pool: clips are slots of it; None gives each clip memory of its own.
        in_step: streams that hold slots of the pool side by side.
        selection: which of the clips are given.
    """

    def __init__(
        self,
        spec: FrameSpec,
        plan: Plan,
        format: AudioFormat,
        source: SampleSource,
        pool: ClipPool | None,
        in_step: int,
        selection: Selection,
    ) -> None:
        self._format, self._source, self._pool, self._in_step = format, source, pool, in_step
        self._dtype = np.dtype(format.dtype)
        self.fill = np.array(spec.fill_value if spec.fills else 0).astype(self._dtype)
        super().__init__(spec, plan, selection)

    def make(self, index: int, opening: int, row: Row) -> OpenSound:
        dtype, length = self._dtype, len(row)
        shape = self._format.shape(self._source.channels, length)
        if not self._begun:
            # Not before: sound that gives no clips fits into any pool, and is not the one that a pool's shape is of.
            # A slot holds any clip of the spec: others of the pool's sources may be longer.
            longest = self._format.shape(self._source.channels, self._spec.max_length or self._plan.length)
            check_total("a clip", longest, dtype.itemsize)
            if self._pool is not None:
                self._pool.require(self._plan.slots() * self._in_step, longest, dtype)
        data = np.empty(shape, dtype) if self._pool is None else self._pool.acquire(shape, dtype)
        samples = self._format.channels_first(data)
        if isinstance(row, range):
            return OpenSound(Clip(data, index, row.start, length, length=length), opening, row, samples, row.stop)
        samples[:, row < 0] = self.fill
        clip = Clip(data, index, first_frame(row), self._plan.valid(row), length=length)
        return OpenSound(clip, opening, row, samples, max(stop_of(row), opening + 1))

    def begin_until(self, end: int) -> int:
        """Open the clips that begin before sample `end`, or before the first open clip is complete.

        Returns the sample that comes first of both.
        """
        end = min(end, self.open[0].stop) if self.open else end
        while self.opening is not None and self.opening < end:
            self.begin()
            end = min(end, self.open[0].stop)
        return end


class KeptSamples:
    """The samples that the end of a stream may need: so many of its first and of its last ones."""

    def __init__(self, most_first: int, most_last: int) -> None:
        self._most_first, self._most_last = most_first, most_last
        self._first: list[np.ndarray] = []
        self._last: deque[np.ndarray] = deque()
        self._kept = 0
        self.n = 0

    def first_wanted(self, opening: int, length: int) -> int:
        """The first sample of `length` that is still wanted, for a clip that opens at `opening` and for the end."""
        return self.n if self.n < self._most_first else max(min(opening, length - 1) - self._most_last, self.n)

    def add(self, at: int, piece: np.ndarray) -> None:
        """Take the next samples (channels, m), the first of which is sample `at`."""
        if at != self.n:
            self._last.clear()
            self.n, self._kept = at, 0
        if not self._first or self.n < self._most_first:
            self._first.append(piece[:, : max(self._most_first - self.n, 0)].copy())
        if self._most_last:
            self._last.append(piece[:, -self._most_last :].copy())
            self._kept += self._last[-1].shape[1]
            while self._kept - self._last[0].shape[1] >= self._most_last:
                self._kept -= self._last.popleft().shape[1]
        self.n += piece.shape[1]

    def join(self) -> None:
        """Make one array of the first samples, and one of the last."""
        self._first = [np.concatenate(self._first, axis=1)]
        self._last = deque([np.concatenate([self._first[0][:, :0], *self._last], axis=1)])

    def read(self, samples: np.ndarray) -> np.ndarray:
        """Samples (channels, m) of these numbers, int64 (m,), after `join`. Raises IndexError for others."""
        first, last, begin = self._first[0], self._last[0], self.n - self._kept
        late = samples >= begin
        found = np.empty((len(first), len(samples)), first.dtype)
        found[:, late] = last[:, samples[late] - begin]
        found[:, ~late] = first[:, samples[~late]]
        return found
