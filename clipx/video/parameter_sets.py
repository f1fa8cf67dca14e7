"""Sequence parameter sets of H.264 and HEVC (ITU-T H.264 7.3.2.1.1 and E.1.1, H.265 7.3.2.2)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Sequence", "sequences", "units"]

WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Profiles of H.264 that state the sampling of chroma."""

MOST_REORDERED = 16
OWN_ASPECT = 255  # Extended_SAR


class Sequence(NamedTuple):
    """Facts of a sequence parameter set.

    Attributes:
        width, height: of a decoded picture, of which a part may be shown.
        chroma: chroma_format_idc: 0 gray, 1 4:2:0, 2 4:2:2, 3 4:4:4.
        depth: most bits of a sample.
        references: pictures that are kept to refer to.
        reordered: pictures at most that come before one that is shown earlier, where an H.264 stream states it.
    """

    width: int
    height: int
    chroma: int
    depth: int
    references: int
    reordered: int | None = None


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


def _h264(unit: bytes) -> Sequence:
    bits = _UnitBits(unit[1:512])
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
    frames_only = bits.u(1)
    found = Sequence(width, height * (1 if frames_only else 2), chroma, depth, references)
    try:
        return found._replace(reordered=_reordered(bits, frames_only))
    except ValueError:
        return found


def _reordered(bits: _UnitBits, frames_only: int) -> int | None:
    """max_num_reorder_frames of the rest of an H.264 set; None where it is not stated, or not possible."""
    bits.u(1 if frames_only else 2)
    for _ in range(4 * bits.u(1)):  # cropping
        bits.ue()
    if not bits.u(1):  # no VUI
        return None
    if bits.u(1) and bits.u(8) == OWN_ASPECT:
        bits.u(32)
    if bits.u(1):
        bits.u(1)
    if bits.u(1):
        bits.u(4)
        bits.u(24 * bits.u(1))
    for _ in range(2 * bits.u(1)):  # where chroma is sampled
        bits.ue()
    bits.u(65 * bits.u(1))  # timing
    buffered = 0
    for _ in range(2):
        if bits.u(1):
            _skip_buffering(bits)
            buffered = 1
    bits.u(1 + buffered)
    if not bits.u(1):
        return None
    bits.u(1)
    for _ in range(4):
        bits.ue()
    reordered, most = bits.ue(), bits.ue()
    return reordered if reordered <= most <= MOST_REORDERED else None


def _skip_buffering(bits: _UnitBits) -> None:
    count = bits.ue() + 1
    if count > 32:
        raise ValueError(f"{count} buffers of a parameter set")
    bits.u(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.u(1)
    bits.u(20)


def _hevc(unit: bytes) -> Sequence:
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
    return Sequence(width, height, chroma, depth, max(kept))


def units(extradata: bytes, codec: str) -> Iterator[bytes]:
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


def sequences(codec: str, extradata: bytes) -> list[Sequence]:
    """The sequence parameter sets of "h264" or "hevc" in extradata that can be read."""
    found = []
    for unit in units(extradata, codec):
        try:
            if codec == "h264" and unit[0] & 31 == 7:
                found.append(_h264(unit))
            elif codec == "hevc" and unit[0] >> 1 & 63 == 33:
                found.append(_hevc(unit))
        except (ValueError, IndexError):
            continue
    return found
