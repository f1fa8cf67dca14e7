"""The rule by which a Loader divides its bytes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DECODER_BYTES", "LEAST_SAMPLE", "READY", "Budget", "cache_bytes", "divide", "most_held", "most_read"]

READY = 2
"""Least number of finished clips of a source that wait while other sources give theirs."""

DECODER_BYTES = 24_000_000
"""Least bytes that an open decoder is counted with: some twenty pictures of 720p."""

MOST_SOURCES = 10
"""Sources that are open at the same time."""

MOST_HELD = 32
"""Most clips of overlapping segments that are written at the same time, where windows alone do not need more."""

LEAST_SAMPLE = 1 << 24
"""Bytes that a sample may take however little memory there is."""

LEAST_CACHED, MOST_CACHED = 1 << 16, 1 << 26
"""Bytes of remote files that are held."""

BESIDE_BYTES = 65_536
"""Bytes that a clip may have beside its slots however little memory there is."""


@dataclass(frozen=True)
class Budget:
    """A loader's bytes, divided.

    Attributes:
        sources: number of sources that are open at a time: the active ones, and some that wait with their first clips.
        active: number of sources that give clips in rotation; one where the order is to be kept.
        ready: number of finished clips of a source that wait while others give theirs.
        slots: number of slots of the pool.
        shuffled: number of clips that the shuffle holds.
        bucketed: number of clips that partial buckets hold; 0 where there are no buckets.
        encoded_bytes: bytes of samples that have been read, and of what they are decoded and unpacked to.
        decoder_bytes: bytes of a source's decoder.
        clip_beside: bytes that a clip may have beside its slots; BESIDE_BYTES where this is less.
        shuffled_beside: bytes that the clips in the shuffle may have beside their slots, together.
        bucketed_beside: likewise, those in partial buckets.
        held: number of slots for the clips of a field that are being written.
    """

    sources: int
    active: int
    ready: int
    slots: int
    shuffled: int
    bucketed: int
    encoded_bytes: int
    decoder_bytes: int
    clip_beside: int
    shuffled_beside: int
    bucketed_beside: int
    held: int = 2

    @property
    def decoders_bytes(self) -> int:
        """Bytes of all decoders."""
        return self.sources * self.decoder_bytes

    @property
    def sample_bytes(self) -> int:
        """Bytes that a single sample may take: as it is read, decoded and unpacked, and with its decoder."""
        return max(self.encoded_bytes + self.decoders_bytes, LEAST_SAMPLE)

    @property
    def most_beside(self) -> int:
        """Bytes that a clip may have beside its slots."""
        return max(self.clip_beside, BESIDE_BYTES)

    def decoder(self, beyond: int) -> int:
        """Bytes that a source's decoder is counted with; `beyond` are those above what every decoder is granted."""
        return max(DECODER_BYTES + beyond, self.decoder_bytes)


def most_held(least: int, memory: int, clip: int, decoder: int, workers: int) -> int:
    """Slots for the clips of a source that is divided into segments, which may overlap: from `least` to MOST_HELD.

    As many as leave room for two sources in a third of `memory`, with clips of so many bytes in all fields.
    """
    fitting = (memory // workers // 6 - decoder - DECODER_BYTES) // max(clip, 1) - READY
    return max(least, min(fitting, MOST_HELD))


def cache_bytes(memory: int) -> int:
    """Bytes of remote files that are held: half of what is for samples that have been read, up to MOST_CACHED."""
    return max(min(memory // 16, MOST_CACHED), LEAST_CACHED)


def most_read(memory: int) -> int:
    """Bytes of a sample that are read before it is known how `memory` is divided."""
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
    buckets: bool = False,
    workers: int = 1,
) -> Budget:
    """Divide `memory` bytes, first by `workers`; the number of threads plays no part.

    - An eighth is for samples that have been read, with what they are decoded and unpacked to; of a remote dataset,
      `cache_bytes` of it are for bytes of files that are held.
    - Up to a third is for at most ten open sources. Each takes, for each field, `held` slots of clips that are being
      written and READY of finished ones; and for its decoder DECODER_BYTES plus `decoder`, which is what the first
      source's takes beyond these by its header. A source that takes more has fewer beside it.
    - `batches` batches take `batch_size` slots a field.
    - With `buckets`, a batch and half of the rest is for the clips in partial buckets.
    - The rest is for the shuffle, at least one clip; without a shuffle, for finished clips.

    `beside` is what the first clip has beside its slots, such as sound and fields of more than a page; other clips may
    have a sixteenth of `memory` more, together.

    Raises ValueError that names the least figure that works.
    """
    clip = fields * slot_bytes + beside
    decoder += DECODER_BYTES
    source = (held + READY) * clip + decoder
    fixed = (batches * batch_size + 2 + batch_size * buckets) * clip
    least = (source + fixed + clip) * 8 // 7 + 8
    given, memory = memory, memory // workers
    if memory < least:
        shared = f" for {workers} workers" if workers > 1 else ""
        raise ValueError(
            f"memory is {given} bytes{shared}, but {batches} batches of {batch_size} clips of {clip} bytes, and one "
            f"source, take at least {least * workers}"
        )
    encoded = memory // 8
    sources = min(max(memory // 3 // source, 1), MOST_SOURCES, (memory - encoded - fixed - clip) // source)
    spare = (memory - encoded - fixed - sources * source) // clip
    bucketed = batch_size + spare // 2 if buckets else 0
    spare -= spare // 2 if buckets else 0
    ready = READY if shuffle else READY + spare // sources
    shuffled = spare if shuffle else 0
    waiting = 2 if sources > 6 else 1 if sources > 3 else 0
    slots = (sources * (held + ready) + shuffled + bucketed + 2) * fields
    more = encoded // (8 if buckets else 4)
    return Budget(
        sources,
        sources - waiting if shuffle else 1,
        ready,
        slots,
        shuffled,
        bucketed,
        encoded,
        decoder,
        max(2 * beside, encoded // 4 // (batches * batch_size)),
        shuffled * beside + more,
        bucketed * beside + more if buckets else 0,
        held,
    )
