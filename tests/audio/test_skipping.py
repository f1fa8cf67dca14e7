"""Runs over a source that can go on near the next clip: clips are those of the whole sound, whatever is passed over."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.sounds import noise
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import AudioFormat, WindowSpec
from clipx.audio.clips import selected_clips
from clipx.audio.sample_source import Harmed
from clipx.media.damage import Report
from clipx.plan import ALL, Selection

N, PIECE = 400, 16


class ArraySource:
    """A SampleSource of an array (channels, n) that starts again at most `slack` samples before what is wanted."""

    def __init__(self, sound, slack):
        self.report, self.harmed = Report("it", "stop"), Harmed()
        self.rate, self.channels = 20, len(sound)
        self._sound, self._slack, self._at = sound, slack, 0
        self.given = np.zeros(sound.shape[1], dtype=bool)

    def length(self):
        return self._sound.shape[1]

    def pieces(self):
        while self._at < self.length():
            at, self._at = self._at, min(self._at + PIECE, self.length())
            self.given[at : self._at] = True
            yield at, self._sound[:, at : self._at]

    def skip_to(self, position, end):
        assert position < min(self.length(), end)
        self._at = max(self._at, position - self._slack)

    def time(self, position):
        return Fraction(position, self.rate)

    def close(self): ...


SOUND = noise(N, 2)


def read_selected(spec, selection, slack, rng=None):
    """Clips of a selection, and the samples that were read for them."""
    source = ArraySource(SOUND, slack)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipx.audio.planning.open_samples", lambda *args, **named: source)
        patch.setattr(
            "clipx.audio.planning.CountedSamples", lambda *args: SimpleNamespace(samples=N, ended=True, source=source)
        )
        found = selected_clips(b"", spec, AudioFormat(), name="it", rng=rng, selection=selection)
        return list(found), source.given


SPECS = st.builds(
    WindowSpec,
    st.integers(1, 50),
    stride=st.integers(1, 90),
    dilation=st.integers(1, 3),
    policy=st.sampled_from(["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]),
)
SELECTIONS = st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True).map(sorted)


@settings(max_examples=150, deadline=None)
@given(SPECS, SELECTIONS, st.integers(0, 40))
def test_selected_clips_are_those_of_the_whole_sound(spec, indices, slack):
    found, _ = read_selected(spec, Selection(tuple(indices), None), slack)
    rows = spec.indices(N)
    assert [clip.index for clip in found] == [index for index in indices if index < len(rows)]
    for clip in found:
        row = rows[clip.index]
        samples = np.where(row < 0, spec.fill_value, SOUND[:, row])
        np.testing.assert_array_equal(clip.data, samples.astype(np.float32))
        assert clip.pts_seconds == pytest.approx(clip.start / 20)


@pytest.mark.parametrize("spec", [WindowSpec(5, num_clips=3, sampling="random"), WindowSpec(5, stride=180)])
def test_only_pieces_near_clips_are_read(spec):
    found, given = read_selected(spec, ALL, 0, rng=1)
    assert len(found) == 3
    assert 15 <= given.sum() <= 3 * (5 + 2 * PIECE)


def test_all_is_read_of_a_source_that_is_known_to_be_damaged():
    _, given = read_selected(WindowSpec(5, stride=180), replace(ALL, damaged=True), 0)
    assert given[:365].all()
