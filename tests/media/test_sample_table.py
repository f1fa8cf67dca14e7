"""The index of a MOV or MP4 by the tables of its header: that of its packets, or none."""

import io
import struct
from contextlib import suppress

import av
import numpy as np
import pytest
from helpers.corpus import VIDEOS, video_bytes
from helpers.media import remuxed, rotated
from helpers.videos import KINDS, N

from clipx.media.opening import best_video, open_media
from clipx.media.packet_index import PacketIndex
from clipx.media.sample_table import header_of, index_of_header
from clipx.video.orientation import Orientation

PARTS = "pts", "durations", "frame_of", "packet_pts", "keys", "positions"
NAMES = [name for name in VIDEOS if name.startswith(("mp4", "mov", "3gp"))]


def indexes(data):
    """The index by the header, and by all packets."""
    with open_media(data, "it") as container:
        stream, file = best_video(container), io.BytesIO(data)
        header = header_of(file, len(data))
        found = None if header is None else index_of_header(container, stream, header, file, len(data))
        try:
            return found, PacketIndex.read(container, stream, len(stream.index_entries))
        except av.FFmpegError:
            return found, None


def check(data):
    """Returns whether the header gives the index."""
    found, expected = indexes(data)
    if found is not None:
        for name in PARTS:
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    return found is not None


@pytest.mark.parametrize("name", NAMES)
def test_kinds_of_files(name):
    assert check(video_bytes(name)) == (name in PLAIN)


PLAIN = {
    "mp4 h264, B-frames",
    "mp4 h264 without B-frames",
    "mp4 h264, open GOP",
    "mp4 hevc",
    "mp4 hevc, 10 bit",
    "mp4 av1",
    "mov prores",
    "mov mjpeg",
}


def _times(start=0, scale=1):
    def change(number, packet):
        packet.pts, packet.dts = packet.pts * scale + start, packet.dts * scale + start

    return change


def test_edit_lists_and_uneven_times(make_video, tmp_path):
    path = make_video(N, **KINDS["h264 b-frames"])
    assert check(remuxed(path, "mp4", _times(3000)))
    check(remuxed(path, "mp4", _times(-1024)))
    assert check(remuxed(path, "mov", to=tmp_path / "first.mov", options={"movflags": "faststart"}))
    for flags in ("frag_keyframe+empty_moov", "negative_cts_offsets"):
        check(remuxed(path, "mp4", options={"movflags": flags}))
    check(remuxed(path, "mp4", options={"use_editlist": "0"}))
    times = tuple(np.cumsum([0, *np.random.default_rng(3).integers(20, 90, 49)]).tolist())
    assert check(make_video(50, pts=times, g="10", bf="2").read_bytes())
    data = rotated(path, 90)
    header = header_of(io.BytesIO(data), len(data))
    assert Orientation.of_matrix(*header.matrix_of(1)) == (270, False)


def box(data, kind, at=0):
    """Where the contents of a box begin."""
    return data.index(kind, at) + 4


@pytest.mark.parametrize(
    ("kind", "offset", "value"),
    [
        (b"stts", 4, 7),
        (b"stts", 8, 1 << 31),
        (b"ctts", 8, 0),
        (b"ctts", 12, 0xFFFFFF00),
        (b"stsz", 8, 1 << 30),
        (b"stsz", 12, 0),
        (b"stss", 8, 9),
        (b"stss", 8, 0),
        (b"stsc", 12, 1 << 31),
        (b"stsc", 8, 0),
        (b"stco", 8, 0xFFFFFFFF),
        (b"elst", 12, 99),
        (b"elst", 4, 0),
        (b"mdhd", 12, 0),
        (b"stsd", 4, 2),
    ],
)
def test_tables_that_are_damaged(kind, offset, value):
    data = bytearray(video_bytes("mp4 h264, B-frames"))
    at = box(data, kind) + offset
    data[at : at + 4] = struct.pack(">I", value)
    with suppress(ValueError):  # where it is not opened
        check(bytes(data))


def test_headers_that_end_early():
    data = video_bytes("mp4 h264, B-frames")
    for size in (0, 7, 20, len(data) // 2, len(data) - 9):
        assert header_of(io.BytesIO(data[:size]), size) is None
    for garbage in (b"\0\0\0\x08free" * 100, struct.pack(">I4sQ", 1, b"moov", 1 << 62), b"\0" * 99):
        assert header_of(io.BytesIO(garbage), len(garbage)) is None
