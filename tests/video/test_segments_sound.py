"""Segments of videos with sound: each clip has the sound from its first frame on."""

from dataclasses import replace

import numpy as np
import pytest

from clipx import AudioFormat, VideoOptions, WindowSpec, video
from clipx.plan import ALL, Selection, as_segments
from clipx.video.clips import selected_clips
from clipx.video.with_audio import InterleavedSound


@pytest.mark.parametrize("damage", ["stop", "keep"])
@pytest.mark.parametrize("made", [("mp4", "flac", "25"), ("matroska", "flac", "variable")], ids=str)
def test_sound_beside_the_pictures(movie, made, damage):
    """A clip has the sound that a clip of the whole video has that starts at the same frame."""
    path, sound = movie(*made).path, AudioFormat(dtype="int16")
    segments = [(0, 2), (0.5, 1.9), (0.6, 0.8), (0.3, 1.2), (1.4, 1.8), (0.31, 0.32), (0.1, 1.9)]
    options = VideoOptions(damage=damage)
    for spec in (WindowSpec(4, 3), WindowSpec(8, 5, policy="wrap"), WindowSpec(3, num_clips=2), WindowSpec(9, 7, 2)):
        first = WindowSpec(spec.length, 1000, spec.dilation, "repeat_last")
        clips = video.clips(path, spec, options=options, audio=sound, segments=segments)
        clips.raises_errors = False
        numbers = set()
        for clip in clips:
            from_here = replace(options, start_seconds=clip.pts_seconds[0])
            alone = next(video.clips(path, first, options=from_here, audio=sound))
            assert alone.frame_indices[0] == clip.frame_indices[0]
            assert np.array_equal(clip.audio, alone.audio)
            numbers.add(clip.segment.number)
        assert numbers >= {0, 1, 3, 6}


def test_sound_that_no_clip_needs_is_freed(movie, monkeypatch):
    most = [0]

    def watch(name):
        method = getattr(InterleavedSound, name)

        def watched(self, seconds):
            found = method(self, seconds)
            most[0] = max(most[0], self.samples_held)
            return found

        monkeypatch.setattr(InterleavedSound, name, watched)

    watch("forget")
    watch("take")
    made = movie("mp4", "flac", "25")
    sound, spec = AudioFormat(), WindowSpec(2, num_clips=1)
    assert (
        len(list(video.clips(made.path, spec, audio=sound, segments=[(k / 10, k / 10 + 0.1) for k in range(19)]))) == 19
    )
    short, most[0] = most[0], 0
    list(video.clips(made.path, WindowSpec(40), audio=sound, segments=[(0, 2), (0.5, 0.6)]))
    assert short < most[0] / 2


@pytest.mark.parametrize("damage", ["stop", "keep"])
def test_runs_with_sound_resume_anywhere(movie, damage):
    path, options, sound = movie("mp4", "flac", "25").path, VideoOptions(damage=damage), AudioFormat(dtype="int16")
    segments = as_segments([(0, 2), (0.5, 1.9), (0.6, 0.8), (1.4, 1.8)], "seconds")
    rest = {"options": options, "audio": sound, "segments": segments, "name": "it"}

    def run(selection):
        clips = selected_clips(path, WindowSpec(4, 7, policy="wrap"), selection=selection, **rest)
        return [(clip.facts(), clip.data.tobytes(), clip.audio.tobytes()) for clip in clips]

    every = run(ALL)
    assert len(every) > 15
    for first in range(len(every) + 1):
        some = tuple(range(0, first, 3))
        assert run(Selection(some, first)) == [*(every[i] for i in some), *every[first:]]
        assert run(Selection(some, None)) == [every[i] for i in some]
