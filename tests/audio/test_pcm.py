"""Files of PCM that are read without FFmpeg: every sample is FFmpeg's."""

import io
import os
from fractions import Fraction

import numpy as np
import pytest
from helpers.pcm_files import (
    GUID_64,
    aiff,
    au,
    check_equal,
    chunk,
    data_of,
    fmt,
    is_read_directly,
    samples_of,
    wav,
    wave64,
)
from helpers.pyav import partial_samples
from helpers.sounds import encode, noise
from hypothesis import given
from hypothesis import strategies as st

import clipx
from clipx import AudioFormat, MediaError
from clipx.audio.open_samples import open_samples
from clipx.audio.pcm import open_pcm
from clipx.audio.samples import SampleReader

INT16 = AudioFormat(dtype="int16")
WAV_TYPES = ("u8", "s16", "s24", "s32", "s64", "f32", "f64", "alaw", "mulaw")


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, out):
        return self._file.readinto(out)


N = 40_001  # more than a packet, and no multiple of anything


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8, 16])
@pytest.mark.parametrize("type", WAV_TYPES)
def test_types_and_channels_of_wav(type, channels):
    n = N // channels + 3
    file = wav(data_of(type, n, channels), fmt(type, channels))
    check_equal(file)
    check_equal(file, INT16)


@pytest.mark.parametrize("type", ["s16", "s24", "s32", "f32", "f64"])
def test_types_of_aiff(type):
    data = data_of(type, 5001, 2, big=True)
    compression = {"f32": b"fl32", "f64": b"FL64"}.get(type)
    for file in (aiff(data, type, 2, compression=compression), aiff(data, type, 2, compression=compression or b"NONE")):
        check_equal(file)
        check_equal(file, INT16)


def test_other_encodings_of_aiff():
    check_equal(aiff(data_of("s8", 5001), "s8"))
    check_equal(aiff(data_of("s16", 5001, 2), "s16", 2, compression=b"sowt"))
    check_equal(aiff(data_of("s16", 5001, 2), "s16", 2, compression=b"twos"))
    check_equal(aiff(data_of("u8", 5001, 2), "u8", 2, compression=b"alaw"))
    check_equal(aiff(data_of("u8", 5001, 2), "u8", 2, compression=b"ULAW"))
    check_equal(aiff(data_of("u8", 5001, 2), "u8", 2, compression=b"ulaw", bits=16), direct=False)
    check_equal(aiff(data_of("s16", 500, 2, big=True), "s16", 2, bits=12))
    check_equal(aiff(data_of("s24", 500, 2, big=True), "s24", 2, compression=b"in24"), direct=False)


@pytest.mark.parametrize(
    ("code", "type"), [(1, "u8"), (2, "s8"), (3, "s16"), (4, "s24"), (5, "s32"), (6, "f32"), (7, "f64"), (27, "u8")]
)
def test_types_of_au(code, type):
    data = data_of(type, 5001, 2, big=True)
    for kwargs in ({}, {"size": 0xFFFFFFFF}, {"size": 10}, {"note": b"a note, and zeros\0\0\0"}):
        check_equal(au(data, code, 2, **kwargs))


@pytest.mark.parametrize("type", ["s16", pytest.param("s24", marks=partial_samples), "f32"])
def test_wave64(type):
    data = data_of(type, 5003, 2)
    check_equal(wave64(data, fmt(type, 2)))
    check_equal(wave64(data, fmt(type, 2, mask=3)))
    check_equal(wave64(data[:-5], fmt(type, 2), size=24 + len(data)))
    check_equal(wave64(data, fmt(type, 2), behind=b"more" + bytes(60)), direct=False)


S16 = data_of("s16", 3001, 2)
F16 = fmt("s16", 2)
BEXT = chunk(b"bext", b"a" * 602)
LIST = chunk(b"LIST", b"INFOISFT" + b"\x05\0\0\0abcd\0\0")


@pytest.mark.parametrize(
    "file",
    [
        wav(S16, F16, before=LIST),
        wav(S16, F16, behind=LIST),
        wav(S16, F16, before=BEXT + LIST + chunk(b"JUNK", bytes(27)), behind=chunk(b"id3 ", b"ID3\3" + bytes(30))),
        wav(S16, F16, before=chunk(b"odd ", b"abc") + chunk(b"none", b""), behind=chunk(b"odd ", b"abc") + b"abc"),
        wav(S16, F16, before=chunk(b"fact", b"\1\0\0\0") + chunk(b"cue ", b"\xff\xff\xff\xff")),
        wav(S16, F16, before=chunk(b"JUNK", bytes(5000))),
        wav(S16, F16, size=0),
        wav(S16, F16, size=0xFFFFFFFF),
        wav(S16, F16, size=0xFFFFFFFF, behind=LIST),
        wav(S16, F16, size=4 * 10**9),
        wav(S16, F16, size=1000),
        wav(S16, F16, riff_size=0),
        wav(S16, F16, riff_size=2**32 - 1),
        wav(S16[:-1], F16),
        wav(S16[:-3], F16, size=len(S16)),
        wav(S16, fmt("s16", 2, byte_rate=0)),
        wav(S16, fmt("s16", 2, byte_rate=2**32 - 1)),
        wav(S16, fmt("s16", 2, bits=12)),
        wav(S16, fmt("s16", 2, extra=b"\0\0")),
        wav(S16, fmt("s16", 2, extra=b"\4\0abcd")),
        wav(S16, F16 + bytes(50)),
        wav(S16, F16, kind=b"RF64"),
        wav(S16, F16, kind=b"BW64", behind=BEXT),
        wav(S16, F16, kind=b"RF64", ds64=10**15),
        wav(S16, F16, kind=b"RF64", ds64=1000, size=12),
        wav(S16, fmt("s16", 2, mask=3)),
        wav(S16, fmt("s16", 2, mask=0)),
        wav(S16, fmt("s16", 2, mask=0x30)),
        wav(S16, fmt("s16", 2, mask=0x3F)),
        wav(S16, fmt("s16", 2, mask=0xC0000000)),
        wav(S16, fmt("s16", 2, mask=3, valid=0)),
        wav(S16, fmt("s16", 2, mask=3, valid=10)),
        wav(S16, F16, behind=chunk(b"fmt ", fmt("s24", 5))),
    ],
)
@pytest.mark.parametrize("format", [AudioFormat(), INT16], ids=["float32", "int16"])
@partial_samples
def test_odd_headers_of_wav(file, format):
    check_equal(file, format)


def test_the_format_may_follow_the_data():
    file = wav(S16, F16)
    head, format, rest = file[:12], file[12:36], file[36:]
    check_equal(head + rest + format)


@pytest.mark.parametrize(
    "file",
    [
        wav(S16, fmt("s16", 2, align=2)),
        wav(S16, fmt("s16", 2, align=0)),
        wav(S16, fmt("s16", 2, align=6)),
        wav(S16, F16, behind=chunk(b"data", S16)),
        wav(S16[:-1], F16, behind=b"\0" + LIST + LIST),
        wav(data_of("s32", 999, 2), fmt("s32", 2, mask=3, valid=24)),
        wav(data_of("s32", 999, 2), fmt("s32", 2, extra=b"\2\0\1\0")),
        wav(data_of("s24", 999, 2), fmt("s24", 2, align=8)),
        wave64(S16, F16, before=b"levl" + bytes(12) + (32).to_bytes(8, "little") + bytes(8)),
        aiff(S16, "s16", 2, before=b"CHAN\0\0\0\x0c\0\x65\0\2" + bytes(8)),
    ],
)
@partial_samples
def test_what_ffmpeg_treats_specially_is_left_to_it(file):
    check_equal(file, direct=False)


LEFT_TO_FFMPEG = [
    wav(S16, F16, before=chunk(b"SMV0", bytes(8))),
    wav(S16, F16, before=chunk(b"LIST", b"ab")),
    wav(S16, F16, behind=chunk(b"bext", b"short")),
    wav(S16, fmt("s16", 65)),
    wav(S16, fmt("s16", 0)),
    wav(S16, fmt("s16", 2, rate=0)),
    wav(S16, F16[:14]),
    b"RIFX" + wav(S16, F16)[4:],
    wav(S16, F16, kind=b"RF64", ds64=2**63),
    aiff(S16, "s16", 2)[:-500],
    aiff(S16, "s16", 2, behind=b"COMM\0\0\0\0"),
    aiff(S16, "s16", 2, before=b"FVER\0\0\0\4abcd"),
    aiff(S16, "s16", 2, rate=2**33),
    aiff(S16, "s16", 2, compression=b"sowt").replace(b"COMM\0\0\0\x18", b"COMM\0\0\0\x17"),
    au(S16, 3, 2, size=0),
    au(S16, 3, 2, size=2**31),
    au(S16, 99, 2),
]


@pytest.mark.parametrize("file", LEFT_TO_FFMPEG)
def test_what_ffmpeg_may_refuse_is_left_to_it(file):
    assert open_pcm(file, "file", AudioFormat()) is None


def test_chunks_that_end_farther_than_a_file_can(tmp_path):
    path = tmp_path / "it.w64"
    path.write_bytes(wave64(S16, F16, before=(b"abcd" + GUID_64 + (2**62 - 8).to_bytes(8, "little")) * 3))
    assert open_pcm(path, "file", AudioFormat()) is None
    with path.open("r+b") as file:
        file.write(wave64(S16, F16, size=2**62 - 8))
        file.truncate(200)
    check_equal(path)


HEADERS = [
    wav(data_of("s16", 300, 2), fmt("s16", 2), behind=chunk(b"LIST", b"adtl")),
    wav(data_of("s24", 300, 2), fmt("s24", 2, mask=3)),
    wav(data_of("f32", 300), fmt("f32"), kind=b"RF64"),
    wave64(data_of("s16", 300, 2), fmt("s16", 2)),
    aiff(data_of("s16", 300, 2), "s16", 2),
    aiff(data_of("f32", 300), "f32", compression=b"fl32", behind=b"MARK\0\0\0\3abc\0"),
    au(data_of("s16", 300, 2), 3, 2, note=b"a note.."),
]


@given(
    file=st.sampled_from(HEADERS),
    changes=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 1, 2, 8, 24, 32, 127, 128, 254, 255])), max_size=3),
    cut=st.one_of(st.just(0), st.integers(0, 400)),
    behind=st.sampled_from([b"", b"\0", b"data\4\0\0\0abcd", bytes(9), b"COMM\0\0\0\0"]),
)
@partial_samples
def test_changed_headers(file, changes, cut, behind):
    """A file that is read without FFmpeg has the samples that FFmpeg gives."""
    changed = bytearray(file)
    for place, byte in changes:
        changed[int(place * 139)] = byte
    changed = bytes(changed[: len(changed) - cut]) + behind
    if (pcm := open_pcm(changed, "file", AudioFormat())) is not None:
        pcm.close()
        check_equal(changed)


@pytest.mark.parametrize("type", ["s16", "s24", "f32"])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000, 44100])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_resampled_and_mixed(type, rate, dtype):
    for channels, mask in ((1, None), (2, 3), (2, None), (6, 0x3F)):
        n = N // channels
        file = wav(data_of(type, n, channels), fmt(type, channels, 16000, mask=mask))
        check_equal(file, AudioFormat(sample_rate=rate, dtype=dtype))
        if mask is not None or channels == 1:
            check_equal(file, AudioFormat(sample_rate=rate, dtype=dtype, mono=True))
            check_equal(file, AudioFormat(dtype=dtype, mono=True))


def test_other_files_resampled():
    for file in (
        wave64(data_of("s24", 9001, 2), fmt("s24", 2)),
        aiff(data_of("s16", 9001, 2, big=True), "s16", 2),
        au(data_of("f32", 9001, 2, big=True), 6, 2),
    ):
        check_equal(file, AudioFormat(sample_rate=11025))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("rate", "mono", "channels"),
    [(None, False, 2), (None, True, 2), (44100, False, 1), (8000, True, 6), (48000, True, 2)],
)
def test_samples_after_a_skip_are_those_of_a_whole_read(rate, mono, channels, seed):
    rng = np.random.default_rng(seed)
    file = wav(data_of("s16", 150_000, channels), fmt("s16", channels, 16000, mask={1: 4, 2: 3, 6: 0x3F}[channels]))
    format = AudioFormat(sample_rate=rate, mono=mono)
    whole, _, length = samples_of(open_samples(file, "file", format, None))
    assert length == whole.shape[1]
    source = open_samples(file, "file", format, None)
    at = int(rng.integers(length)) if seed else length - 1
    source.skip_to(at, length)
    came, after = 0, 0
    for i, (begin, piece) in enumerate(source.pieces()):
        assert begin >= after
        if i == 0:
            assert begin <= at
        after = begin + piece.shape[1]
        np.testing.assert_array_equal(piece, whole[:, begin:after])
        came += piece.shape[1]
        if rng.random() < 0.5 and after < length:
            source.skip_to(int(rng.integers(after, length)), length)
    assert after == length
    assert came <= length - at + 40_000
    assert source.time(at) == Fraction(at, rate or 16000)
    source.close()


def test_a_file_that_claims_more_samples_than_it_has():
    for claimed in (0xFFFFFFF0, 10**9):
        file = wav(S16, F16, size=claimed)
        assert open_samples(file, "file", AudioFormat(), None).length() == len(S16) // 4
    file = wav(S16, F16, kind=b"RF64", ds64=10**18)
    assert open_samples(file, "file", AudioFormat(), None).length() == len(S16) // 4


@pytest.mark.parametrize("file", [wav(b"", F16), wav(b"abc", F16), wav(S16, F16)[:44], aiff(b"", "s16"), au(b"", 3)])
def test_without_samples(file):
    with pytest.raises(MediaError, match=r"without samples|cannot be decoded|cannot be opened"):
        next(clipx.audio.clips(file, clipx.WindowSpec(1)))


def test_another_stream_is_a_media_error():
    with pytest.raises(MediaError, match="1 audio stream"):
        clipx.audio.clips(wav(S16, F16), clipx.WindowSpec(1), AudioFormat(stream=1))


def test_sound_of_another_rate_than_the_windows():
    spec = clipx.WindowSpec.of_seconds(1, fps=8000)
    for format in (AudioFormat(), AudioFormat(sample_rate=12000)):
        with pytest.raises(ValueError, match="8000 samples a second"):
            list(clipx.audio.clips(wav(S16, F16), spec, format))


@pytest.mark.parametrize("kind", ["path", "bytes", "bytearray", "array", "file", "file in its middle", "pipe"])
def test_kinds_of_sources(kind, tmp_path):
    file = wav(S16, F16)
    path = tmp_path / "a.wav"
    path.write_bytes(file)
    made = {
        "path": lambda: path,
        "bytes": lambda: file,
        "bytearray": lambda: bytearray(file),
        "array": lambda: np.frombuffer(file, np.uint8),
        "file": lambda: io.BytesIO(file),
        "file in its middle": lambda: io.BytesIO(b"before" + file),
        "pipe": lambda: Pipe(file),
    }[kind]()
    if kind == "file in its middle":
        made.seek(6)
    clips = [clip.data.copy() for clip in clipx.audio.clips(made, clipx.WindowSpec(1000, policy="repeat_last"))]
    expected, _, _ = samples_of(SampleReader(file, "file", AudioFormat(), None))
    np.testing.assert_array_equal(np.concatenate(clips, axis=1)[:, : expected.shape[1]], expected)


@pytest.mark.parametrize("format", [AudioFormat(), AudioFormat(sample_rate=8000)], ids=["as it is", "resampled"])
def test_a_file_that_becomes_shorter_while_it_is_read(format, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(data_of("s16", 400_000), fmt("s16")))
    clips = clipx.audio.clips(path, clipx.WindowSpec(1000), format)
    next(clips)
    os.truncate(path, 200_000)
    with pytest.raises(MediaError, match="shorter"):
        list(clips)


def test_a_missing_file_is_an_error_of_the_path(tmp_path):
    with pytest.raises(FileNotFoundError):
        clipx.audio.clips(tmp_path / "none.wav", clipx.WindowSpec(1))


@pytest.mark.parametrize("codec", ["adts", "mp3", "ac3", "spdif"])
def test_sound_of_another_codec_that_is_called_pcm(codec):
    """FFmpeg finds out what it is: the clips are those of that codec."""
    name, container = {
        "adts": ("aac", "adts"),
        "mp3": ("libmp3lame", "mp3"),
        "ac3": ("ac3", "ac3"),
        "spdif": ("ac3", "spdif"),
    }[codec]
    coded = encode(noise(48_000, 2), name, container, 48000, "stereo")
    coded += bytes(-len(coded) % 4)
    check_equal(wav(coded, fmt("s16", 2, 48000)), direct=False)


@pytest.mark.parametrize("scale", [0.0, 3e-4, 0.002, 0.1, 1.2])
def test_noise_is_no_other_codec(scale):
    rng = np.random.default_rng(5)
    sound = np.clip(rng.normal(0, scale, 200_000), -1, 1) * 32767
    assert is_read_directly(wav(sound.astype("<i2").tobytes(), F16))
