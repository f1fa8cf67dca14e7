"""The packets of sound that all give as many samples: MP3, ADTS, and AAC in MP4."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from clipx._kernel import packets
from clipx.audio.file_bytes import FileBytes
from clipx.audio.sound_index import Stretch

__all__ = ["EvenPackets", "frames_of_adts", "frames_of_mp3", "samples_of_last"]

READ_TOGETHER = 32
"""Packets that are read at once where they lie side by side."""

ID3V1 = 128  # bytes
XING_BYTES = 4096  # before the first frame
XING_HEAD = 128  # bytes; more than are before the place that FFmpeg counts from
FRAMES_GIVEN, BYTES_GIVEN, TABLE_GIVEN, SCALE_GIVEN = 1, 2, 4, 8
DECODER_DELAY = 529


class EvenPackets:
    """Packets of a file that give `step` samples each.

    Args:
        begins, sizes: of each packet in the file, int64 (n,) and an array of integers (n,).
    """

    def __init__(self, begins: np.ndarray, sizes: np.ndarray, step: int) -> None:
        self._begins, self._sizes, self.step = begins, sizes, step
        self.samples = len(sizes) * step

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._begins.nbytes + self._sizes.nbytes

    def around(self, file: FileBytes, sample: int, before: int) -> Stretch:
        """The packets from `before` samples before a sample on."""
        p = sample // self.step
        first = max(p - -(-before // self.step), 0)
        starts = range(first * self.step, (p + 1) * self.step, self.step)
        return Stretch(first == 0, starts, self._sizes[first : p + 1].tolist(), lambda i: self._read(file, first + i))

    def _read(self, file: FileBytes, first: int) -> Iterator[tuple[int, memoryview]]:
        for at in range(first, len(self._sizes), READ_TOGETHER):
            begins = self._begins[at : at + READ_TOGETHER].tolist()
            ends = [begin + size for begin, size in zip(begins, self._sizes[at : at + READ_TOGETHER].tolist())]
            if begins[1:] == ends[:-1]:
                data = memoryview(file.read(begins[0], ends[-1] - begins[0]))
                found = [data[begin - begins[0] : end - begins[0]] for begin, end in zip(begins, ends)]
            else:
                found = [memoryview(file.read(begin, end - begin)) for begin, end in zip(begins, ends)]
            for i, each in enumerate(found):
                yield (at + i) * self.step, each


def samples_of_last(packet: Any, step: int) -> int:
    """Samples that the last packet of a stream gives, of `step` that it decodes to: FFmpeg may leave some out."""
    if not packet.has_sidedata("skip_samples"):
        return step
    first, last = struct.unpack_from("<II", bytes(packet.get_sidedata("skip_samples")))
    return max(step - first - last, 0)


def _walk(file: FileBytes, begin: int, adts: bool, step: int) -> EvenPackets | None:
    """The frames from `begin` up to the end, or to an ID3v1 tag at the end; None where anything else comes."""
    first = int.from_bytes(file.read(begin, 4), "big")
    parts: list[np.ndarray] = []
    room = np.empty(1 << 14, np.uint16)

    def walk(data: memoryview) -> int:
        found, at = packets.walk_frames(data, 0, first, adts, room)
        parts.append(room[:found].copy())
        return at

    at = file.blocks(begin, walk)
    if at != file.size:
        tail = bytes(file.read(at, ID3V1 + 1)) if at < file.size else b""
        if len(tail) != ID3V1 or not tail.startswith(b"TAG") or b"\xff" in tail:
            return None
    sizes = np.concatenate([room[:0], *parts])
    if not len(sizes):
        return None
    begins = np.cumsum(sizes, dtype=np.int64) - sizes + begin
    return EvenPackets(begins, sizes, step)


def frames_of_adts(file: FileBytes, begin: int, step: int) -> tuple[EvenPackets, int] | None:
    """The frames of an ADTS file, and how many samples they give; None where other things lie among them."""
    found = _walk(file, begin, True, step)
    return None if found is None else (found, found.samples)


def frames_of_mp3(file: FileBytes, begin: int, step: int) -> tuple[EvenPackets, int] | None:
    """The frames of an MP3 from the first one with sound on, and the samples up to the end that a header names.

    None where other things lie among them, and where the header (Xing, LAME) says another number of frames, or so few
    bytes that FFmpeg does not believe it.
    """
    found = _walk(file, begin, False, step)
    if found is None:
        return None
    start = max(begin - XING_BYTES, 0)
    head = bytes(file.read(start, begin - start))
    at = max(head.rfind(b"Xing"), head.rfind(b"Info"))
    if at < 0:
        # Another header, or none.
        return None if b"VBRI" in head else (found, found.samples)
    flags = int.from_bytes(head[at + 4 : at + 8], "big")
    if not flags & FRAMES_GIVEN:
        return None
    if int.from_bytes(head[at + 8 : at + 12], "big") != found.samples // step:
        return None
    claimed = int.from_bytes(head[at + 12 : at + 16], "big") if flags & BYTES_GIVEN else 0
    if claimed and file.size - start - at > claimed + max((claimed >> 4) - XING_HEAD, 0):
        # FFmpeg takes it for joined files, and leaves out nothing at the end.
        return None
    lame = at + 12 + 4 * bool(flags & BYTES_GIVEN) + 100 * bool(flags & TABLE_GIVEN) + 4 * bool(flags & SCALE_GIVEN)
    if head[lame : lame + 4] not in (b"LAME", b"Lavf", b"Lavc"):
        return found, found.samples
    padding = int.from_bytes(head[lame + 21 : lame + 24], "big") & 4095
    return found, found.samples - max(padding - DECODER_DELAY, 0)
