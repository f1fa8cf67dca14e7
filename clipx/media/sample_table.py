"""The packets of a video in a MOV or MP4 by the tables of its header: what reading all packets would give.

ISO/IEC 14496-12 8.6 to 8.7. Only plain files are read so; of others, packets are read.
"""

from __future__ import annotations

import struct
from typing import IO, Any, NamedTuple

import av
import numpy as np

from clipx.media.packet_index import PacketIndex, gives_frames, starts_anew

__all__ = ["Header", "begins_of", "header_of", "index_of_header"]

MOST_HEADER = 1 << 26
"""Bytes of a header that is read as a whole."""

MOST_FIRST = 1 << 12
"""Bytes of a key frame's packet in which its kind is looked for."""

MOST_TOP = 64
"""Boxes of a file that are passed over to find its header."""

IDENTITY = 1 << 16, 0, 0, 1 << 16
"""The matrix of pictures that are shown as they are stored."""


class Header(NamedTuple):
    """The header of a file, `moov`, by the boxes of its tracks.

    Attributes:
        tracks: of each track number, its `trak`.
        matrix: of the movie.
        fragmented: whether more packets may come in fragments.
    """

    tracks: dict[int, memoryview]
    matrix: tuple[int, ...]
    fragmented: bool

    def matrix_of(self, number: int) -> tuple[int, ...] | None:
        """The matrix (a, b, c, d) of a track, for `Orientation.of_matrix`; None where it is not all there is."""
        track = _boxes(self.tracks.get(number, memoryview(b""))).get(b"tkhd", memoryview(b""))
        found = _matrix(track, 52 if len(track) and track[0] else 40)
        return found if self.matrix == IDENTITY and len(found) == 4 else None


def _matrix(box: memoryview, at: int) -> tuple[int, ...]:
    """The matrix (a, b, c, d) in a box; () where it ends before."""
    if len(box) < at + 36:
        return ()
    a, b, _, c, d = struct.unpack(">5i", box[at : at + 20])
    return a, b, c, d


def _boxes(data: memoryview) -> dict[bytes, memoryview]:
    """The first box of each type, without its size and type."""
    found: dict[bytes, memoryview] = {}
    for kind, body in _all_boxes(data):
        found.setdefault(kind, body)
    return found


def _all_boxes(data: memoryview) -> list[tuple[bytes, memoryview]]:
    found, at = [], 0
    while at + 8 <= len(data):
        length, begin = int.from_bytes(data[at : at + 4], "big"), at + 8
        if length == 1:
            length, begin = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        length = length or len(data) - at
        if length < begin - at or at + length > len(data):
            break
        found.append((bytes(data[at + 4 : at + 8]), data[begin : at + length]))
        at += length
    return found


def begins_of(sizes: np.ndarray, places: np.ndarray, runs: np.ndarray) -> np.ndarray | None:
    """The bytes at which packets of these sizes begin, int64 (n,), in chunks at these places.

    runs: (first chunk from 1 on, packets in each, description), int64 (runs, 3). None where they do not match.
    """
    chunks = np.diff(np.append(runs[:, 0] - 1, len(places)))
    if runs[0, 0] != 1 or np.any(chunks <= 0) or np.any(runs[:, 2] != runs[0, 2]):
        return None
    # Not one number for each chunk before their sum is known to be that of the packets.
    if np.any(runs[:, 1] > len(sizes)) or int(np.dot(chunks, runs[:, 1])) != len(sizes):
        return None
    packets = np.repeat(runs[:, 1], chunks)
    ends = np.cumsum(sizes)
    first = np.cumsum(packets) - packets
    if np.any(packets == 0):
        return None
    found: np.ndarray = ends - sizes + np.repeat(places - (ends - sizes)[first], packets)
    return found


def header_of(file: IO[bytes], size: int) -> Header | None:
    """The header of a MOV or MP4 of so many bytes; None where it has none, or more than MOST_HEADER of it."""
    at = 0
    for _ in range(MOST_TOP):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return None
        length, begin = int.from_bytes(head[:4], "big"), at + 8
        if length == 1:
            length, begin = int.from_bytes(head[8:16], "big"), at + 16
        length = length or size - at
        if head[4:8] == b"moov":
            file.seek(begin)
            left = at + length - begin
            data = file.read(left) if 0 < left <= MOST_HEADER else b""
            return _header(memoryview(data)) if len(data) == left else None
        if length < begin - at:
            return None
        at += length
    return None


def _header(data: memoryview) -> Header | None:
    boxes = _all_boxes(data)
    kinds = [kind for kind, _ in boxes]
    movie = next((body for kind, body in boxes if kind == b"mvhd"), None)
    if movie is None or len(movie) < 24 or b"cmov" in kinds:
        return None
    tracks: dict[int, memoryview] = {}
    for kind, body in boxes:
        track = _boxes(body).get(b"tkhd") if kind == b"trak" else None
        if track is not None and len(track) >= 24:
            tracks[int.from_bytes(track[20:24] if track[0] else track[12:16], "big")] = body
    return Header(tracks, _matrix(movie, 48 if movie[0] else 36), b"mvex" in kinds)


class _Table(NamedTuple):
    """Packets as the tables of a track list them.

    Attributes:
        dts, offsets: times of decoding, and from these to those of showing, int64 (n,).
        sizes, positions, durations: bytes, where they begin, and ticks, int64 (n,).
        keys: numbers of key frames.
    """

    dts: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    positions: np.ndarray
    durations: np.ndarray
    keys: np.ndarray


def index_of_header(
    container: av.container.InputContainer, stream: av.VideoStream, header: Header, file: IO[bytes], size: int
) -> PacketIndex | None:
    """The index of a stream, as `PacketIndex.read` gives it, by the header alone, but for the kinds of key frames.

    None where the file is not plain, or the tables are not those that FFmpeg has read.
    """
    if header.fragmented or not gives_frames(container, stream) or stream.codec.canonical_name == "vp8":
        return None
    track = header.tracks.get(stream.id)
    entries: Any = stream.index_entries
    n = len(entries)
    table = None if track is None or not n else _table(track, n)
    if table is None:
        return None
    shift = entries[0].timestamp - int(table.dts[0])
    for at in (0, n // 2, n - 1):
        entry = entries[at]
        here = int(table.dts[at]) + shift, int(table.positions[at]), int(table.sizes[at])
        if (entry.timestamp, entry.pos, entry.size) != here or entry.is_discard:
            return None
    packet_pts = table.dts + shift + table.offsets
    frame_order = np.argsort(packet_pts, kind="stable")
    pts = packet_pts[frame_order]
    if np.any(np.diff(pts) <= 0) or stream.start_time != pts[0] or int((table.positions + table.sizes).max()) > size:
        return None
    frame_of = np.empty(n, np.int64)
    frame_of[frame_order] = np.arange(n)
    if not stream.codec_context.has_b_frames and np.any(np.diff(packet_pts) <= 0):
        return None
    latest_before = np.maximum.accumulate(np.concatenate(([-1], frame_of[:-1])))
    keys = table.keys
    if not len(keys) or keys[0] != 0:
        return None
    codec, extradata = stream.codec.canonical_name, bytes(stream.codec_context.extradata or b"")
    if codec in ("h264", "hevc"):
        keys = keys[[_begins_anew(file, table, int(key), codec, extradata) for key in keys]]
    keys = keys[(latest_before[keys] == keys - 1) & (frame_of[keys] == keys)]
    if not len(keys) or keys[0] != 0:
        return None
    return PacketIndex(pts, table.durations[frame_order], frame_of, packet_pts, keys, table.positions[keys])


def _begins_anew(file: IO[bytes], table: _Table, key: int, codec: str, extradata: bytes) -> bool:
    """True if a key frame's packet is one from which decoding can start, as `PacketIndex` has it."""
    size = int(table.sizes[key])
    file.seek(int(table.positions[key]))
    return starts_anew(file.read(min(size, MOST_FIRST)), codec, extradata) or (
        size > MOST_FIRST and _in_all(file, table, key, codec, extradata)
    )


def _in_all(file: IO[bytes], table: _Table, key: int, codec: str, extradata: bytes) -> bool:
    file.seek(int(table.positions[key]))
    return starts_anew(file.read(int(table.sizes[key])), codec, extradata)


def _table(track: memoryview, n: int) -> _Table | None:
    """The tables of a track with n packets; None where one is not as plain files have it."""
    boxes = _boxes(track)
    media = _boxes(boxes.get(b"mdia", memoryview(b"")))
    edits = _boxes(boxes.get(b"edts", memoryview(b""))).get(b"elst")
    if b"mdhd" not in media or (edits is not None and not _is_one_edit(edits)):
        return None
    tables = _boxes(_boxes(media.get(b"minf", memoryview(b""))).get(b"stbl", memoryview(b"")))
    if not {b"stts", b"stsc", b"stsz"} <= tables.keys() or tables.keys() & {b"stps", b"sbgp", b"stz2"}:
        return None
    if bytes(tables.get(b"stsd", b"")[4:8]) != b"\0\0\0\1":
        return None
    sizes, durations = _sizes(tables[b"stsz"], n), _runs(tables[b"stts"], n)
    offsets = _runs(tables[b"ctts"], n) if b"ctts" in tables else np.zeros(n, np.int64)
    if sizes is None or not sizes.all() or durations is None or offsets is None or offsets.max() >= 1 << 31:
        return None  # negative offsets move all times
    positions = _positions(tables, sizes)
    keys = np.arange(n)
    if b"stss" in tables:
        keys = _numbers(tables[b"stss"], ">u4", 1).astype(np.int64) - 1
        if not len(keys) or keys[0] < 0 or keys[-1] >= n or np.any(np.diff(keys) <= 0):
            return None
    if positions is None:
        return None
    dts = np.concatenate(([0], np.cumsum(durations[:-1])))
    return _Table(dts, offsets, sizes, positions, durations, keys)


def _is_one_edit(edits: memoryview) -> bool:
    """True for an edit list with one edit at the usual rate, or with an empty one before it."""
    count = int.from_bytes(edits[4:8], "big")
    entry = 20 if len(edits) and edits[0] == 1 else 12
    times = 8 if entry == 20 else 4
    if not 1 <= count <= 2 or len(edits) < 8 + count * entry:
        return False
    starts = [int.from_bytes(edits[8 + i * entry + times :][:times], "big", signed=True) for i in range(count)]
    rates = [bytes(edits[8 + i * entry + 2 * times :][:4]) for i in range(count)]
    return starts[-1] >= 0 and all(each == -1 for each in starts[:-1]) and rates[-1] == b"\0\1\0\0"


def _numbers(table: memoryview, kind: str, width: int) -> np.ndarray:
    """The entries of a table that begins with their number, each of `width` numbers; none where it has fewer."""
    count = int.from_bytes(table[4:8], "big")
    dtype = np.dtype(kind)
    if len(table) < 8 + count * width * dtype.itemsize:
        count = 0
    return np.frombuffer(table, dtype, count * width, 8)


def _runs(table: memoryview, n: int) -> np.ndarray | None:
    """Values that a table gives as runs, int64 (n,); None where they are not n."""
    runs = _numbers(table, ">u4", 2).reshape(-1, 2).astype(np.int64)
    return np.repeat(runs[:, 1], runs[:, 0]) if runs[:, 0].sum() == n else None


def _sizes(table: memoryview, n: int) -> np.ndarray | None:
    if len(table) < 12 or int.from_bytes(table[8:12], "big") != n:
        return None
    if size := int.from_bytes(table[4:8], "big"):
        return np.full(n, size, np.int64)
    return np.frombuffer(table, ">u4", n, 12).astype(np.int64) if len(table) >= 12 + 4 * n else None


def _positions(tables: dict[bytes, memoryview], sizes: np.ndarray) -> np.ndarray | None:
    """The byte at which each packet begins, int64 (n,); None where chunks and packets do not match."""
    kind = b"co64" if b"co64" in tables else b"stco"
    if kind not in tables:
        return None
    chunks = _numbers(tables[kind], ">u8" if kind == b"co64" else ">u4", 1)
    runs = _numbers(tables[b"stsc"], ">u4", 3).reshape(-1, 3)
    return begins_of(sizes, chunks.astype(np.int64), runs.astype(np.int64)) if len(runs) else None
