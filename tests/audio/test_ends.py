"""Ends of streams of sound: sizes that were never written, tags, files that have been joined."""

import io
import struct
import wave

import numpy as np
import pytest
import soundfile
from helpers.pyav import fails_on_pyav_17, partial_samples
from helpers.sounds import CORPUS, corpus_file, decoded, encode, noise, wav_header

import clipx
from clipx import AudioFormat, WindowSpec

INT16 = AudioFormat(dtype="int16")
FEW = [WindowSpec(500)]
WINDOWS = [*FEW, WindowSpec(400, 1700), WindowSpec(300, num_clips=4), WindowSpec(700, 300, policy="wrap")]


def check_whole(data, format=None, sound=None, windows=WINDOWS):
    """Without a word, the clips of every window are those of the full decode. Returns the number of samples."""
    format = format or AudioFormat()
    sound = decoded(data, format) if sound is None else sound
    for window in windows:
        clips = clipx.audio.clips(data, window, format)
        rows = window.indices(sound.shape[1])
        np.testing.assert_array_equal([clip.data for clip in clips], np.moveaxis(sound[:, rows], 0, 1))
        assert clips.num_frames == sound.shape[1]
        assert clips.damages == []
    return sound.shape[1]


@pytest.mark.parametrize("name", CORPUS)
def test_files_that_are_whole(name):
    data = corpus_file(name)
    assert check_whole(data) >= 0.99 * CORPUS[name][2]
    check_whole(data, AudioFormat(sample_rate=12000, mono=True, dtype="int16"))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFF000, 0x7FFFFFFF, 700_000])
@pytest.mark.parametrize("n", [1, 700, 8_001, 100_000])
@pytest.mark.parametrize("channels", [1, 3])
def test_wav_of_a_size_that_was_never_written(size, n, channels):
    samples = np.random.default_rng(n).integers(-9000, 9000, (n, channels)).astype("<i2")
    data = wav_header(size, channels) + samples.tobytes()
    window = WindowSpec(700, policy="constant")
    for source in (data, io.BytesIO(data)):
        clips = list(clipx.audio.clips(source, window, INT16))
        joined = np.concatenate([clip.data[:, : clip.valid] for clip in clips], axis=1)
        np.testing.assert_array_equal(joined, samples.T)


@pytest.mark.parametrize("kind", ["RF64", "W64", "AIFF", "AU"])
def test_other_files_of_plain_samples(kind):
    samples = np.random.default_rng(5).integers(-9000, 9000, (9_001, 2)).astype("i2")
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format=kind, subtype="PCM_16")
    check_whole(file.getvalue(), INT16, samples.T)
    if kind == "AU":  # which says that its size is not known by 0xFFFFFFFF
        data = file.getvalue()
        check_whole(data[:8] + b"\xff\xff\xff\xff" + data[12:], INT16, samples.T)


@pytest.mark.parametrize("end", [1, 2, 3, 5, 4097])
def test_plain_samples_that_end_inside_one(end):
    samples = np.random.default_rng(5).integers(-9000, 9000, (9_001, 2)).astype("<i2")
    data = (wav_header(2**20, 2) + samples.tobytes())[:-end]
    check_whole(data, INT16, samples[: len(samples) - -(-end // 4)].T)


BLOCKS = {
    "adpcm_swf": (44100, "s16"),
    "adpcm_ms": (22050, "s16"),
    "adpcm_ima_wav": (22050, "s16p"),
    "adpcm_yamaha": (22050, "s16"),
    "pcm_alaw": (8000, "s16"),
    "libmp3lame": (44100, "fltp"),
    "ac3": (48000, "fltp"),
}


@pytest.mark.parametrize("codec", BLOCKS)
@pytest.mark.parametrize("missing", [0, 700])
def test_blocks_in_wav(codec, missing):
    rate, _ = BLOCKS[codec]
    data = encode(noise(3 * rate), codec, "wav", rate)
    assert check_whole(data[: len(data) - missing]) > 2.5 * rate


def id3v2(size):
    body = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8).tobytes()
    return b"ID3\x04\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + body


LYRICS = b"LYRICSBEGIN" + b"IND0000200" + b"la la \xff\xfb la " * 30 + b"000400LYRICS200"
ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 332, 1, 0xA0000000) + bytes(8) + b"\x05\0\0\0\0\0\0\0Title\0Hello"
APE += bytes(260) + b"APETAGEX" + struct.pack("<IIII", 2000, 332, 1, 0x80000000) + bytes(8)
BEHIND = {
    "nothing": b"",
    "zeros": bytes(5000),
    "ID3v1": ID3V1,
    "Lyrics3": LYRICS,
    "Lyrics3, ID3v1": LYRICS + ID3V1,
    "APE": APE,
    "APE, ID3v1": APE + ID3V1,
    "ID3v2": id3v2(90),
    "ID3v2 of a picture": id3v2(40_000),
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("name", ["mp3", "adts", "ac3"])
def test_tags_and_zeros_behind_frames_and_between_files(name, behind):
    one, other = corpus_file(name), corpus_file(name, 0.7, 1)
    n = check_whole(one, windows=FEW)
    assert check_whole(one + BEHIND[behind], windows=FEW) >= n - 1536 * (
        name == "ac3"
    )  # whose last frame FFmpeg then loses
    if name == "mp3":
        assert check_whole(one + BEHIND[behind] + other, windows=FEW) >= n + 0.7 * 44100
        assert check_whole(one + BEHIND[behind] + one[one.index(b"\xff\xfb") :], windows=FEW) >= 2 * n


@pytest.mark.parametrize("name", ["mp3", "adts", "ac3", "flac", "opus", "vorbis", "webm", "mkv", "ts"])
def test_files_that_have_been_joined(name):
    one, other = corpus_file(name), corpus_file(name, 0.7, 1)
    n = check_whole(one, windows=FEW)
    assert check_whole(one + other) >= n + 0.69 * CORPUS[name][2]
    if name not in ("webm", "mkv"):  # of which FFmpeg finds some of the third
        assert check_whole(other + one + one, windows=FEW) >= 2 * n + 0.69 * CORPUS[name][2]


def test_times_go_on_where_a_clock_starts_anew():
    one = corpus_file("ts")
    clips = list(clipx.audio.clips(one + one, WindowSpec(4800)))
    first = clips[0].pts_seconds
    np.testing.assert_allclose([clip.pts_seconds - first for clip in clips], np.arange(len(clips)) / 10, atol=1e-9)


def test_joined_flac_in_ogg():
    parts = [encode(noise(n, 2, n), "flac", "ogg", 16000, "stereo") for n in (9000, 7000)]
    sound = np.concatenate([decoded(part) for part in parts], axis=1)
    check_whole(b"".join(parts), sound=sound)


OTHER_ERROR = fails_on_pyav_17("its FFmpeg gives another error for joined FLAC")


@pytest.mark.parametrize("name", ["opus", "vorbis", pytest.param("flac", marks=OTHER_ERROR), "adts"])
def test_joined_files_of_another_kind(name):
    """The clips before it come first."""
    codec, container, rate, _ = CORPUS[name]
    one = corpus_file(name)
    other = {
        "opus": (noise(rate), codec, container, rate, "mono"),
        "vorbis": (noise(22050, 2), codec, container, 22050, "stereo"),
        "flac": (noise(8000), codec, container, 8000, "mono"),
        "adts": (noise(rate, 2), codec, container, rate, "stereo"),
    }[name]
    for damage in ("stop", "skip", "keep"):
        got = []
        with pytest.raises(clipx.MediaError, match="changes midway"):
            got.extend(clipx.audio.clips(one + encode(*other), WindowSpec(500), AudioFormat(damage=damage)))
        sound = decoded(one)
        assert len(got) >= sound.shape[1] // 500 - 1
        for clip in got[: sound.shape[1] // 500]:
            np.testing.assert_array_equal(clip.data, sound[:, clip.start : clip.start + 500])


@pytest.mark.parametrize(("container", "codec"), [("mp3", "libmp3lame"), ("mp2", "mp2"), ("mpegts", "libmp3lame")])
@pytest.mark.parametrize(("rate", "layout"), [(32000, "mono"), (48000, "stereo"), (24000, "stereo")])
def test_joined_mpeg_audio_of_another_kind(container, codec, rate, layout):
    """Whose first frame has the rate of the last one that was looked into."""
    one = encode(noise(48000), codec, container, 48000)
    other = encode(noise(rate, 1 + (layout == "stereo")), codec, container, rate, layout)
    sound, got = decoded(one), []
    with pytest.raises(clipx.MediaError, match=rf"changes midway from \(48000, 'mono'\) to \({rate}, '{layout}'\)"):
        got.extend(clipx.audio.clips(one + other, WindowSpec(500)))
    assert len(got) >= 47
    for clip in got:
        np.testing.assert_array_equal(clip.data, sound[:, clip.start : clip.start + 500])


@pytest.mark.parametrize("name", ["mp3", "adts", "ac3", "ts"])
def test_streams_that_begin_in_the_middle(name):
    data = corpus_file(name)
    for first in (1024, len(data) // 3, len(data) // 2 + 17):
        n = check_whole(data[first:], windows=FEW)
        assert n >= (1 - first / len(data)) * CORPUS[name][2] - 5000


@pytest.mark.parametrize(
    "name",
    [*sorted(set(CORPUS) - {"m4a", "alac", "wavpack", "flac", "w64"}), pytest.param("w64", marks=partial_samples)],
)
def test_files_whose_last_tenth_is_cut_off(name):
    """Where no header says how many samples there are, that is their end."""
    data = corpus_file(name, 2.0)
    assert check_whole(data[: len(data) * 9 // 10], windows=FEW) >= 0.49 * 2 * CORPUS[name][2]


def header_first(data):
    """An MP4 file with its index in front of its packets."""
    at = data.index(b"moov") - 4
    moov = bytearray(data[at:])
    stco = moov.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", moov, stco)
    for i in range(stco + 4, stco + 4 + 4 * count, 4):
        struct.pack_into(">I", moov, i, struct.unpack_from(">I", moov, i)[0] + len(moov))
    ftyp = struct.unpack_from(">I", data)[0]
    return data[:ftyp] + moov + data[ftyp:at]


@pytest.mark.parametrize("name", ["flac", "m4a", "alac"])
def test_files_that_end_before_the_samples_that_they_announce(name):
    data = corpus_file(name)
    if name != "flac":
        data = header_first(data)
        assert check_whole(data) == check_whole(corpus_file(name))
    data = data[: len(data) * 8 // 10]
    sound = decoded(data)
    for damage in ("stop", "skip", "keep"):
        clips = clipx.audio.clips(data, WindowSpec(500), AudioFormat(damage=damage))
        got, reason = [], None
        try:
            got.extend(clips)
        except clipx.MediaError as exn:
            reason = str(exn)
        assert len(got) == sound.shape[1] // 500
        for clip in got:
            np.testing.assert_array_equal(clip.data, sound[:, clip.start : clip.start + 500])
            assert clip.damaged is None
        assert (reason is not None) == (damage == "stop")
        assert len(clips.damages) == (damage != "stop")
        if reason:
            assert f"(at {sound.shape[1] / CORPUS[name][2]:.3f} s)" in reason


def test_a_wave_of_python_and_a_pipe(tmp_path):
    path = tmp_path / "a.wav"
    samples = np.random.default_rng(0).integers(-9000, 9000, 30_000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        check = np.concatenate([clip.data[0] for clip in clipx.audio.clips(source, WindowSpec(1000), INT16)])
        np.testing.assert_array_equal(check, samples)
