"""Packets on their way to the decoder: up to an error of the file, and until each has given its frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

import av

from clipx.media.packet_index import is_shown

__all__ = ["PendingPackets", "packets_until_error"]


def packets_until_error(
    packets: Iterator[av.Packet], on_error: Callable[[av.FFmpegError], None]
) -> Iterator[tuple[av.Packet | None, bool]]:
    """(packet, False) up to the end or to an error, which `on_error` is called with, and then (None, True).

    A corrupt packet that is the last one comes with True.
    """

    found = _until_error(packets, on_error)
    for packet in found:
        following: av.Packet | None = packet
        while following is not None and following.is_corrupt:
            corrupt, following = following, next(found, None)
            # At the end av gives empty packets.
            yield corrupt, following is None or not following.size
        if following is not None:
            yield following, False
    yield None, True


def _until_error(packets: Iterator[av.Packet], on_error: Callable[[av.FFmpegError], None]) -> Iterator[av.Packet]:
    try:
        yield from packets
    except av.FFmpegError as exn:
        on_error(exn)


class PendingPackets:
    """Packets that have not given their frame yet, for codecs of which each gives one."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._times: list[int] = []
        self._untimed = 0

    @property
    def remain(self) -> bool:
        """True if packets are left that have not given a frame."""
        return bool(self._times) or self._untimed > 0

    def send(self, packet: av.Packet) -> None:
        """Add the packet that is decoded next."""
        if packet.is_discard or not is_shown(packet, self._codec):
            return
        if packet.pts is None:
            self._untimed += 1
        else:
            heappush(self._times, packet.pts)

    def receive(self, image: av.VideoFrame) -> bool:
        """Remove the packet of the frame that comes next. Returns True if one before it gave no frame."""
        times, pts, passed = self._times, image.pts, False
        if pts is None:
            self._untimed -= 1
            return False
        while times and times[0] < pts:
            heappop(times)
            passed = True
        if times and times[0] == pts:
            heappop(times)
        return passed
