"""Headers of WAV (RIFF, RF64, BW64) and Wave64 files that hold PCM, as FFmpeg reads them.

Where a header is odd in a way that FFmpeg treats specially, None is returned, and FFmpeg reads the file.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from clipx.audio.pcm_bytes import Bytes
from clipx.audio.pcm_encodings import MOST_CHANNELS, PcmHeader, encoding_of, sample_bytes

__all__ = ["read_wav", "read_wave64"]

HEAD_BYTES = 4096
"""Bytes of a file that most headers end within."""

MOST_CHUNKS = 64
LONGEST = 2**63

UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""Sizes of chunks of data that were never written: it goes on to the end of the file."""

TO_THE_END = 2**62

LEAST = {b"bext": 602, b"LIST": 4, b"list": 4}
"""Bytes of chunks; FFmpeg refuses files in which they have fewer."""

SPECIAL = frozenset({b"XMA2", b"SMV0"})

EXTENSIBLE = 0xFFFE
EXTENSION_BYTES = 22
GUID_TAIL = bytes.fromhex("00001000800000aa00389b71")
"""What follows the code in the GUID of a format that has a code."""

INTEGERS, FLOATS, ALAW, MULAW = 1, 3, 6, 7
"""Codes of formats."""

CHUNK = Struct("<4sI")
FORMAT = Struct("<HHIIHH")
EXTENSION = Struct("<HHII12s")

GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")
RIFF_64 = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
WAVE_64, FMT_64, DATA_64, FACT_64 = b"wave" + GUID, b"fmt " + GUID, b"data" + GUID, b"fact" + GUID
CHUNK_64 = Struct("<16sQ")
LEAST_RIFF_64 = 72


class _Format(NamedTuple):
    """A "fmt " chunk; code: that of the extension, where it has one."""

    code: int
    channels: int
    rate: int
    layout: str
    encoding: str


class _Head:
    """The bytes of a file, of which the first have been read at once."""

    def __init__(self, data: Bytes) -> None:
        self._data, self._head = data, bytes(data.peek(0, HEAD_BYTES))
        self.size = data.size

    def read(self, at: int, size: int) -> bytes:
        """The bytes from `at` on, at most `size`."""
        if at + size <= len(self._head):
            return self._head[at : at + size]
        return bytes(self._data.peek(at, size))


def _encoding(code: int, bits: int, extended: bool) -> str | None:
    if code == INTEGERS and 0 < bits <= 64:
        size = (bits + 7) // 8
        if size == 4 and extended:  # may be floats of 16 bits
            return None
        return "pcm_u8" if size == 1 else encoding_of(f"s{8 * size}") if size in (2, 3, 4, 8) else None
    if code == FLOATS and bits in (32, 64):
        return encoding_of(f"f{bits}")
    return {ALAW: "pcm_alaw", MULAW: "pcm_mulaw"}.get(code)


def _read_format(chunk: bytes) -> _Format | None:
    """A "fmt " chunk of PCM whose numbers agree with each other."""
    if len(chunk) < FORMAT.size:
        return None
    code, channels, rate, _, align, bits = FORMAT.unpack_from(chunk)
    layout, extended = f"{channels} channels", False
    if code == EXTENSIBLE:
        if len(chunk) < FORMAT.size + 2 + EXTENSION_BYTES:
            return None
        extension, valid, mask, code, tail = EXTENSION.unpack_from(chunk, FORMAT.size)
        if extension != EXTENSION_BYTES or tail != GUID_TAIL:
            return None
        bits = valid or bits
        # One of another number of channels is ignored.
        layout = hex(mask) if mask.bit_count() == channels else layout
    elif len(chunk) >= FORMAT.size + 2:
        extended = chunk[FORMAT.size : FORMAT.size + 2] != b"\0\0"
    encoding = _encoding(code, bits, extended)
    if encoding is None or not 1 <= channels <= MOST_CHANNELS or not 0 < rate < 2**31:
        return None
    if align != channels * sample_bytes(encoding):
        return None
    return _Format(code, channels, rate, layout, encoding)


def _header(found: _Format | None, begin: int, end: int) -> PcmHeader | None:
    if found is None:
        return None
    return PcmHeader(found.encoding, found.channels, found.rate, found.layout, begin, end, found.code == INTEGERS)


def read_wav(data: Bytes) -> PcmHeader | None:
    """The header of a WAV file of plain PCM; None for any other file."""
    head = _Head(data)
    kind, at = head.read(0, 4), 12
    if kind not in (b"RIFF", b"RF64", b"BW64") or head.read(8, 4) != b"WAVE":
        return None
    long_size: int | None = None
    if kind != b"RIFF":
        sizes = head.read(12, 40)
        if sizes[:4] != b"ds64" or len(sizes) < 32:
            return None
        chunk_size, long_size = int.from_bytes(sizes[4:8], "little"), int.from_bytes(sizes[16:24], "little")
        if chunk_size < 24 or chunk_size % 2 or long_size >= TO_THE_END or sizes[31] >= 128:
            return None
        at = 20 + chunk_size
    found: _Format | None = None
    begin = end = 0
    for _ in range(MOST_CHUNKS):
        chunk = head.read(at, CHUNK.size)
        if len(chunk) < CHUNK.size:
            break
        name, size = CHUNK.unpack(chunk)
        at += CHUNK.size
        if name == b"data":
            if begin:
                return None
            begin = at
            if long_size is None and size in UNKNOWN_SIZES:
                end = TO_THE_END
                break
            size = size if long_size is None else long_size
            end = at + size
            if end % 2 and end + CHUNK.size <= data.size:
                # FFmpeg looks for more data right behind it, without a byte of padding.
                return None
        elif name == b"fmt ":
            found = found or _read_format(head.read(at, min(size, FORMAT.size + 2 + EXTENSION_BYTES)))
            if found is None:
                return None
        elif name in SPECIAL or size < LEAST.get(name, 0) or (name == b"bext" and at + size > data.size):
            return None
        at += size + size % 2
        if at >= data.size:
            break
    else:
        return None
    return _header(found, begin, end) if begin else None


def read_wave64(data: Bytes) -> PcmHeader | None:
    """The header of a Wave64 file of plain PCM with nothing behind its data; None for any other file."""
    head = _Head(data)
    if head.read(0, 16) != RIFF_64 or head.read(24, 16) != WAVE_64:
        return None
    if int.from_bytes(head.read(16, 8), "little") < LEAST_RIFF_64:
        return None
    at, found = 40, None
    for _ in range(MOST_CHUNKS):
        chunk = head.read(at, CHUNK_64.size)
        if len(chunk) < CHUNK_64.size:
            return None
        name, size = CHUNK_64.unpack(chunk)
        if not CHUNK_64.size < size < TO_THE_END:
            return None
        at += CHUNK_64.size
        if name == DATA_64:
            end = at + size - CHUNK_64.size
            return _header(found, at, end) if end + CHUNK_64.size > data.size else None
        if name == FMT_64:
            if found is not None:
                return None
            found = _read_format(head.read(at, min(size - CHUNK_64.size, FORMAT.size + 2 + EXTENSION_BYTES)))
            if found is None:
                return None
        elif name[4:] != GUID:
            return None
        at += -(-size // 8) * 8 - CHUNK_64.size
    return None
