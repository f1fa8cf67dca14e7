"""Packets of sound to decoded frames, as players do it: packets that a decoder refuses are passed over and noted."""

from __future__ import annotations

from typing import Any

import av

from clipx.audio.layouts import hold_layout
from clipx.errors import MediaError

__all__ = ["AudioDecoder", "describe_refused", "reason_of"]

TAGGED = frozenset({"aac", "ac3", "eac3", "mp3"})
"""Formats without a header, in which tags stand between the frames, and behind them."""

RATE_LATE = frozenset({"mp1", "mp2", "mp3"})
"""Codecs whose frames have the rate of the frame before; that of the first is the last one that was seen in probing."""

TAGS = (b"ID3", b"3DI", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
ID3_HEADER = 10  # bytes


def _tag_bytes(data: bytes) -> int:
    """Bytes up to the end of the tag that data begins with, which may reach past it; 0 where it begins with none."""
    padding = len(data) - len(data.lstrip(b"\0"))
    tag = data[padding:]
    if tag[:3] == b"ID3" and len(tag) >= ID3_HEADER:
        # The size is written in four times seven bits.
        size = sum((byte & 127) << shift for byte, shift in zip(tag[6:ID3_HEADER], (21, 14, 7, 0)))
        return padding + ID3_HEADER + size
    return len(data) if not tag or tag.startswith(TAGS) else 0


def reason_of(exn: Exception) -> str:
    """Text of an error, without its number."""
    return getattr(exn, "strerror", None) or str(exn)


def describe_refused(name: str, refused: Exception) -> str:
    """Message for sound that the decoder refused."""
    return str(refused) if isinstance(refused, MediaError) else f"{name} cannot be decoded: {reason_of(refused)}"


class AudioDecoder:
    """The decoder of a stream of sound.

    Attributes:
        refused: what the decoder said to the first packet that it refused since the last frame; None where it refused
            none. Packets before the first frame do not count: a stream may begin in the middle.
        refused_before: the same of packets before the first frame.
        passed: whether tags or zeros between frames have been passed over since the last frame.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.AudioStream, name: str, damage: str) -> None:
        self._name, self._stops = name, damage == "stop"
        self._context = stream.codec_context
        self._has_rate_late = self._context.codec.canonical_name in RATE_LATE
        self._has_tags = container.format.name in TAGGED
        self._tag_end: int | None = None
        self._layout: Any = None
        self._begun = False
        self.refused: Exception | None = None
        self.refused_before: av.FFmpegError | None = None
        self.passed = False

    def decode(self, packet: av.Packet | None) -> list[Any]:
        """The frames of a packet, none where it is refused; of None, those that the decoder still holds."""
        try:
            frames: list[Any] = self._context.decode(packet)
        except av.FFmpegError as exn:
            self._refuse(packet, exn)
            return []
        for frame in frames:
            # To compare layouts takes less than to name them.
            if frame.layout != self._layout:
                self._layout = hold_layout(frame.layout)
            if self._has_rate_late and frame.sample_rate != self._context.sample_rate:
                self._check_rate(frame)
        self._begun = self._begun or bool(frames)
        return frames

    def _check_rate(self, frame: Any) -> None:
        """Mend a frame that has the rate of the one before, or note that it is left out."""
        rate = self._context.sample_rate
        if self._stops or not self._begun:
            frame.sample_rate = rate
        else:
            # It is given as FFmpeg gives it, and left out where damage is.
            self.refuse(MediaError(f"{self._name} has a frame of {rate} samples a second"))

    def go_on(self) -> None:
        """Forget what was refused and passed over so far; it has been reported."""
        self.refused, self.passed = None, False

    def refuse(self, error: Exception) -> None:
        """Note the first error, without the frames of its traceback: they would keep the clips that are open."""
        self.refused = self.refused or error.with_traceback(None)

    def _refuse(self, packet: av.Packet | None, exn: av.FFmpegError) -> None:
        if not self._begun:
            self.refused_before = self.refused_before or exn.with_traceback(None)
        elif packet is not None and self._is_tag(packet):
            self.passed = True
        else:
            self.refuse(exn)

    def _is_tag(self, packet: av.Packet) -> bool:
        """A packet that was refused is a tag or zeros, or a part of a tag that has begun before it."""
        if not self._has_tags:
            return False
        if self.passed or (self._tag_end is not None and packet.pos is not None and packet.pos < self._tag_end):
            return True
        size = _tag_bytes(bytes(packet))
        if size and packet.pos is not None:
            self._tag_end = packet.pos + size
        return size > 0
