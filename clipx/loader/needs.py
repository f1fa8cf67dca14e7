"""Bytes that a sample takes while its clips are extracted, by its headers, before anything of it is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from clipx.arrays.npz import Npz
from clipx.datasets.addresses import UnreadMember
from clipx.datasets.decoding import TooLarge, decoded_bytes
from clipx.datasets.fields import Field, Sample, extension_of, is_metadata
from clipx.datasets.pictures import PictureGroup
from clipx.datasets.segments import SEGMENT_BYTES
from clipx.datasets.sources import ENCODED, facts_of, fields_of_sources, find_source, kind_of_bytes, media_of
from clipx.datasets.stored import StoredFile
from clipx.pictures.needs import picture_needs
from clipx.video.decoder_memory import DecoderNeeds, decoder_needs, needs_by_facts

__all__ = ["Needs", "check_read", "encoded_bytes", "most_segment_bytes", "needs_of"]

PLAIN_BYTES = 24_000_000
"""Bytes that every source is granted for its decoder: some twenty pictures of 720p."""

LEAST_PIXELS = 1920 * 1152
"""Pixels that any picture may have, whatever the header says."""

LEAST_SEGMENTS = 1000
"""Segments that any sample may have."""

SMALL_BYTES = 4096
"""Fields beside the clips that together take less are not counted in each clip."""


class Needs(NamedTuple):
    """Bytes that a sample takes.

    Attributes:
        read: of the sample as it is read.
        decoded: of its fields beside the clips when decoded, of packed arrays when unpacked, and what that takes for a
            while.
        decoder: of its decoders, beyond PLAIN_BYTES.
        beside: of what each of its clips has beside its slots.
        pixels: number of pixels of its largest picture; 0 where that is not known.
    """

    read: int = 0
    decoded: int = 0
    decoder: int = 0
    beside: int = 0
    pixels: int = 0

    @property
    def size(self) -> int:
        """Bytes that the sample is held as."""
        return self.read + self.decoded

    @property
    def most_pixels(self) -> int | None:
        """Pixels that a picture may have, a little more than the header says; None for any number."""
        return max(self.pixels * 9 // 8, LEAST_PIXELS) if self.pixels else None

    def describe(self) -> str:
        """The bytes and what they are for, as a message says it."""
        parts = [f"{self.read} as it is read"]
        if self.decoded:
            parts.append(f"{self.decoded} for its fields when they are unpacked and decoded")
        if self.decoder:
            parts.append(f"{self.decoder + PLAIN_BYTES} for a decoder of {self.pixels} pixels")
        return ", ".join(parts)


def most_segment_bytes(most: int) -> int:
    """Bytes that the segments of a sample of at most so many bytes may take: an eighth, for at least a thousand."""
    return max(most // 8, LEAST_SEGMENTS * SEGMENT_BYTES)


def encoded_bytes(sample: Sample) -> int:
    """Bytes of a sample's fields as they are read."""
    return sum(len(value) for value in sample.values() if isinstance(value, (bytes, bytearray)))


def check_read(sample: Sample, most: int) -> None:
    """Raise ValueError for a sample of which not everything has been read, as it has more than `most` bytes."""
    sizes = {name: value.size for name, value in sample.items() if isinstance(value, UnreadMember)}
    if not sizes:
        return
    sizes |= {name: len(value) for name, value in sample.items() if isinstance(value, bytes)}
    taken, largest = sum(sizes.values()), max(sizes, key=lambda name: sizes[name])
    raise ValueError(
        f"the sample has {taken} bytes, of which field {largest!r} {sizes[largest]}, but with this memory a sample "
        f"may take {most}: raise memory about {taken / most:.1f} times"
    )


def _source_needs(sample: Sample, field: Field, threads: int) -> tuple[int, DecoderNeeds]:
    """Bytes of a field's source when it is unpacked, and what its decoder needs."""
    kind, value = find_source(sample, field)
    if isinstance(value, PictureGroup):
        return 2 * value.largest_stored, picture_needs(value.header)
    if not isinstance(value, ENCODED):
        return 0, DecoderNeeds()
    if kind == "video":
        if (facts := facts_of(value)) is not None:
            return 0, needs_by_facts(facts, threads)
        return 0, decoder_needs(media_of(value), f"field {field!r}", threads)
    is_npz = kind == "array" and extension_of(field.holder) == "npz"
    return _read_bytes(field.holder, value) if is_npz or isinstance(value, StoredFile) else 0, DecoderNeeds()


def _read_bytes(field: str, value: bytes | bytearray | memoryview | StoredFile) -> int:
    """Bytes of a file of arrays as it is read and unpacked beside the sample; none of one that is mapped."""
    kind = kind_of_bytes(field, value)
    if isinstance(value, StoredFile):
        if kind == "sound" or (kind == "npy" and value.path is not None):
            return 0
        return value.nbytes + (Npz(value.read()).unpacked_bytes if kind == "npz" else 0)
    return Npz(value).unpacked_bytes


def needs_of(sample: Sample, fields: Sequence[Field], threads: int, most: int) -> Needs:
    """The needs of a sample whose clips are made of these fields, by decoders of so many threads.

    Raises TooLarge where it unpacks to more than `most` bytes. Other errors are left to the extraction.
    """
    decoded = decoder = beside = pixels = 0
    for field in _one_of_each(fields):
        try:
            unpacked, pictures = _source_needs(sample, field, threads)
        except (ValueError, OSError):
            continue
        decoded, decoder = decoded + unpacked, decoder + pictures.nbytes
        pixels = max(pixels, pictures.pixels)
    files = fields_of_sources(sample, fields)
    for name, value in sample.items():
        if name in files:
            continue
        if isinstance(value, StoredFile):
            size = max(value.known_size, 0)
            decoded, beside = decoded + size, beside + size
            continue
        try:
            size, passing = decoded_bytes(name, value, most)
        except TooLarge as exn:
            raise TooLarge(f"field {name!r} is too large: {exn}") from exn
        except ValueError:
            continue
        kept = size if size else _kept(name, value)
        decoded, beside = decoded + size + passing, beside + kept
    small = beside <= SMALL_BYTES
    return Needs(encoded_bytes(sample), decoded, max(decoder - PLAIN_BYTES, 0), 0 if small else beside, pixels)


def _kept(name: str, value: Any) -> int:
    return len(value) if isinstance(value, (bytes, bytearray)) and not is_metadata(name) else 0


def _one_of_each(fields: Iterable[Field]) -> list[Field]:
    """The fields, but only one of the members of each file: it is unpacked as a whole."""
    found: dict[str, Field] = {}
    for field in fields:
        found.setdefault(field.holder, field)
    return list(found.values())
