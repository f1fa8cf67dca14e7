"""Sound of clips between which pictures are not decoded: the same as where all of the file is."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.long import LONG
from helpers.movies import Movie, even

from clipx import AudioFormat, MediaError, VideoOptions, WindowSpec, video
from clipx.audio.indexed_run import IndexedRun
from clipx.audio.sound_index import Contradiction
from clipx.plan import Selection
from clipx.video.clips import selected_clips
from clipx.video.sound_apart import SoundApart
from clipx.video.with_audio import InterleavedSound

PLAIN = {"aac_pns": "0"}
"""Options of FFmpeg's encoder for AAC without noise that the decoder makes."""

# container, codec, rate, options
KINDS = [
    ("mp4", "aac", 44100),
    ("mp4", "aac", 48000, PLAIN),
    ("mov", "aac", 16000, PLAIN),
    ("mov", "pcm_s16le", 16000),
    ("mp4", "libmp3lame", 44100),
    ("matroska", "libopus", 48000),
    ("matroska", "flac", 16000),
]
SPECS = [
    WindowSpec(4, num_clips=3, sampling="random"),
    WindowSpec(3, 40),
    WindowSpec(2, 30, dilation=5, policy="repeat_last"),
    WindowSpec(5, num_clips=2),
]
FORMATS = [AudioFormat(), AudioFormat(sample_rate=16000, mono=True, order="NC"), AudioFormat(sample_rate=48000)]


@pytest.fixture
def films(tmp_path):
    """Makes videos of eight seconds with a key frame every ten frames."""

    def make(container="mp4", codec="aac", rate=48000, options=None, n=200, **rest):
        path = tmp_path / f"{container}-{codec}-{rate}-{len(list(tmp_path.iterdir()))}"
        Movie(path, container, codec, even(n), rate, seconds=rest.pop("seconds", n / 25), options=options, **rest)
        return path

    return make


def run(src, spec, **rest):
    clips = video.clips(src, spec, rng=3, **rest)
    clips.raises_errors = False
    found = [(clip.facts(), clip.data.tobytes(), clip.audio) for clip in clips]
    assert found
    return found, clips.frames_decoded


def check(path, spec, fewer=True, **rest):
    """A file object is read in one pass."""
    data = path.read_bytes()
    every, decoded = run(io.BytesIO(data), spec, **rest)
    for src in (path, data):
        some, fewer_decoded = run(src, spec, **rest)
        assert not fewer or fewer_decoded < decoded
        for one, other in zip(some, every, strict=True):
            assert one[:2] == other[:2]
            np.testing.assert_array_equal(one[2], other[2])


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_sound_equals_that_of_one_pass(films, kind, spec):
    path = films(*kind)
    # One of the formats, in turns: each kind, and each spec, meets all of them.
    turn = (KINDS.index(kind) + SPECS.index(spec)) % len(FORMATS)
    for format in FORMATS if LONG else [FORMATS[turn]]:
        check(path, spec, audio=format)


@pytest.mark.parametrize("damage", ["stop", "skip", "keep"])
def test_segments(films, damage):
    segments = [(0.5, 1.2), (5, 5.4), (1.1, 6.3), (7.5, 9)]
    options = VideoOptions(damage=damage)
    for spec in (WindowSpec(3), WindowSpec(4, num_clips=2), WindowSpec(3, 5, policy="wrap")):
        check(films(), spec, audio=AudioFormat(), segments=segments, options=options)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_silence_where_there_is_no_sound(films, kind):
    for rest in ({"start": Fraction(2), "seconds": 3}, {"seconds": 2.5}):
        path = films(*kind, **rest)
        check(path, WindowSpec(10, 15), audio=AudioFormat())


def test_gaps_are_silent(films):
    path = films("matroska", "pcm_s16le", 16000, skip=((30720, 40960),))
    check(path, WindowSpec(8, 11), audio=AudioFormat())
    found, _ = run(path, WindowSpec(8, 11), audio=AudioFormat())
    assert not all(sound.any(axis=1).all() for _, _, sound in found)


@pytest.mark.parametrize("fps", [5, 12])
def test_a_lower_rate(films, fps):
    check(films(), WindowSpec(4, 5), audio=AudioFormat(), options=VideoOptions(fps=fps))


def test_the_last_clip_is_moved_back(films):
    check(films(n=198), WindowSpec(10, 35, policy="backpad"), audio=AudioFormat())


@pytest.mark.parametrize("spec", [WindowSpec(4, 30), WindowSpec(8, 8)], ids=str)
def test_selected_clips(films, spec):
    path, sound = films(), AudioFormat(sample_rate=16000)

    def of(selection, src):
        clips = selected_clips(src, spec, audio=sound, selection=selection, name="it", rng=1)
        return [(clip.facts(), clip.data.tobytes(), clip.audio.tobytes()) for clip in clips], clips.frames_decoded

    every, decoded = of(Selection(), io.BytesIO(path.read_bytes()))
    n = len(every)
    for first in (n - 1, n // 2, 1):
        found, fewer = of(Selection((), first), path)
        assert found == every[first:]
        assert fewer < decoded
        assert of(Selection((0,), first), path)[0] == [every[0], *every[first:]]


def test_sound_is_decoded_from_near_its_clips(films, monkeypatch):
    packets = []
    decode = IndexedRun.frames

    def counted(self):
        for frame in decode(self):
            packets.append(frame)
            yield frame

    monkeypatch.setattr(IndexedRun, "frames", counted)
    monkeypatch.setattr(InterleavedSound, "take", None)
    path = films("mp4", "aac", 48000, PLAIN, n=500)
    [clip] = video.clips(path, WindowSpec(4, num_clips=1), audio=AudioFormat(sample_rate=16000))
    assert clip.audio.any()
    assert 0 < len(packets) < 16


def test_what_contradicts_the_index_is_decoded_from_the_start(films, monkeypatch):
    path, spec = films("mp4", "aac", 48000, PLAIN), WindowSpec(3, 40)
    wanted, _ = run(path, spec, audio=AudioFormat())
    checks = []

    def check(self):
        checks.append(self)
        if len(checks) == 2:
            raise Contradiction

    monkeypatch.setattr(IndexedRun, "check", check)
    found, _ = run(path, spec, audio=AudioFormat())
    assert len(checks) == 2 < len(found)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one[2], other[2])


def test_damage_beside_the_clips_is_not_seen_and_in_them_it_is(films):
    """The sound of eight seconds lies in the file from its beginning to its end."""
    path = films("mp4", "aac", 48000, PLAIN)
    data, spec = bytearray(path.read_bytes()), WindowSpec(4, num_clips=1)
    with av.open(io.BytesIO(data)) as file:
        entries = [(entry.pos, entry.size) for entry in file.streams.audio[0].index_entries]
    [wanted] = video.clips(bytes(data), spec, audio=AudioFormat())
    at, size = entries[len(entries) // 4]
    data[at : at + size] = b"\xff" * size
    [clip] = video.clips(bytes(data), spec, audio=AudioFormat())
    np.testing.assert_array_equal(clip.audio, wanted.audio)
    at, size = entries[len(entries) // 2 + 2]
    data[at : at + size] = b"\xff" * size
    with pytest.raises(MediaError):
        list(video.clips(bytes(data), spec, audio=AudioFormat()))
    [clip] = video.clips(bytes(data), spec, audio=AudioFormat(damage="keep"))
    assert clip.audio.shape == wanted.audio.shape


def test_files_without_sound(films, make_video):
    silent = make_video(100)
    with pytest.raises(MediaError, match="no audio stream"):
        list(video.clips(silent, WindowSpec(3, 40), audio=AudioFormat()))
    for clip in video.clips(silent, WindowSpec(3, 40), audio=AudioFormat(sample_rate=8000, mono=True)):
        assert not clip.audio.any()


def test_sound_is_not_gathered(films, monkeypatch):
    most = [0]
    take = SoundApart.take

    def watched(self, seconds):
        found = take(self, seconds)
        most[0] = max(most[0], self.samples_held)
        return found

    monkeypatch.setattr(SoundApart, "take", watched)
    for _ in video.clips(films("matroska", "libopus"), WindowSpec(4, 90), audio=AudioFormat()):
        pass
    assert 0 < most[0] < 48000


def test_files_are_closed(films, monkeypatch):
    closed = []
    close = SoundApart.close
    monkeypatch.setattr(SoundApart, "close", lambda self: closed.append(close(self)))
    clips = video.clips(films(), WindowSpec(4, 90), audio=AudioFormat())
    next(clips)
    clips.close()
    assert closed
    list(video.clips(films(), WindowSpec(4, 90, policy="repeat_last"), audio=AudioFormat()))
    assert len(closed) > 1
