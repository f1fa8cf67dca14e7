"""The packets of a video from any key frame on: by seeking, or by reading on where that is nearer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from clipx.errors import MediaError
from clipx.media.packet_index import NO_TIME, PacketIndex
from clipx.video.file import VideoFile

__all__ = ["IndexedPackets"]

# Packets that are passed over by reading them rather than by seeking.
NEAR_PACKETS = 64


class IndexedPackets:
    """The packets of a video with an index, from any key frame on.

    Attributes:
        position: number of the packet that `next` gives; -1 before the first `go_to`.
    """

    def __init__(self, file: VideoFile, index: PacketIndex) -> None:
        self._file = file
        self._pts_of = index.packet_pts
        self._packets: Iterator[av.Packet] = iter(())
        self._held: av.Packet | None = None
        self.position = -1

    def next(self) -> av.Packet:
        """The packet at `position`. Raises MediaError for a packet that the index does not have there."""
        packet, self._held = self._held, None
        while packet is None or not packet.size:
            packet = next(self._packets, None)
            if packet is None:
                break
        # `item`: a NumPy integer a packet would cost more than reading it.
        if packet is None or self._pts_of.item(self.position) not in (packet.pts, NO_TIME):
            raise MediaError(f"{self._file.name} changed while it was read: packet {self.position} is another")
        self.position += 1
        return packet

    def go_to(self, position: int) -> None:
        """Make `position`, which is a key frame's, the next."""
        ahead = position - self.position
        if self.position < 0 or ahead < 0 or ahead > NEAR_PACKETS:
            self._seek(position)
        while self.position < position:
            self.next()

    def all_from(self, position: int) -> Iterator[av.Packet]:
        """The packets from `position`, which is a key frame's, to the end of the file, also those not in the index."""
        self.go_to(position)
        if self._held is not None:
            yield self._held
        yield from self._packets

    def _seek(self, position: int) -> None:
        file = self._file
        file.container.seek(int(self._pts_of[position]), stream=file.stream)
        self._packets = file.packets()
        packet = next((packet for packet in self._packets if packet.size), None)
        found: Any = [] if packet is None else np.flatnonzero(self._pts_of == packet.pts)
        if len(found) == 1 and found[0] <= position:
            self._held, self.position = packet, int(found[0])
        else:
            # The file's own index is wrong: all packets are read from the start, then.
            file.rewind()
            self._packets = file.packets()
            self._held, self.position = None, 0
