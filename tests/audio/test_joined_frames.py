"""Small frames are joined before they are resampled: the samples, and what is known of damage, are the same."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clipx
from clipx import AudioFormat, MediaError, WindowSpec
from clipx.audio import joined_frames
from clipx.audio.joined_frames import JoinedFrames
from clipx.audio.resampling import Resampler
from tests.audio.test_frame_samples import frame_of, random_samples
from tests.helpers.sounds import encode, flipped, noise

TYPES = ["u8", "u8p", "s16", "s16p", "s32", "s32p", "s64", "flt", "fltp", "dbl", "dblp"]


def run(sound, frames, released=()):
    """Samples (channels, n) of all frames; those that wait are released after frames of these numbers."""
    made = []
    for number, frame in enumerate([*frames, None]):
        made += [sound.array(each) for each in sound.convert(frame)]
        if number in released:
            made += [sound.array(each) for each in sound.release()]
    return np.concatenate(made, axis=1) if made else np.zeros((sound.channels, 0))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(TYPES),
    st.sampled_from(["mono", "stereo", "5.1", "7.1"]),
    st.lists(st.sampled_from([1, 7, 960, 1024, 4096, 4097, 9000]), min_size=1, max_size=30),
    st.sets(st.integers(0, 29)),
    st.sampled_from([AudioFormat(16000, mono=True), AudioFormat(48000, dtype="int16"), AudioFormat(mono=True)]),
)
def test_joined_frames_give_the_same_samples(type, layout, sizes, released, format):
    channels = av.AudioLayout(layout).nb_channels
    frames = [frame_of(random_samples(type, channels, n, i), type, layout, 44100) for i, n in enumerate(sizes)]
    wanted = run(Resampler(format, "it"), frames)
    np.testing.assert_array_equal(run(Resampler(format, "it", joins=True), frames, released), wanted)


def test_frames_of_several_types():
    types = ["fltp", "fltp", "s16", "s16", "flt", "fltp"]
    frames = [frame_of(random_samples(type, 2, 700, i), type, "stereo", 44100) for i, type in enumerate(types)]
    format = AudioFormat(16000)
    got = run(Resampler(format, "it", joins=True), frames)
    np.testing.assert_array_equal(got, run(Resampler(format, "it"), frames))


def test_few_frames_come_of_many():
    frames = [frame_of(random_samples("fltp", 2, 1024, i), "fltp", "stereo") for i in range(20)]
    joined = JoinedFrames(frames[0], True)
    made = [each.samples for frame in frames for each in joined.add(frame)] + [each.samples for each in joined.rest()]
    assert made == [8192, 8192, 4096]
    assert joined.rest() == []


def outcome(data, spec, format):
    clips = clipx.audio.clips(data, spec, format, name="it")
    seen = []
    try:
        for clip in clips:
            seen.append((clip.index, clip.start, clip.pts_seconds, clip.damaged, clip.data.tobytes()))
    except MediaError as exn:
        seen.append(str(exn))
    return seen, clips.damages


@pytest.mark.parametrize("damage", ["stop", "keep", "skip"])
@pytest.mark.parametrize(("codec", "container"), [("libmp3lame", "mp3"), ("aac", "adts"), ("flac", "flac")])
def test_damage_is_found_where_it_is(codec, container, damage, monkeypatch):
    whole = encode(noise(60_000, 2), codec, container, 44100, "stereo")
    format, spec = AudioFormat(16000, mono=True, damage=damage), WindowSpec(300, policy="constant")
    for seed in range(6):
        data = flipped(whole, 4, seed, 0.2)
        found = outcome(data, spec, format)
        with monkeypatch.context() as patch:
            patch.setattr(joined_frames, "TYPES", {})
            assert outcome(data, spec, format) == found
