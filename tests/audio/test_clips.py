"""Clips of sound: equal to slices of the whole file, of every kind, policy, format and source."""

import io
import shutil

import numpy as np
import pytest
from helpers.long import LONG
from helpers.media import OnlyRead, Unseekable
from helpers.sounds import CHANNELS, KINDS, check_clips, encode, noise, sound_file, whole_sound

import clipx
from clipx import AudioFormat, WindowSpec

POLICIES = ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]

FILES = [
    (name, layout, rate)
    for name, (codec, _, rates) in KINDS.items()
    for layout in CHANNELS
    for rate in rates
    if (codec, layout) not in (("libmp3lame", "5.1"), ("vorbis", "mono"), ("vorbis", "5.1"))
]

FORMATS = [
    AudioFormat(),
    AudioFormat(dtype="int16", order="NC"),
    AudioFormat(sample_rate=16000, mono=True),
    AudioFormat(sample_rate=48000, dtype="int16"),
    AudioFormat(sample_rate=11025, order="NC"),
]


@pytest.mark.parametrize(("kind", "layout", "rate"), FILES)
def test_clips_equal_the_whole_file_sliced(kind, layout, rate):
    data = sound_file(kind, layout, rate)
    for format in FORMATS if LONG else FORMATS[FILES.index((kind, layout, rate)) % 2 :: 2]:
        assert check_clips(data, WindowSpec(700, 333), format)
        assert check_clips(data, WindowSpec(500, 900, dilation=2, policy="reflect"), format)


def test_the_sound_track_of_a_video(real_video):
    path = str(real_video("bigbuckbunny.mp4"))
    for format in (AudioFormat(), AudioFormat(sample_rate=16000, mono=True)):
        assert check_clips(path, WindowSpec(16000, 12000, policy="backpad"), format) > 5


WINDOWS = [
    {"length": 700, "stride": 300},
    {"length": 700},
    {"length": 100, "stride": 1500},
    {"length": 300, "dilation": 5, "stride": 700},
    {"length": 1, "stride": 997},
    {"length": 3000, "stride": 2999},
    {"length": 500, "num_clips": 4},
    {"length": 500, "num_clips": 1, "dilation": 3},
    {"length": 200, "num_clips": 6, "sampling": "random"},
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_every_policy(policy, window):
    spec = WindowSpec(**window, policy=policy, fill_value=0.25)
    # Flac has frames of many sizes; wav comes in one piece.
    for kind, n in (("flac", 1), ("wav-s16", 2), ("flac", 499), ("flac", 700), ("flac", 6001), ("wav-s16", 6900)):
        check_clips(sound_file(kind, "stereo", 16000, n), spec, rng=3)


@pytest.mark.parametrize("kind", ["wav-s16", "flac", "mp3", "m4a", "ogg-opus"])
def test_resampled_ends(kind):
    """What the resampler still holds at the end belongs to the sound."""
    data = sound_file(kind, "stereo", 16000 if kind != "ogg-opus" else 48000, 4000)
    for rate in (8000, 11025, 22050, 44100, 48000):
        format = AudioFormat(sample_rate=rate)
        n = whole_sound(data, format).shape[1]
        check_clips(data, WindowSpec(n), format)
        check_clips(data, WindowSpec(n + 1, policy="constant", fill_value=0.5), format)
        check_clips(data, WindowSpec(311, 311, policy="wrap"), format)


def test_error_policy_gives_complete_clips_first():
    data = sound_file("flac", n=6001)
    got = []
    with pytest.raises(ValueError, match="policy is 'error'"):
        got.extend(clip.start for clip in clipx.audio.clips(data, WindowSpec(1000, policy="error")))
    assert got == [] or got == [1000 * i for i in range(6)]
    assert check_clips(data, WindowSpec(6001, policy="error")) == 1
    with pytest.raises(ValueError, match="policy is 'error'"):
        list(clipx.audio.clips(data, WindowSpec(7000, num_clips=2, policy="error")))


def test_fill_value_of_int16():
    data = sound_file("flac", n=499)
    assert check_clips(data, WindowSpec(1000, policy="constant", fill_value=-7), AudioFormat(dtype="int16")) == 1
    with pytest.raises(ValueError, match="fill_value"):
        list(clipx.audio.clips(data, WindowSpec(9, policy="constant", fill_value=0.5), AudioFormat(dtype="int16")))


def test_of_seconds():
    data = sound_file("flac", rate=16000, n=6001)
    window = WindowSpec.of_seconds(0.1, stride=0.05, fps=16000)
    assert check_clips(data, window) == window.count(6001)
    assert check_clips(data, window, AudioFormat(sample_rate=16000, mono=True)) == window.count(6001)
    assert check_clips(data, WindowSpec.of_seconds(0.1, fps=8000), AudioFormat(sample_rate=8000)) == 3
    for window, format in (
        (WindowSpec.of_seconds(0.1, fps=8000), None),
        (WindowSpec.of_seconds(0.1, fps=16000), AudioFormat(sample_rate=8000)),
        (WindowSpec(100, num_clips=2, fps=44100), None),
    ):
        with pytest.raises(ValueError, match=r"sample_rate") as caught:
            list(clipx.audio.clips(data, window, format))
        assert not isinstance(caught.value, clipx.MediaError)
        assert str(window.fps) in str(caught.value)


@pytest.mark.parametrize("kind", ["wav-s16", "flac", "mp3", "adts", "ogg-opus", "webm-opus"])
@pytest.mark.parametrize(
    "window",
    [WindowSpec(700, 300, policy="wrap"), WindowSpec(700, num_clips=3), WindowSpec(200, 200, policy="reflect")],
    ids=["wrap", "num_clips", "reflect"],
)
def test_sources(kind, window, tmp_path):
    data = sound_file(kind, rate=KINDS[kind][2][0], n=4000)
    path = tmp_path / "sound"
    path.write_bytes(data)
    with path.open("rb") as file:
        for src in (path, str(path), bytearray(data), memoryview(data), file):
            check_clips(src, window, key=data)
        assert not file.closed
    if kind == "mp3" and window.num_clips is None:
        return  # how much padding stands at the end is only known of files that can be measured
    for src in (OnlyRead(data), Unseekable(data)):
        check_clips(src, window, key=data)


@pytest.mark.parametrize("kind", ["wav-s16", "flac", "mp3", "m4a", "ogg-opus", "webm-opus"])
@pytest.mark.parametrize("window", [WindowSpec(700, 300), WindowSpec(700, num_clips=3)], ids=["stride", "num_clips"])
def test_a_file_object_is_read_from_where_it_stands(kind, window):
    data = sound_file(kind, rate=KINDS[kind][2][0], n=4000)
    later = io.BytesIO(b"junk!" + data)
    later.seek(5)
    check_clips(later, window, key=data)


def test_num_clips_of_an_m4a_pipe_and_file():
    data = sound_file("m4a", n=4000)
    for src in (io.BytesIO(data), OnlyRead(data)):
        check_clips(src, WindowSpec(700, num_clips=3), AudioFormat(mono=True), key=data)


@pytest.mark.parametrize(
    ("kind", "rate", "slack"),
    [("wav-s16", 8000, 0), ("flac", 44100, 0), ("mp3", 44100, 1), ("m4a", 48000, 1), ("ogg-opus", 48000, 1)],
)
@pytest.mark.parametrize("at", [1500, 5000, 7777])
def test_an_impulse_stays_where_it_was(kind, rate, slack, at):
    """Encoder delay is taken off at the start."""
    codec, container, _ = KINDS[kind]
    sound = np.zeros((1, 10000))
    sound[0, at] = 0.9
    data = encode(sound, codec, container, rate)
    clip = next(clipx.audio.clips(data, WindowSpec(10000, policy="constant")))
    assert abs(int(np.abs(clip.data[0]).argmax()) - at) <= slack
    assert clip.valid == 10000
    if kind in ("wav-s16", "flac", "mp3", "ogg-opus"):  # PyAV's m4a says no padding at the end
        assert whole_sound(data).shape == (1, 10000)
        assert len(list(clipx.audio.clips(data, WindowSpec(10001)))) == 0


def test_times():
    data = encode(noise(6000), "flac", "matroska", 16000, start=32000)
    for clip, start in zip(clipx.audio.clips(data, WindowSpec(1000, 700)), range(0, 6000, 700)):
        assert clip.pts_seconds == pytest.approx(2 + start / 16000)
        assert clip.sample_rate == 16000
        assert clip.frame_indices is None


def test_a_copy_of_a_file_elsewhere(tmp_path):
    """Names play no part."""
    path = tmp_path / "sound.mp4"
    path.write_bytes(sound_file("flac", n=6001))
    shutil.copy(path, tmp_path / "pipe:0")
    check_clips(path, WindowSpec(700), key=path.read_bytes())
    check_clips(tmp_path / "pipe:0", WindowSpec(700), key=path.read_bytes())
