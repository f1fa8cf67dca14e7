"""Encodings of clips: the protocol of an encoder, and the encodings that there are by their names."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from clipx.datasets.fields import Field, Sample
from clipx.datasets.segments import BadSegment, SegmentSource
from clipx.media.clip_memory import ClipMemory
from clipx.plan import ALL, Selection
from clipx.wds.in_step import ClipSample
from clipx.wds.limits import NO_LIMITS, Limits

if TYPE_CHECKING:
    from clipx._timing import Timings
    from clipx.datasets.ledger import Notes

__all__ = [
    "ENCODINGS",
    "ClipSource",
    "Data",
    "EncodedClip",
    "Encoder",
    "Encoding",
    "data_bytes",
    "field_name",
    "pieces_of",
]

Data = bytes | memoryview | tuple[bytes | memoryview, ...]
"""The bytes of a field, or pieces of them that are written one behind the other. Memoryviews are of bytes ("B")."""


def pieces_of(data: Data) -> tuple[bytes | memoryview, ...]:
    """The pieces of a field's bytes."""
    return data if isinstance(data, tuple) else (data,)


def data_bytes(data: Data) -> int:
    """Number of bytes of a field."""
    return sum(map(len, pieces_of(data)))


class EncodedClip(NamedTuple):
    """A clip as it is written.

    Attributes:
        fields: the bytes of the clip, and of its sound, by the names of their fields, in order.
        facts: what the manifest and "clip.json" say of it, such as "codec", "width" and "height"; these two are None
            for sound.
    """

    fields: dict[str, Data]
    facts: dict[str, Any]


class Encoder(Protocol):
    """Encodes clips; threads may share it."""

    def encode(self, clip: Sample, fields: Mapping[Field, Field]) -> EncodedClip:
        """The clip of a sample, encoded.

        Args:
            clip: as `SampleClips` gives it: the clip's arrays, its sound, "clip.json" and the source's other fields.
            fields: the source's fields, by the names of their clips, as `SampleClips.fields` gives them.

        The bytes may be views of the clip's arrays. Raises ValueError for a clip that cannot be encoded.
        """


class ClipSource(Protocol):
    """Gives the clips of samples, as `SampleClips` does; threads may share it."""

    @property
    def segments(self) -> SegmentSource | None:
        """Where the segments of a sample come from; None where sources are not divided."""

    def fields(self, sample: Sample) -> dict[Field, Field]:
        """The fields of a sample that clips are made of, by the names of their clips."""

    def clips(
        self,
        sample: Sample,
        epoch: int,
        *,
        pool: ClipMemory | None = None,
        selection: Selection = ALL,
        limits: Limits = NO_LIMITS,
        ledger: Notes | None = None,
        timings: Timings | None = None,
    ) -> Generator[ClipSample | BadSegment]:
        """The bad segments of a sample, and then its clips, in order."""

    def count(self, sample: Sample, epoch: int = 0) -> int:
        """Number of clips that `clips` gives, mostly without decoding."""


@dataclass(frozen=True)
class Encoding:
    """An encoding, as `encoding=` names it.

    Attributes:
        name: of the encoding, such as "jpg".
        home: the module, in this package, whose function `encoder(options)` makes its Encoder, of ExtractOptions. It
            may have functions `clip_source(options)`, which makes the source of its clips, else those of `SampleClips`;
            `check(options)`, which raises ValueError for options that it does not go with; `versions()`, a dict of the
            versions of its libraries; and `memory_of(options, pixels)`, the bytes that one encoder takes for pictures
            of so many pixels, beyond the clip.
        takes: the options of encoding that it has: "quality", "codec", "crf", "preset", "gop".
        is_sound: whether it takes sounds, and of videos only their sound.
        decodes: whether clips are decoded.
    """

    name: str
    home: str
    takes: frozenset[str] = frozenset()
    is_sound: bool = False
    decodes: bool = True

    def module(self) -> Any:
        """The module of the encoding. Raises ImportError that names the extra where a library is missing."""
        return import_module(f"clipx.jobs.extraction.{self.home}")


ENCODINGS = {
    each.name: each
    for each in (
        Encoding("npy", "npy"),
        Encoding("jpg", "picture_encoder", frozenset({"quality"})),
        Encoding("webp", "picture_encoder", frozenset({"quality"})),
        Encoding("png", "picture_encoder"),
        Encoding("mp4", "movie_encoder", frozenset({"codec", "crf", "preset", "gop"})),
        Encoding("copy", "copied", decodes=False),
        Encoding("wav", "sound_encoder", is_sound=True),
        Encoding("flac", "sound_encoder", is_sound=True),
    )
}
"""The encodings by their names."""


def field_name(name: Field, fields: Mapping[Field, Field], ending: str) -> str:
    """The name of the field that the clip of a source is written to.

    Of the only source the ending, such as "mp4" or "000.jpg"; of several, behind the source's name, without its
    extension where the others have other names: "front.mp4" of source "front.mkv".
    """
    if len(fields) == 1:
        return ending
    stems = [str(each).rpartition(".")[0] for each in fields]
    stem = str(name).rpartition(".")[0]
    return f"{(stem if stem and stems.count(stem) == 1 else str(name)).replace(':', '.')}.{ending}"
