"""The memory that samples take while clips are extracted from them, and which of them fit beside each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Room", "Weight"]


class Weight(NamedTuple):
    """Bytes that a sample takes, by its headers.

    Attributes:
        size: as it is read, and decoded and unpacked.
        decoder: of its decoders.
        beside: of what each of its clips has beside its slots.
        pixels: of its largest picture; None for any number.
        error: why no clips are extracted; None where they are.
    """

    size: int = 0
    decoder: int = 0
    beside: int = 0
    pixels: int | None = None
    error: Exception | None = None


class Room:
    """Room for samples that have been read and for their decoders.

    Half of the samples' bytes is for those that give clips. The other half is for the sample that comes after them: its
    size shows only when it has been read.

    Args:
        encoded_bytes: of samples that are read, decoded and unpacked.
        decoders_bytes: of decoders.

    Attributes:
        held: bytes of the samples that were added.
    """

    def __init__(self, encoded_bytes: int, decoders_bytes: int) -> None:
        self._encoded_bytes, self._decoders_bytes = encoded_bytes, decoders_bytes
        self.held = self._largest = 0
        self._large_comes = False

    def add(self, weight: Weight) -> None:
        """Count a sample that has been read."""
        self.held += weight.size
        self._largest = max(self._largest, weight.size)
        self._large_comes = False

    def remove(self, weight: Weight) -> None:
        """Count a sample no more."""
        self.held -= weight.size

    @property
    def has_room(self) -> bool:
        """Whether a sample as large as the largest so far can be read."""
        return self.held + self._largest <= self._encoded_bytes

    def fits(self, weights: Iterable[Weight]) -> bool:
        """Whether samples can give clips at the same time."""
        weights = list(weights)
        return self.count_fitting((), weights) == len(weights)

    def count_fitting(self, active: Iterable[Weight], following: Iterable[Weight]) -> int:
        """Number of samples that can give clips beside those that are active, taken in order up to one that cannot."""
        size = decoders = count = 0
        for weight in active:
            size, decoders = size + weight.size, decoders + weight.decoder
        for weight in following:
            size, decoders = size + weight.size, decoders + weight.decoder
            if 2 * size > self._encoded_bytes or decoders > self._decoders_bytes:
                break
            count += 1
        return count

    def is_full(self, active: Iterable[Weight]) -> bool:
        """Whether no sample, however small, can give clips beside these."""
        active = list(active)
        return bool(active) and (self._large_comes or not self.fits(active))

    def is_large(self, size: int) -> bool:
        """Whether a sample of so many bytes gives clips alone, and is therefore read alone."""
        return 2 * size > self._encoded_bytes

    def announce_large(self) -> bool:
        """Let no further sample give clips until a large one has been added. Returns whether that is new."""
        is_new, self._large_comes = not self._large_comes, True
        return is_new

    def admits(self, size: int, active: Iterable[Weight], waiting: bool) -> bool:
        """Whether a sample can be read up to so many bytes: its reader knows its size only as it goes on.

        Args:
            active: of samples that give clips.
            waiting: whether samples wait that have been read.
        """
        active = list(active)
        if not active and not waiting:
            return True
        if self.is_large(size):
            return False
        beyond = max(sum(weight.decoder for weight in active) - self._decoders_bytes, 0)
        return self.held + beyond + size <= self._encoded_bytes or not (waiting or self.is_full(active))
