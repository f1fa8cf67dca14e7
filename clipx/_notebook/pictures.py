"""Frames of arrays as small PNG pictures, whatever their layout, dtype and range."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["MOST_BYTES", "Thumbnails", "as_frames", "thumbnails"]

MOST_BYTES = 150_000
"""Characters that the pictures of one cell take together, at most."""

CHANNELS = (1, 3, 4)
MOST_READ = 1024  # rows and columns of a frame that are read: others are left out before pixels are averaged


def as_frames(data: np.ndarray, length: int | None = None) -> np.ndarray | None:
    """A clip as frames (views, time, height, width, channels), without a copy; None where it shows no pictures.

    Args:
        data: in any of a format's orders, with several views along a first axis or without; or gray, without channels.
        length: number of positions, where it is known: it tells time from channels.
    """
    order = _order(data.shape, length)
    if order is not None:
        data = data[np.newaxis]
    elif data.ndim >= 4:
        order = _order(data.shape[1:], length)
        order = order if order != "THW" else None
    if order is None:
        return None
    frames = data.transpose(0, *(1 + order.index(each) for each in "THWC" if each in order))
    frames = frames if "T" in order else frames[:, np.newaxis]
    frames = frames if "C" in order else frames[..., np.newaxis]
    return frames[..., :3] if frames.size else None


def _order(shape: tuple[int, ...], length: int | None) -> str | None:
    """The first order that a clip's shape allows."""
    for order in ("THWC", "CTHW", "TCHW") if len(shape) == 4 else ("HWC", "CHW", "THW") if len(shape) == 3 else ():
        channels = shape[order.index("C")] if "C" in order else 1
        time = shape[order.index("T")] if "T" in order else 1
        if channels in CHANNELS and length in (None, time):
            return order
    return None


class Thumbnails(NamedTuple):
    """Small pictures.

    Attributes:
        uris: each as a data: address of a PNG.
        sizes: (height, width) at which each is shown.
        note: the range of numbers from black to white, where they are no plain pictures.
    """

    uris: list[str]
    sizes: list[tuple[int, int]]
    note: str


def thumbnails(frames: Sequence[np.ndarray], height: int = 90) -> Thumbnails:
    """Pictures of frames (height, width, channels) about so many pixels high, or smaller, within MOST_BYTES."""
    while True:
        small = [_shrunk(frame, height) for frame in frames]
        pictures, note = _as_bytes(small, frames[0].dtype)
        uris = [_png_uri(picture) for picture in pictures]
        size = sum(map(len, uris))
        if size <= MOST_BYTES or height <= 1:
            break
        height = max(min(height - 1, int(height * (MOST_BYTES / size) ** 0.5)), 1)
    return Thumbnails(uris, [_shown_size(picture) for picture in pictures], note)


def _shrunk(frame: np.ndarray, height: int) -> np.ndarray:
    """A frame as the means of squares of its pixels, at most `height` by twice of that; float32."""
    frame = frame[:: -(-frame.shape[0] // MOST_READ), :: -(-frame.shape[1] // MOST_READ)]
    step = max(-(-frame.shape[0] // height), -(-frame.shape[1] // (2 * height)))
    rows, columns = min(step, frame.shape[0]), min(step, frame.shape[1])
    tall, wide = frame.shape[0] // rows, frame.shape[1] // columns
    cropped = frame[: tall * rows, : wide * columns].astype(np.float32)
    return cropped.reshape(tall, rows, wide, columns, -1).mean(axis=(1, 3))


def _as_bytes(pictures: list[np.ndarray], dtype: np.dtype) -> tuple[list[np.ndarray], str]:
    """Pictures as uint8, all in the same way: integers up to 255 as they are; floats from 0 to 1, or to 255, as these
    are meant; others stretched to their range."""
    finite = [each[np.isfinite(each)] for each in pictures]
    low = min((float(each.min()) for each in finite if each.size), default=0.0)
    high = max((float(each.max()) for each in finite if each.size), default=0.0)
    least = 0 if dtype.kind in "ui" else 16  # the highest of floats that are meant to go to 255
    if low >= 0 and high <= 1 and dtype.kind not in "ui":
        low, scale, note = 0.0, 255.0, ""
    elif low >= 0 and least <= high <= 255:
        low, scale, note = 0.0, 1.0, ""
    else:
        scale = 255 / (high - low) if high > low else 0.0
        note = f"{low:.3g} is shown black, {high:.3g} white"
    scaled = [np.nan_to_num((each - low) * scale, posinf=255, neginf=0) for each in pictures]
    return [np.clip(each + 0.5, 0, 255).astype(np.uint8) for each in scaled], note


def _shown_size(picture: np.ndarray) -> tuple[int, int]:
    """Height and width at which a picture is shown: small ones larger."""
    height, width = picture.shape[:2]
    times = max(min(64 // max(height, 1), 128 // max(width, 1)), 1)
    return height * times, width * times


def _png_uri(picture: np.ndarray) -> str:
    """A picture (height, width, 1 or 3), uint8, as the data: address of a PNG.

    Written here, as arrays know nothing of media and Pillow need not be installed.
    """
    height, width, channels = picture.shape
    # Each row by the filter "up" or "sub", whichever leaves smaller numbers.
    up, sub = np.diff(picture, axis=0, prepend=picture[:1] * 0), np.diff(picture, axis=1, prepend=picture[:, :1] * 0)
    costs = [np.abs(each.view(np.int8).astype(np.int16)).sum(axis=(1, 2)) for each in (sub, up)]
    use_up = costs[1] < costs[0]
    rows = np.where(use_up[:, np.newaxis, np.newaxis], up, sub).reshape(height, width * channels)
    data = np.concatenate([np.where(use_up, 2, 1).astype(np.uint8)[:, np.newaxis], rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()
