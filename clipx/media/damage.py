"""Damage of a stream that is being decoded: what is known of it, and which frames it may show in."""

from __future__ import annotations

import logging
from typing import Any

from clipx.errors import Damage, MediaError

__all__ = ["DAMAGE", "Report", "Taint"]

logger = logging.getLogger("clipx")

DAMAGE = ("stop", "skip", "keep")
"""What can be done where a file is damaged."""

MOST_REPORTED = 100
"""Damaged parts of a file that are remembered; of one that is nothing but damage the first ones tell enough."""

INTRA = 1  # av.video.frame.PictureType.I

DONE = {"skip": "clips that it may show in are left out", "keep": "its frames are given as the decoder conceals them"}


class Report:
    """The damage of one file, and what is done about it.

    Args:
        name: what messages call the file.
        damage: "stop", "skip" or "keep".
        log: whether the log is told.

    `found` is the damage so far, at most MOST_REPORTED parts of it.
    """

    def __init__(self, name: str, damage: str, log: bool = True) -> None:
        self.name, self.damage, self._log = name, damage, log
        self.found: list[Damage] = []

    def add(self, message: str, seconds: float | None, cause: Exception | None = None) -> None:
        """Take note of damage, which the log tells once a file. Raises it as MediaError where damage is "stop"."""
        if self.damage == "stop":
            raise self.error(message, seconds) from cause
        found = Damage(seconds, message)
        if found in self.found or len(self.found) >= MOST_REPORTED:
            return
        self.found.append(found)
        if len(self.found) == 1 and self._log:
            logger.warning('%s: %s, as damage="%s" says', _at(message, seconds), DONE[self.damage], self.damage)

    @staticmethod
    def error(message: str, seconds: float | None) -> MediaError:
        """The error of damage that ends the clips."""
        return MediaError(f'{_at(message, seconds)}; damage="skip" goes on behind it, "keep" gives what can be decoded')


def _at(message: str, seconds: float | None) -> str:
    return message if seconds is None else f"{message} (at {seconds:.3f} s)"


class _Number:
    """The number of a packet, which the decoder hands on to its frame. An object of its own for each, as av wants."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


class Taint:
    """Which frames of a decoder damage may show in: all that it gives after the damage, up to the next key frame whose
    packet was read behind it.

    A decoder gives frames in the order of showing, some of them packets later, and a frame may refer to any since its
    key frame: so this holds for every codec, and leaves out a few good frames that were on their way.
    """

    def __init__(self) -> None:
        self.packets = 0
        """Packets that have been sent to the decoder."""
        self._harmed: int | None = None
        self._lost = False

    def send(self, packet: Any) -> None:
        """The packet that is decoded next."""
        self.packets += 1
        if self._harmed is not None:
            packet.opaque = _Number(self.packets)

    def harm(self, lost: bool) -> None:
        """The packet that was sent last is damaged; `lost`: it gives no frame."""
        self._harmed = self.packets
        self._lost = self._lost or lost

    def of(self, image: Any) -> tuple[bool, bool]:
        """Whether damage may show in the frame that comes next, and whether frames may be missing right before it."""
        if self._harmed is None:
            return False, False
        number = image.opaque.value if isinstance(image.opaque, _Number) else 0
        if number > self._harmed and image.key_frame and int(image.pict_type) in (0, INTRA) and not image.is_corrupt:
            self._harmed = None
        lost, self._lost = self._lost, False
        return self._harmed is not None, lost
