"""Files of PCM for tests, with headers that say what a test wants, and their samples by FFmpeg and without it."""

import struct

import numpy as np

from clipx.audio.format import AudioFormat
from clipx.audio.open_samples import open_samples
from clipx.audio.pcm import PcmSource
from clipx.audio.pcm_resampled import ResampledPcm
from clipx.audio.samples import SampleReader

GUID_TAIL = bytes.fromhex("00001000800000aa00389b71")
GUID_64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")
RIFF_64 = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")

BYTES = {"u8": 1, "s8": 1, "s16": 2, "s24": 3, "s32": 4, "s64": 8, "f32": 4, "f64": 8, "alaw": 1, "mulaw": 1}
CODES = {"f32": 3, "f64": 3, "alaw": 6, "mulaw": 7}


def data_of(type, n, channels=1, big=False, seed=0):
    """n frames of random samples, which are no frames of another codec."""
    rng = np.random.default_rng([seed, n, channels])
    if type[0] == "f":
        return rng.normal(0, 0.5, n * channels).astype(f"{'>' if big else '<'}f{BYTES[type]}").tobytes()
    return rng.integers(0, 256, n * channels * BYTES[type], dtype=np.uint8).tobytes()


def chunk(name, data, size=None, pad=True):
    size = len(data) if size is None else size
    return name + struct.pack("<I", size) + data + b"\0" * (pad and len(data) % 2)


def fmt(
    type, channels=1, rate=16000, *, mask=None, valid=None, align=None, byte_rate=None, bits=None, extra=b"", code=None
):
    """The data of a "fmt " chunk; with a mask it is extensible."""
    code, size = CODES.get(type, 1), BYTES[type]
    bits = 8 * size if bits is None else bits
    align = channels * size if align is None else align
    byte_rate = rate * channels * size if byte_rate is None else byte_rate
    numbers = (channels, rate, min(byte_rate, 2**32 - 1), align, bits)
    if mask is None:
        return struct.pack("<HHIIHH", code, *numbers) + extra
    extension = struct.pack("<HHII", 22, bits if valid is None else valid, mask, code) + GUID_TAIL
    return struct.pack("<HHIIHH", 0xFFFE, *numbers) + extension + extra


def wav(data, format, *, before=b"", behind=b"", size=None, kind=b"RIFF", riff_size=None, ds64=None):
    """A WAV file; before, behind: chunks around that of the data, which states `size`."""
    body = b"WAVE"
    if kind != b"RIFF":
        body += chunk(b"ds64", struct.pack("<QQQI", 0, len(data) if ds64 is None else ds64, 0, 0))
        size = 0xFFFFFFFF if size is None else size
    body += chunk(b"fmt ", format) + before + chunk(b"data", data, size) + behind
    return kind + struct.pack("<I", len(body) if riff_size is None else riff_size) + body


def wave64(data, format, *, before=b"", behind=b"", size=None):
    def part(name, data, size=None):
        size = 24 + len(data) if size is None else size
        return name + GUID_64 + struct.pack("<Q", size) + data + b"\0" * (-len(data) % 8)

    body = b"wave" + GUID_64 + part(b"fmt ", format) + before + part(b"data", data, size) + behind
    return RIFF_64 + struct.pack("<Q", 24 + len(body)) + body


def rate_80(rate):
    exponent = rate.bit_length() - 1
    return struct.pack(">HQ", 16383 + exponent, rate << (63 - exponent))


def aiff(
    data, type, channels=1, rate=16000, *, compression=None, bits=None, offset=0, before=b"", behind=b"", size=None
):
    def part(name, data):
        return name + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)

    bits = 8 * BYTES[type] if bits is None else bits
    common = struct.pack(">HIH", channels, len(data) // channels // BYTES[type], bits) + rate_80(rate)
    form = b"AIFF"
    if compression is not None:
        form, common = b"AIFC", common + compression + b"\0\0"
    sound = struct.pack(">II", offset, 0) + bytes(offset) + data
    body = form + part(b"COMM", common) + before + part(b"SSND", sound) + behind
    return b"FORM" + struct.pack(">I", len(body)) + body


def au(data, code, channels=1, rate=16000, *, size=None, note=b""):
    size = len(data) if size is None else size
    return struct.pack(">4s5I", b".snd", 24 + len(note), size, code, rate, channels) + note + data


def is_read_directly(file, format=None):
    """A file is read without FFmpeg."""
    source = open_samples(file, "file", format or AudioFormat(), None)
    source.close()
    return isinstance(source, (PcmSource, ResampledPcm))


def samples_of(source):
    """All samples (channels, n) of a source, when the last begins, and how many it has said that there are."""
    length = source.length()
    try:
        pieces = [(begin, piece.copy()) for begin, piece in source.pieces()]
        n, arrays = 0, [piece for _, piece in pieces]
        for begin, piece in pieces:
            assert begin == n or not piece.shape[1]
            n += piece.shape[1]
        return np.concatenate(arrays, axis=1), float(source.time(max(n - 1, 0))), length
    finally:
        source.close()


def check_equal(file, format=None, direct=True):
    """A file's samples are those of FFmpeg; direct: whether they are read without it."""
    format = format or AudioFormat()
    expected, at, _ = samples_of(SampleReader(file, "file", format, None))
    assert is_read_directly(file, format) == direct
    found, found_at, length = samples_of(open_samples(file, "file", format, None))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert found_at == at
    assert length in (None, expected.shape[1])
    assert length is not None or not direct or format.sample_rate is not None
