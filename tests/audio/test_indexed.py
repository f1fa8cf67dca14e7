"""Sound that is decoded near clips alone: clips of a full decode, which is made where a file is not a plain one."""

import gc
import os
import struct
import warnings
from functools import cache

import numpy as np
import pytest
from helpers.pyav import fails_on_pyav_17
from helpers.sounds import CHANNELS, decoded, encode, noise, whole_sound
from hypothesis import given, settings
from hypothesis import strategies as st

import clipx
from clipx import AudioFormat, Segment, WindowSpec
from clipx.audio import indexed_samples
from clipx.audio.clips import count_samples, selected_clips
from clipx.audio.file_bytes import FileBytes
from clipx.audio.kept_indexes import KeptIndexes
from clipx.audio.open_samples import open_samples
from clipx.plan import Selection

SECONDS = 8
NO_NOISE = (("aac_pns", "0"),)

# codec, container, rate, layout, options
FILES = {
    "mp3": ("libmp3lame", "mp3", 44100, "stereo", ()),
    "mp3-lsf": ("libmp3lame", "mp3", 16000, "mono", (("b", "24000"),)),
    "adts": ("aac", "adts", 44100, "mono", NO_NOISE),
    "m4a": ("aac", "ipod", 48000, "stereo", NO_NOISE),
    "flac": ("flac", "flac", 44100, "stereo", ()),
    "opus": ("libopus", "ogg", 48000, "stereo", (("b", "160000"),)),
    "vorbis": ("vorbis", "ogg", 44100, "stereo", ()),
}
FORMATS = [AudioFormat(), AudioFormat(sample_rate=16000, mono=True, dtype="int16")]
NEAR = 3 * 48000


@cache
def file_of(name, seconds=SECONDS):
    codec, container, rate, layout, options = FILES[name]
    return encode(noise(seconds * rate, CHANNELS[layout]), codec, container, rate, layout, options=dict(options))


@pytest.fixture
def full(monkeypatch):
    """The samples of full decodes since the test has begun."""
    given = []
    whole = indexed_samples.IndexedSamples._all

    def counting(self):
        for position, piece in whole(self):
            given.append(piece.shape[1])
            yield position, piece

    monkeypatch.setattr(indexed_samples.IndexedSamples, "_all", counting)
    return given


def segments_of(data, format, parts):
    """Clips, one of each part [start, end) of samples, that are all as long."""
    segments = [Segment(start, end, unit="frames") for start, end in parts]
    return list(clipx.audio.clips(data, WindowSpec(parts[0][1] - parts[0][0]), format, segments=segments))


def check_parts(data, format, sound, length=3000, seed=0):
    rng = np.random.default_rng(seed)
    n = sound.shape[1]
    for at in [*rng.integers(0, n - length, 4).tolist(), n - length, 0]:
        (clip,) = segments_of(data, format, [(at, at + length)])
        np.testing.assert_array_equal(clip.data, sound[:, at : at + length])


@pytest.mark.parametrize("format", FORMATS, ids=["plain", "resampled"])
@pytest.mark.parametrize("name", FILES)
def test_clips_are_those_of_a_full_decode(name, format, full):
    data = file_of(name)
    sound = whole_sound(data, format)
    source = open_samples(data, "it", format, None)
    assert source.length() == sound.shape[1] == count_samples(data, WindowSpec(1), format, "it")
    source.close()
    check_parts(data, format, sound)
    # Opus may look far back where transients follow each other, which is found out.
    assert sum(full) < NEAR or name == "opus"
    whole = list(clipx.audio.clips(data, WindowSpec(3000), format))
    (clip,) = segments_of(data, format, [(90_000, 93_000)])
    assert clip.pts_seconds == whole[30].pts_seconds


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(list(FILES)), st.lists(st.integers(0, 190), min_size=1, max_size=5, unique=True), st.data())
def test_any_selection_of_windows(name, indices, data):
    format = data.draw(st.sampled_from(FORMATS))
    policy = data.draw(st.sampled_from(["drop", "repeat_last", "reflect", "backpad"]))
    sound = whole_sound(file_of(name), format)
    window = WindowSpec(1000, stride=max(sound.shape[1] // 187, 1001), policy=policy)
    rows = window.indices(sound.shape[1])
    chosen = Selection(tuple(sorted(indices)), None)
    found = list(selected_clips(file_of(name), window, format, name="it", selection=chosen))
    assert [clip.index for clip in found] == [index for index in chosen.some if index < len(rows)]
    for clip in found:
        np.testing.assert_array_equal(clip.data, sound[:, rows[clip.index]])


def test_random_windows_and_segments_decode_only_what_is_near(full):
    data, window = file_of("mp3", 30), WindowSpec(4000, num_clips=5, sampling="random")
    sound = whole_sound(data)
    clips = clipx.audio.clips(data, window, rng=3)
    starts = window.starts(sound.shape[1], 3)
    for clip, start in zip(clips, starts, strict=True):
        np.testing.assert_array_equal(clip.data, sound[:, start : start + 4000])
    assert clips.num_frames == sound.shape[1]
    found = segments_of(data, AudioFormat(), [(start, start + 4000) for start in range(100_000, 1_300_000, 100_000)])
    for clip in found:
        np.testing.assert_array_equal(clip.data, sound[:, (at := 100_000 * (clip.segment.number + 1)) : at + 4000])
    assert sum(full) == 0


def test_a_window_of_another_rate_is_refused():
    window = WindowSpec.of_seconds(0.1, fps=16000, num_clips=1, sampling="random")
    with pytest.raises(ValueError, match="made for 16000 samples a second"):
        list(clipx.audio.clips(file_of("mp3"), window, rng=1))


# Files that are not plain ones of their kind.


def with_samples(data, samples):
    """A FLAC whose header says another number of samples."""
    number = int.from_bytes(data[21:26], "big") >> 36 << 36 | samples
    return data[:21] + number.to_bytes(5, "big") + data[26:]


def with_frames(data, count):
    """An MP3 whose Xing header says another number of frames."""
    at = max(data.find(b"Xing"), data.find(b"Info"))
    return data[: at + 8] + struct.pack(">I", count) + data[at + 12 :]


def with_bytes(data, count):
    """An MP3 whose Xing header says another number of bytes."""
    at = max(data.find(b"Xing"), data.find(b"Info"))
    return data[: at + 12] + struct.pack(">I", count) + data[at + 16 :]


ODD = {
    "mp3 that claims 10^9 frames": lambda: with_frames(file_of("mp3"), 10**9),
    "mp3 that claims 7 frames": lambda: with_frames(file_of("mp3"), 7),
    "mp3 that claims few bytes": lambda: with_bytes(file_of("mp3"), 5000),
    "mp3 that claims 15/16 of its bytes": lambda: with_bytes(file_of("mp3"), len(file_of("mp3")) * 15 // 16),
    "mp3 twice": lambda: 2 * file_of("mp3"),
    "mp3 truncated": lambda: file_of("mp3")[:-100],
    "mp3 with junk in the middle": lambda: file_of("mp3")[:100_000] + b"\xff\xfb" * 500 + file_of("mp3")[100_000:],
    "mp3 with a tag": lambda: file_of("mp3") + b"TAG" + b" " * 125,
    "mp3 with zeros": lambda: file_of("mp3") + bytes(3000),
    "adts twice": lambda: 2 * file_of("adts"),
    "adts truncated": lambda: file_of("adts")[:-20],
    "adts of two rates": lambda: file_of("adts") + encode(noise(16000), "aac", "adts", 16000),
    "flac that claims 10^9 samples": lambda: with_samples(file_of("flac"), 10**9),
    "flac that claims none": lambda: with_samples(file_of("flac"), 0),
    "flac that claims fewer": lambda: with_samples(file_of("flac"), 4608 * 20),
    "flac twice": lambda: 2 * file_of("flac"),
    "flac five times": lambda: 5 * file_of("flac", 2),
    "flac truncated": lambda: file_of("flac")[:-50],
    "flac with junk in the middle": lambda: file_of("flac")[:300_000] + b"\xff\xf8" * 500 + file_of("flac")[300_000:],
    "flac with a tag": lambda: file_of("flac") + b"TAG" + b" " * 125,
    "flac of few samples": lambda: encode(noise(4000), "flac", "flac", 16000),
    "vorbis twice": lambda: 2 * file_of("vorbis"),
    "vorbis truncated": lambda: file_of("vorbis")[:-1000],
    "vorbis with a page too few": lambda: without_page(file_of("vorbis"), 6),
    "m4a truncated": lambda: file_of("m4a")[:-4] + b"\0\0\0\0",
    "m4a in fragments": lambda: encode(
        noise(48000 * 3), "aac", "mp4", 48000, options={"movflags": "frag_keyframe+empty_moov", "aac_pns": "0"}
    ),
    "opus of a low rate": lambda: encode(
        noise(8000 * 3), "libopus", "ogg", 8000, options={"b": "12000", "application": "voip", "frame_duration": "40"}
    ),
    "aac with noise": lambda: encode(noise(48000 * 3), "aac", "ipod", 48000),
}


def without_page(data, number):
    at = [i for i in range(len(data)) if data.startswith(b"OggS\0", i)]
    return data[: at[number]] + data[at[number + 1] :]


JUNK = "flac with junk in the middle"
OTHER_LENGTH = fails_on_pyav_17("its FFmpeg gives another number of samples for it")


@pytest.mark.parametrize("name", [*sorted(ODD.keys() - {JUNK}), pytest.param(JUNK, marks=OTHER_LENGTH)])
def test_files_that_are_not_plain_give_the_clips_of_a_full_decode(name):
    data, format = ODD[name](), AudioFormat(damage="keep")
    sound = decoded(data)
    if "two rates" in name:
        with pytest.raises(clipx.MediaError, match="changes midway"):
            list(clipx.audio.clips(data, WindowSpec(3000, num_clips=1), format))
        return
    source = open_samples(data, "it", format, None)
    length = source.length()
    source.close()
    assert length in (None, sound.shape[1])
    check_parts(data, format, sound)


def test_clips_behind_the_last_packet_that_can_be_decoded_are_reported():
    data = bytearray(file_of("m4a"))
    begin = data.find(b"mdat") + 3000
    end = data.find(b"moov", begin) - 4
    data[begin:end] = bytes(end - begin)
    with pytest.raises(clipx.MediaError, match="samples where"):
        list(clipx.audio.clips(bytes(data), WindowSpec(100, num_clips=7), AudioFormat()))
    for damage in ("keep", "skip"):
        clips = clipx.audio.clips(bytes(data), WindowSpec(100, num_clips=7), AudioFormat(damage=damage))
        assert [clip.start for clip in clips] == [0]
        assert "samples where" in clips.damages[-1].reason
        late = clipx.audio.clips(bytes(data), WindowSpec(100, num_clips=1), AudioFormat(damage=damage))
        assert list(late) == []
        assert late.damages


def test_a_damaged_page_is_found_where_it_is_decoded(full):
    data = bytearray(file_of("vorbis"))
    data[len(data) // 2] ^= 1
    sound = decoded(bytes(data))
    (before,) = segments_of(bytes(data), AudioFormat(damage="keep"), [(2000, 3000)])
    np.testing.assert_array_equal(before.data, sound[:, 2000:3000])
    assert not sum(full) > NEAR
    middle = 4 * 44100
    (clip,) = segments_of(bytes(data), AudioFormat(damage="keep"), [(middle, middle + 44100)])
    np.testing.assert_array_equal(clip.data, sound[:, middle : middle + 44100])
    with pytest.raises(clipx.MediaError):
        segments_of(bytes(data), AudioFormat(), [(middle, middle + 44100)])


# Indexes that are kept.


def test_later_visits_of_a_path_open_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.mp3"
    path.write_bytes(file_of("mp3"))
    sound = whole_sound(file_of("mp3"))
    check_parts(path, AudioFormat(), sound)
    with monkeypatch.context() as patch:
        patch.setattr(indexed_samples.IndexedSamples, "_open", None)
        check_parts(path, AudioFormat(), sound, seed=1)
        check_parts(path, FORMATS[1], whole_sound(file_of("mp3"), FORMATS[1]))
    # Another file of the same size and name.
    other = bytearray(file_of("mp3"))
    other[50_000:60_000] = other[60_000:70_000]
    before = os.stat(path)
    path.write_bytes(bytes(other))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    (clip,) = segments_of(path, AudioFormat(damage="keep"), [(90_000, 190_000)])
    assert not np.array_equal(clip.data, sound[:, 90_000:190_000])


@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_a_run_that_is_dropped_closes_the_file(tmp_path, make_audio, suffix):
    path = make_audio()
    if suffix == "mp3":
        path = tmp_path / "a.mp3"
        path.write_bytes(file_of("mp3"))
    clips = clipx.audio.clips(path, WindowSpec(1000))
    next(clips)
    # In a cycle, the file is finalized before what would close it.
    cycle = [clips]
    cycle.append(cycle)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        del clips, cycle
        gc.collect()
    assert not found


def test_kept_indexes_are_bounded():
    source = indexed_samples.IndexedSamples(file_of("mp3"), "it", AudioFormat(), None, None, FileBytes(file_of("mp3")))
    assert source.length()
    index = source._index
    source.close()
    kept = KeptIndexes(3 * index.nbytes)
    keys = [((f"/{i}", 1, 1, 1), "best") for i in range(5)]
    for key in keys[:3]:
        kept.keep(*key, index)
    assert kept.find(*keys[0]) is index
    for key in [*keys[3:], keys[4]]:
        kept.keep(*key, index)
    assert [kept.find(*key) is not None for key in keys] == [True, False, False, True, True]
    KeptIndexes(index.nbytes - 1).keep(*keys[0], index)
