"""How a Loader divides its bytes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DECODER_BYTES", "LEAST_SAMPLE", "READY", "Budget", "divide", "most_read"]

READY = 2
"""Clips of a source that wait, at least, while others have their turn."""

DECODER_BYTES = 24_000_000
"""What an open decoder is taken to hold, at least: some twenty pictures of 720p."""

MOST_SOURCES = 10


LEAST_SAMPLE = 1 << 24
"""What a sample may take, however little memory there is."""

BESIDE_BYTES = 65_536
"""What a clip may have beside its slots, however little memory there is."""


@dataclass(frozen=True)
class Budget:
    """What becomes of a number of bytes.

    Attributes:
        sources: videos that are cut at a time; those after the first `active` wait for a turn with their first clips.
        active: videos that give clips in turn: all of those, or one where the order is to be kept.
        ready: clips of a source that wait while others have their turn.
        slots: of the pool.
        shuffled: clips that wait in the shuffle.
        encoded_bytes: of samples that are read and not yet cut, and of what they are decoded and unpacked to.
        decoder_bytes: of a source's decoder.
        clip_beside: what a clip may have beside its slots; BESIDE_BYTES at least, however little that is.
        shuffled_beside: what the clips in the shuffle may have beside their slots.
    """

    sources: int
    active: int
    ready: int
    slots: int
    shuffled: int
    encoded_bytes: int
    decoder_bytes: int
    clip_beside: int
    shuffled_beside: int

    @property
    def decoders_bytes(self) -> int:
        """Of all decoders."""
        return self.sources * self.decoder_bytes

    @property
    def sample_bytes(self) -> int:
        """What one sample may take that is cut alone: as it is read, decoded and unpacked, and with its decoder."""
        return max(self.encoded_bytes + self.decoders_bytes, LEAST_SAMPLE)

    @property
    def most_beside(self) -> int:
        """Bytes that a clip may have beside its slots."""
        return max(self.clip_beside, BESIDE_BYTES)

    def decoder(self, beyond: int) -> int:
        """What a source's decoder counts that takes so many bytes beyond those that every one is granted."""
        return max(DECODER_BYTES + beyond, self.decoder_bytes)


def most_read(memory: int) -> int:
    """Bytes of a sample that are read of `memory`, before it is known how that is divided."""
    return max(memory // 2, LEAST_SAMPLE)


def divide(
    memory: int,
    slot_bytes: int,
    *,
    beside: int = 0,
    decoder: int = 0,
    held: int,
    fields: int,
    batch_size: int,
    batches: int,
    shuffle: bool,
    workers: int = 1,
) -> Budget:
    """Divide `memory` bytes, first by `workers`; the number of threads plays no part.

    An eighth is for samples that are read, with what they are decoded and unpacked to. Up to a third of it, for at most
    ten sources at a time, is for cutting: each takes `held` slots of clips that are open and READY of clips that are
    done, for each field, and DECODER_BYTES and `decoder`, which is what that of the first source takes beyond these, as
    its header says; a source that takes more has fewer beside it. `beside` is what the first clip has beside its slots,
    such as sound and fields of more than a page; others may have a sixteenth of `memory` more, together.
    `batches` batches take `batch_size` slots a field. All the rest is for the shuffle, at least one clip; without one,
    for clips that wait for their turn.

    Raises ValueError that names the least figure that works.
    """
    clip = fields * slot_bytes + beside
    decoder += DECODER_BYTES
    source = (held + READY) * clip + decoder
    fixed = (batches * batch_size + 2) * clip
    least = (source + fixed + clip) * 8 // 7 + 8
    given, memory = memory, memory // workers
    if memory < least:
        told = f" for {workers} workers" if workers > 1 else ""
        raise ValueError(
            f"memory is {given} bytes{told}, but {batches} batches of {batch_size} clips of {clip} bytes, and cutting "
            f"one source, take at least {least * workers}"
        )
    encoded = memory // 8
    sources = min(max(memory // 3 // source, 1), MOST_SOURCES, (memory - encoded - fixed - clip) // source)
    spare = (memory - encoded - fixed - sources * source) // clip
    ready = READY if shuffle else READY + spare // sources
    shuffled = spare if shuffle else 0
    waiting = 2 if sources > 6 else 1 if sources > 3 else 0
    slots = (sources * (held + ready) + shuffled + 2) * fields
    return Budget(
        sources,
        sources - waiting if shuffle else 1,
        ready,
        slots,
        shuffled,
        encoded,
        decoder,
        max(2 * beside, encoded // 4 // (batches * batch_size)),
        shuffled * beside + encoded // 4,
    )
