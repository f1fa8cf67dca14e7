"""A resampler that starts in the middle of a sound gives, bit for bit, the samples of one that has read all of it."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.audio.plane import AudioPlane
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clipx import AudioFormat
from clipx.audio.rates import resampled_length
from clipx.audio.resampling import Resampler, trimmed
from tests.helpers.sounds import noise

TYPES = {"s16": "i2", "s32p": "i4", "flt": "f4", "fltp": "f4", "u8p": "u1"}


def frame_of(part, type, layout, rate, at):
    """A frame of sound (channels, n)."""
    frame = av.AudioFrame(format=type, layout=layout, samples=part.shape[1])
    for i, row in enumerate(part if frame.format.is_planar else [part.T]):
        memoryview(AudioPlane(frame, i))[: row.nbytes] = row.tobytes()
    frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
    return frame


def frames_of(n, rate, type="fltp", layout="mono", size=1024):
    dtype = np.dtype(TYPES[type])
    sound = noise(n, av.AudioLayout(layout).nb_channels)
    scale = {"i": 2.0 ** (8 * dtype.itemsize - 1), "u": 128, "f": 1}[dtype.kind]
    sound = (sound * scale + 128 * (dtype.kind == "u")).astype(dtype)
    return [(at, frame_of(sound[:, at : at + size], type, layout, rate, at)) for at in range(0, n, size)]


def run(sound, frames):
    """Samples (channels, n) of the rest of a sound."""
    made = [sound.array(samples) for _, frame in frames for samples in sound.convert(frame)]
    made += [sound.array(samples) for samples in sound.convert(None)]
    return np.concatenate(made, axis=1) if made else np.zeros((sound.channels, 0), np.float32)


def restarted(sound, frames, position):
    """What comes from a restart for a position on: the position of its first sample, and the samples."""
    start = sound.restart(position)
    at = max(i for i, (first, _) in enumerate(frames) if first <= start.source)
    first, frame = frames[at]
    head = (start.source, trimmed(frame, start.source - first)) if start.source > first else frames[at]
    return start, run(sound, [head, *frames[at + 1 :]])


def check(frames, format, positions):
    sound = Resampler(format, "it")
    full = run(sound, frames)
    for position in positions:
        start, samples = restarted(sound, frames, position)
        assert 0 <= start.position <= position < start.position + samples.shape[1]
        np.testing.assert_array_equal(samples, full[:, start.position :])
    return full.shape[1]


RATES = [(44100, 16000), (16000, 44100), (44100, 48000), (48000, 16000), (8000, 48000), (48000, 8000), (22050, 16000)]
RATES += [(192000, 8000), (11025, 16000), (96000, 44100), (8000, 192000), (48000, 1000), (16000, 12345), (44100, 44101)]


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_samples_from_the_middle_equal_those_of_all(rate, wanted):
    frames = frames_of(max(3 * rate // 4, 12000), rate)
    n = len(frames) * 1024 * wanted // rate
    check(frames, AudioFormat(sample_rate=wanted), np.random.default_rng(0).integers(0, n * 9 // 10, 8).tolist())


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("mono", [False, True])
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("wanted", [None, 16000])
def test_types_and_channels(type, wanted, mono, dtype):
    frames = frames_of(20000, 22050, type, "stereo", size=1000)
    check(frames, AudioFormat(sample_rate=wanted, mono=mono, dtype=dtype), [0, 5, 3001, 7000, 11000])


@pytest.mark.parametrize("layout", ["5.1", "7.1", "hexadecagonal"])
def test_many_channels(layout):
    check(frames_of(12000, 8000, "fltp", layout), AudioFormat(sample_rate=16000), [0, 12001])


@given(
    rate=st.sampled_from([8000, 11025, 22050, 32000, 44100, 48000]),
    wanted=st.integers(400, 50000) | st.sampled_from([8000, 16000, 24000, 44100]),
    part=st.floats(0, 1, exclude_max=True),
    size=st.sampled_from([160, 576, 1024, 4096]),
)
@example(rate=48000, wanted=47999, part=0.9, size=1024)
@settings(max_examples=60, deadline=None)
def test_any_rates(rate, wanted, part, size):
    frames = frames_of(15000, rate, size=size)
    check(frames, AudioFormat(sample_rate=wanted), [int(part * (15000 * wanted // rate - wanted // 50))])


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_the_last_samples_come_from_the_middle(rate, wanted):
    n = max(rate // 2, 9000)
    frames = frames_of(n, rate)
    length = resampled_length(n, rate, wanted) or n * wanted // rate - 20
    assert check(frames, AudioFormat(sample_rate=wanted), [length - 1, length - 2, length - 17, length - 100]) >= length


def test_few_frames_are_needed_before_a_position():
    sound = Resampler(AudioFormat(sample_rate=16000), "it")
    run(sound, frames_of(2048, 44100))
    start = sound.restart(1_000_000)
    assert start.source % 441 == 0
    assert 1_000_000 - 400 <= start.position <= 1_000_000
    assert 1_000_000 * 441 // 160 - start.source < 1000
    assert sound.restart(10) == (0, 0)


def test_without_resampling_it_starts_anywhere():
    sound = Resampler(AudioFormat(mono=True), "it")
    run(sound, frames_of(2048, 44100, layout="stereo"))
    assert sound.restart(12345) == (12345, 12345)


def test_a_restart_forgets_what_came_before():
    frames = frames_of(20000, 44100)
    sound = Resampler(AudioFormat(sample_rate=16000), "it")
    full = run(sound, frames)
    for _, frame in frames[:7]:
        sound.convert(frame)
    start, samples = restarted(sound, frames, 4000)
    np.testing.assert_array_equal(samples, full[:, start.position :])


def test_channels_in_an_order_of_their_own_come_from_the_start():
    sound = Resampler(AudioFormat(), "it")
    sound._kind = (44100, "3 channels (FR+FL+FC)")
    assert sound.restart(1000) == (0, 0)


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "hexadecagonal"])
def test_a_frame_without_its_first_samples(type, layout):
    ((_, frame),) = frames_of(500, 8000, type, layout, size=500)
    found = trimmed(frame, 123)
    assert (found.samples, found.sample_rate, found.format.name) == (377, 8000, type)
    assert found.layout.name == layout
    sound = Resampler(AudioFormat(), "it")
    np.testing.assert_array_equal(run(sound, [(0, found)]), run(sound, [(0, frame)])[:, 123:])
