"""Streams of sound: any number of channels and type of numbers, which one of several, and none at all."""

import io
import subprocess
import sys
import tempfile
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
import webdataset
from helpers.sounds import decoded, encode, frames_of, noise

import clipx
from clipx import AudioFormat, WindowSpec, wds
from clipx.audio.file_bytes import FileBytes
from clipx.audio.find_index import index_of
from clipx.audio.layouts import is_mapped
from clipx.audio.resampling import Resampler
from clipx.audio.streams import _is_plain_aac, open_audio

CHANNELS = {
    ("wav", "pcm_s16le"): ("5.1", "7.1", "7.1.2", "hexadecagonal", "22.2"),
    ("wav", "pcm_f32le"): ("7.1", "hexadecagonal"),
    ("caf", "pcm_s24le"): ("octagonal",),
    ("flac", "flac"): ("6.1", "7.1"),
    ("wv", "wavpack"): ("7.1", "hexadecagonal", "22.2"),
    ("ogg", "libopus"): ("5.1", "6.1", "7.1"),
    ("ipod", "aac"): ("5.1", "7.1(wide)"),
    ("adts", "aac"): ("7.1(wide)",),
    ("ipod", "alac"): ("5.1", "7.1(wide)"),
    ("matroska", "pcm_s32le"): ("7.1",),
}
FORMATS = [
    {},
    {"dtype": "int16", "order": "NC"},
    {"sample_rate": 16000},
    {"sample_rate": 16000, "mono": True, "dtype": "int16"},
    {"mono": True, "order": "NC"},
]


def check_equal(data, window=None, **format):
    format = AudioFormat(**format)
    window = window or WindowSpec(700, 450)
    sound = decoded(data, format)
    count = 0
    for clip in clipx.audio.clips(data, window, format):
        got = clip.data if format.order == "CN" else clip.data.T
        np.testing.assert_array_equal(got, sound[:, clip.start : clip.start + window.length])
        count += 1
    assert count == window.count(sound.shape[1])
    return sound


@pytest.mark.parametrize(
    ("container", "codec", "layout"), [(*key, layout) for key, layouts in CHANNELS.items() for layout in layouts]
)
def test_channels(container, codec, layout):
    channels = av.AudioLayout(layout).nb_channels
    data = encode(noise(9000, channels), codec, container, 48000, layout)
    for format in FORMATS:
        sound = check_equal(data, **format)
        assert len(sound) == (1 if format.get("mono") else channels)


@pytest.mark.parametrize("channels", [7, 8, 9, 16, 24, 61])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_channels_that_have_no_names(channels, dtype):
    samples = np.random.default_rng(channels).integers(-9000, 9000, (5000, channels)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((channels, 2, 48000, 0, "NONE", ""))
        out.writeframes(samples.tobytes())
    wanted = samples.T if dtype == "int16" else samples.T.astype("f4") / 32768
    for order in ("CN", "NC"):
        clips = list(clipx.audio.clips(file.getvalue(), WindowSpec(1000), AudioFormat(dtype=dtype, order=order)))
        assert len(clips) == 5
        for clip in clips:
            got = clip.data if order == "CN" else clip.data.T
            np.testing.assert_array_equal(got, wanted[:, clip.start : clip.start + 1000])
    check_equal(file.getvalue(), sample_rate=16000)
    if channels in (9, 61):
        with pytest.raises(clipx.MediaError, match="mono"):
            list(clipx.audio.clips(file.getvalue(), WindowSpec(1000), AudioFormat(mono=True)))
    else:
        check_equal(file.getvalue(), mono=True)


@pytest.mark.parametrize("codec", ["pcm_s24le", "pcm_f32le", "pcm_s16le"])
def test_channels_in_an_order_of_their_own(codec):
    """Which CAF says of 7.1, and av frees once too often: in a process of its own."""
    sound = noise(9000, 8)
    data = encode(sound, codec, "caf", 48000, "7.1")
    wanted = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0].T
    assert wanted.shape == (8, 9000)
    code = """
import io, sys, clipx, numpy as np
data, wanted = sys.stdin.buffer.read(), np.load(sys.argv[1])
for _ in range(20):
    for clip in clipx.audio.clips(data, clipx.WindowSpec(1000)):
        assert np.array_equal(clip.data, wanted[:, clip.start : clip.start + 1000])
    [clip] = clipx.audio.clips(data, clipx.WindowSpec(3000), clipx.AudioFormat(sample_rate=16000))
    assert clip.data.shape == (8, 3000)
    [clip] = clipx.audio.clips(data, clipx.WindowSpec(9000), clipx.AudioFormat(dtype="int16", mono=True))
    assert clip.data.any()
"""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, wanted)
        file.flush()
        run = subprocess.run(
            [sys.executable, "-c", code, file.name], input=data, capture_output=True, timeout=60, check=False
        )
    assert run.returncode == 0, run.stderr.decode()[-500:]


def test_names_of_layouts_with_an_order_of_their_own():
    for name in (
        "8 channels (FL+FR+FC+LFE+SL+SR+BL+BR)",
        "2 channels (FR+FL)",
        "2 channels (FL+FL)",
        "1 channels (USR7)",
    ):
        assert is_mapped(name)
    for name in ("mono", "stereo", "5.1(side)", "7.1(wide)", "9 channels", "22.2", "3 channels (FL+FR+LFE2)"):
        assert not is_mapped(name)
        assert not is_mapped(av.AudioLayout(name).name)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_types_of_numbers(subtype, channels):
    file = io.BytesIO()
    soundfile.write(file, noise(5000, channels).T, 16000, format="WAV", subtype=subtype)
    for format in FORMATS:
        check_equal(file.getvalue(), **format)
    wanted, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32", always_2d=True)
    [clip] = clipx.audio.clips(file.getvalue(), WindowSpec(5000))
    np.testing.assert_array_equal(clip.data, wanted.T)


@pytest.mark.parametrize("codec", ["pcm_s64le", "pcm_s16le_planar", "pcm_s32le_planar"])
def test_types_that_other_containers_have(codec):
    if codec == "pcm_s64le":
        data = encode_packed(noise(5000, 2), "pcm_s64le", "matroska")
        wanted = decoded(data)
        assert wanted.shape == (2, 5000)
    else:
        data = encode(noise(5000, 8), codec, "nut", 16000, "7.1")
    for format in FORMATS:
        check_equal(data, **format)


def encode_packed(sound, codec, container):
    """Of numbers that av makes no frames of, through a resampler of FFmpeg."""
    out = io.BytesIO()
    with av.open(out, "w", format="nut") as file:
        stream = file.add_stream(codec, rate=16000, layout="stereo")
        for at in range(0, sound.shape[1], 1024):
            part = np.ascontiguousarray(sound[:, at : at + 1024].astype("f4"))
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 16000, at
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def test_numbers_that_change_midway():
    """A frame of another type goes on where the last one ended."""
    sound = Resampler(AudioFormat(sample_rate=8000), "it")
    got = []
    wanted = noise(6000)[0].astype("f4")
    for at, type, dtype, scale in ((0, "s16", "i2", 32768), (2000, "s32", "i4", 2**31), (4000, "flt", "f4", 1)):
        part = (wanted[None, at : at + 2000] * scale).astype(dtype)
        frame = av.AudioFrame.from_ndarray(part, format=type, layout="mono")
        frame.sample_rate, frame.pts = 8000, at
        got += sound.convert(frame)
    got += sound.convert(None)
    np.testing.assert_allclose(np.concatenate([sound.array(each)[0] for each in got]), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("of_file", "wanted", "message"),
    [(10, 2561, "at most 256 times"), (2**31 - 1, 48000, "at least 1/512"), (48000, 93, "at least 1/512")],
)
def test_rates_that_are_too_far_apart(of_file, wanted, message):
    """A header may claim any, and the filter of a resampler grows with how far apart they are."""
    data = bytearray(encode(noise(4000), "pcm_s16le", "wav", 8000))
    data[24:28] = of_file.to_bytes(4, "little")
    for window in (WindowSpec(50), WindowSpec(50, num_clips=2)):
        with pytest.raises(clipx.MediaError, match=message):
            list(clipx.audio.clips(bytes(data), window, AudioFormat(sample_rate=wanted)))


# Which stream.


def add_pictures(file):
    pictures = file.add_stream("mpeg4", rate=25)
    pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
    return pictures


def a_second_of(pictures):
    packets = []
    for k in range(25):
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 9 * k, np.uint8), format="rgb24")
        frame.pts, frame.time_base = k, Fraction(1, 25)
        packets += pictures.encode(frame)
    return packets + pictures.encode(None)


def two_streams(container="matroska", codec="pcm_s16le", flags=(), video=False):
    """Sound of one channel and of two; `flags` are the dispositions."""
    out = io.BytesIO()
    sounds = [noise(16000, 1, 5), noise(16000, 2, 6)]
    with av.open(out, "w", format=container) as file:
        if video:
            pictures = add_pictures(file)
        streams = [file.add_stream(codec, rate=16000, layout=layout) for layout in ("mono", "stereo")]
        for stream, flag in zip(streams, flags):
            stream.disposition = flag
        packets = []
        for stream, sound, layout in zip(streams, sounds, ("mono", "stereo")):
            for frame in frames_of(sound, stream, 16000, layout):
                packets += stream.encode(frame)
            packets += stream.encode(None)
        if video:
            packets += a_second_of(pictures)
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            file.mux(packet)
    return out.getvalue()


DEFAULT = av.stream.Disposition.default
NONE = av.stream.Disposition(0)


@pytest.mark.parametrize("flags", [(DEFAULT, NONE), (NONE, DEFAULT), (DEFAULT, DEFAULT)])
@pytest.mark.parametrize("container", ["matroska", "mov", "nut"])
def test_the_best_stream_is_ffmpegs_choice(flags, container):
    data = two_streams(container, flags=flags)
    with av.open(io.BytesIO(data)) as file:
        best = file.streams.audio.index(file.streams.best("audio"))
    assert container != "matroska" or best == (0 if flags[1] == NONE else 1)
    for stream, number in (("best", best), (0, 0), (1, 1)):
        sound = decoded(data, stream=number)
        [clip] = clipx.audio.clips(data, WindowSpec(16000), AudioFormat(stream=stream))
        np.testing.assert_array_equal(clip.data, sound)
        assert clip.data.shape[0] == number + 1


def test_a_stream_that_is_not_there(make_video):
    data = two_streams()
    for src, stream, message in (
        (data, 2, "has 2 audio streams"),
        (encode(noise(800), "flac", "flac", 8000), 1, "has 1 audio stream$"),
        (make_video(5).read_bytes(), 0, "has no audio stream"),
    ):
        with pytest.raises(clipx.MediaError, match=message):
            clipx.audio.clips(src, WindowSpec(5), AudioFormat(stream=stream))
    for audio in (AudioFormat(stream=2), AudioFormat(stream=7, sample_rate=8000, mono=True)):
        with pytest.raises(clipx.MediaError, match="has 2 audio streams"):
            list(clipx.video.clips(two_streams(video=True), WindowSpec(5), audio=audio))
    audio = AudioFormat(stream=0, sample_rate=8000, mono=True)
    with pytest.raises(clipx.MediaError, match=r"stream is 0, but .* has no audio stream"):
        list(clipx.video.clips(make_video(5), WindowSpec(5), audio=audio))


@pytest.mark.parametrize("flags", [(DEFAULT, NONE), (NONE, DEFAULT)])
def test_the_stream_beside_a_video(flags):
    data = two_streams(flags=flags, video=True)
    best = flags.index(DEFAULT)
    for stream, number in (("best", best), (0, 0), (1, 1)):
        sound = decoded(data, AudioFormat(dtype="int16"), stream=number)
        for clip in clipx.video.clips(data, WindowSpec(5), audio=AudioFormat(stream=stream, dtype="int16")):
            at = round(clip.pts_seconds[0] * 16000)
            np.testing.assert_array_equal(clip.audio, sound[:, at : at + 3200])


@pytest.mark.parametrize("layout", ["7.1", "22.2"])
def test_channels_beside_a_video(layout):
    channels = av.AudioLayout(layout).nb_channels
    sound = noise(16000, channels)
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as file:
        pictures = add_pictures(file)
        stream = file.add_stream("pcm_s16le", rate=16000, layout=layout)
        packets = [packet for frame in frames_of(sound, stream, 16000, layout) for packet in stream.encode(frame)]
        packets += a_second_of(pictures)
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            file.mux(packet)
    for format in ({}, {"dtype": "int16", "order": "NC"}):
        whole = decoded(out.getvalue(), AudioFormat(dtype=format.get("dtype", "float32")))
        assert whole.shape == (channels, 16000)
        for clip in clipx.video.clips(out.getvalue(), WindowSpec(5), audio=AudioFormat(**format)):
            at = round(clip.pts_seconds[0] * 16000)
            got = clip.audio.T if format else clip.audio
            np.testing.assert_array_equal(got, whole[:, at : at + 3200])


# Videos without sound.


@pytest.mark.parametrize("order", ["CN", "NC"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_a_video_without_sound_gives_silence(make_video, order, dtype):
    video = make_video(25)
    audio = AudioFormat(sample_rate=8000, mono=True, order=order, dtype=dtype)
    for window in (
        WindowSpec(5),
        WindowSpec(4, 9),
        WindowSpec(6, num_clips=3),
        WindowSpec(8, 6, policy="wrap"),
        WindowSpec(7, policy="backpad"),
    ):
        plain = list(clipx.video.clips(video, window))
        clips = list(clipx.video.clips(video, window, audio=audio))
        assert len(clips) == len(plain) > 1
        for clip, other in zip(clips, plain):
            np.testing.assert_array_equal(clip.data, other.data)
            n = round(window.length / Fraction(clip.source_fps) * 8000)
            assert clip.audio.shape == ((1, n) if order == "CN" else (n, 1))
            assert clip.audio.dtype == dtype
            assert not clip.audio.any()
            assert clip.sample_rate == 8000


def test_silence_of_no_known_shape_says_what_to_give(make_video):
    for audio in (AudioFormat(), AudioFormat(sample_rate=8000), AudioFormat(mono=True)):
        with pytest.raises(clipx.MediaError, match=r"no audio stream.*sample_rate= and mono=True"):
            list(clipx.video.clips(make_video(5), WindowSpec(5), audio=audio))


def test_silent_videos_among_others_in_the_loader(make_video, tmp_path):
    loud, silent = two_streams(video=True), make_video(25, size=(32, 32)).read_bytes()
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        for i in range(4):
            tar.write({"__key__": f"v{i}", "mp4": silent if i % 2 else loud})
    audio = AudioFormat(sample_rate=8000, mono=True)
    sound_of_clip = {}
    with clipx.Loader(str(tmp_path / "a.tar"), WindowSpec(5), audio=audio, batch_size=4, memory="512MB") as loader:
        for batch in loader:
            for key, sound in zip(batch["__key__"], batch["audio"]):
                sound_of_clip.setdefault(key[:2], []).append(bool(sound.any()))
    assert sound_of_clip == {f"v{i}": [i % 2 == 0] * 5 for i in range(4)}


def test_stage_of_streams():
    data = two_streams(video=True)
    out = list(wds.clips(WindowSpec(5), audio=AudioFormat(stream=0, dtype="int16"))([{"__key__": "k", "mkv": data}]))
    assert [sample["audio"].shape for sample in out] == [(1, 3200)] * 5


@pytest.mark.parametrize("profile", [{"aac_pns": "0"}, {}])
def test_aac_in_mp4_is_indexed_without_probing_as_with(profile):
    data = encode(noise(44100), "aac", "ipod", 44100, options=profile)
    indexes = []
    for for_index in (False, True):
        container, stream = open_audio(data, AudioFormat(), "it", for_index)
        with container:
            indexes.append(index_of(container, stream, FileBytes(data)))
    probed, unprobed = indexes
    for name in ("skip", "length", "start", "kind", "codec", "extradata", "profile", "can_start"):
        assert getattr(unprobed, name) == getattr(probed, name)


def test_sound_beside_others_is_probed(monkeypatch):
    """Files that do not begin as a MOV or MP4 are opened once only."""
    opened = []
    monkeypatch.setattr("clipx.audio.streams._is_plain_aac", lambda container: opened.append(_is_plain_aac(container)))
    for codec, container in (("aac", "ipod"), ("alac", "ipod"), ("mp3", "mp4"), ("aac", "adts"), ("mp3", "mp3")):
        open_audio(encode(noise(44100), codec, container, 44100), AudioFormat(), "it", True)[0].close()
    assert opened == [True, False, False]
