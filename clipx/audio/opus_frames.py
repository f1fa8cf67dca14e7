"""What the first bits of a CELT frame of Opus say (RFC 6716 4.1, 4.3)."""

from __future__ import annotations

__all__ = ["is_transient", "samples_of"]

TOP, BOTTOM = 1 << 31, 1 << 23
FEWEST_BYTES = 8
"""Of a frame with room for all that is read here."""

READ_BYTES = 16
"""Of a frame, more than are read here; zeros follow its end."""

FRAMES = {0: 1, 1: 2, 2: 2}  # of a packet, by its code; of code 3, its second byte says how many
CELT = 16  # the first configuration without SILK


class _RangeDecoder:
    """The range decoder of a frame, without its raw bits, which stand at the end."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = bytes(data[:READ_BYTES]) + bytes(READ_BYTES), 1
        self._range, self._value = 128, 127 - (data[0] >> 1)
        self._normalize()

    def _normalize(self) -> None:
        while self._range <= BOTTOM:
            symbol = (self._data[self._at - 1] << 8 | self._data[self._at]) >> 1 & 255
            self._at += 1
            self._range <<= 8
            self._value = (self._value << 8 | 255 - symbol) & TOP - 1

    def _take(self, low: int, size: int) -> None:
        self._value -= low
        self._range = size
        self._normalize()

    def bit(self, log: int) -> bool:
        """A bit that is set once in 2**log."""
        part = self._range >> log
        is_set = self._value < part
        self._take(0 if is_set else part, part if is_set else self._range - part)
        return is_set

    def skip_uniform(self, n: int) -> None:
        """A number below n, all equally likely."""
        part = self._range // n
        number = n - min(self._value // part + 1, n)
        low = part * (n - number - 1)
        self._take(low, part if number else self._range - low)

    def skip_tapset(self) -> None:
        """A number of which 0 comes twice in four times, 1 and 2 once each."""
        part, above = self._range >> 2, self._range
        for times in (2, 1, 0):
            low = part * times
            if self._value >= low:
                self._take(low, above - low)
                return
            above = low


def samples_of(packet: memoryview) -> int:
    """Samples of a packet of CELT frames, at 48 kHz."""
    code = packet[0] & 3
    frames = FRAMES[code] if code in FRAMES else packet[1] & 63 if len(packet) > 1 else 0
    return (120 << (packet[0] >> 3 & 3)) * frames


def is_transient(packet: memoryview) -> bool | None:
    """A packet of one CELT frame has short blocks; None where that is not known."""
    if packet[0] >> 3 < CELT or packet[0] & 3 or len(packet) < 3:
        return None
    coded = _RangeDecoder(packet[1:])
    if coded.bit(15):  # silence
        return False
    if len(packet) <= FEWEST_BYTES:
        return None
    if coded.bit(1):  # a post-filter: octave, and, after raw bits, the set of taps
        coded.skip_uniform(6)
        coded.skip_tapset()
    # Frames of 2.5 ms have no short blocks.
    return bool(packet[0] >> 3 & 3) and coded.bit(3)
