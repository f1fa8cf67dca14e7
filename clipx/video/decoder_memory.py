"""Memory that a decoder will need, from the header of a video: pictures to refer to, and those on their way."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple, cast

import av

from clipx.media.opening import FORMATS, LATE_FORMATS, TEXTS, open_media, restrictions, rewind, target_of, videos
from clipx.media.sources import Source, as_source
from clipx.media.stream_facts import StreamFacts
from clipx.video.parameter_sets import Sequence, sequences

__all__ = ["DecoderNeeds", "PictureMemory", "decoder_needs", "needs_by_facts", "parameter_sets_memory", "stream_memory"]

REFERENCES = {"h264": 16, "hevc": 16, "vvc": 16, "av1": 8, "vp9": 8, "vp8": 4}
"""Pictures that a decoder may keep to refer to, where the stream does not say; of all other codecs, two."""

DEEP = frozenset({"prores", "dnxhd", "ffv1", "v210", "rawvideo", "cfhd", "jpeg2000", "png", "tiff", "dpx"})
"""Codecs whose pixels may take four bytes and more, where the header does not say; of all others, 4:2:0 of 8 bits."""

ON_THEIR_WAY = 4
"""Pictures beside these: the one that is decoded, those that wait to be shown, and the one that is written to clips."""

BESIDE_PICTURES = Fraction(5, 4)
"""Memory of a picture with its motion vectors and borders, in sizes of the picture."""

UNKNOWN_PIXELS = 1920 * 1088

MOST_KEPT = 4096
"""Bytes of parameter sets whose memory is kept for the next file; a set has some 30."""

CHROMA = (1, Fraction(3, 2), 2, 3)
"""Samples of a pixel: gray, 4:2:0, 4:2:2, 4:4:4."""


class PictureMemory(NamedTuple):
    """The pictures of a stream: pixels of each, bytes of a pixel, and the number that is kept to refer to."""

    pixels: int
    pixel_bytes: Fraction
    references: int

    def held(self, threads: int) -> int:
        """Most bytes that a decoder with this number of threads holds."""
        count = self.references + ON_THEIR_WAY + threads - 1
        return int(self.pixels * self.pixel_bytes * BESIDE_PICTURES * count)


def parameter_sets_memory(codec: str, extradata: bytes) -> PictureMemory | None:
    """The largest pictures that the parameter sets of H.264 or HEVC announce; None where none can be read."""
    return (_kept_memory if len(extradata) <= MOST_KEPT else _sets_memory)(codec, extradata)


def _sets_memory(codec: str, extradata: bytes) -> PictureMemory | None:
    found = [_memory(each) for each in sequences(codec, extradata)]
    return PictureMemory(*map(max, zip(*found))) if found else None


_kept_memory = lru_cache(maxsize=16)(_sets_memory)


def _memory(found: Sequence) -> PictureMemory:
    samples = CHROMA[found.chroma] if found.chroma < len(CHROMA) else 3
    pixel_bytes = Fraction(samples) * (1 if found.depth <= 8 else 2)
    return PictureMemory(found.width * found.height, pixel_bytes, min(found.references, 16))


# Files


def _open_header(src: Source, name: str) -> av.container.InputContainer:
    """A file, opened without decoders, which takes a tenth of a millisecond; with them where it lacks sizes then."""
    target = target_of(src, name)
    for formats in (FORMATS, LATE_FORMATS):
        limits = restrictions(target, formats, decode=False)
        rewind(target)
        try:
            container = av.open(target, mode="r", container_options=limits, **TEXTS)
        except av.FFmpegError:
            continue
        contexts = [cast(Any, each.codec_context) for each in videos(container)]
        if all(each is not None and each.width * each.height for each in contexts):
            return container
        container.close()
        break
    return open_media(src, name)


def stream_memory(stream: Any) -> PictureMemory | None:
    """The pictures of a video stream, by its header; None for one of a codec that is not known."""
    context = stream.codec_context
    if context is None:
        return None
    codec = context.codec.canonical_name
    stated = parameter_sets_memory(codec, bytes(context.extradata or b"")) if codec in ("h264", "hevc") else None
    if stated is not None:
        return stated
    bits = context.format.padded_bits_per_pixel if context.format is not None else 0
    pixels = context.width * context.height or UNKNOWN_PIXELS
    usual = Fraction(4) if codec in DEEP else Fraction(3, 2)
    return PictureMemory(pixels, Fraction(bits, 8) or usual, 0 if codec in DEEP else REFERENCES.get(codec, 2))


class DecoderNeeds(NamedTuple):
    """Bytes that a decoder will hold, and the pixels of its pictures; 0 where they are not known."""

    nbytes: int = 0
    pixels: int = 0


def needs_by_facts(facts: StreamFacts, threads: int) -> DecoderNeeds:
    """`decoder_needs` of a file that is not opened, by facts from an index."""
    memory = PictureMemory(*facts.memory)
    return DecoderNeeds(memory.held(threads), memory.pixels)


def decoder_needs(src: Source, name: str, threads: int) -> DecoderNeeds:
    """Memory that a decoder of a video will need with this number of threads, from the header.

    It is 0 for a file that cannot be opened, which raises where clips are made of it.
    """
    try:
        with _open_header(as_source(src, name), name) as container:
            found = [each for each in map(stream_memory, videos(container)) if each is not None]
    except (ValueError, OSError, av.FFmpegError):
        return DecoderNeeds()
    return max((DecoderNeeds(each.held(threads), each.pixels) for each in found), default=DecoderNeeds())
