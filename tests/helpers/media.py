"""Files and file objects of media: what can only be read onwards, packets in another container, rotated pictures."""

import ctypes
import io
import os
import select
import struct

import av

import clipx


class Pipe(io.RawIOBase):
    """Bytes that can only be read onwards."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def read(self, size=-1):
        return self._data.read(size)


class OnlyRead:
    """A file object that cannot seek, and has no methods that say so."""

    def __init__(self, data):
        self.read = io.BytesIO(data).read


class Watch:
    """Reports whether a file has been opened by anybody, C code included, since the last question."""

    def __init__(self, *paths):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in paths:
            assert libc.inotify_add_watch(self.fd, os.fsencode(path), 0x20) >= 0  # IN_OPEN

    def opened(self):
        if not select.select([self.fd], [], [], 0)[0]:
            return False
        os.read(self.fd, 65536)
        return True


def remuxed(path, container, change=lambda number, packet: None, to=None, options=None):
    """The packets of a file's first video, in their order, in another container.

    change: called with each packet and its number; it may set the packet's times, and returns other bytes for it or
    None. to: the path of the file, which else is never on disk.
    """
    out = io.BytesIO() if to is None else str(to)
    with av.open(str(path)) as source, av.open(out, "w", format=container, options=options) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for number, packet in enumerate(each for each in source.demux(stream) if each.size):
            data = change(number, packet)
            if data is not None:
                old, packet = packet, av.Packet(data)  # noqa: PLW2901
                packet.pts, packet.dts, packet.duration = old.pts, old.dts, old.duration
                packet.time_base, packet.is_keyframe = old.time_base, old.is_keyframe
            packet.stream = copy
            target.mux(packet)
    return out.getvalue() if to is None else to.read_bytes()


def rotated(path, degrees):
    """The file, made to ask players to rotate its pictures clockwise: the matrix in its track header is set."""
    data = bytearray(path.read_bytes())
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    at = data.index(b"tkhd") + 4 + 40
    assert data[at - 40] == 0  # version
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    return bytes(data)


class Unseekable(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation

    tell = seek


def until_error(clips):
    """The clips of an iterator, the error that ended them, if one did, and the damage that was found."""
    got = []
    try:
        for clip in clips:
            got.append(clip)
    except clipx.MediaError as exn:
        return got, exn, clips.damages
    return got, None, clips.damages
