"""The index of FLAC files by their own header: the one that FFmpeg's view of them gives, or none."""

import numpy as np
import pytest
from helpers.sounds import CHANNELS, decoded, encode, noise

import clipx
from clipx import AudioFormat, WindowSpec
from clipx._kernel import packets
from clipx.audio.file_bytes import FileBytes
from clipx.audio.find_index import index_of
from clipx.audio.flac_head import index_of_flac
from clipx.audio.streams import open_audio


def flac(layout="stereo", rate=44100, **options):
    return encode(noise(3 * rate, CHANNELS[layout]), "flac", "flac", rate, layout, options=options)


def with_block(data, kind, content):
    """A file with one more block in its header, behind the first one."""
    return data[:42] + bytes([kind]) + len(content).to_bytes(3, "big") + content + data[42:]


MASK = b"\0\0\0\0\1\0\0\0" + (b"\x28\0\0\0" + b"waveformatextensible_channel_mask=0x0100")


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_it_is_the_index_of_the_opened_file(layout, rate):
    data = with_block(flac(layout, rate), 2, b"abcd")
    found = index_of_flac(FileBytes(data))
    container, stream = open_audio(data, AudioFormat(), "it")
    with container:
        expected = index_of(container, stream, FileBytes(data))
    for name in ("skip", "length", "start", "kind", "codec", "extradata", "can_start"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.packets.samples == expected.packets.samples


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"ID3" + data,
        lambda data: data[:40],
        lambda data: with_block(data, 4, MASK),
        lambda data: with_block(data, 5, bytes(400)),
        lambda data: with_block(data, 6, bytes(400)),
        lambda data: with_block(data, 127, b""),
        lambda data: data[:18] + bytes(3) + data[21:],
        lambda data: data[:-3],
    ],
    ids=["tag before", "short", "channel mask", "table of tracks", "picture", "unknown block", "no rate", "truncated"],
)
def test_none_where_the_header_is_not_plain(change):
    assert index_of_flac(FileBytes(flac())) is not None
    assert index_of_flac(FileBytes(change(flac()))) is None


def test_more_channels_are_left_to_ffmpeg():
    assert index_of_flac(FileBytes(flac("5.1"))) is None


def test_a_random_clip_opens_nothing(monkeypatch):
    data = flac()
    sound = decoded(data)
    monkeypatch.setattr("clipx.audio.indexed_samples.SampleReader", None)
    for seed in range(5):
        (clip,) = clipx.audio.clips(data, WindowSpec(10_000, num_clips=1, sampling="random"), rng=seed)
        np.testing.assert_array_equal(clip.data, sound[:, clip.start : clip.start + 10_000])


# Checksums.


def remainder(data, bits, polynomial):
    """A checksum of bytes, bit by bit."""
    value, top, most = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & most
    return value


@pytest.mark.parametrize("n", [27, 28, 31, 32, 33, 34, 41, 300])
def test_checksums_of_pages_and_frames(n):
    data = bytearray(np.random.default_rng(n).integers(0, 256, n, dtype=np.uint8).tobytes())
    data[22:26] = bytes(4)
    data[22:26] = remainder(data, 32, 0x04C11DB7).to_bytes(4, "little")
    frame = bytes(data) + remainder(data, 16, 0x8005).to_bytes(2, "big")
    assert packets.page_is_whole(data)
    assert packets.flac_frame_is_whole(frame)
    for at in range(n):
        data[at] ^= 1
        assert not packets.page_is_whole(data)
        assert not packets.flac_frame_is_whole(bytes(data) + frame[-2:])
        data[at] ^= 1
