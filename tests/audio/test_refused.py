"""Arguments and files of sound that are refused: broken, empty, or naming others."""

import io
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from helpers.media import OnlyRead, Watch
from helpers.sounds import KINDS, encode, noise, sound_file, whole_sound

import clipx
from clipx import AudioFormat, WindowSpec, wds
from clipx.errors import PoolTooSmall

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify")


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


@pytest.mark.parametrize("kind", ["wav-s16", "flac", "mp3", "m4a", "adts", "ogg-opus", "webm-opus", "vorbis"])
def test_truncated_files(kind):
    data = sound_file(kind, "stereo", KINDS[kind][2][0], 4000)
    sound = whole_sound(data)
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
