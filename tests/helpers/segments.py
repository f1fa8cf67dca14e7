"""Segments and the clips that they give, in obvious NumPy."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from clipx.plan import Extent, Selection
from clipx.plan.draws import segment_rng, segment_seed


class Expected(NamedTuple):
    """A clip of a segment: its frames in the source, and where it lies in its segment."""

    segment: int
    index: int
    row: list
    start: int
    valid: int


def clips_of(spec, frames_of, rng=None, times_of=None):
    """All clips of segments, by their numbers, as lists of the frames of the source that each has.

    times_of: n + 1 times of the frames of a segment, by its number.
    """
    seed = segment_seed(rng) if spec.is_random else ()
    found = []
    for number, frames in frames_of.items():
        n = len(frames)
        extent = Extent(n, None if times_of is None else times_of[number])
        rows = spec.rows(extent, segment_rng(seed, number) if spec.is_random else None)
        for index, (row, valid) in enumerate(zip(rows, spec.valid(rows, n))):
            in_source = [frames[k] if k >= 0 else -1 for k in row]
            start = next((int(k) for k in row if k >= 0), 0)
            found.append(Expected(number, index, in_source, start, int(valid)))
    return found


def last_frame(clip, clips):
    """When a clip is given: its last frame has come, and that of those before it in its segment."""
    return max(max(each.row) for each in clips if each.segment == clip.segment and each.index <= clip.index)


def in_order(clips):
    """Clips in the order of a pass over the source: by their last frames, then by segment and index."""
    return sorted(clips, key=lambda clip: (last_frame(clip, clips), clip.segment, clip.index))


def open_at_once(clips):
    """Most clips that are open at one frame, from their first to their last."""
    spans = [(min(k for k in clip.row if k >= 0), last_frame(clip, clips)) for clip in clips]
    return max((sum(a <= first <= b for a, b in spans) for first, _ in spans), default=0)


def gathered(array, clip, fill=0):
    """The frames of a clip."""
    return np.stack([array[k] if k >= 0 else np.full_like(array[0], fill) for k in clip.row])


def check_resumes(run, data):
    """Clips of a selection, drawn from `data`, equal those of a run over all; run(selection) gives a list of clips."""
    every = run(Selection())
    first = data.draw(st.none() | st.integers(0, len(every)))
    below = len(every) if first is None else first
    some = data.draw(st.sets(st.integers(0, below - 1))) if below else set()
    selection = Selection(tuple(sorted(some)), first)
    got = run(selection)
    wanted = [every[position] for position in selection.of(len(every))]
    assert [clip.facts() for clip in got] == [clip.facts() for clip in wanted]
    assert [clip.number for clip in got] == selection.of(len(every)).tolist()
    for clip, same in zip(got, wanted):
        assert np.array_equal(clip.data, same.data)
