"""JPEG, PNG and WebP pictures to pixels."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import av
import numpy as np

from clipx.pictures.headers import is_plain_png, read_header

__all__ = ["DecodedPicture", "decode"]

MISSING = 'numbered pictures need Pillow: pip install "clipx-data[pictures]"'


class DecodedPicture(NamedTuple):
    """The pixels of a picture.

    Attributes:
        name: of the picture, in messages.
        height, width: in pixels.
        pixel_bytes: 1 of gray, 3 of red, green and blue, 4 where a byte follows these that does not count.
        buffer: the bytes of all lines.
        line_bytes: from one line to the next.
        encoded_bytes: of the picture before it was decoded.
    """

    name: str
    height: int
    width: int
    pixel_bytes: int
    buffer: Any
    line_bytes: int
    encoded_bytes: int


def decode(data: bytes, name: str, *, gray: bool = False, max_pixels: int) -> DecodedPicture:
    """The pixels of a picture, as `PIL.Image.open(...).convert("RGB")` gives them, or "L" for `gray`.

    Of 16 bits the high byte; alpha does not count, and neither does the orientation of Exif. Of an animation it is the
    first picture.

    Raises ValueError for what cannot be decoded, ends too early, or has more than `max_pixels`, which is known before
    memory is taken; ImportError without Pillow.
    """
    header = read_header(data)
    _check_pixels(header.height, header.width, max_pixels)
    if header.kind == "png" and not gray and is_plain_png(data):
        # FFmpeg decodes these in half the time, to the same pixels. What it refuses is for Pillow to judge, and so is
        # what it would unpack without bounds, such as texts.
        found = _decode_plain(data, name)
        if found is not None:
            return found
    array = _pixels(_open(header.kind, data), "L" if gray else "RGB", max_pixels)
    height, width = array.shape[:2]
    pixel_bytes = array.size // (height * width)
    return DecodedPicture(name, height, width, pixel_bytes, array.reshape(-1), width * pixel_bytes, len(data))


def _check_pixels(height: int, width: int, most: int) -> None:
    if height * width > most:
        raise ValueError(
            f"it has {width} x {height} pixels, more than the {most} that a picture may have; "
            f"VideoOptions(max_pixels=) allows more"
        )


def _decode_plain(data: bytes, name: str) -> DecodedPicture | None:
    """A PNG of 8 bits by FFmpeg; None where that refuses it."""
    # One decoder for several pictures gives a wrong second one.
    context = av.CodecContext.create("png", "r")
    context.thread_count = 1
    context.options = {"err_detect": "crccheck+explode"}  # as Pillow has it
    try:
        found: Any = context.decode(av.Packet(data))
    except av.FFmpegError:
        return None
    if len(found) != 1 or found[0].format.name not in ("rgb24", "rgba"):
        return None
    (frame,) = found
    (plane,) = frame.planes
    pixel_bytes = len(frame.format.components)
    return DecodedPicture(name, frame.height, frame.width, pixel_bytes, plane, plane.line_size, len(data))


def _open(kind: str, data: bytes) -> Any:
    """A picture of Pillow, of which only the header has been read."""
    try:
        from PIL import JpegImagePlugin, PngImagePlugin, WebPImagePlugin
    except ImportError as exn:
        raise ImportError(MISSING) from exn
    classes: dict[str, Any] = {
        "jpeg": JpegImagePlugin.JpegImageFile,
        "png": PngImagePlugin.PngImageFile,
        "webp": WebPImagePlugin.WebPImageFile,
    }
    try:
        # Not by Image.open, whose limits are for the whole process, and warnings.
        return classes[kind](io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as exn:  # of any type, as the bytes make it
        raise ValueError(f"it is not a readable {kind} picture: {exn}") from exn


def _pixels(picture: Any, mode: str, max_pixels: int) -> np.ndarray:
    """The pixels in a mode of Pillow, uint8 (height, width) or (height, width, 3)."""
    _check_pixels(picture.height, picture.width, max_pixels)
    try:
        picture.load()
        if picture.mode.startswith("I"):
            high = np.clip(np.asarray(picture) >> 8, 0, 255).astype(np.uint8)
            return high if mode == "L" else np.repeat(high[..., None], 3, axis=2)
        picture.info.pop("transparency", None)  # of a palette it would only bring a warning
        return np.asarray(picture if picture.mode == mode else picture.convert(mode))
    except MemoryError:
        raise
    except Exception as exn:  # of any type, as the bytes make it
        raise ValueError(f"it cannot be decoded: {exn}") from exn
    finally:
        picture.close()
