"""SoundIndex: where the packets of a file of sound lie, which samples they give, and how these are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import av

from clipx.audio.file_bytes import FileBytes
from clipx.audio.preroll import Preroll, preroll_of

__all__ = ["Contradiction", "Kind", "Packets", "SoundIndex", "Stretch"]


class Contradiction(Exception):
    """What is read or decoded is not what the index says: only a full decode tells the samples."""


class Stretch(NamedTuple):
    """Packets that follow each other, up to the one that holds a sample.

    Attributes:
        is_first: whether the first of them is the file's.
        starts: the first sample of each, counted from the file's first packet on.
        sizes: bytes of each.
        read: called with an index in these lists gives (start, bytes) of that packet and all that come after it.
    """

    is_first: bool
    starts: Sequence[int]
    sizes: Sequence[int]
    read: Callable[[int], Iterator[tuple[int, Any]]]


class Packets(Protocol):
    """All packets of a stream.

    Attributes:
        samples: that they give together.
    """

    samples: int

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""

    def around(self, file: FileBytes, sample: int, before: int) -> Stretch:
        """The packets from `before` samples before a sample on, or a little earlier."""


class Kind(NamedTuple):
    """What frames of a stream have in common: samples a second, layout and type of their samples."""

    rate: int
    layout: str
    type: str

    @staticmethod
    def of(frame: Any) -> Kind:
        return Kind(frame.sample_rate, frame.layout.name, frame.format.name)


@dataclass(frozen=True, eq=False)
class SoundIndex:
    """The packets of a stream of sound, and all that takes to decode from any of them.

    Attributes:
        packets: of the stream.
        skip: samples at the beginning that do not count as sound, of those that the packets give.
        length: number of samples of a full decode.
        start: time of the first one, in seconds on the file's clock.
        kind: of the frames.
        codec, extradata, profile: of the decoder.
        can_start: whether samples are exact that are decoded from the middle on.
    """

    packets: Packets
    skip: int
    length: int
    start: Fraction
    kind: Kind
    codec: str
    extradata: bytes
    profile: str | None
    can_start: bool

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.packets.nbytes + len(self.extradata) + 1024

    def decoder(self) -> tuple[av.AudioCodecContext, Preroll]:
        """A decoder that has decoded nothing, and its pre-roll."""
        context: Any = av.CodecContext.create(self.codec, "r")
        if self.extradata:
            context.extradata = self.extradata
        context.sample_rate, context.layout = self.kind.rate, self.kind.layout
        # A decoder does not say its profile before it has decoded.
        described = SimpleNamespace(
            codec=context.codec,
            extradata=self.extradata,
            sample_rate=self.kind.rate,
            layout=context.layout,
            profile=self.profile,
        )
        preroll = preroll_of(SimpleNamespace(codec_context=described))
        assert preroll is not None
        return context, preroll

    def silence(self, samples: int) -> av.AudioFrame:
        """A frame of the sound's kind with so many samples, of any values."""
        frame = av.AudioFrame(format=self.kind.type, layout=self.kind.layout, samples=samples)
        frame.sample_rate = self.kind.rate
        return frame
