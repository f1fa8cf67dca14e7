"""The rotation and flip that a file asks players for, in its container or in the stream itself."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple, cast

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from clipx.media.packet_index import nal_units

__all__ = ["SEI_TYPES", "UPRIGHT", "Orientation", "carries_orientation"]

SEI_TYPES = {"h264": frozenset({6}), "hevc": frozenset({39, 40})}
NAL_HEADER = {"h264": 1, "hevc": 2}
DISPLAY_ORIENTATION = 47  # payloadType, ITU-T H.264 D.2.27, H.265 D.2.17
EXIF_REACH = 4096
CLOCK = Fraction(1, 1000)  # of a filter for frames whose times do not matter


class Orientation(NamedTuple):
    """Frames are rotated counterclockwise by `rotation` degrees, a multiple of 90; then, if `mirrored`, flipped."""

    rotation: int
    mirrored: bool

    @classmethod
    def of_matrix(cls, a: int, b: int, c: int, d: int) -> Orientation:
        """The orientation nearest to a matrix that maps (x, y), y downwards, to (a x + c y, b x + d y)."""
        mirrored = a * d - b * c < 0
        if mirrored:
            a, c = -a, -c
        across, down = math.hypot(a, c), math.hypot(b, d)
        if not across or not down:
            return UPRIGHT
        degrees = math.degrees(math.atan2(-b / down, a / across))
        return cls(round(degrees / 90) % 4 * 90, mirrored)

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """The orientation that comes with a frame, from its container or from the stream."""
        try:
            found = _side_data(frame)
        except (ValueError, av.FFmpegError):
            return cls(round(frame.rotation / 90) % 4 * 90, False)
        for each in found:
            if each.type.name == "DISPLAYMATRIX" and len(data := bytes(each)) >= 20:
                a, b, _, c, d = struct.unpack("=5i", data[:20])
                return cls.of_matrix(a, b, c, d)
        return UPRIGHT

    @property
    def sideways(self) -> bool:
        """True if width and height are exchanged."""
        return self.rotation in (90, 270)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """A picture (height, width, ...) rotated and flipped, as a view of the array."""
        rotated = np.rot90(picture, self.rotation // 90)
        return rotated[:, ::-1] if self.mirrored else rotated

    def stored_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a picture before it is rotated, from those after."""
        return size[::-1] if self.sideways else size

    def stored(
        self, rectangle: tuple[float, float, float, float], size: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        """Where a rectangle (y, x, h, w) of a picture that is (height, width) after rotation lies before it."""
        (y, x, h, w), (height, width) = rectangle, size
        if self.mirrored:
            x = width - x - w
        for _ in range(self.rotation // 90):
            y, x, h, w = x, height - y - h, w, h
            height, width = width, height
        return y, x, h, w


UPRIGHT = Orientation(0, False)


def _side_data(frame: av.VideoFrame) -> list[Any]:
    try:
        return _listed(frame)
    except ValueError:
        pass  # av raises where any side data is of a kind that it does not know, such as Exif
    known = {int(kind.value) for kind in cast(Any, SideDataType)}
    graph = av.filter.Graph()
    filters = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=CLOCK)]
    for kind in range(max(known) + 16):
        if kind not in known:
            filters.append(graph.add("sidedata", f"mode=delete:type={kind}"))
    graph.link_nodes(*filters, graph.add("buffersink")).configure()
    graph.push(frame)
    return _listed(graph.pull())


def _listed(frame: Any) -> list[Any]:
    """The side data of a frame by number: iterating over it gives the data or, from av 19 on, their kinds."""
    found = frame.side_data
    return [found[i] for i in range(len(found))]


def carries_orientation(packet: av.Packet, codec: str, extradata: bytes) -> bool:
    """True if a packet may bring an orientation of its own: an SEI message of H.264 or HEVC, or the Exif of a JPEG."""
    if codec == "mjpeg":
        return b"Exif\0" in bytes(memoryview(packet)[:EXIF_REACH])
    if codec not in SEI_TYPES:
        return False
    if codec == "hevc" and b"\x4e\x01" in extradata:
        return True  # an SEI in the header, whatever it says
    data = bytes(packet)
    return any(
        DISPLAY_ORIENTATION in _payload_types(data[begin + NAL_HEADER[codec] : end])
        for kind, begin, end in nal_units(data, extradata, codec)
        if kind in SEI_TYPES[codec]
    )


def _payload_types(sei: bytes) -> Iterator[int]:
    """Types of the messages of an SEI (ITU-T H.264 7.3.2.3.1), given without the header of its NAL unit."""
    data = sei.replace(b"\0\0\3", b"\0\0")
    at = 0

    def number() -> int:
        nonlocal at
        total = 0
        while data[at : at + 1] == b"\xff":
            total, at = total + 255, at + 1
        total += data[at] if at < len(data) else 0
        at += 1
        return total

    while at + 2 < len(data):
        yield number()
        size = number()
        at += size
