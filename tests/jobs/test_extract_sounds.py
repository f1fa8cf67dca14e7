"""Clips of sound as WAV and FLAC files: sample for sample, or refused."""

import io

import av
import numpy as np
import pytest
from helpers.encoded import ONE, joined_bytes, sound_sample

import clipx
from clipx import AudioFormat, ClipFormat, WindowSpec
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.sound_encoder import FlacEncoder, WaveEncoder

soundfile = pytest.importorskip("soundfile")


def samples_of(dtype, channels, n=1500):
    rng = np.random.default_rng([channels, n])
    if dtype == "float32":
        return rng.uniform(-1.5, 1.5, (channels, n)).astype(np.float32)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return rng.integers(low, high, (channels, n), dtype, endpoint=True)


def read(data, dtype):
    samples, rate = soundfile.read(io.BytesIO(data), dtype=dtype, always_2d=True)
    return samples.T, rate


@pytest.mark.parametrize("order", ["CN", "NC"])
@pytest.mark.parametrize("channels", [1, 2, 6, 11])
@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_wav_keeps_samples_of_every_type(dtype, channels, order):
    sound = samples_of(dtype, channels)
    given = sound if order == "CN" else np.ascontiguousarray(sound.T)
    encoded = WaveEncoder(AudioFormat(order=order)).encode(sound_sample(given, 44100), ONE)
    codec = {"int16": "pcm_s16le", "int32": "pcm_s32le", "float32": "pcm_f32le"}[dtype]
    assert encoded.facts == {"codec": codec, "width": None, "height": None}
    data = joined_bytes(encoded.fields["wav"])
    got, rate = read(data, dtype)
    assert rate == 44100
    np.testing.assert_array_equal(got, sound)
    with av.open(io.BytesIO(data)) as file:
        assert file.streams.audio[0].codec_context.name == codec
    if dtype != "int32":
        # The format of the clips that the Loader gives of the file.
        (clip,) = clipx.audio.clips(io.BytesIO(data), WindowSpec(1500), AudioFormat(dtype=dtype))
        np.testing.assert_array_equal(clip.data, sound)


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_flac_keeps_samples(dtype, channels):
    sound = samples_of(dtype, channels, 5000)
    if dtype == "int32":
        sound &= ~0xFF
    data = joined_bytes(FlacEncoder(None).encode(sound_sample(sound, 22050), ONE).fields["flac"])
    got, rate = read(data, dtype)
    assert rate == 22050
    np.testing.assert_array_equal(got, sound)
    assert data == joined_bytes(FlacEncoder(None).encode(sound_sample(sound, 22050), ONE).fields["flac"])


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_clip_without_samples_is_a_wav_file_without_samples(dtype):
    encoded = WaveEncoder(None).encode(sound_sample(np.zeros((2, 0), dtype)), ONE)
    samples, rate = read(joined_bytes(encoded.fields["wav"]), dtype)
    assert (samples.shape, rate) == ((2, 0), 16000)


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        (
            np.zeros((1, 9), np.float32),
            16000,
            r"float32, but FLAC holds int16: give audio=AudioFormat\(dtype='int16'\)",
        ),
        (np.zeros((2, 0), np.int16), 16000, "a sound has no samples, which FLAC cannot say: take 'wav'"),
        (np.full((1, 9), 257, np.int32), 16000, "use more than the upper 24 bits, which FLAC holds"),
        (np.zeros((9, 9), np.int16), 16000, r"9 channels, but FLAC holds at most 8: take AudioFormat\(mono=True\)"),
        (np.zeros((1, 9), np.int16), 700_000, "has 700000 samples a second, but FLAC at most 655350"),
    ],
)
def test_flac_refuses_what_it_would_change(sound, rate, message):
    with pytest.raises(ValueError, match=message):
        FlacEncoder(None).encode(sound_sample(sound, rate), ONE)


def test_wav_refuses_other_types_and_arrays_that_are_no_sound():
    with pytest.raises(ValueError, match="sounds are of float64, but WAV files hold one of int16, int32, float32"):
        WaveEncoder(None).encode(sound_sample(np.zeros((1, 9))), ONE)
    with pytest.raises(ValueError, match="field 'avi' has clips of an array, but the encoding takes sounds"):
        WaveEncoder(None).encode({"avi": np.zeros((4, 9)), "clip.json": {"index": 0}}, ONE)


def test_a_wav_file_of_more_than_4_gib_is_refused():
    endless = np.broadcast_to(np.int16(0), (2**31, 1))
    from clipx.jobs.extraction.clip_arrays import Sound
    from clipx.jobs.extraction.wave_file import wave_file

    with pytest.raises(ValueError, match="a sound has 4,294,967,296 bytes, but WAV files hold less than 4 GiB"):
        wave_file(Sound(endless, 16000))


def test_options_of_sounds():
    with pytest.raises(ValueError, match=r"encoding 'flac' holds integers: give audio=AudioFormat\(dtype='int16'\)"):
        ExtractOptions(WindowSpec(4), encoding="flac")
    with pytest.raises(ValueError, match="but encoding 'wav' is of sound"):
        ExtractOptions(WindowSpec(4), ClipFormat(resize=8), encoding="wav")
    options = ExtractOptions(WindowSpec(4), audio=AudioFormat(dtype="int16"), encoding="flac")
    assert isinstance(options.encoder(), FlacEncoder)
    assert isinstance(ExtractOptions(WindowSpec(4), encoding="wav").encoder(), WaveEncoder)
