"""A run of a decoder over packets of an index, from near a sample on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av

from clipx.audio.file_bytes import FileBytes
from clipx.audio.layouts import hold_layout
from clipx.audio.resampling import trimmed
from clipx.audio.sound_index import Contradiction, SoundIndex, Stretch

__all__ = ["IndexedRun"]


class IndexedRun:
    """A run of a fresh decoder over the packets of an index.

    source: the first sample that it gives.
    """

    def __init__(self, index: SoundIndex, file: FileBytes, source: int) -> None:
        self._index, self._file = index, file
        self._first = index.skip + source
        self._context, self._preroll = index.decoder()
        self._unchecked: list[av.Packet] = []
        self._type = index.kind.type
        self._layout: Any = None
        self._is_whole = False

    def _find_begin(self) -> tuple[Stretch, int]:
        """Packets up to that of the first sample, and the one among them from which it is decoded."""
        before = int(self._preroll.seconds * self._index.kind.rate)
        while True:
            stretch = self._index.packets.around(self._file, self._first, before)
            found = self._preroll.first(len(stretch.starts) - 1, stretch.sizes, stretch.starts)
            if found is not None:
                return stretch, found
            if stretch.is_first:
                return stretch, 0
            before *= 4

    def frames(self) -> Iterator[Any]:
        """The frames from the first sample on, up to the end of the sound, and None for the end.

        Raises Contradiction where a packet gives other frames than the index says, and errors of av and of the file.
        """
        index, first = self._index, self._first
        end = index.skip + index.length
        stretch, begin = self._find_begin()
        self._is_whole = stretch.is_first and begin == 0
        packets, last = stretch.read(begin), (index.packets.samples, b"")
        decode = self._context.decode
        start, data = next(packets, (end, b""))
        while start < end:
            after, following = next(packets, last)
            packet = av.Packet(data)
            frames = decode(packet)
            self._unchecked.append(packet)
            if after > first:
                self._check_frames(frames, after - start)
                for frame in frames:
                    if first <= start and after <= end:
                        yield frame
                    else:
                        yield self._part(frame, start, end)
                    start += frame.samples
            if not following:
                break
            start, data = after, following
        yield None

    def _check_frames(self, frames: list[Any], samples: int) -> None:
        """Raise Contradiction for frames that do not have so many samples of the index's kind."""
        for frame in frames:
            layout = frame.layout
            # To compare layouts takes less than to name them.
            if layout != self._layout:
                self._layout = hold_layout(layout)
            # A resampler refuses another rate and layout.
            if frame.format.name != self._type:
                raise Contradiction
            samples -= frame.samples
        if samples:
            raise Contradiction

    def _part(self, frame: Any, start: int, end: int) -> Any:
        """The samples of a frame that are wanted."""
        low, high = max(self._first - start, 0), min(end - start, frame.samples)
        return frame if high - low == frame.samples else trimmed(frame, low, high)

    def check(self) -> None:
        """Raise Contradiction where the samples that have come are not those of a full decode."""
        packets, self._unchecked = self._unchecked, []
        if packets and not self._is_whole and not self._preroll.is_exact(self._context, packets):
            raise Contradiction
