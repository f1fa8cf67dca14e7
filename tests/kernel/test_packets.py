"""Walks over packets: the frames and pages that are there, whatever bytes come."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx._kernel import packets

MP3 = 0xFFFB9064  # MPEG 1, layer III, 128 kbit/s, 44100 samples a second, joint stereo
ADTS = bytes.fromhex("fff15080000000")  # LC, 44100 samples a second, stereo
KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)


def mp3_frame(kbits, padded):
    header = MP3 & ~0xF200 | KBITS.index(kbits) << 12 | padded << 9
    return struct.pack(">I", header) + bytes(144 * 1000 * kbits // 44100 + padded - 4)


def adts_frame(size):
    head = bytearray(ADTS)
    head[3] |= size >> 11
    head[4], head[5] = size >> 3 & 255, (size & 7) << 5
    return bytes(head) + bytes(size - 7)


@given(st.lists(st.tuples(st.sampled_from(KBITS[1:]), st.booleans()), min_size=1, max_size=30), st.integers(0, 9))
def test_frames_of_mp3(kinds, before):
    frames = [mp3_frame(*kind) for kind in kinds]
    data = bytes(before) + b"".join(frames) + b"TAG"
    sizes = np.zeros(len(frames) + 1, np.uint16)
    first = int.from_bytes(frames[0][:4], "big")
    assert packets.walk_frames(data, before, first, False, sizes) == (len(frames), len(data) - 3)
    assert sizes[:-1].tolist() == [len(frame) for frame in frames]
    assert packets.walk_frames(data, before, first, False, sizes[:1]) == (1, before + len(frames[0]))
    # One channel among two.
    mono = data[:-3] + struct.pack(">I", MP3 | 0xC0) + bytes(1000)
    assert packets.walk_frames(mono, before, first, False, sizes) == (len(frames), len(data) - 3)


@given(st.lists(st.integers(8, 8191), min_size=1, max_size=30))
def test_frames_of_adts(lengths):
    data = b"".join(map(adts_frame, lengths))
    sizes = np.zeros(len(lengths), np.uint16)
    assert packets.walk_frames(data, 0, int.from_bytes(ADTS[:4], "big"), True, sizes) == (len(lengths), len(data))
    assert sizes.tolist() == lengths


def ogg_page(number, granule, bodies, serial=7, flags=0):
    """A page of whole packets, with a checksum of 0."""
    lacing = b"".join(b"\xff" * (len(body) // 255) + bytes([len(body) % 255]) for body in bodies)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, number, 0, len(lacing))
    return head + lacing + b"".join(bodies)


@given(st.lists(st.lists(st.integers(1, 600), min_size=1, max_size=4), min_size=1, max_size=9))
def test_pages_of_opus(sizes):
    pages = [ogg_page(i, 0, [b"\xf8" * size for size in each]) for i, each in enumerate(sizes)]
    data = b"".join(pages)
    out = np.zeros((len(pages) + 1, 4), np.int64)
    assert packets.OggPages(7).walk(data, 0, out) == (len(pages), len(data), True)
    assert out[:-1, 0].tolist() == [len(page) for page in pages]
    assert out[:-1, 2].tolist() == [len(each) for each in sizes]
    assert out[:-1, 3].tolist() == [960 * len(each) for each in sizes]
    # A page that is not whole is waited for; one of another stream or number is not the next.
    assert packets.OggPages(7).walk(data[:-1], 0, out) == (len(pages) - 1, len(data) - len(pages[-1]), True)
    assert packets.OggPages(8).walk(data, 0, out) == (0, 0, False)
    silk = ogg_page(0, 0, [b"\x78" * 9])
    assert packets.OggPages(7).walk(silk, 0, out) == (0, 0, False)
    assert packets.OggPages(7).walk(pages[0] + pages[0], 0, out) == (1, len(pages[0]), False)


@settings(max_examples=200)
@given(
    st.binary(max_size=600), st.integers(0, 700), st.sampled_from([b"", b"OggS\0", b"\xff\xfb", b"\xff\xf8\xc9\x18"])
)
def test_any_bytes(data, at, head):
    data = head + data
    sizes, pages = np.zeros(20, np.uint16), np.zeros((5, 4), np.int64)
    for adts in (False, True):
        found, end = packets.walk_frames(data, at, int.from_bytes(data[:4], "big"), adts, sizes)
        assert end == at + int(sizes[:found].sum())
    found, end, _ = packets.OggPages(0, np.full(256, 64, np.uint16)).walk(data, at, pages)
    assert end == at + int(pages[:found, 0].sum()) <= max(len(data), at)
    found, number, samples = packets.find_flac_frame(data, at, int.from_bytes(data[:4], "big"), -1)
    assert found == -1 or (at <= found < len(data) and number >= 0 and 1 <= samples <= 65536)
    assert packets.flac_frame_is_whole(data) in (True, False)
    assert packets.page_is_whole(data) in (True, False)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="at is -1"):
        packets.walk_frames(b"1234567", -1, 0, False, np.zeros(1, np.uint16))
    with pytest.raises(ValueError, match="at is -1"):
        packets.find_flac_frame(b"1234567", -1, 0, 0)
    with pytest.raises(ValueError, match="four columns"):
        packets.OggPages(0).walk(b"", 0, np.zeros((1, 3), np.int64))
    with pytest.raises(ValueError, match="blocks has 3 numbers"):
        packets.OggPages(0, np.zeros(3, np.uint16))
