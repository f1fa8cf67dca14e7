"""The packets of a track of MOV and MP4, by the tables in its header (ISO/IEC 14496-12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from av.stream import Discard

from clipx.audio.even_packets import EvenPackets, samples_of_last
from clipx.audio.file_bytes import FileBytes
from clipx.media.demuxing import demuxed
from clipx.media.sample_table import begins_of

__all__ = ["packets_of_mov"]

TABLES = (b"mdia", b"minf", b"stbl")
PROBED = 32
"""Packets that are compared with FFmpeg's list, which leaves out what an edit list does."""


def _boxes(file: FileBytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, begin, end) of the contents of the boxes between two positions."""
    while at + 8 <= end:
        head = bytes(file.read(at, 16))
        size, kind, begin = int.from_bytes(head[:4], "big"), head[4:8], at + 8
        if size == 1:
            size, begin = int.from_bytes(head[8:16], "big"), at + 16
        size = size or end - at
        if size < begin - at:
            return
        yield kind, begin, min(at + size, end)
        at += size


def _find(file: FileBytes, kind: bytes, begin: int, end: int) -> tuple[int, int] | None:
    return next(((low, high) for found, low, high in _boxes(file, begin, end) if found == kind), None)


def _numbers(file: FileBytes, begin: int, end: int, head: int, item: str, each: int = 1) -> np.ndarray | None:
    """The items (n, each) of a table after a head of so many bytes, the last four of which say n; None for fewer."""
    data = bytes(file.read(begin, end - begin))
    count = int.from_bytes(data[head - 4 : head], "big") * each
    if len(data) - head < count * np.dtype(item).itemsize:
        return None
    return np.frombuffer(data, item, count, head).astype(np.int64).reshape(-1, each)


def _listed(file: FileBytes, track: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Begins and sizes of the packets of the track of this number, int64 (n,) each; None where its tables are odd."""
    moov = _find(file, b"moov", 0, file.size)
    if moov is None:
        return None
    for kind, begin, end in _boxes(file, *moov):
        header = _find(file, b"tkhd", begin, end) if kind == b"trak" else None
        if header is None:
            continue
        first = bytes(file.read(header[0], 24))
        # Version 1 has times of eight bytes before the number.
        if int.from_bytes(first[20:24] if first[:1] == b"\1" else first[12:16], "big") == track:
            break
    else:
        return None
    table: tuple[int, int] | None = (begin, end)
    for kind in TABLES:
        table = table and _find(file, kind, *table)
    if table is None:
        return None
    boxes = {kind: (low, high) for kind, low, high in _boxes(file, *table)}
    chunks = b"co64" if b"co64" in boxes else b"stco"
    if not {b"stsz", b"stsc", chunks} <= boxes.keys() or any(file.read(boxes[b"stsz"][0] + 4, 4)):
        return None
    sizes = _numbers(file, *boxes[b"stsz"], 12, ">u4")
    places = _numbers(file, *boxes[chunks], 8, ">u8" if chunks == b"co64" else ">u4")
    runs = _numbers(file, *boxes[b"stsc"], 8, ">u4", 3)
    if sizes is None or places is None or runs is None or not len(runs) or not len(sizes):
        return None
    begins = begins_of(sizes[:, 0], places[:, 0], runs)
    return None if begins is None else (begins, sizes[:, 0])


def packets_of_mov(file: FileBytes, stream: Any, step: int) -> tuple[EvenPackets, int] | None:
    """The packets of a stream, each of `step` samples, and how many samples they give.

    None where the file has not all of them, and where FFmpeg lists others or other times: in fragments, with an edit
    list that leaves something out, and with samples of other lengths. The stream's container is left at the last one.
    """
    listed, entries = _listed(file, stream.id), stream.index_entries
    if listed is None or stream.time_base * stream.codec_context.sample_rate != 1:
        return None
    begins, sizes = listed
    n = len(sizes)
    if n != len(entries) or int(np.max(begins + sizes)) > file.size or int(np.min(sizes)) <= 0:
        return None
    start = entries[0].timestamp
    for i in sorted({*range(n)[:PROBED], *np.linspace(0, n - 1, PROBED).astype(int).tolist(), *range(n)[-PROBED:]}):
        entry = entries[i]
        if (entry.pos, entry.size, entry.timestamp - start) != (begins[i], sizes[i], i * step):
            return None
        if entry.is_discard and i * step + start >= 0:
            return None
    samples = _samples_of_last(stream, (int(begins[-1]), int(sizes[-1])), (n - 1) * step + start, step)
    return (EvenPackets(begins, sizes.astype(np.int32), step), (n - 1) * step + samples) if samples else None


def _samples_of_last(stream: Any, place: tuple[int, int], time: int, step: int) -> int:
    """Samples that the last packet gives, of this (begin, size) and time; 0 where others give fewer than `step`, too.

    From version 9 on, FFmpeg leaves out those behind the end that the header says, and tells with the packet.
    """
    for other in stream.container.streams:
        if other.index != stream.index:
            other.discard = Discard.all  # else their packets on the way would be read
    end = stream.duration or 0
    if 0 < end <= time and samples_of_last(_packet_at(stream, end - 1), step) < step:
        return 0
    last = _packet_at(stream, time)
    return 0 if last is None or (last.pos, last.size) != place else samples_of_last(last, step)


def _packet_at(stream: Any, time: int) -> Any:
    stream.container.seek(time, stream=stream)
    return next(demuxed(stream.container, stream), None)
