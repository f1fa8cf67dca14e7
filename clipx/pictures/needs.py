"""Memory that decoding a picture takes, from its header."""

from __future__ import annotations

from clipx.pictures.headers import PictureHeader
from clipx.video.decoder_memory import DecoderNeeds

__all__ = ["picture_needs"]

PIXEL_BYTES = {"jpeg": 16, "png": 12, "webp": 24}
"""Most bytes of a pixel while it is decoded: Pillow's picture, what its decoder keeps, and the bytes that are read."""


def picture_needs(header: PictureHeader) -> DecoderNeeds:
    """Memory that decoding one picture takes; the next one takes the same."""
    pixels = header.height * header.width
    return DecoderNeeds(PIXEL_BYTES[header.kind] * pixels, pixels)
