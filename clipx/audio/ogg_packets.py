"""The packets of an Ogg file of Opus or Vorbis, by its pages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clipx._kernel import packets
from clipx.audio.file_bytes import FileBytes
from clipx.audio.opus_frames import CELT, samples_of
from clipx.audio.sound_index import Contradiction, Stretch

__all__ = ["OggPackets", "pages_of_ogg", "vorbis_blocks"]

HEADER = 27
CONTINUED = 1
MOST_PAGE = HEADER + 255 + 255 * 255

# Bytes; granule position; packets that end on a page; their samples.
SIZE, GRANULE, PACKETS, SAMPLES = range(4)


class OggPackets:
    """The packets of an Ogg stream that is alone in its file.

    Args:
        begin: of the first page in the file.
        pages: the four numbers of each page that the kernel's walk gives, int64 (n, 4).
        blocks: as OggPages takes them.
    """

    def __init__(self, begin: int, pages: np.ndarray, blocks: np.ndarray | None) -> None:
        self._begins = np.concatenate([[0], np.cumsum(pages[:, SIZE])]) + begin
        # The samples of all packets that end before each page.
        self._before = np.concatenate([[0], np.cumsum(pages[:, SAMPLES])])
        self._blocks = None if blocks is None else blocks.tolist()
        self.samples = int(self._before[-1])

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._begins.nbytes + self._before.nbytes

    def around(self, file: FileBytes, sample: int, before: int) -> Stretch:
        """The packets from `before` samples before a sample on, or a little earlier."""
        page = max(int(np.searchsorted(self._before, max(sample - before, 0), side="right")) - 1, 0)
        page = min(page, len(self._before) - 2)
        while page and self._page(file, page)[5] & CONTINUED:
            page -= 1
        found: list[tuple[int, bytes]] = []
        rest = self._packets(file, page)
        for start, data in rest:
            found.append((start, data))
            if start + self._given(data, found[-2][1] if len(found) > 1 else None) > sample:
                break
        listed = [start for start, _ in found], [len(data) for _, data in found]

        def read(i: int) -> Iterator[tuple[int, bytes]]:
            yield from found[i:]
            yield from rest

        return Stretch(page == 0, *listed, read)

    def _packets(self, file: FileBytes, page: int) -> Iterator[tuple[int, bytes]]:
        """(start, bytes) of the packets that begin on a page, or after it."""
        packet, previous, waiting = b"", None, []
        at = int(self._before[page])
        for number in range(page, len(self._begins) - 1):
            data = self._page(file, number)
            begin = HEADER + data[26]
            for size in data[HEADER:begin]:
                packet += data[begin : begin + size]
                begin += size
                if size < 255:
                    waiting.append(packet)
                    packet = b""
            if not waiting:
                continue
            given = [self._given(each, before) for before, each in zip([previous, *waiting], waiting)]
            if previous is None:
                # Of Vorbis, the block before the first packet is not known, but how many samples the page gives is.
                given[0] = int(self._before[number + 1]) - at - sum(given[1:])
            for each, samples in zip(waiting, given):
                yield at, each
                at += samples
            previous, waiting = waiting[-1], []

    def _page(self, file: FileBytes, number: int) -> bytes:
        """A page of the file. Raises Contradiction where it is damaged."""
        begin, end = int(self._begins[number]), int(self._begins[number + 1])
        data = bytes(file.read(begin, end - begin))
        if len(data) != end - begin or not packets.page_is_whole(data):
            raise Contradiction(f"the page at byte {begin} is damaged")
        return data

    def _given(self, packet: bytes, before: bytes | None) -> int:
        """Samples that a packet gives; of Vorbis 0 for the first."""
        if self._blocks is not None:
            return 0 if before is None else (self._blocks[before[0]] + self._blocks[packet[0]]) // 4
        return opus_samples(packet)


def opus_samples(packet: bytes) -> int:
    """Samples that an Opus packet gives, at 48 kHz (RFC 6716 3.1); 0 with SILK, whose samples come later."""
    return samples_of(memoryview(packet)) if packet and packet[0] >> 3 >= CELT else 0


def pages_of_ogg(file: FileBytes, begin: int, blocks: np.ndarray | None) -> tuple[OggPackets, int] | None:
    """The packets from the page at `begin` on, the first with sound, and how many samples they give up to the end.

    None where the pages are not those of one stream alone, one after the other, or their granule positions are not the
    numbers of samples before their ends.

    Args:
        blocks: as OggPages takes them.
    """
    serial = int.from_bytes(file.read(begin + 14, 4), "little")
    walk = packets.OggPages(serial, blocks)
    parts: list[np.ndarray] = []
    room = np.empty((1 << 12, 4), np.int64)

    def follow(data: memoryview) -> int:
        found, at, goes_on = walk.walk(data, 0, room)
        parts.append(room[:found].copy())
        return at if goes_on else 0

    if file.blocks(begin, follow) != file.size:
        return None
    pages = np.concatenate([room[:0], *parts])
    ending = pages[pages[:, PACKETS] > 0]
    if len(ending) < 2 or pages[-1, PACKETS] == 0:
        return None
    ends, granules = np.cumsum(ending[:, SAMPLES]), ending[:, GRANULE]
    trimmed = int(ends[-1] - granules[-1])
    if np.any(ends[:-1] != granules[:-1]) or not 0 <= trimmed < ending[-1, SAMPLES]:
        return None
    return OggPackets(begin, pages, blocks), int(granules[-1])


WINDOW, TRANSFORM, MAPPING = 16, 16, 8  # bits of a mode, after its block flag (Vorbis I 4.2.4)
MODE = 1 + WINDOW + TRANSFORM + MAPPING
MOST_MODES = 64


def vorbis_blocks(extradata: bytes) -> np.ndarray | None:
    """Samples of the block that a Vorbis packet with each first byte has, uint16 (256,); 0 where none has.

    The modes stand at the end of the setup header; how many there are is said before them. None where that is not
    found.
    """
    headers = _headers(extradata)
    if headers is None or len(headers[0]) < 29 or headers[0][:7] != b"\x01vorbis" or headers[2][:7] != b"\x05vorbis":
        return None
    sizes = 1 << (headers[0][28] & 15), 1 << (headers[0][28] >> 4)
    bits = int.from_bytes(headers[2], "little")
    end = bits.bit_length() - 1  # of the modes: a last bit is set behind them
    flags: list[int] = []
    modes: list[int] | None = None
    while len(flags) < MOST_MODES and end > MODE:
        end -= MODE
        mode = bits >> end & (1 << MODE) - 1
        if mode >> 1 & 0xFFFFFFFF or mode >> 33 > 63:
            break
        flags.insert(0, mode & 1)
        if bits >> end - 6 & 63 == len(flags) - 1:
            modes = list(flags)
    if modes is None:
        return None
    width = (len(modes) - 1).bit_length()
    table = np.zeros(256, np.uint16)
    for first in range(0, 256, 2):
        number = first >> 1 & (1 << width) - 1
        if number < len(modes):
            table[first] = sizes[modes[number]]
    return table


def _headers(extradata: bytes) -> list[bytes] | None:
    """The three headers of Vorbis, laced as in Matroska: how many, the sizes of the first two, and the headers."""
    if extradata[:1] != b"\x02":
        return None
    at, sizes = 1, []
    for _ in range(2):
        size = 0
        while at < len(extradata) and extradata[at] == 255:
            size, at = size + 255, at + 1
        if at >= len(extradata):
            return None
        sizes.append(size + extradata[at])
        at += 1
    first, second = at + sizes[0], at + sum(sizes)
    return [extradata[at:first], extradata[first:second], extradata[second:]]
