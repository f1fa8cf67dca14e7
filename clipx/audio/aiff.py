"""Headers of AIFF, AIFF-C and AU files that hold PCM, as FFmpeg reads them.

Where a header is odd in a way that FFmpeg treats specially, None is returned, and FFmpeg reads the file.
"""

from __future__ import annotations

from struct import Struct

from clipx.audio.pcm_bytes import Bytes
from clipx.audio.pcm_encodings import MOST_CHANNELS, PcmHeader, encoding_of

__all__ = ["read_aiff", "read_au"]

MOST_CHUNKS = 64

CHUNK = Struct(">4sI")
COMMON = Struct(">HIHHQ")

EXPONENT = 16383 + 63
"""Of a number of 80 bits that is a whole number."""

SPECIAL = frozenset({b"CHAN", b"wave", b"APCM", bytes(4)})
AIFC_VERSION = bytes.fromhex("a2805140")

COMPRESSIONS = {
    b"sowt": ("pcm_s16le", 16),
    b"fl32": ("pcm_f32be", 32),
    b"FL32": ("pcm_f32be", 32),
    b"fl64": ("pcm_f64be", 64),
    b"FL64": ("pcm_f64be", 64),
    b"alaw": ("pcm_alaw", 8),
    b"ALAW": ("pcm_alaw", 8),
    b"ulaw": ("pcm_mulaw", 8),
    b"ULAW": ("pcm_mulaw", 8),
}
"""Encoding and bits of a sample; of other bits FFmpeg's packets are blocks of another size."""

AU_HEADER = Struct(">4s5I")
AU_UNKNOWN = 0xFFFFFFFF
AU_ENCODINGS = {
    1: "pcm_mulaw",
    2: "pcm_s8",
    3: "pcm_s16be",
    4: "pcm_s24be",
    5: "pcm_s32be",
    6: "pcm_f32be",
    7: "pcm_f64be",
    27: "pcm_alaw",
}


def read_aiff(data: Bytes) -> PcmHeader | None:
    """The header of an AIFF or AIFF-C file of plain PCM; None for any other file."""
    head = bytes(data.peek(0, 12))
    if len(head) < 12 or head[:4] != b"FORM" or head[8:] not in (b"AIFF", b"AIFC"):
        return None
    compressed, left, at = head[8:] == b"AIFC", int.from_bytes(head[4:8], "big") - 4, 12
    found: tuple[str, int, int] | None = None
    begin = end = 0
    for _ in range(MOST_CHUNKS):
        chunk = bytes(data.peek(at, CHUNK.size))
        if left <= 0 or not chunk:
            break
        if len(chunk) < CHUNK.size:
            return None
        name, size = CHUNK.unpack(chunk)
        at += CHUNK.size
        left -= size + CHUNK.size + size % 2
        if at + size > data.size:
            return None
        if name == b"COMM":
            if found is not None or size % 2:
                return None
            found = _read_common(bytes(data.peek(at, min(size, COMMON.size + 4))), compressed)
            if found is None:
                return None
            if begin:
                break
        elif name == b"SSND":
            if begin or size < 8:
                return None
            begin, end = at + 8 + int.from_bytes(data.peek(at, 4), "big"), at + size
        elif name in SPECIAL or (name == b"FVER" and (not compressed or data.peek(at, 4) != AIFC_VERSION)):
            return None
        at += size + size % 2
    else:
        return None
    if found is None or not begin:
        return None
    encoding, channels, rate = found
    return PcmHeader(encoding, channels, rate, f"{channels} channels", begin, end)


def _read_common(chunk: bytes, compressed: bool) -> tuple[str, int, int] | None:
    """Encoding, channels and rate of a COMM chunk whose numbers agree with each other."""
    if len(chunk) < COMMON.size:
        return None
    channels, count, bits, exponent, mantissa = COMMON.unpack_from(chunk)
    shift = exponent - EXPONENT
    if not -63 <= shift <= 0 or not 1 <= channels <= MOST_CHANNELS or count >= 2**31:
        return None
    rounded = mantissa if not shift else mantissa + (1 << (-shift - 1))
    rate = rounded % 2**64 >> -shift  # FFmpeg's sum has 64 bits
    code = chunk[COMMON.size :] if compressed else b"NONE"
    if code in (b"NONE", b"twos"):
        size = (bits + 7) // 8
        encoding = encoding_of(f"s{8 * size}", big=True) if 1 <= size <= 4 else None
    else:
        encoding, of_bits = COMPRESSIONS.get(code, (None, 0))
        encoding = encoding if bits == of_bits else None
    return (encoding, channels, rate) if encoding is not None and 0 < rate < 2**31 else None


def read_au(data: Bytes) -> PcmHeader | None:
    """The header of an AU file of plain PCM, whose samples go on to the end of the file; None for any other file."""
    head = bytes(data.peek(0, AU_HEADER.size))
    if len(head) < AU_HEADER.size or head[:4] != b".snd":
        return None
    _, begin, size, code, rate, channels = AU_HEADER.unpack(head)
    encoding = AU_ENCODINGS.get(code)
    if encoding is None or not 1 <= channels <= MOST_CHANNELS or not 0 < rate < 2**31:
        return None
    if begin < AU_HEADER.size or not (0 < size < 2**31 or size == AU_UNKNOWN):
        return None
    return PcmHeader(encoding, channels, rate, f"{channels} channels", begin, data.size)
