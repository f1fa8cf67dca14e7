"""Packets from any key frame on, also of files whose own index leads elsewhere."""

import pytest

from clipx.errors import MediaError
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions
from clipx.video.seeking import NEAR_PACKETS, IndexedPackets

FRAMES, KEY_EVERY = 200, 10


@pytest.fixture
def file(make_video):
    file = VideoFile(str(make_video(n=FRAMES, g=str(KEY_EVERY))), "it", VideoOptions())
    yield file
    file.close()


class Misled:
    """A container whose seeks go to the key frame at or before another time."""

    def __init__(self, container, pts):
        self._container, self._pts, self.seeks = container, pts, 0

    def seek(self, pts, **options):
        self.seeks += 1
        self._container.seek(self._pts, **options)

    def __getattr__(self, name):
        return getattr(self._container, name)


def times(index, position):
    return index.packet_pts[position:].tolist()


def all_from(packets, position):
    return [packet.pts for packet in packets.all_from(position) if packet.size]


@pytest.mark.parametrize("position", [0, KEY_EVERY, 150, FRAMES - KEY_EVERY])
def test_any_key_frame(file, position):
    index = file.read_index()
    assert position in index.keys
    assert all_from(IndexedPackets(file, index), position) == times(index, position)


@pytest.mark.parametrize("at", [60, 150])
def test_a_seek_that_leads_too_far_back_is_read_on(file, at):
    index = file.read_index()
    file.container = Misled(file.container, int(index.packet_pts[20]))
    packets = IndexedPackets(file, index)
    assert all_from(packets, at) == times(index, at)
    assert file.container.seeks == 1


def test_a_seek_that_leads_too_far_is_replaced_by_reading_from_the_start(file):
    index = file.read_index()
    file.container = Misled(file.container, int(index.packet_pts[180]))
    assert all_from(IndexedPackets(file, index), 100) == times(index, 100)


def test_near_packets_are_read_and_far_ones_sought(file):
    index = file.read_index()
    file.container = Misled(file.container, 0)
    packets = IndexedPackets(file, index)
    for position, seeks in ((0, 1), (NEAR_PACKETS // KEY_EVERY * KEY_EVERY, 1), (FRAMES - KEY_EVERY, 2), (50, 3)):
        packets.go_to(position)
        assert packets.next().pts == index.packet_pts[position]
        assert file.container.seeks == seeks


def test_a_file_that_has_changed(file):
    index = file.read_index()
    index.packet_pts[105] += 1
    packets = IndexedPackets(file, index)
    packets.go_to(100)
    for _ in range(5):
        packets.next()
    with pytest.raises(MediaError, match="it changed while it was read: packet 105"):
        packets.next()
