"""Clips at random places of files of every kind equal, sample for sample, the whole file decoded and sliced.

With CLIPX_LONG=1 the files are of more kinds, each of several contents.
"""

from itertools import product

import numpy as np
import pytest
from helpers.long import LONG
from helpers.sounds import encode, whole_sound

from clipx import AudioFormat, Segment, WindowSpec, audio
from clipx.audio.indexed_run import IndexedRun

SECONDS = 10
CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}


def tune(t, rng):
    """Notes that fade, over a little noise."""
    sound = 0.01 * rng.standard_normal(len(t))
    for begin in np.arange(0, t[-1], 0.3):
        here = (t >= begin) & (t < begin + 1)
        at = t[here] - begin
        pitch = 110 * 2 ** (rng.integers(0, 36) / 12)
        sound[here] += 0.2 * np.exp(-3 * at) * sum(np.sin(2 * np.pi * pitch * k * at) / k for k in (1, 2, 3))
    return sound


def noise(t, rng):
    return rng.uniform(-0.4, 0.4, len(t))


def bursts(t, rng):
    """Noise and silence by turns, with clicks."""
    sound = rng.uniform(-0.5, 0.5, len(t)) * (np.sin(2 * np.pi * 0.7 * t) > 0)
    sound[rng.integers(0, len(t), len(t) // 4000)] = 0.9
    return sound


def sweep(t, rng):
    return 0.5 * np.sin(2 * np.pi * (80 + 120 * t) * t)


SOUNDS = {each.__name__: each for each in (tune, noise, bursts, sweep)}

# codec, containers, rates, layouts, options
KINDS = [
    ("pcm_s16le", ("wav", "matroska", "mov"), (16000,), ("mono", "stereo"), {}),
    ("pcm_s24be", ("aiff",), (44100,), ("stereo",), {}),
    ("pcm_mulaw", ("au",), (8000,), ("mono",), {}),
    ("adpcm_ms", ("wav",), (22050,), ("mono",), {}),
    ("adpcm_ima_wav", ("wav",), (22050,), ("stereo",), {}),
    ("flac", ("flac", "ogg", "matroska"), (16000, 44100), ("mono", "stereo"), {}),
    ("alac", ("ipod",), (44100,), ("stereo",), {}),
    ("wavpack", ("wv",), (16000,), ("mono",), {}),
    ("tta", ("tta",), (16000,), ("mono",), {}),
    ("libmp3lame", ("mp3",), (8000, 22050, 44100), ("mono", "stereo"), {"b": "24000"}),
    ("libmp3lame", ("mp3", "mp4"), (44100,), ("stereo",), {"b": "128000"}),
    ("libmp3lame", ("mp3",), (48000,), ("mono",), {"flags": "+qscale", "global_quality": "600"}),
    ("aac", ("ipod", "adts", "mpegts", "matroska"), (48000,), ("mono", "stereo"), {"aac_pns": "0"}),
    ("aac", ("ipod", "adts"), (16000, 44100), ("mono",), {}),
    ("aac", ("ipod",), (44100,), ("5.1",), {"aac_pns": "0"}),
    ("libopus", ("ogg", "webm"), (48000,), ("mono", "stereo"), {"b": "96000"}),
    ("libopus", ("ogg",), (48000,), ("mono",), {"b": "16000", "application": "voip"}),
    ("libopus", ("ogg",), (48000,), ("stereo",), {"frame_duration": "5", "application": "lowdelay"}),
    ("vorbis", ("ogg", "webm"), (22050, 44100), ("stereo",), {}),
    ("ac3", ("ac3", "matroska"), (48000,), ("stereo",), {}),
    ("mp2", ("mp2",), (48000,), ("mono",), {}),
    ("g722", ("wav",), (16000,), ("mono",), {}),
]
if LONG:
    KINDS += [
        ("libmp3lame", ("mp3",), (8000, 11025, 16000, 24000, 32000, 48000), ("mono", "stereo"), {"b": "8000"}),
        ("libmp3lame", ("mp3",), (32000, 44100), ("mono", "stereo"), {"b": "320000"}),
        ("aac", ("ipod", "adts"), (8000, 11025, 22050, 32000, 96000), ("mono", "stereo"), {"aac_pns": "0"}),
        ("aac", ("ipod", "adts"), (48000,), ("stereo",), {"b": "32000"}),
        ("libopus", ("ogg", "webm"), (48000,), ("stereo",), {"b": "32000"}),
        ("libopus", ("ogg",), (48000,), ("mono", "stereo"), {"frame_duration": "60"}),
        ("libopus", ("ogg",), (48000,), ("mono", "stereo"), {"frame_duration": "2.5", "application": "lowdelay"}),
        ("eac3", ("eac3",), (48000,), ("5.1",), {}),
    ]

FILES = [
    (*each, kind[4], list(SOUNDS)[i % len(SOUNDS)] if not LONG else sound)
    for i, (kind, sound) in enumerate(product(KINDS, SOUNDS if LONG else ["one"]))
    for each in product([kind[0]], *kind[1:4])
]

FORMATS = [
    AudioFormat(),
    AudioFormat(sample_rate=16000, mono=True),
    AudioFormat(sample_rate=48000, dtype="int16"),
]

CALLS = 10 if LONG else 4  # of ten clips each


def file_of(codec, container, rate, layout, options, content):
    t = np.arange(SECONDS * rate) / rate
    sound = np.stack([SOUNDS[content](t, np.random.default_rng(channel)) for channel in range(CHANNELS[layout])])
    return encode(np.clip(sound, -1, 1), codec, container, rate, layout, options=options)


def named(file):
    return " ".join(str(each) for each in file if each)


FROM_NEAR = {("libmp3lame", "mp3"), ("flac", "flac"), ("vorbis", "ogg"), ("aac", "ipod"), ("aac", "adts")}


@pytest.mark.parametrize("file", FILES, ids=named)
def test_clips_at_random_places_equal_the_whole(file, monkeypatch):
    runs, frames = [], IndexedRun.frames
    monkeypatch.setattr(IndexedRun, "frames", lambda self: runs.append(self) or frames(self))
    data, rng, places = file_of(*file), np.random.default_rng(len(FILES)), 0
    for call in range(CALLS):
        format = FORMATS[call % len(FORMATS)]
        whole = whole_sound(data, format)
        length = int(rng.integers(1, 900))
        starts = np.sort(rng.integers(0, whole.shape[1] - length, 10))
        segments = [Segment(int(start), int(start) + length, unit="frames") for start in starts]
        clips = list(audio.clips(data, WindowSpec(length), format, segments=segments))
        assert [clip.segment.number for clip in clips] == list(range(10))
        for clip, start in zip(clips, starts):
            np.testing.assert_array_equal(clip.data, whole[:, start : start + length])
            places += 1
    whole_sound.cache_clear()
    assert places == 10 * CALLS
    codec, container, _, _, options, _ = file
    if (codec, container) in FROM_NEAR and (codec != "aac" or "aac_pns" in options):
        assert len(runs) > 2 * CALLS
