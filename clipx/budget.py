"""How a Loader divides its bytes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DECODER_BYTES", "READY", "Budget", "divide"]

READY = 2
"""Clips of a source that wait, at least, while others have their turn."""

DECODER_BYTES = 24_000_000
"""What an open decoder is taken to hold: some twenty pictures of 720p."""

MOST_SOURCES = 10


@dataclass(frozen=True)
class Budget:
    """What becomes of a number of bytes.

    Attributes:
        sources: videos that are cut at a time; those after the first `active` wait for a turn with their first clips.
        active: videos that give clips in turn: all of those, or one where the order is to be kept.
        ready: clips of a source that wait while others have their turn.
        slots: of the pool.
        shuffled: clips that wait in the shuffle.
        encoded_bytes: of samples that are read and not yet cut.
    """

    sources: int
    active: int
    ready: int
    slots: int
    shuffled: int
    encoded_bytes: int


def divide(
    memory: int,
    slot_bytes: int,
    *,
    beside: int = 0,
    held: int,
    fields: int,
    batch_size: int,
    batches: int,
    shuffle: bool,
    workers: int = 1,
) -> Budget:
    """Divide `memory` bytes, first by `workers`; the number of threads plays no part.

    An eighth is for encoded samples. Up to a third of it, for at most ten sources at a time, is for cutting: each takes
    `held` slots of clips that are open and READY of clips that are done, for each field, and DECODER_BYTES. `beside` is
    what a clip has beside its slots, such as sound.
    `batches` batches take `batch_size` slots a field. All the rest is for the shuffle, at least one clip; without one,
    for clips that wait for their turn.

    Raises ValueError that names the least figure that works.
    """
    clip = fields * slot_bytes + beside
    source = (held + READY) * clip + DECODER_BYTES
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
    return Budget(sources, sources - waiting if shuffle else 1, ready, slots, shuffled, encoded)
