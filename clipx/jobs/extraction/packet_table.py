"""The packets of a video and of its sound, and which of them a clip needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from enum import IntFlag
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from clipx.errors import MediaError
from clipx.jobs.extraction.access_points import EncodedFrame
from clipx.media.exact_times import FrameTimes

__all__ = ["PacketFlags", "PacketTable", "SoundPackets", "Span", "not_copied"]

PACKETS_BEFORE = {"aac": 1, "ac3": 1, "eac3": 1, "mp3": 10, "opus": 4, "vorbis": 1}
"""Packets that a decoder needs before the first one that is heard."""


def not_copied(name: str, why: str) -> MediaError:
    """The error of a video that cannot be copied by packets."""
    return MediaError(
        f"{name} cannot be copied by packets: {why}; encode its clips anew, with another encoding than 'copy'"
    )


class PacketFlags(IntFlag):
    """Facts of a packet, as few bits."""

    OPEN = 1
    CLOSED = 2
    LEAVES = 4
    SHOWN = 8
    DISCARDED = 16

    @staticmethod
    def of(frame: EncodedFrame, is_discarded: bool) -> int:
        """The bits of a packet."""
        return frame.start | frame.leaves << 2 | frame.shown << 3 | is_discarded << 4


class Span(NamedTuple):
    """The packets of a clip.

    Attributes:
        first, last: packets [first, last) of the video, in the order of decoding.
        left_out: packets of these that are left out, as they refer to packets before.
        start_frame, end_frame: frames [start, end) of the video, which they give.
    """

    first: int
    last: int
    left_out: frozenset[int]
    start_frame: int
    end_frame: int


class SoundPackets(NamedTuple):
    """All packets of an audio stream, in the file's order.

    Attributes:
        pts: time of each in ticks, int64 (n,), ascending.
        durations: of each in ticks, int64 (n,); 0 where the file does not say.
        sizes: of each in bytes, int64 (n,).
        discarded: bool (n,), packets that an edit list hides.
        time_base: seconds of a tick.
        codec: FFmpeg's name.
        rate: samples a second, as the container counts them.
        layout: of channels, FFmpeg's name.
        hides: whether packets, and parts of one, can be decoded and not be heard.
    """

    pts: np.ndarray
    durations: np.ndarray
    sizes: np.ndarray
    discarded: np.ndarray
    time_base: Fraction
    codec: str
    rate: int
    layout: str
    hides: bool

    def span(self, start: Fraction, end: Fraction, hides: bool) -> tuple[int, int]:
        """The packets [first, last) that begin in [start, end), in seconds.

        hides: whether packets may come before that are decoded and not heard: the one that is heard at the start, and
        those that its codec needs before it.
        """
        first, last = (int(np.searchsorted(self.pts, -(-each // self.time_base))) for each in (start, end))
        if hides and self.hides and first < last:
            for _ in range((self.seconds(first) > start) + PACKETS_BEFORE.get(self.codec, 0)):
                if not first or (self.discarded[first - 1] and self.seconds(first) > start):
                    break
                first -= 1
        return first, last

    def seconds(self, packet: int) -> Fraction:
        """When a packet begins."""
        return int(self.pts[packet]) * self.time_base


class _Entry(NamedTuple):
    """A packet from which decoding can start, the lowest frame that it and those after it then give, and the packets
    that are left out."""

    packet: int
    lowest: int
    left_out: frozenset[int]


class PacketTable:
    """All packets of a video in the order of decoding, and the frames that they give, in the order of showing.

    Args:
        name: of the source, in messages.
        time_base: seconds of a tick.
        packets: time, duration and bytes of each, int64 (n, 3); without a duration 0.
        flags: PacketFlags of each.

    Attributes:
        pts, durations, sizes: the columns of `packets`.
        frame_of: frame that each packet gives, int64 (n,); -1 for none.
        times: of the frames.

    Raises MediaError where the packets do not say which frames they give.
    """

    def __init__(
        self,
        name: str,
        time_base: Fraction,
        packets: np.ndarray,
        flags: bytearray,
    ) -> None:
        self._name, self._time_base = name, time_base
        bits = np.frombuffer(flags, dtype=np.uint8)
        shown, discarded = bits & PacketFlags.SHOWN > 0, bits & PacketFlags.DISCARDED > 0
        self._leaves, self._discarded = bits & PacketFlags.LEAVES > 0, discarded
        pts, durations, self.sizes = packets.T
        self.pts, self.durations = pts, durations
        n = len(pts)
        given = np.flatnonzero(shown & ~discarded)
        order = given[np.argsort(pts[given], kind="stable")]
        if np.any(np.diff(pts[order]) <= 0):
            raise not_copied(name, "several packets have the same time")
        self.frame_of = np.full(n, -1, dtype=np.int64)
        self.frame_of[order] = np.arange(len(order))
        self.times = FrameTimes(pts[order], durations[order])
        is_given = self.frame_of >= 0
        # The lowest frame from each packet on, and the highest before it.
        lowest = np.minimum.accumulate(np.where(is_given, self.frame_of, len(order))[::-1])[::-1]
        self._lowest = np.append(lowest, len(order))
        self._highest = np.maximum.accumulate(np.concatenate(([-1], self.frame_of)))
        starts = np.flatnonzero(bits & (PacketFlags.OPEN | PacketFlags.CLOSED)).tolist()
        self._ends = [*starts[1:], n]
        found = [self._entry(at, end, bool(bits[at] & PacketFlags.OPEN)) for at, end in zip(starts, self._ends)]
        self._entries = [each for each in found if each is not None]
        if not self._entries or self._entries[0].packet or self._entries[0].left_out:
            raise not_copied(name, "its first packet is not a frame from which all others can be decoded")

    def _entry(self, at: int, end: int, is_open: bool) -> _Entry | None:
        """The entry at a packet; None where not all frames behind it can be decoded. end: the next start."""
        lowest, left_out = int(self._lowest[at]), frozenset[int]()
        if is_open:
            leading = self.pts[at:end] < self.pts[at]
            if not np.all(self._leaves[at:end][leading]):
                return None
            left_out = frozenset((at + np.flatnonzero(leading)).tolist())
            rest = self.frame_of[at:end][~leading]
            lowest = int(np.min(rest, where=rest >= 0, initial=len(self.times.pts)))
            if self._lowest[end] < lowest:
                return None
        return _Entry(at, lowest, left_out) if self._highest[at] < lowest else None

    def span(self, first: int, last: int) -> Span:
        """The packets of frames [first, last], from the start at or before them to the one after.

        Raises MediaError where an edit list hides frames between that others refer to.
        """
        at, lowest, left_out = self._entries[bisect_right(self._entries, first, key=lambda each: each.lowest) - 1]
        ends = self._ends
        after = bisect_right(ends, last, key=lambda end: int(self._lowest[end]))
        for end in ends[after:]:
            count = int(np.count_nonzero(self.frame_of[at:end] >= 0))
            count -= sum(int(self.frame_of[each]) >= 0 for each in left_out)
            # Frames that are shown before the next start may come behind it.
            if int(self._highest[end]) + 1 - lowest == count:
                return Span(at, self._without_hidden(at, end), left_out, lowest, lowest + count)
        raise AssertionError("all packets from a start on give all frames from there on")

    def _without_hidden(self, at: int, end: int) -> int:
        """The end of packets without those at their end that an edit list hides."""
        while self._discarded[end - 1]:
            end -= 1
        hidden = np.flatnonzero(self._discarded[at:end])
        shown = self.pts[at:end][self.frame_of[at:end] >= 0]
        if len(hidden) and self.pts[at:end][hidden].max() > shown.min():
            raise not_copied(self._name, "an edit list hides frames between others that refer to them")
        return end

    def starts_before(self, packet: int, passed: Sequence[int]) -> list[int]:
        """A packet from which decoding can start, and those so many such packets before it, as far as there are."""
        number = bisect_right(self._entries, packet, key=lambda each: each.packet) - 1
        return [self._entries[number - each].packet for each in (0, *passed) if each <= number]

    def seconds(self, frame: int, frame_ticks: int) -> Fraction:
        """When a frame begins; that after the last when the last ends, `frame_ticks` after it begins where the file
        does not say."""
        pts, durations = self.times.pts, self.times.durations
        if frame < len(pts):
            return int(pts[frame]) * self._time_base
        return (int(pts[-1]) + (int(durations[-1]) or frame_ticks)) * self._time_base
