"""Clips as MP4 files: bytes kept where that is asked for, sizes, times, colors, sound in step, and what is refused."""

import io
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from helpers.encoded import ONE, clip_sample, joined_bytes, moving, whole_clip
from helpers.movies import Movie, variable
from helpers.processes import run_python
from helpers.sounds import noise

import clipx
from clipx import AudioFormat, WindowSpec
from clipx.datasets.fields import Field
from clipx.jobs.extraction import movie_codecs
from clipx.jobs.extraction.movie_encoder import MovieEncoder, memory_of
from clipx.jobs.extraction.options import ExtractOptions
from clipx.wds.sample_clips import SampleClips

FASTEST = {"libx264": "superfast", "libx265": "superfast", "libsvtav1": "12", "libvpx-vp9": "8"}
CODECS = [each for each in FASTEST if movie_codecs.has_encoder(each)]
LOSSLESS = [each for each in CODECS if each != "libsvtav1"]


def encoded(codec, sample, crf=None, audio=None, gop=None):
    return MovieEncoder(codec, crf, FASTEST[codec], gop, audio).encode(sample, ONE)


def movie(codec, sample, crf=None, audio=None, gop=None):
    return joined_bytes(encoded(codec, sample, crf, audio, gop).fields["mp4"])


@pytest.mark.parametrize("codec", LOSSLESS)
@pytest.mark.parametrize("shape", [(48, 64, 3), (33, 47, 3), (33, 47, 1)])
def test_crf_0_reads_back_bit_for_bit(codec, shape):
    frames = np.random.default_rng(1).integers(0, 256, (5, *shape), np.uint8)
    data = movie(codec, clip_sample(frames), crf=0)
    got = whole_clip(data, 5, "gray" if shape[-1] == 1 else "rgb")
    np.testing.assert_array_equal(got.data, frames)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shape", [(64, 96, 3), (65, 97, 3), (64, 96, 1)])
def test_colors_and_sizes_are_kept(codec, shape):
    frames, channels = moving(6, *shape), shape[-1]
    frames[..., 0] //= 2  # not gray on the average
    data = movie(codec, clip_sample(frames), crf=1)
    got = whole_clip(data, 6, "gray" if channels == 1 else "rgb").data.astype(float)
    assert got.shape == frames.shape
    np.testing.assert_allclose(got.mean((0, 1, 2)), frames.mean((0, 1, 2)), atol=1)
    with av.open(io.BytesIO(data)) as file:
        frame = next(file.decode(video=0))
        # BT.601, and limited range but for gray.
        assert (frame.colorspace, frame.color_range) == (6, 1 if channels == 3 else 2)
        # As FFmpeg shows it, with the roundings that clipx has.
        accurate = Interpolation.BICUBIC | (1 << 18) | (1 << 13)  # SWS_ACCURATE_RND and SWS_FULL_CHR_H_INT
        shown = frame.reformat(format="rgb24", interpolation=accurate).to_ndarray().astype(float)
    np.testing.assert_allclose(shown.mean((0, 1)), np.broadcast_to(frames[0].mean((0, 1)), 3), atol=1)


@pytest.mark.parametrize("codec", CODECS)
def test_variable_times_are_kept_and_how_long_frames_last(codec):
    times = [1800 + float(each) for each in variable(40)]
    lasts = [*np.diff(times), 0.117]
    data = movie(codec, clip_sample(moving(40, 64, 64), times, lasts))
    got = whole_clip(data, 40)
    np.testing.assert_allclose(got.pts_seconds, np.array(times) - 1800, atol=0.51 / 360_000)
    with av.open(io.BytesIO(data)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
        durations = {packet.pts: float(packet.duration * packet.time_base) for packet in packets}
        assert all(packet.dts <= packet.pts for packet in packets)
        if codec != "libvpx-vp9":  # of which FFmpeg says none in MP4
            np.testing.assert_allclose([durations[pts] for pts in sorted(durations)], lasts, atol=1.01 / 360_000)
            np.testing.assert_allclose(got.duration_seconds, lasts, atol=1.01 / 360_000)
        assert float(file.streams.video[0].duration * file.streams.video[0].time_base) == pytest.approx(
            sum(lasts), abs=1e-5
        )


@pytest.mark.parametrize("codec", CODECS)
def test_key_frames_come_every_gop(codec):
    with av.open(io.BytesIO(movie(codec, clip_sample(moving(30)), gop=10))) as file:
        keys = [packet.is_keyframe for packet in file.demux(video=0) if packet.size]
    assert len(keys) == 30
    assert sum(keys) >= 3
    with av.open(io.BytesIO(movie(codec, clip_sample(moving(30)), gop=100))) as file:
        assert sum(packet.is_keyframe for packet in file.demux(video=0) if packet.size) == 1


PROCESS = """
from hashlib import sha256
from helpers.encoded import ONE, clip_sample, joined_bytes, moving
from helpers.sounds import noise
from clipx import AudioFormat
from clipx.jobs.extraction.movie_encoder import MovieEncoder
sample = clip_sample(moving(8), sound=noise(5120, 2).astype("float32"), rate=16000)
for codec, preset in {codecs}.items():
    data = MovieEncoder(codec, preset=preset, audio=AudioFormat()).encode(sample, ONE).fields["mp4"]
    print(codec, sha256(joined_bytes(data)).hexdigest())
"""


def test_bytes_are_the_same_in_every_run_and_process_and_encoders_say_nothing():
    codecs = {codec: preset for codec, preset in FASTEST.items() if movie_codecs.has_encoder(codec)}
    sample = clip_sample(moving(8), sound=noise(5120, 2).astype("float32"), rate=16000)
    found = {codec: sha256(movie(codec, sample, audio=AudioFormat())).hexdigest() for codec in codecs}
    with ThreadPoolExecutor(4) as pool:
        again = pool.map(lambda codec: movie(codec, sample, audio=AudioFormat()), [*codecs])
        assert [sha256(data).hexdigest() for data in again] == [*found.values()]
    code = PROCESS.replace("{codecs}", repr(codecs))
    run = run_python("-c", code, timeout=100)
    assert run.returncode == 0, run.stderr
    assert dict(line.split() for line in run.stdout.splitlines()) == found
    assert run.stderr == ""


@pytest.mark.parametrize("order", ["CN", "NC"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("channels", [1, 8])
def test_with_crf_0_sound_is_kept_sample_for_sample(channels, dtype, order):
    audio, n = AudioFormat(dtype=dtype, order=order), 16 * 22050 // 25
    sound = noise(n, channels)
    sound = (sound * 32767).astype(np.int16) if dtype == "int16" else sound.astype(np.float32)
    given = sound if order == "CN" else np.ascontiguousarray(sound.T)
    data = movie("libx264", clip_sample(moving(16), sound=given, rate=22050), 0, audio)
    got = whole_clip(data, 16, audio=audio)
    assert got.sample_rate == 22050
    np.testing.assert_array_equal(got.audio, given)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_aac_is_in_step(channels):
    rate, n = 44100, 44100 * 30 // 25
    sound = noise(n, channels).astype(np.float32)
    data = movie("libx264", clip_sample(moving(30), sound=sound, rate=rate), audio=AudioFormat())
    got = whole_clip(data, 30, audio=AudioFormat())
    assert got.pts_seconds[0] == 0
    assert got.audio.shape == sound.shape
    full = [c for c in range(channels) if (channels, c) != (6, 3)]  # that of the low tones has only these
    for heard, given in zip(got.audio[full], sound[full]):
        # Best where they are one over the other, at the start and at the end.
        for part in (slice(0, 20000), slice(n - 20000, n)):
            spectrum = np.fft.rfft(heard[part]) * np.conj(np.fft.rfft(given[part]))
            assert np.fft.irfft(spectrum).argmax() == 0
    # Channels are where they were.
    alike = np.corrcoef(np.concatenate([got.audio, sound]))[:channels, channels:]
    assert (alike.argmax(1) == np.arange(channels)).all()


def test_the_clips_of_a_film_keep_its_sound_in_step(tmp_path):
    film = Movie(tmp_path / "a.mkv", "matroska", "flac", variable())
    audio = AudioFormat(dtype="int16")
    clips = SampleClips(WindowSpec(16, stride=14), audio=audio)
    source = {"__key__": "a", "mkv": (tmp_path / "a.mkv").read_bytes()}
    fields, flashes = clips.fields(source), 0
    for each in clips.clips(source, 0):
        sample = each.sample
        kept = MovieEncoder(crf=0, preset="superfast", audio=audio).encode(sample, fields).fields["mp4"]
        np.testing.assert_array_equal(whole_clip(kept, 16).data, sample["mkv"])
        options = AudioFormat(dtype="int16")
        (sound,) = clipx.audio.clips(io.BytesIO(kept), WindowSpec(sample["audio"].shape[1]), options)
        np.testing.assert_array_equal(sound.data, sample["audio"])
        lossy = MovieEncoder(preset="superfast", audio=audio).encode(sample, fields).fields["mp4"]
        got = whole_clip(lossy, 16, audio=audio)
        for k in np.flatnonzero(got.data.mean((1, 2, 3)) > 200):
            at = round(float(got.pts_seconds[k]) * film.rate)
            if 200 < at < got.audio.shape[1] - 200:
                near = np.abs(got.audio[0, at - 200 : at + 200].astype(int))
                assert abs(int(near.argmax()) - 200) <= 8
                flashes += 1
    assert flashes >= 3


def test_several_sources_are_files_of_their_own():
    fields = {Field("front.avi"): Field("front.avi"), Field("rear.avi"): Field("rear.avi")}
    sample = clip_sample(moving(4), field="front.avi") | {"rear.avi": moving(4, seed=3)}
    found = MovieEncoder(crf=0).encode(sample, fields)
    assert list(found.fields) == ["front.mp4", "rear.mp4"]
    assert found.facts == {"codec": "h264", "width": 64, "height": 48}
    for name in fields:
        got = whole_clip(found.fields[name.replace("avi", "mp4")], 4)
        np.testing.assert_array_equal(got.data, sample[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "mpeg4"}, "codec is 'mpeg4', but must be one of libx264"),
        ({"preset": "8"}, "preset is '8', but libx264 takes one of ultrafast, superfast"),
        ({"codec": "libsvtav1", "preset": "slow"}, "preset is 'slow', but libsvtav1 takes one of 0, 1, 2"),
        ({"codec": "libvpx-vp9", "preset": 9}, "preset is 9, but libvpx-vp9 takes one of 0, 1"),
        ({"gop": 2**31}, "gop is 2147483648, but must be at most 2147483647"),
        ({"crf": 52}, "crf is 52, but libx264 takes a number from 0 to 51"),
        ({"codec": "libvpx-vp9", "crf": 20.5}, "crf is 20.5, but libvpx-vp9 takes a whole number from 0 to 63"),
        (
            {"codec": "libsvtav1", "crf": 0},
            "has no RGB, and takes crf from 1 to 63: take one of libx264, libx265, libvpx",
        ),
        ({"quality": 90}, "quality is 90, but encoding 'mp4' has no quality: leave it out, or take one of jpg, webp"),
    ],
)
def test_options_that_a_codec_does_not_take_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExtractOptions(WindowSpec(4), encoding="mp4", **options)


@pytest.mark.parametrize(
    ("codec", "preset", "megabytes"),
    # Measured, of 64 frames of 1280x720.
    [
        ("libx264", None, 70),
        ("libx264", "placebo", 270),
        ("libx265", None, 190),
        ("libsvtav1", 8, 252),
        ("libvpx-vp9", None, 132),
    ],
)
def test_the_memory_of_encoders_is_known(codec, preset, megabytes):
    options = ExtractOptions(WindowSpec(4), encoding="mp4", codec=codec, preset=preset)
    assert megabytes * 1e6 <= memory_of(options, 1280 * 720) <= 1.4 * megabytes * 1e6


def test_presets_may_be_numbers():
    options = ExtractOptions(WindowSpec(4), encoding="mp4", codec="libsvtav1", preset=12, crf=40, gop=16)
    assert isinstance(options.encoder(), MovieEncoder)


def test_a_codec_that_ffmpeg_lacks_is_refused_with_those_it_has(monkeypatch):
    monkeypatch.setattr(movie_codecs, "has_encoder", lambda name: name in ("libsvtav1", "libvpx-vp9", "libx264"))
    with pytest.raises(ValueError, match="this FFmpeg has no encoder 'libx265'; it has libx264, libsvtav1, libvpx-vp9"):
        ExtractOptions(WindowSpec(4), encoding="mp4", codec="libx265")
    with pytest.raises(ValueError, match="this FFmpeg has no encoder 'libx264rgb'; it has libx264, libsvtav1"):
        MovieEncoder(crf=0)
    monkeypatch.setattr(movie_codecs, "has_encoder", lambda name: False)
    with pytest.raises(ValueError, match="no encoder 'libx264'; it has none"):
        MovieEncoder()
    monkeypatch.undo()
    assert not movie_codecs.has_encoder("libnothing")


def test_sounds_that_aac_does_not_take_are_refused():
    def encode(sound, rate):
        movie("libx264", clip_sample(moving(4), sound=sound, rate=rate), audio=AudioFormat())

    with pytest.raises(
        ValueError, match=r"11000 samples a second, but AAC has one of 96000.*: take AudioFormat\(sample_rate=48"
    ):
        encode(np.zeros((1, 99), np.float32), 11000)
    with pytest.raises(ValueError, match="a sound has 9 channels, but encoding 'mp4' holds at most 8"):
        encode(np.zeros((9, 99), np.float32), 16000)


def test_pictures_that_a_codec_does_not_take_are_refused():
    with pytest.raises(ValueError, match=r"libx265 does not take pictures of 2x2 \(Invalid argument\): take resize="):
        MovieEncoder("libx265").encode(clip_sample(np.zeros((2, 2, 2, 3), np.uint8)), ONE)
