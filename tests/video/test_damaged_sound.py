"""The sound of a video's clips where it is damaged, and where files have been joined."""

import io
import logging
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from helpers.media import until_error
from helpers.sounds import decoded, frames_of, noise

import clipx
from clipx import AudioFormat, VideoOptions, WindowSpec, wds
from clipx.plan import Selection
from clipx.video.clips import selected_clips

RATE = 16000


@cache
def movie(container="mp4", codec="alac", frames=50, rate=RATE, layout="mono", seed=0, video="mpeg4"):
    """A video of 25 frames a second, with sound of the same duration."""
    sound = noise(frames * rate // 25, av.AudioLayout(layout).nb_channels, seed)
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        pictures = file.add_stream(video, rate=25, options={"g": "10", "bf": "0"})
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        stream = file.add_stream(codec, rate=rate, layout=layout)
        stream.codec_context.open()
        packets = []
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 5 * k % 250, np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            packets += pictures.encode(frame)
        packets += pictures.encode(None)
        for frame in frames_of(sound, stream, rate, layout):
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            file.mux(packet)
    return out.getvalue()


def spoil(data, *numbers):
    """The data with some packets of its sound made such that the decoder refuses them."""
    with av.open(io.BytesIO(data)) as file:
        positions = [(packet.pos, packet.size) for packet in file.demux(audio=0) if packet.size]
    out = bytearray(data)
    for number in numbers:
        pos, size = positions[number]
        out[pos : pos + size] = b"\x40" * size
    return bytes(out)


def extract_clips(data, window, audio, **rest):
    return until_error(clipx.video.clips(data, window, audio=audio, **rest))


ALAC = 4096
WINDOWS = [
    WindowSpec(4, 2),
    WindowSpec(3, 9),
    WindowSpec(5, num_clips=6),
    WindowSpec(8, 6, policy="wrap"),
    WindowSpec(7, 5, policy="backpad"),
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("sample_rate", [RATE, None, 8000])
@pytest.mark.parametrize("threads", [1, 2])
def test_damaged_sound(window, sample_rate, threads):
    data, options = spoil(movie(), 3), VideoOptions(num_threads=threads)
    lost, behind = 3 * ALAC / RATE, 4 * ALAC / RATE
    rate = sample_rate or RATE
    clean, _, _ = extract_clips(movie(), window, AudioFormat(sample_rate=sample_rate), options=options)
    length = clean[0].audio.shape[1] / rate

    def sound_of_clip(clip):
        return clip.pts_seconds[0], clip.pts_seconds[0] + length

    slack = 0.004 * (rate != RATE)  # how far a resampler spreads what it reads
    kept, error, damages = extract_clips(
        data, window, AudioFormat(sample_rate=sample_rate, damage="keep"), options=options
    )
    assert error is None
    assert len(kept) == len(clean)
    assert [damage.seconds for damage in damages] == [pytest.approx(lost, abs=0.005)]
    for clip, other in zip(kept, clean):
        np.testing.assert_array_equal(clip.data, other.data)
        at = sound_of_clip(clip)[0] + np.arange(clip.audio.shape[1]) / rate
        silent = (at >= lost + slack) & (at < behind - slack)
        assert not clip.audio[:, silent].any()
        same = (at < lost - slack) | (at >= behind + slack)
        np.testing.assert_allclose(clip.audio[:, same], other.audio[:, same], atol=1e-6 if rate == RATE else 0.1)
    skipped, error, also = extract_clips(
        data, window, AudioFormat(sample_rate=sample_rate, damage="skip"), options=options
    )
    assert error is None
    assert also == damages
    far = [
        c.index
        for c in clean
        if sound_of_clip(c)[1] <= lost - slack or sound_of_clip(c)[0] >= behind + ALAC / RATE + slack
    ]
    near = [c.index for c in clean if sound_of_clip(c)[0] < behind and sound_of_clip(c)[1] > lost]
    assert set(far) <= {clip.index for clip in skipped}
    assert not {clip.index for clip in skipped} & set(near)
    for clip in skipped:
        assert clip.damaged is None
        np.testing.assert_array_equal(clip.audio, kept[clip.index].audio)
    stopped, error, _ = extract_clips(data, window, AudioFormat(sample_rate=sample_rate), options=options)
    assert f"(at {lost:.3f} s)" in str(error) or sample_rate == 8000
    assert "cannot be decoded" in str(error)
    first = next(c.index for c in clean if sound_of_clip(c)[1] > lost - slack)
    assert [clip.index for clip in stopped] == list(range(first)) or slack
    for clip in stopped:
        np.testing.assert_array_equal(clip.audio, kept[clip.index].audio)


@pytest.mark.parametrize("damage", ["stop", "skip", "keep"])
def test_sound_that_ends_in_what_cannot_be_decoded(damage):
    """Nothing is heard behind it: silence, as where a track is shorter than the pictures."""
    count = -(-2 * RATE // ALAC)
    data = spoil(movie(), count - 1)
    got, error, damages = extract_clips(data, WindowSpec(5), AudioFormat(damage=damage))
    assert error is None
    assert damages == []
    assert len(got) == 10
    wanted = decoded(data)
    joined = np.concatenate([clip.audio for clip in got], axis=1)
    np.testing.assert_array_equal(joined[:, : wanted.shape[1]], wanted)
    assert not joined[:, wanted.shape[1] :].any()


def test_damage_of_the_pictures_and_of_the_sound_are_apart():
    data = spoil(movie(), 3)
    for options in (VideoOptions(damage="keep"), VideoOptions(damage="skip")):
        _, error, _ = extract_clips(data, WindowSpec(5), AudioFormat(), options=options)
        assert "cannot be decoded" in str(error)
    got, error, _ = extract_clips(data, WindowSpec(5), AudioFormat(damage="keep"), options=VideoOptions(damage="stop"))
    assert error is None
    assert all(clip.damaged is None for clip in got)
    assert len(got) == 10


def test_the_log_tells_of_damaged_sound_once(caplog):
    with caplog.at_level(logging.WARNING, logger="clipx"):
        extract_clips(spoil(movie(), 1, 3, 5), WindowSpec(2), AudioFormat(damage="keep"))
    [record] = [record for record in caplog.records if record.name == "clipx"]
    assert "cannot be decoded" in record.getMessage()


def test_stage_of_damaged_sound():
    sample = {"__key__": "k", "mp4": spoil(movie(), 3)}
    kept = list(wds.clips(WindowSpec(2), audio=AudioFormat(damage="keep"))([sample]))
    skipped = list(wds.clips(WindowSpec(2), audio=AudioFormat(damage="skip"))([sample]))
    assert len(kept) == 25
    assert [each["__key__"] for each in kept[:2]] == ["k_000000", "k_000001"]
    assert {each["__key__"] for each in skipped} < {each["__key__"] for each in kept}
    errors = []
    stopped = list(
        wds.clips(WindowSpec(2), audio=AudioFormat(), handler=lambda exn: errors.append(exn) or True)([sample])
    )
    assert len(stopped) == 9
    assert len(errors) == 1


@pytest.mark.parametrize("codec", ["aac", "mp2"])
@pytest.mark.parametrize("video", ["mpeg2video", "mpeg4"])
def test_transport_streams_that_have_been_joined(codec, video):
    """Pictures and sound go on, each at once."""
    parts = [movie("mpegts", codec, n, 48000, seed=n, video=video) for n in (50, 35)]
    joined = b"".join(parts)
    plain = list(clipx.video.clips(joined, WindowSpec(5)))
    got, error, damages = extract_clips(joined, WindowSpec(5), AudioFormat(dtype="int16"))
    assert error is None
    assert damages == []
    assert len(got) == len(plain) == 17
    sound = decoded(joined, AudioFormat(dtype="int16"))
    first = [clip.audio for clip in clipx.video.clips(parts[0], WindowSpec(5), audio=AudioFormat(dtype="int16"))]
    for clip, other in zip(got, first[:-1]):
        np.testing.assert_array_equal(clip.audio, other)
    for clip, other in zip(got, plain):
        np.testing.assert_array_equal(clip.data, other.data)
    # Each clip's sound stands in that of the whole, one right behind the other.
    flat = np.concatenate([clip.audio for clip in got], axis=1)[0]
    at = find(sound[0], flat[20_000:20_500]) - 20_000
    for i, clip in enumerate(got[2:-2], 2):
        position = find(sound[0], clip.audio[0][:500])
        assert abs(position - at - i * 9600) <= 1


def find(sound, part):
    """Where a part stands in sound."""
    windows = np.lib.stride_tricks.sliding_window_view(sound, len(part))
    [position] = np.flatnonzero((windows[:, ::50] == part[::50]).all(axis=1))
    return int(position)


def test_joined_streams_of_another_kind():
    data = movie("mpegts", "aac", 50, 48000) + movie("mpegts", "aac", 50, 48000, "stereo")
    for damage in ("stop", "skip", "keep"):
        got, error, _ = extract_clips(data, WindowSpec(5), AudioFormat(damage=damage))
        assert "changes midway" in str(error)
        assert len(got) in (9, 10)
        sound = decoded(movie("mpegts", "aac", 50, 48000))
        joined = np.concatenate([clip.audio for clip in got], axis=1)[0]
        at = find(sound[0], joined[5000:5500])
        n = len(joined) - 5000 - 1024
        np.testing.assert_array_equal(joined[5000 : 5000 + n], sound[0, at : at + n])


@pytest.mark.parametrize(("container", "codec"), [("mpegts", "aac"), ("matroska", "flac"), ("avi", "mp3")])
def test_files_that_are_cut_short(container, codec):
    """As much sound as there is, for as many pictures as there are."""
    data = movie(container, codec if codec != "mp3" else "libmp3lame", 50, 48000)
    for end in (6, 7, 9):
        short = data[: len(data) * end // 10]
        options = VideoOptions(damage="keep")
        plain = list(clipx.video.clips(short, WindowSpec(4), options=options))
        got, error, _ = extract_clips(short, WindowSpec(4), AudioFormat(), options=options)
        assert error is None
        assert len(got) == len(plain) > 2
        for clip, other in zip(got, plain):
            np.testing.assert_array_equal(clip.data, other.data)
            assert clip.audio.shape == (1, 7680)
        assert got[0].audio.any()


@pytest.mark.parametrize("damage", ["stop", "skip", "keep"])
@pytest.mark.parametrize("window", [WindowSpec(4), *WINDOWS], ids=str)
def test_selected_clips_have_their_sound(window, damage):
    """Whatever the route to their pictures: from a key frame on, sound is still decoded from the start."""
    data = movie(video="libx264", frames=80)
    rest = {"options": VideoOptions(damage=damage), "audio": AudioFormat(dtype="int16")}
    all_clips = list(clipx.video.clips(data, window, **rest))
    for selection in (Selection((), 3), Selection((1,), 4), Selection((0, 2), None)):
        wanted = [clip for clip in all_clips if clip.index in selection.of(len(all_clips))]
        got = list(selected_clips(data, window, name="a", selection=selection, **rest))
        assert [clip.index for clip in got] == [clip.index for clip in wanted]
        for clip, other in zip(got, wanted):
            np.testing.assert_array_equal(clip.data, other.data)
            np.testing.assert_array_equal(clip.audio, other.audio)
