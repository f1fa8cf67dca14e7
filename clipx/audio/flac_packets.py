"""The frames of a FLAC file, found by their numbers wherever they are wanted."""

from __future__ import annotations

from collections.abc import Iterator

from clipx._kernel import packets
from clipx.audio.file_bytes import FileBytes
from clipx.audio.sound_index import Contradiction, Stretch

__all__ = ["FlacPackets", "frames_of_flac"]

FEW_BYTES = 1 << 14
BLOCK_BYTES = 1 << 16
"""Bytes that are searched at a time: few at first, which hold a frame of most files."""

MOST_FRAME_BYTES = 1 << 22
MOST_STEPS = 40  # of a search
NEAR_FRAMES = 4

PROBES = (0.0902, 0.2361, 0.3820, 0.5279, 0.6180, 0.7639, 0.8541)
"""Where in a file the frames are compared with their numbers: parts of it that no number of equal files shares."""


class FlacPackets:
    """The frames of a FLAC stream of blocks of one size.

    Args:
        file_size: in bytes.
        begin: of the first frame in the file.
        first: the first four bytes of the first frame.

    Attributes:
        step: samples of each frame but the last.
        samples: of all.
    """

    nbytes = 100

    def __init__(self, file_size: int, begin: int, first: int, step: int, samples: int) -> None:
        self._size, self._begin, self._first, self.samples = file_size, begin, first, samples
        self.step, self._count = step, -(-samples // step)

    def around(self, file: FileBytes, sample: int, before: int) -> Stretch:
        """The packet that holds a sample: nothing before it is needed. Raises Contradiction."""
        number = min(sample // self.step, self._count - 1)
        at = self._find(file, number)
        return Stretch(number == 0, [number * self.step], [0], lambda i: self._read(file, at, number))

    def _find(self, file: FileBytes, number: int) -> int:
        """Where a frame begins, by searching between frames whose numbers are known."""
        if number == 0:
            return self._begin
        low, high = (self._begin, 0), (self._size, self._count)
        for _ in range(MOST_STEPS):
            (begin, least), (end, most) = low, high
            frame = (end - begin) / (most - least)
            at = max(begin + int((number - least - NEAR_FRAMES / 2) * frame), begin)
            found = self.next_frame(file, at, -1)
            if found is None or found[1] > number:
                # Before half of what is left.
                high = (at, number if found is None else min(found[1], most)) if at > begin else high
                found = self.next_frame(file, begin, number) if number - least <= NEAR_FRAMES or at == begin else None
                if found is not None:
                    return found[0]
                continue
            if found[1] == number:
                return found[0]
            if not least <= found[1]:
                break
            if number - found[1] <= NEAR_FRAMES or found[:2] == low:
                near = self.next_frame(file, found[0], number)
                if near is None:
                    break
                return near[0]
            low = found[:2]
        raise Contradiction(f"frame {number} is not found")

    def next_frame(self, file: FileBytes, at: int, number: int) -> tuple[int, int, int] | None:
        """Position, number and samples of the next frame of this number, -1 for any, within the most bytes of one."""
        end, size = min(at + MOST_FRAME_BYTES, self._size), FEW_BYTES
        while at < end:
            data = file.read(at, size)
            found, its_number, samples = packets.find_flac_frame(data, 0, self._first, number)
            if found >= 0:
                return at + found, its_number, samples
            # A header may lie across the end.
            at += max(len(data) - 15, 1)
            size = BLOCK_BYTES
        return None

    def _read(self, file: FileBytes, at: int, number: int) -> Iterator[tuple[int, memoryview | bytes]]:
        """(start, bytes) of frames from the one of this number on, which begins at a position."""
        data, begin = memoryview(file.read(at, 2 * BLOCK_BYTES)), 0
        while number < self._count - 1:
            end, _, samples = packets.find_flac_frame(data, begin + 1, self._first, number + 1)
            if end < 0:
                at += begin
                more = self.next_frame(file, at + 1, number + 1)
                if more is None:
                    raise Contradiction(f"frame {number + 1} is not found")
                data, begin = memoryview(file.read(at, more[0] - at + 2 * BLOCK_BYTES)), 0
                continue
            if samples != self.step and number + 1 < self._count - 1:
                raise Contradiction(f"frame {number + 1} has {samples} samples")
            yield number * self.step, data[begin:end]
            begin, number = end, number + 1
        yield number * self.step, file.read(at + begin, self._size - at - begin)


def frames_of_flac(file: FileBytes, begin: int, samples: int) -> tuple[FlacPackets, int] | None:
    """The frames of a file from the first one on, and how many samples they give: as many as its header claims.

    None where the last frame is not the one that this makes the last, or does not end the file; where blocks differ in
    size; and where frames do not come in the order of their numbers, as in files that have been joined.
    """
    first = int.from_bytes(file.read(begin, 4), "big")
    at, number, step = packets.find_flac_frame(file.read(begin, 16), 0, first, 0)
    if at != 0 or first >> 16 != 0xFFF8 or samples <= step:
        return None
    found = FlacPackets(file.size, begin, first, step, samples)
    last = -(-samples // step) - 1
    for size in (2 * FEW_BYTES, BLOCK_BYTES, 16 * BLOCK_BYTES):
        tail = max(file.size - size, begin)
        frame = found.next_frame(file, tail, last)
        if frame is not None:
            break
    else:
        return None
    if frame[2] != samples - last * step or not packets.flac_frame_is_whole(file.read(frame[0], file.size - frame[0])):
        return None
    before = number
    for part in PROBES:
        probe = found.next_frame(file, begin + int(part * (file.size - begin)), -1)
        if probe is None or not before <= probe[1] <= last or (probe[1] == before and last > 100):
            return None
        before = probe[1]
    return found, samples
