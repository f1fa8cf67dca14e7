"""Memory that a decoder will need, from the header of a video: pictures to refer to, and those on their way."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple, cast

import av

from clipx.media.opening import FORMATS, LATE_FORMATS, TEXTS, open_media, videos
from clipx.media.sources import Source

__all__ = ["DecoderNeeds", "PictureMemory", "decoder_needs", "parameter_sets_memory"]

REFERENCES = {"h264": 16, "hevc": 16, "vvc": 16, "av1": 8, "vp9": 8, "vp8": 4}
"""Pictures that a decoder may keep to refer to, where the stream does not say; of all other codecs, two."""

DEEP = frozenset({"prores", "dnxhd", "ffv1", "v210", "rawvideo", "cfhd", "jpeg2000", "png", "tiff", "dpx"})
"""Codecs whose pixels may take four bytes and more, where the header does not say; of all others, 4:2:0 of 8 bits."""

ON_THEIR_WAY = 4
"""Pictures beside these: the one that is decoded, those that wait to be shown, and the one that is written to clips."""

BESIDE_PICTURES = Fraction(5, 4)
"""Memory of a picture with its motion vectors and borders, in sizes of the picture."""

UNKNOWN_PIXELS = 1920 * 1088


class PictureMemory(NamedTuple):
    """The pictures of a stream: pixels of each, bytes of a pixel, and the number that is kept to refer to."""

    pixels: int
    pixel_bytes: Fraction
    references: int

    def held(self, threads: int) -> int:
        """Most bytes that a decoder with this number of threads holds."""
        count = self.references + ON_THEIR_WAY + threads - 1
        return int(self.pixels * self.pixel_bytes * BESIDE_PICTURES * count)


# Sequence parameter sets (ITU-T H.264 7.3.2.1.1, H.265 7.3.2.2)


class _UnitBits:
    """Bits of a NAL unit, without the bytes that keep start codes out of it."""

    def __init__(self, unit: bytes) -> None:
        data = unit.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def u(self, count: int) -> int:
        if count > self._left:
            raise ValueError("it ends inside a parameter set")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("a number of a parameter set has more than 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)


CHROMA = (1, Fraction(3, 2), 2, 3)
"""Samples of a pixel: gray, 4:2:0, 4:2:2, 4:4:4."""

WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


def _memory(width: int, height: int, chroma: int, depth: int, references: int) -> PictureMemory:
    samples = CHROMA[chroma] if chroma < len(CHROMA) else 3
    return PictureMemory(width * height, Fraction(samples) * (1 if depth <= 8 else 2), min(references, 16))


def _scaling_lists(bits: _UnitBits, count: int) -> None:
    for number in range(count):
        if not bits.u(1):
            continue
        last = scale = 8
        for _ in range(16 if number < 6 else 64):
            if scale:
                code = bits.ue()
                scale = (last + (code + 1) // 2 * (1 if code & 1 else -1)) % 256
            last = scale or last


def _h264(unit: bytes) -> PictureMemory:
    bits = _UnitBits(unit[1:256])
    profile = bits.u(8)
    bits.u(16)
    bits.ue()
    chroma, depth = 1, 8
    if profile in WITH_CHROMA:
        chroma = bits.ue()
        if chroma == 3:
            bits.u(1)
        depth = 8 + max(bits.ue(), bits.ue())
        bits.u(1)
        if bits.u(1):
            _scaling_lists(bits, 8 if chroma != 3 else 12)
    bits.ue()
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1)
        for _ in range(2):
            bits.ue()
        for _ in range(min(bits.ue(), 255)):
            bits.ue()
    references = bits.ue()
    bits.u(1)
    width, height = 16 * (bits.ue() + 1), 16 * (bits.ue() + 1)
    return _memory(width, height * (1 if bits.u(1) else 2), chroma, depth, references)


def _hevc(unit: bytes) -> PictureMemory:
    bits = _UnitBits(unit[2:512])
    bits.u(4)
    layers = bits.u(3)
    bits.u(1 + 96)
    present = [(bits.u(1), bits.u(1)) for _ in range(layers)]
    if layers:
        bits.u(2 * (8 - layers))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)
    bits.ue()
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)
    width, height = bits.ue(), bits.ue()
    if bits.u(1):
        for _ in range(4):
            bits.ue()
    depth = 8 + max(bits.ue(), bits.ue())
    bits.ue()
    kept = [(bits.ue() + 1, bits.ue(), bits.ue())[0] for _ in range(layers + 1 if bits.u(1) else 1)]
    return _memory(width, height, chroma, depth, max(kept))


def _units(extradata: bytes, codec: str) -> Iterator[bytes]:
    """The NAL units of extradata: with their sizes in avcC and hvcC (ISO/IEC 14496-15), else behind start codes."""
    if extradata[:1] != b"\1":
        yield from extradata.split(b"\0\0\1")[1:]
        return
    file = io.BytesIO(extradata)

    def number(size: int) -> int:
        return int.from_bytes(file.read(size), "big")

    file.seek(5 if codec == "h264" else 22)
    for _ in range(number(1) & 31 if codec == "hevc" else 1):
        count = number(1) & 31 if codec == "h264" else number(3) & 0xFFFF
        for _ in range(count):
            unit = file.read(number(2))
            if not unit:
                return
            yield unit


def parameter_sets_memory(codec: str, extradata: bytes) -> PictureMemory | None:
    """The largest pictures that the parameter sets of H.264 or HEVC announce; None where none can be read."""
    found = []
    for unit in _units(extradata, codec):
        try:
            if codec == "h264" and unit[0] & 31 == 7:
                found.append(_h264(unit))
            elif codec == "hevc" and unit[0] >> 1 & 63 == 33:
                found.append(_hevc(unit))
        except (ValueError, IndexError):
            continue
    return PictureMemory(*map(max, zip(*found))) if found else None


# Files


def _open_header(src: Source, name: str) -> av.container.InputContainer:
    """A file, opened without decoders, which takes a tenth of a millisecond; with them where it lacks sizes then."""
    target: Any = io.BytesIO(cast(bytes, src))
    for formats in (FORMATS, LATE_FORMATS):
        limits = {"format_whitelist": formats, "protocol_whitelist": "none", "codec_whitelist": "none"}
        target.seek(0)
        try:
            container = av.open(target, mode="r", container_options=limits, **TEXTS)
        except av.FFmpegError:
            continue
        contexts = [cast(Any, each.codec_context) for each in videos(container)]
        if all(each is not None and each.width * each.height for each in contexts):
            return container
        container.close()
        break
    return open_media(src, name)


def _stream_memory(stream: Any) -> PictureMemory | None:
    context = stream.codec_context
    if context is None:
        return None
    codec = context.codec.canonical_name
    stated = parameter_sets_memory(codec, bytes(context.extradata or b"")) if codec in ("h264", "hevc") else None
    if stated is not None:
        return stated
    bits = context.format.padded_bits_per_pixel if context.format is not None else 0
    pixels = context.width * context.height or UNKNOWN_PIXELS
    usual = Fraction(4) if codec in DEEP else Fraction(3, 2)
    return PictureMemory(pixels, Fraction(bits, 8) or usual, 0 if codec in DEEP else REFERENCES.get(codec, 2))


class DecoderNeeds(NamedTuple):
    """Bytes that a decoder will hold, and the pixels of its pictures; 0 where they are not known."""

    nbytes: int = 0
    pixels: int = 0


def decoder_needs(src: Source, name: str, threads: int) -> DecoderNeeds:
    """Memory that a decoder of a video will need with this number of threads, from the header.

    It is 0 for a file that cannot be opened, which raises where clips are made of it.
    """
    try:
        with _open_header(src, name) as container:
            found = [each for each in map(_stream_memory, videos(container)) if each is not None]
    except (ValueError, OSError, av.FFmpegError):
        return DecoderNeeds()
    return max((DecoderNeeds(each.held(threads), each.pixels) for each in found), default=DecoderNeeds())
