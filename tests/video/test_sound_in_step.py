"""Sound of a video's clips: in step with the frames, whatever starts, ends or is missing where."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.media import OnlyRead, Unseekable
from helpers.movies import FLASHES
from helpers.sounds import whole_sound

import clipx
from clipx import AudioFormat, WindowSpec, wds


def check_step(movie, window, options=None, exact=True, rng=None, **format):
    """Sound of the right size, in step, and frames as without it. Returns the number of clicks that were heard."""
    audio = AudioFormat(dtype="int16", **format)
    plain = list(clipx.video.clips(movie.path, window, options=options, rng=rng))
    got = list(clipx.video.clips(movie.path, window, options=options, audio=audio, rng=rng))
    assert len(got) == len(plain) > 0
    with av.open(str(movie.path)) as file:
        fps = (options.fps if options else None) or window.fps or file.streams.video[0].average_rate
    rate = audio.sample_rate or movie.rate
    n = round(Fraction(window.length * window.dilation) / Fraction(fps) * rate)
    clicks = 0
    for clip, other in zip(got, plain):
        np.testing.assert_array_equal(clip.data, other.data)
        for name in ("index", "start", "valid", "frame_indices", "pts_seconds", "duration_seconds"):
            np.testing.assert_array_equal(getattr(clip, name), getattr(other, name))
        assert other.audio is None
        assert clip.sample_rate == rate
        assert clip.audio.shape == ((1, n) if audio.order == "CN" else (n, 1))
        assert clip.audio.dtype == np.int16
        sound_of_clip = clip.audio.reshape(-1).astype(int)
        t0 = Fraction(clip.pts_seconds[0])
        if rate == movie.rate and exact:
            shifted = [movie.sound_at(t0 + Fraction(shift, rate), n) for shift in (-1, 0, 1)]
            assert any(np.array_equal(sound_of_clip, each) for each in shifted), (clip.index, float(t0))
        for k in FLASHES:
            if not 0 <= movie.times[k] - movie.start < Fraction(len(movie.sound), movie.rate):
                continue
            at = float((movie.times[k] - t0) * rate)
            if 8 < at < n - 8:
                near = np.abs(sound_of_clip[max(round(at) - 400, 0) : round(at) + 400])
                position = int(near.argmax()) + max(round(at) - 400, 0)
                assert abs(position - at) <= (1.001 if exact else 0.002 * rate), (clip.index, k)
                assert near.max() > (min(20000, 20000 * rate / movie.rate) if exact else 2000) / 2
                clicks += 1
    return clicks


STEP_WINDOWS = [
    {"length": 8, "stride": 4},
    {"length": 8, "stride": 20},
    {"length": 6, "dilation": 3, "stride": 5},
    {"length": 16, "policy": "repeat_last"},
    {"length": 16, "policy": "wrap", "stride": 7},
    {"length": 16, "policy": "reflect"},
    {"length": 16, "policy": "constant"},
    {"length": 16, "policy": "backpad"},
    {"length": 12, "num_clips": 4},
    {"length": 12, "num_clips": 5, "sampling": "random"},
]

CONTAINERS = [("mp4", "flac"), ("matroska", "flac"), ("matroska", "pcm_s16le"), ("mov", "pcm_s16le")]


@pytest.mark.parametrize("times", ["25", "30000/1001", "variable"])
@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_sound_is_in_step(movie, container, codec, times):
    made = movie(container, codec, times)
    for window in STEP_WINDOWS:
        assert check_step(made, WindowSpec(**window), rng=2) >= 2


@pytest.mark.parametrize("window", STEP_WINDOWS, ids=str)
@pytest.mark.parametrize("first", ["video", "audio"])
def test_either_stream_may_be_the_first(movie, first, window):
    assert check_step(movie("matroska", "flac", "25", first=first), WindowSpec(**window), rng=2) >= 2


@pytest.mark.parametrize("window", STEP_WINDOWS, ids=str)
def test_sound_may_be_the_first_of_a_video_whose_frames_are_reordered(movie, window):
    """The decoder then holds frames back until the file ends."""
    assert check_step(movie("mov", "pcm_s16le", "25", first="audio", bf=2), WindowSpec(**window), rng=2) >= 2


@pytest.mark.parametrize("first", ["video", "audio"])
def test_sound_that_is_resampled_keeps_its_end(movie, first):
    made = movie("matroska", "pcm_s16le", "25", first=first, seconds=2.0)
    [clip] = clipx.video.clips(made.path, WindowSpec(50), audio=AudioFormat(sample_rate=8000))
    expected = whole_sound(str(made.path), AudioFormat(sample_rate=8000))
    assert clip.audio.shape == (1, 16000)
    np.testing.assert_array_equal(clip.audio[:, : expected.shape[1]], expected[:, :16000])


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_resampled_sound_is_in_step(movie, rate):
    made = movie("mp4", "flac", "25", rate=48000)
    assert check_step(made, WindowSpec(8, 4), sample_rate=rate, order="NC")
    assert check_step(movie("matroska", "flac", "25"), WindowSpec(16, 4, policy="reflect"), sample_rate=rate, mono=True)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [("mp4", "aac", 48000), ("matroska", "libopus", 48000), ("matroska", "libopus", 16000)],
)
def test_lossy_sound_is_in_step(movie, container, codec, rate):
    """Opus of 16000 samples a second is decoded at 48000."""
    made = movie(container, codec, "25", rate=rate)
    assert check_step(made, WindowSpec(8, 4), exact=False, sample_rate=rate) >= 4


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
@pytest.mark.parametrize(
    "rest",
    [{"start": Fraction(1, 2)}, {"video_start": Fraction(1, 2), "seconds": 3}, {"seconds": 1}, {"seconds": 0.3}],
    ids=["later", "earlier", "ends early", "ends at once"],
)
def test_sound_that_starts_or_ends_elsewhere(movie, container, codec, rest):
    made = movie(container, codec, "25", **rest)
    for window in (WindowSpec(8, 4), WindowSpec(16, 20, policy="wrap"), WindowSpec(10, num_clips=3)):
        check_step(made, window)
    last = list(clipx.video.clips(made.path, WindowSpec(5), audio=AudioFormat()))[-1]
    assert last.audio.any() == (rest.get("seconds", 9) >= 2)


OPTIONS = [
    {"fps": 10},
    {"fps": 60},
    {"fps": Fraction(24000, 1001)},
    {"start_seconds": 0.5},
    {"end_seconds": 1.5},
    {"start_seconds": 0.5, "end_seconds": 1.5, "fps": 12},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("container", "times"), [("mp4", "25"), ("mp4", "variable"), ("matroska", "30000/1001")])
def test_parts_and_rates_are_in_step(movie, container, times, options):
    made = movie(container, "flac", times)
    windows = (
        {"length": 6, "stride": 3},
        {"length": 4, "dilation": 2, "policy": "backpad"},
        {"length": 5, "policy": "wrap", "stride": 4},
        {"length": 5, "num_clips": 3},
    )
    assert sum(check_step(made, WindowSpec(**window), clipx.VideoOptions(**options)) for window in windows) >= 2


def test_of_seconds_in_step(movie):
    assert check_step(movie(), WindowSpec.of_seconds(0.7, 0.3, fps=12))


def test_odd_numbers_of_samples(movie):
    made = movie("mp4", "flac", "30000/1001", rate=44100)
    for length in (1, 7, 13):
        for clip in clipx.video.clips(made.path, WindowSpec(length, dilation=2), audio=AudioFormat()):
            assert clip.audio.shape == (1, round(Fraction(length * 2 * 1001, 30000) * 44100))
            break


@pytest.mark.parametrize("milliseconds", [64, 512])
def test_gaps_are_silent_and_what_follows_is_in_step(movie, milliseconds):
    """Pcm packets of 1024 samples, 64 ms, some of which are missing."""
    skip = ((16384, 16384 + 16 * milliseconds),)
    made = movie("matroska", "pcm_s16le", "25", skip=skip)
    made.sound = made.sound.copy()
    made.sound[skip[0][0] : skip[0][1]] = 0
    for clip in clipx.video.clips(made.path, WindowSpec(8, 4), audio=AudioFormat(dtype="int16")):
        sound_of_clip = clip.audio[0]
        shifted = [made.sound_at(clip.pts_seconds[0] + s / 16000, len(sound_of_clip)) for s in (-1, 0, 1)]
        assert any(np.array_equal(sound_of_clip, each) for each in shifted), clip.index


def test_sources_in_step(movie):
    made = movie("matroska", "flac")
    data = made.path.read_bytes()
    for window in (WindowSpec(8, 4), WindowSpec(16, 12, policy="wrap"), WindowSpec(8, num_clips=3)):
        expected = [clip.audio for clip in clipx.video.clips(made.path, window, audio=AudioFormat())]
        for src in (data, io.BytesIO(data), OnlyRead(data), Unseekable(data)):
            got = [clip.audio for clip in clipx.video.clips(src, window, audio=AudioFormat())]
            np.testing.assert_array_equal(got, expected)


def test_no_stream_of_sound(make_video):
    video = make_video(12)
    for window in (WindowSpec(4), WindowSpec(4, num_clips=2), WindowSpec(4, policy="wrap"), WindowSpec(40)):
        with pytest.raises(clipx.MediaError, match="no audio stream"):
            list(clipx.video.clips(video, window, audio=AudioFormat()))
    [error] = _stage_errors({"mp4": video.read_bytes()}, audio=AudioFormat())
    assert isinstance(error, clipx.MediaError)
    with pytest.raises(TypeError, match="audio"):
        clipx.video.clips(video, WindowSpec(4), audio=True)


def test_slots_and_sound_in_memory_of_its_own(movie):
    window = WindowSpec(8, 4)
    pool = clipx.ClipPool(window.slots(), (8, 32, 32, 3))
    clips = []
    for clip in clipx.video.clips(movie().path, window, pool=pool, audio=AudioFormat()):
        clips.append(clip.audio)
        del clip
    assert pool.stats().free == pool.slots
    before = [clip.copy() for clip in clips]
    for clip in clips:
        np.add(clip, 1, out=clip)
    np.testing.assert_array_equal(clips, np.array(before) + 1)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("matroska", "flac")])
def test_corrupted_bytes_in_step(movie, container, codec):
    data = movie(container, codec, "25", rate=48000, seconds=0.8).path.read_bytes()
    rng = np.random.default_rng(8)
    for at in rng.integers(0, len(data), 100):
        broken = bytearray(data)
        broken[at : at + 4] = rng.integers(0, 256, min(4, len(data) - at), dtype=np.uint8).tobytes()
        try:
            for clip in clipx.video.clips(bytes(broken), WindowSpec(8), audio=AudioFormat(sample_rate=16000)):
                assert clip.audio.shape[1] > 0
        except clipx.MediaError:
            pass


def _stage_errors(sample, **rest):
    errors = []
    stage = wds.clips(WindowSpec(4), handler=lambda exn: errors.append(exn) or True, **rest)
    assert list(stage([{"__key__": "k", **sample}])) == []
    return errors
