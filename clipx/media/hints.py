"""The bytes of a file that will be read, for file objects that fetch them together."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

    from clipx.media.packet_index import PacketIndex, Stretches

__all__ = ["ByteRange", "HintedFile", "listed_ranges", "stretch_ranges"]

ByteRange = tuple[int, int]
"""Begin and end of bytes of a file."""


class HintedFile(io.RawIOBase):
    """A file object that can be told which bytes will be read."""

    @abstractmethod
    def hint(self, ranges: Iterable[ByteRange]) -> None:
        """Say which ranges will be read, each as a whole; they replace those of the hint before."""


def listed_ranges(stream: av.VideoStream, stretches: Stretches) -> list[ByteRange]:
    """The bytes of stretches of a MOV or MP4 as its header lists them, each with the key frame behind it."""
    entries, borders, found = list(stream.index_entries), stretches.borders, []
    for number in stretches.numbers.tolist():
        packets = entries[borders[number] : borders[number + 1] + 1]
        found += [(packet.pos, packet.pos + packet.size) for packet in packets]
    return found


def stretch_ranges(index: PacketIndex, wanted: np.ndarray, size: int) -> list[ByteRange]:
    """The bytes of the stretches between key frames in which frames are wanted; none where the index doesn't know them.

    Args:
        wanted: bool (n,), by frame.
        size: bytes of the file.
    """
    if index.positions is None:
        return []
    borders = np.append(index.positions, max(size, int(index.positions[-1]))).tolist()
    numbers = np.unique(np.searchsorted(index.keys, np.flatnonzero(wanted), side="right") - 1).tolist()
    return [(borders[number], borders[number + 1]) for number in numbers if number >= 0]
