"""Sound to clips, alone and in step with video, against decoding the whole file and slicing."""

import gc
import io
import shutil
import sys
import wave
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import webdataset
from helpers.media import OnlyRead, Watch

import clipx
from clipx import AudioFormat, WindowSpec, wds
from clipx.errors import PoolTooSmall

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify")
POLICIES = ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]
CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}

# codec, container, and the rates that it knows
KINDS = {
    "wav-s16": ("pcm_s16le", "wav", (8000, 11025, 44100)),
    "wav-s24": ("pcm_s24le", "wav", (48000,)),
    "wav-f32": ("pcm_f32le", "wav", (22050,)),
    "wav-u8": ("pcm_u8", "wav", (8000,)),
    "flac": ("flac", "flac", (16000, 44100)),
    "ogg-flac": ("flac", "ogg", (16000,)),
    "mp3": ("libmp3lame", "mp3", (16000, 44100)),
    "m4a": ("aac", "ipod", (16000, 48000)),
    "adts": ("aac", "adts", (32000,)),
    "ogg-opus": ("libopus", "ogg", (48000,)),
    "webm-opus": ("libopus", "webm", (24000,)),
    "vorbis": ("vorbis", "ogg", (44100,)),
    "mkv-ac3": ("ac3", "matroska", (48000,)),
}
FILES = [
    (name, layout, rate)
    for name, (codec, _, rates) in KINDS.items()
    for layout in CHANNELS
    for rate in rates
    if (codec, layout) not in (("libmp3lame", "5.1"), ("vorbis", "mono"), ("vorbis", "5.1"))
]


def frames_of(sound, stream, rate, layout, start=0, skip=()):
    """Frames for an encoder; those whose first sample lies in a range of `skip` are left out."""
    context = stream.codec_context
    size = context.frame_size or 1024
    packed = context.format.name.endswith("p") is False
    dtype = {"s16": "i2", "s32": "i4", "flt": "f4", "u8": "u1"}[context.format.name.rstrip("p")]
    scale = {"i2": 32767, "i4": 2**31 - 256, "f4": 1, "u1": 127}[dtype]
    values = (np.clip(sound, -1, 1) * scale + (128 if dtype == "u1" else 0)).astype(dtype)
    for first in range(0, values.shape[1], size):
        if any(low <= first < high for low, high in skip):
            continue
        part = values[:, first : first + size]
        part = np.ascontiguousarray(part.T).reshape(1, -1) if packed else np.ascontiguousarray(part)
        frame = av.AudioFrame.from_ndarray(part, format=context.format.name, layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start + first, Fraction(1, rate)
        yield frame


def encode(sound, codec, container, rate, layout="mono", start=0, skip=()):
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        if codec == "vorbis":
            stream.options = {"strict": "experimental"}
        for frame in frames_of(sound, stream, rate, layout, start, skip):
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def noise(n, channels=1, seed=0):
    rng = np.random.default_rng([seed, n, channels])
    return 0.3 * np.cumsum(rng.uniform(-0.1, 0.1, (channels, n)), axis=1) % 0.6 - 0.3


@cache
def sound_file(kind, layout="mono", rate=16000, n=None):
    codec, container, _ = KINDS[kind]
    return encode(noise(rate // 3 if n is None else n, CHANNELS[layout]), codec, container, rate, layout)


@cache
def reference(data, format=None):
    """(channels, n): the whole file decoded, resampled and put together."""
    format = format or AudioFormat()
    pieces, resampler = [], None
    with av.open(data if isinstance(data, str) else io.BytesIO(data)) as file:
        for frame in file.decode(audio=0):
            if resampler is None:
                layout = "mono" if format.mono else frame.layout.name
                kind = {"float32": "fltp", "int16": "s16p"}[format.dtype]
                resampler = av.AudioResampler(kind, layout, format.sample_rate or frame.sample_rate)
            pieces += resampler.resample(frame)
        pieces += resampler.resample(None)
    return np.concatenate([piece.to_ndarray() for piece in pieces if piece is not None and piece.samples], axis=1)


def check(src, window, format=None, *, key=None, rng=None, **rest):
    """The clips of a source equal slices of the whole. Returns the number of clips."""
    format = format or AudioFormat()
    sound = reference(src if key is None else key, format)
    n = sound.shape[1]
    rows, starts = window.indices(n, rng), window.starts(n, rng)
    cut = clipx.audio.clips(src, window, format, rng=rng, **rest)
    count = 0
    for clip in cut:
        wanted = sound[:, rows[count]]
        wanted[:, rows[count] < 0] = window.fill_value
        data = clip.data if format.order == "CN" else clip.data.T
        np.testing.assert_array_equal(data, wanted)
        assert clip.data.dtype == format.dtype
        assert clip.data.flags.c_contiguous
        assert (clip.index, clip.start) == (count, starts[count])
        assert clip.valid == window.valid(starts[count, None], n)
        assert clip.duration_seconds == pytest.approx(window.span / clip.sample_rate)
        count += 1
        del clip, data
    assert count == len(rows)
    assert cut.num_frames == n
    return count


# Alone.


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
    for format in FORMATS:
        assert check(data, WindowSpec(700, 333), format)
        assert check(data, WindowSpec(500, 900, dilation=2, policy="reflect"), format)


def test_the_sound_track_of_a_video(real_video):
    path = str(real_video("bigbuckbunny.mp4"))
    for format in (AudioFormat(), AudioFormat(sample_rate=16000, mono=True)):
        assert check(path, WindowSpec(16000, 12000, policy="backpad"), format) > 5


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
        check(sound_file(kind, "stereo", 16000, n), spec, rng=3)


@pytest.mark.parametrize("kind", ["wav-s16", "flac", "mp3", "m4a", "ogg-opus"])
def test_resampled_ends(kind):
    """What the resampler still holds at the end belongs to the sound."""
    data = sound_file(kind, "stereo", 16000 if kind != "ogg-opus" else 48000, 4000)
    for rate in (8000, 11025, 22050, 44100, 48000):
        format = AudioFormat(sample_rate=rate)
        n = reference(data, format).shape[1]
        check(data, WindowSpec(n), format)
        check(data, WindowSpec(n + 1, policy="constant", fill_value=0.5), format)
        check(data, WindowSpec(311, 311, policy="wrap"), format)


def test_error_policy_gives_complete_clips_first():
    data = sound_file("flac", n=6001)
    got = []
    with pytest.raises(ValueError, match="policy is 'error'"):
        got.extend(clip.start for clip in clipx.audio.clips(data, WindowSpec(1000, policy="error")))
    assert got == [] or got == [1000 * i for i in range(6)]
    assert check(data, WindowSpec(6001, policy="error")) == 1
    with pytest.raises(ValueError, match="policy is 'error'"):
        list(clipx.audio.clips(data, WindowSpec(7000, num_clips=2, policy="error")))


def test_fill_value_of_int16():
    data = sound_file("flac", n=499)
    assert check(data, WindowSpec(1000, policy="constant", fill_value=-7), AudioFormat(dtype="int16")) == 1
    with pytest.raises(ValueError, match="fill_value"):
        list(clipx.audio.clips(data, WindowSpec(9, policy="constant", fill_value=0.5), AudioFormat(dtype="int16")))


def test_of_seconds():
    data = sound_file("flac", rate=16000, n=6001)
    window = WindowSpec.of_seconds(0.1, stride=0.05, fps=16000)
    assert check(data, window) == window.count(6001)
    assert check(data, window, AudioFormat(sample_rate=16000, mono=True)) == window.count(6001)
    assert check(data, WindowSpec.of_seconds(0.1, fps=8000), AudioFormat(sample_rate=8000)) == 3
    for window, format in (
        (WindowSpec.of_seconds(0.1, fps=8000), None),
        (WindowSpec.of_seconds(0.1, fps=16000), AudioFormat(sample_rate=8000)),
        (WindowSpec(100, num_clips=2, fps=44100), None),
    ):
        with pytest.raises(ValueError, match=r"sample_rate") as caught:
            list(clipx.audio.clips(data, window, format))
        assert not isinstance(caught.value, clipx.MediaError)
        assert str(window.fps) in str(caught.value)


class Unseekable(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation

    tell = seek


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
            check(src, window, key=data)
        assert not file.closed
    if kind == "mp3" and window.num_clips is None:
        return  # how much padding stands at the end is only known of files that can be measured
    for src in (OnlyRead(data), Unseekable(data)):
        check(src, window, key=data)


@pytest.mark.parametrize("kind", ["wav-s16", "flac", "mp3", "m4a", "ogg-opus", "webm-opus"])
@pytest.mark.parametrize("window", [WindowSpec(700, 300), WindowSpec(700, num_clips=3)], ids=["stride", "num_clips"])
def test_a_file_object_is_read_from_where_it_stands(kind, window):
    data = sound_file(kind, rate=KINDS[kind][2][0], n=4000)
    later = io.BytesIO(b"junk!" + data)
    later.seek(5)
    check(later, window, key=data)


def test_num_clips_of_an_m4a_pipe_and_file():
    data = sound_file("m4a", n=4000)
    for src in (io.BytesIO(data), OnlyRead(data)):
        check(src, WindowSpec(700, num_clips=3), AudioFormat(mono=True), key=data)


@pytest.mark.parametrize("stride", [100, 250, 700, 1000])
@pytest.mark.parametrize("policy", POLICIES)
def test_the_slots_that_a_window_names_are_enough(policy, stride):
    window = WindowSpec(700, stride, policy=policy)
    assert window.slots() == -(-700 // stride) + 1
    for kind, n in (("flac", 6001), ("wav-s16", 6900), ("mp3", 5000)):
        pool = clipx.ClipPool(window.slots(), (2, 700), "float32")
        check(sound_file(kind, "stereo", 16000, n), window, pool=pool)
        assert pool.stats().free == pool.slots
        small = clipx.ClipPool(window.slots() - 1, (2, 700), "float32")
        with pytest.raises(ValueError, match="slots"):
            list(clipx.audio.clips(sound_file(kind, "stereo", 16000, n), window, pool=small))


def test_random_starts_and_their_slots():
    window = WindowSpec(700, num_clips=8, sampling="random")
    slots = window.slots(window.starts(6001, 5))
    pool = clipx.ClipPool(slots, (1, 700), "float32")
    check(sound_file("flac", n=6001), window, pool=pool, rng=5)
    assert pool.stats().free == slots


def test_a_pool_of_bytes_and_clips_too_large():
    data = sound_file("flac", "stereo", n=6001)
    check(data, WindowSpec(700), pool=clipx.ClipPool.of_bytes("64kB"))
    with pytest.raises(ValueError, match="700"):
        next(clipx.audio.clips(data, WindowSpec(700), pool=clipx.ClipPool(9, (1, 700), "float32")))


@pytest.mark.parametrize("window", [WindowSpec(500), WindowSpec(100, 900), WindowSpec(500, num_clips=4)], ids=str)
@pytest.mark.parametrize("kind", ["flac", "wav-s16"])
def test_a_clip_that_is_gone_frees_its_slot_at_once(kind, window):
    """Where clips do not overlap, nothing is open between them."""
    pool = clipx.ClipPool(4, (1, 500), "float32")
    cut = clipx.audio.clips(sound_file(kind, n=6001), window, pool=pool)
    for count in range(3):
        clip = next(cut)
        assert pool.stats().leased == 1
        view = clip.data[:, ::2]
        del clip
        assert pool.stats().leased == 1
        del view
        assert pool.stats().leased == 0, count


@pytest.mark.parametrize("policy", ["repeat_last", "wrap", "reflect", "constant"])
def test_clips_of_the_end_free_their_slots_at_once(policy):
    window = WindowSpec(1000, 250, policy=policy)
    pool = clipx.ClipPool(window.slots(), (1, 1000), "float32")
    cut = clipx.audio.clips(sound_file("flac", n=6001), window, pool=pool)
    count = window.count(6001)
    left = count
    for clip in cut:  # enumerate would hold the clip
        del clip
        left -= 1
        # Before the end is seen, clips are open that it gives up.
        assert pool.stats().leased <= (window.slots() - 2 if left else 0)


def test_clips_outlive_the_iterator_and_are_independent():
    data = sound_file("flac", "stereo", n=6001)
    pool = clipx.ClipPool(40, (2, 700), "float32")
    clips = list(clipx.audio.clips(data, WindowSpec(700, 200), pool=pool))
    sound = reference(data)
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(clip.data) for clip in clips]
    starts = [clip.start for clip in clips]
    del clips
    gc.collect()
    assert pool.stats().leased == len(tensors)
    tensors[0][:] = 99
    for tensor, start in zip(tensors[1:], starts[1:]):
        np.testing.assert_array_equal(tensor.numpy(), sound[:, start : start + 700])
    del tensors, tensor
    assert pool.stats().free == 40


def test_dropping_the_iterator_frees_slots():
    data = sound_file("flac", n=6001)
    for end in (lambda cut: None, lambda cut: cut.close()):
        pool = clipx.ClipPool(8, (1, 1000), "float32")
        cut = clipx.audio.clips(data, WindowSpec(1000, 200), pool=pool)
        next(cut)
        clip = next(cut)
        assert pool.stats().leased > 1
        end(cut)
        del cut
        assert pool.stats().leased == 1
        del clip
        assert pool.stats().free == 8


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
        assert reference(data).shape == (1, 10000)
        assert len(list(clipx.audio.clips(data, WindowSpec(10001)))) == 0


def test_times():
    data = encode(noise(6000), "flac", "matroska", 16000, start=32000)
    for clip, start in zip(clipx.audio.clips(data, WindowSpec(1000, 700)), range(0, 6000, 700)):
        assert clip.pts_seconds == pytest.approx(2 + start / 16000)
        assert clip.sample_rate == 16000
        assert clip.frame_indices is None


def test_wrong_arguments(tmp_path):
    data = sound_file("flac", n=499)
    for arguments, message in (
        ({"sample_rate": 0}, "sample_rate"),
        ({"sample_rate": -8000}, "sample_rate"),
        ({"sample_rate": 2**31}, "sample_rate"),
        ({"sample_rate": 16000.5}, "sample_rate"),
        ({"sample_rate": True}, "sample_rate"),
        ({"mono": 1}, "mono"),
        ({"dtype": "float64"}, "dtype"),
        ({"dtype": "uint8"}, "dtype"),
        ({"dtype": object()}, "dtype"),
        ({"order": "TC"}, "order"),
        ({"order": None}, "order"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            AudioFormat(**arguments)
    assert AudioFormat(dtype=np.int16) == AudioFormat(dtype="int16")
    with pytest.raises(TypeError, match="spec"):
        clipx.audio.clips(data, 16)
    with pytest.raises(TypeError, match="format"):
        clipx.audio.clips(data, WindowSpec(16), clipx.ClipFormat())
    with pytest.raises(TypeError, match="src"):
        clipx.audio.clips(3, WindowSpec(16))
    with pytest.raises(FileNotFoundError):
        clipx.audio.clips(tmp_path / "none.wav", WindowSpec(16))


# What is no sound, or broken sound.


def run(src, window=None, **rest):
    return list(clipx.audio.clips(src, window or WindowSpec(500, 400, policy="wrap"), **rest))


def test_no_audio_stream(make_video, tmp_path):
    video, empty = make_video(5), tmp_path / "empty.wav"
    empty.touch()
    for src in (video, video.read_bytes()):
        with pytest.raises(clipx.MediaError, match="no audio stream"):
            run(src)
    for src in (empty, b"", b"hello" * 100, bytes(5000), io.BytesIO(), OnlyRead(b"")):
        with pytest.raises(clipx.MediaError):
            run(src)


def test_no_samples():
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
    for window in (WindowSpec(5), WindowSpec(5, num_clips=2), WindowSpec(5, policy="backpad")):
        with pytest.raises(clipx.MediaError):
            run(out.getvalue(), window)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["wav-s16", "flac", "mp3", "m4a", "adts", "ogg-opus", "webm-opus", "vorbis"])
def test_truncated_files(kind):
    data = sound_file(kind, "stereo", KINDS[kind][2][0], 4000)
    sound = reference(data)
    for end in [*range(1, 90, 9), *np.linspace(90, len(data) - 1, 40, dtype=int)]:
        got = []
        try:
            for clip in clipx.audio.clips(data[:end], WindowSpec(500, 400)):
                got.append(clip)
        except clipx.MediaError:
            pass
        if kind in ("wav-s16", "flac"):
            for clip in got:
                np.testing.assert_array_equal(clip.data, sound[:, clip.start : clip.start + 500])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["wav-s16", "flac", "mp3", "m4a", "adts", "ogg-opus", "webm-opus", "vorbis"])
def test_corrupted_bytes(kind):
    data = sound_file(kind, "stereo", KINDS[kind][2][0], 4000)
    rng = np.random.default_rng(7)
    pool = clipx.ClipPool.of_bytes("8MB")
    for at in [*rng.integers(0, len(data), 60), *rng.integers(0, min(len(data), 400), 40)]:
        broken = bytearray(data)
        some = rng.integers(0, 256, 4, dtype=np.uint8).tobytes()
        broken[at : at + 4] = some[: len(broken) - at]
        for window in (WindowSpec(500, 400, policy="wrap"), WindowSpec(500, num_clips=3)):
            try:
                for clip in clipx.audio.clips(bytes(broken), window, pool=pool):
                    assert clip.data.shape[1] == 500
            except (clipx.MediaError, PoolTooSmall):  # the header may say more channels than the pool was made for
                pass
            clip = None
            assert pool.stats().leased == 0


@pytest.mark.parametrize("second", [("mono", 44100), ("stereo", 16000)])
def test_kinds_that_change_midway(second):
    layout, rate = second
    data = sound_file("adts", n=8000) + sound_file("adts", layout, rate, 8000)
    got = []
    with pytest.raises(clipx.MediaError, match="midway"):
        got.extend(clip.data.shape for clip in clipx.audio.clips(data, WindowSpec(1000)))
    assert got == [(1, 1000)] * len(got)
    assert len(got) >= 7
    with pytest.raises(clipx.MediaError, match="midway"):
        list(clipx.audio.clips(data, WindowSpec(1000, num_clips=2), AudioFormat(sample_rate=8000, mono=True)))


def test_a_gap_is_an_error_after_the_clips_before_it():
    data = encode(noise(32000), "pcm_s16le", "matroska", 16000, skip=[(10000, 20000)])
    got = []
    with pytest.raises(clipx.MediaError, match="gap"):
        got.extend(clip.start for clip in clipx.audio.clips(data, WindowSpec(1000)))
    assert got == [1000 * i for i in range(len(got))]
    assert len(got) in (9, 10)


@linux
def test_lists_from_strangers_are_not_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bait.wav").write_bytes(sound_file("wav-s16", n=499))
    watch = Watch("bait.wav")
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/bait.wav\n#EXT-X-ENDLIST\n"
    for name, text in (("x.ffconcat", "ffconcat version 1.0\nfile 'bait.wav'\n"), ("x.m3u8", hls), ("x.wav", hls)):
        Path(name).write_text(text)
        for src in (name, Path(name).resolve(), text.encode(), io.BytesIO(text.encode()), OnlyRead(text.encode())):
            with pytest.raises(clipx.MediaError):
                run(src)
            [error] = _errors({"wav": text.encode()})
            assert isinstance(error, clipx.MediaError)
    for address in ("concat:bait.wav|bait.wav", "file:bait.wav", "subfile,,start,0,end,0,,:bait.wav", "tcp://[::1]:9"):
        with pytest.raises(FileNotFoundError):
            run(address)
    assert not watch.opened()


def _errors(sample):
    errors = []
    stage = wds.clips(WindowSpec(5), handler=lambda exn: errors.append(exn) or True)
    assert list(stage([{"__key__": "k", **sample}])) == []
    return errors


# In step with video.


FLASHES = (3, 17, 31, 44)


class Movie:
    """A video whose white frames have a click each, and what is known of it.

    times: of the frames. The sound begins at `start` with `n` samples; the clicks stand at the times of FLASHES.
    """

    def __init__(self, path, container, codec, times, rate=16000, start=0, seconds=2.2, first="video", skip=(), bf=0):
        self.path, self.times, self.rate, self.start = path, times, rate, Fraction(start)
        sound = noise(round(seconds * rate)) * 0.2
        for k in FLASHES:
            at = round((times[k] - self.start) * rate)
            if 0 <= at < sound.shape[1]:
                sound[0, at] = 0.95
        self.sound = (sound[0] * 32767).astype(np.int16)
        with av.open(str(path), "w", format=container) as out:
            streams = {}
            for kind in (first, {"video": "audio", "audio": "video"}[first]):
                if kind == "video":
                    base = Fraction(1, 1000) if container == "matroska" else Fraction(1, 30000)
                    average = 1 / (times[1] - times[0])
                    streams[kind] = out.add_stream("libx264", rate=average, options={"bf": str(bf), "g": "10"})
                    streams[kind].width = streams[kind].height = 32
                    streams[kind].pix_fmt = "yuv420p"
                    streams[kind].codec_context.time_base = base
                else:
                    streams[kind] = out.add_stream(codec, rate=rate, layout="mono")
            packets = []
            for k, time in enumerate(times):
                picture = np.full((32, 32, 3), 255 if k in FLASHES else 5 * (k % 8), np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = round(time / base), base
                packets += streams["video"].encode(frame)
            packets += streams["video"].encode()
            for frame in frames_of(sound, streams["audio"], rate, "mono", round(self.start * rate), skip):
                packets += streams["audio"].encode(frame)
            packets += streams["audio"].encode(None)
            for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
                out.mux(packet)

    def heard(self, seconds, n):
        """The samples from a time on, silence where there are none."""
        at = round((Fraction(seconds) - self.start) * self.rate) + np.arange(n)
        inside = (at >= 0) & (at < len(self.sound))
        return np.where(inside, self.sound[np.clip(at, 0, len(self.sound) - 1)], 0)


def even(n=50, rate=25, start=0):
    return [Fraction(start) + k / Fraction(rate) for k in range(n)]


def milliseconds(times):
    return [Fraction(round(time * 1000), 1000) for time in times]


def variable(n=50):
    steps = np.random.default_rng(4).integers(20, 61, n)
    return [Fraction(int(each), 1000) for each in np.cumsum(steps) - steps[0]]


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("movies"), {}

    def make(container="mp4", codec="flac", times="25", **rest):
        key = container, codec, times, tuple(rest.items())
        if key not in made:
            at = variable() if times == "variable" else even(rate=Fraction(times), start=rest.pop("video_start", 0))
            at = milliseconds(at) if container == "matroska" else at
            made[key] = Movie(folder / f"{len(made)}.{container}", container, codec, at, **rest)
        return made[key]

    return make


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
        heard = clip.audio.reshape(-1).astype(int)
        t0 = Fraction(clip.pts_seconds[0])
        if rate == movie.rate and exact:
            shifted = [movie.heard(t0 + Fraction(shift, rate), n) for shift in (-1, 0, 1)]
            assert any(np.array_equal(heard, each) for each in shifted), (clip.index, float(t0))
        for k in FLASHES:
            if not 0 <= movie.times[k] - movie.start < Fraction(len(movie.sound), movie.rate):
                continue
            at = float((movie.times[k] - t0) * rate)
            if 8 < at < n - 8:
                near = np.abs(heard[max(round(at) - 400, 0) : round(at) + 400])
                place = int(near.argmax()) + max(round(at) - 400, 0)
                assert abs(place - at) <= (1.001 if exact else 0.002 * rate), (clip.index, k)
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
    expected = reference(str(made.path), AudioFormat(sample_rate=8000))
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
        heard = clip.audio[0]
        shifted = [made.heard(clip.pts_seconds[0] + s / 16000, len(heard)) for s in (-1, 0, 1)]
        assert any(np.array_equal(heard, each) for each in shifted), clip.index


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


@pytest.mark.timeout(60)
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


# The stage and the Loader.


def _stage_errors(sample, **rest):
    errors = []
    stage = wds.clips(WindowSpec(4), handler=lambda exn: errors.append(exn) or True, **rest)
    assert list(stage([{"__key__": "k", **sample}])) == []
    return errors


STAGE_KINDS = {"wav": "wav-s16", "flac": "flac", "mp3": "mp3", "ogg": "vorbis", "opus": "ogg-opus", "m4a": "m4a"}


@pytest.mark.parametrize("field", STAGE_KINDS)
def test_stage_of_sound(field):
    kind = STAGE_KINDS[field]
    data = sound_file(kind, "stereo", KINDS[kind][2][0], 6000)
    sound = reference(data, AudioFormat(sample_rate=8000))
    window = WindowSpec(300, 200, policy="wrap")
    rows = window.indices(sound.shape[1])
    samples = [{"__key__": "a/b", field: data, "cls": 3, "npy": b"x", "json": {"x": 1}}]
    out = list(wds.clips(window, audio=AudioFormat(sample_rate=8000), pool="1MB")(samples))
    assert len(out) == len(rows)
    for index, (sample, row) in enumerate(zip(out, rows)):
        np.testing.assert_array_equal(sample[field], sound[:, row])
        assert sample["__key__"] == f"a/b_{index:06d}"
        assert (sample["cls"], sample["npy"], sample["json"]) == (3, b"x", {"x": 1})
        facts = sample["clip.json"]
        assert set(facts) >= {"index", "start", "valid", "pts_seconds", "duration_seconds"}
        assert all(isinstance(value, (int, float)) for value in facts.values()), facts
        assert "audio" not in sample
    assert np.shares_memory(out[0][field], out[1][field]) is False


def test_stage_errors_go_to_the_handler():
    good = {"__key__": "good", "flac": sound_file("flac", n=6001)}
    broken = {"flac": b""}, {"flac": good["flac"][:50]}, {"wav": bytes(99)}
    bad = [{"__key__": "bad", **fields} for fields in broken]
    errors = []
    stage = wds.clips(WindowSpec(1000), handler=lambda exn: errors.append(exn) or True)
    keys = [sample["__key__"] for sample in stage([bad[0], good, *bad[1:], good])]
    assert len(keys) == 12
    assert len(errors) == 3
    assert all(isinstance(each, clipx.MediaError) for each in errors)


def test_stage_of_several_sounds(movie):
    left, right = sound_file("flac", n=6001), sound_file("wav-s16", n=6001)
    out = list(wds.clips(WindowSpec(1000), pool="1MB")([{"__key__": "k", "l.flac": left, "r.wav": right}]))
    assert len(out) == 6
    np.testing.assert_array_equal(out[2]["l.flac"], reference(left)[:, 2000:3000])
    np.testing.assert_array_equal(out[2]["r.wav"], reference(right)[:, 2000:3000])


def test_stage_of_videos_with_sound(movie):
    data = movie().path.read_bytes()
    audio = AudioFormat(sample_rate=8000)
    expected = [clip.audio for clip in clipx.video.clips(data, WindowSpec(8), audio=audio)]
    out = list(wds.clips(WindowSpec(8), audio=audio, pool="4MB")([{"__key__": "k", "mp4": data, "wav": b"other"}]))
    np.testing.assert_array_equal([sample["audio"] for sample in out], expected)
    assert all(sample["wav"] == b"other" for sample in out)
    assert all(len(value) <= 8 for value in out[0]["clip.json"].values() if isinstance(value, list))
    out = list(wds.clips(WindowSpec(8), audio=audio)([{"__key__": "k", "a.mp4": data, "b.mp4": data}]))
    for name in ("a.mp4.audio", "b.mp4.audio"):
        np.testing.assert_array_equal([sample[name] for sample in out], expected)
    assert all("audio" not in sample for sample in wds.clips(WindowSpec(8))([{"__key__": "k", "mp4": data}]))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("threads", [1, 2])
def test_loader(movie, tmp_path, threads):
    data, audio = movie().path.read_bytes(), AudioFormat(sample_rate=8000)
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        for i in range(4):
            tar.write({"__key__": f"v{i}", "mp4": data})
    with webdataset.TarWriter(str(tmp_path / "b.tar")) as tar:
        for i in range(4):
            tar.write({"__key__": f"s{i}", "flac": sound_file("flac", "mono", 16000, 6001 + i)})
    expected = [clip.audio for clip in clipx.video.clips(data, WindowSpec(8), audio=audio)]
    rest = {"batch_size": 3, "threads": threads, "memory": "512MB", "audio": audio, "drop_last": False}
    count = 0
    with clipx.Loader(str(tmp_path / "a.tar"), WindowSpec(8), **rest) as loader:
        for batch in loader:
            assert batch["audio"].shape[1:] == (1, 2560)
            assert batch["audio"].dtype == np.float32
            for sound, facts in zip(batch["audio"], batch["clip.json"]):
                np.testing.assert_array_equal(sound, expected[facts["index"]])
                count += 1
    assert count == 4 * len(expected)
    count = 0
    with clipx.Loader(str(tmp_path / "b.tar"), WindowSpec(1000), **rest) as loader:
        for batch in loader:
            for sound, key, facts in zip(batch["flac"], batch["__key__"], batch["clip.json"]):
                whole = reference(sound_file("flac", "mono", 16000, 6001 + int(key[1])), audio)
                np.testing.assert_array_equal(sound, whole[:, facts["start"] : facts["start"] + 1000])
                count += 1
    assert count == 4 * 3


def test_a_copy_of_a_file_elsewhere(tmp_path):
    """Names play no part."""
    path = tmp_path / "sound.mp4"
    path.write_bytes(sound_file("flac", n=6001))
    shutil.copy(path, tmp_path / "pipe:0")
    check(path, WindowSpec(700), key=path.read_bytes())
    check(tmp_path / "pipe:0", WindowSpec(700), key=path.read_bytes())
