"""Damage that is found while a stream is decoded: its record, and the frames in which it may show."""

from __future__ import annotations

import logging
from typing import Any, Literal, get_args

from clipx.errors import Damage, MediaError

__all__ = ["DAMAGE", "AtDamage", "Report", "Taint"]

logger = logging.getLogger("clipx")

AtDamage = Literal["stop", "skip", "keep"]
"""Values of the arguments `damage`."""

DAMAGE: tuple[AtDamage, ...] = get_args(AtDamage)

MOST_REPORTED = 100
"""Most damaged parts of a file that are remembered."""

INTRA = 1  # av.video.frame.PictureType.I

CONSEQUENCES = {
    "skip": "clips in which it may show are left out",
    "keep": "its frames are given as the decoder conceals them",
}


class Report:
    """The damage of one file that has been found so far.

    Args:
        name: of the file, in messages.
        damage: "stop", "skip" or "keep".
        log: whether the first damage is logged.

    Attributes:
        found: at most MOST_REPORTED damaged parts.
    """

    def __init__(self, name: str, damage: str, log: bool = True) -> None:
        self.name, self.damage, self._log = name, damage, log
        self.found: list[Damage] = []

    def add(self, message: str, seconds: float | None, cause: Exception | None = None) -> None:
        """Add damage to `found`, and log it if it is the first. With damage="stop" raises it as MediaError instead."""
        if self.damage == "stop":
            raise self.error(message, seconds) from cause
        found = Damage(seconds, message)
        if found in self.found or len(self.found) >= MOST_REPORTED:
            return
        self.found.append(found)
        if len(self.found) == 1 and self._log:
            logger.warning('%s: %s, as damage="%s" says', _at(message, seconds), CONSEQUENCES[self.damage], self.damage)

    @staticmethod
    def error(message: str, seconds: float | None) -> MediaError:
        """The MediaError for damage that ends the clips."""
        found = MediaError(f'{_at(message, seconds)}; damage="skip" goes on after it, "keep" gives what can be decoded')
        found.seconds = seconds
        return found


def _at(message: str, seconds: float | None) -> str:
    return message if seconds is None else f"{message} (at {seconds:.3f} s)"


class _Number:
    """The number of a packet, which the decoder passes on to its frame; av wants an object of its own for each."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


class Taint:
    """The frames of a decoder in which damage may show: all after the damage, up to the next key frame whose packet was
    read after it.

    A decoder gives frames in the order of showing, some of them packets later, and a frame may refer to any since its
    key frame: this holds for every codec, and counts a few good frames that were on their way as damaged.
    """

    def __init__(self) -> None:
        self.packets = 0
        """Packets that have been sent to the decoder."""
        self._harmed: int | None = None
        self._lost = False

    def send(self, packet: Any) -> None:
        """Count the packet that is decoded next."""
        self.packets += 1
        if self._harmed is not None:
            packet.opaque = _Number(self.packets)

    def harm(self, lost: bool) -> None:
        """Record that the packet that was sent last is damaged; `lost`: it gives no frame."""
        self._harmed = self.packets
        self._lost = self._lost or lost

    def of(self, image: Any) -> tuple[bool, bool]:
        """(damaged, lost) of the next frame: damage may show in it; frames may be missing right before it."""
        if self._harmed is None:
            return False, False
        number = image.opaque.value if isinstance(image.opaque, _Number) else 0
        if number > self._harmed and image.key_frame and int(image.pict_type) in (0, INTRA) and not image.is_corrupt:
            self._harmed = None
        lost, self._lost = self._lost, False
        return self._harmed is not None, lost
