"""Decoded pictures as the kernel reads them."""

from __future__ import annotations

from clipx import _kernel
from clipx.errors import MediaError
from clipx.pictures.decoding import DecodedPicture
from clipx.video.picture_reader import NO_COLOR, Planes

__all__ = ["DecodedReader"]


class DecodedReader:
    """Gives the pixels of numbered pictures, all of one size, to a `clipx.video.writer.PictureWriter`.

    Args:
        gray: pictures have one channel.
        name: of the source, in messages.
    """

    def __init__(self, gray: bool, name: str) -> None:
        self._name, self.channels = name, 1 if gray else 3
        self._first: DecodedPicture | None = None
        self._pictures: dict[int, _kernel.Picture] = {}

    def prepare(self, frame: DecodedPicture) -> None:
        """Check the size of a picture. Raises MediaError for one that differs from the first."""
        first = self._first
        if first is None:
            self._first = frame._replace(buffer=None)
        elif (frame.height, frame.width) != (first.height, first.width):
            raise MediaError(
                f"{self._name} has pictures of different sizes, but clips need one: {first.name!r} is "
                f"{first.width} x {first.height}, {frame.name!r} {frame.width} x {frame.height}"
            )

    def read(self, frame: DecodedPicture) -> Planes:
        """The pixels of a picture that has been prepared for."""
        found = self._pictures.get(frame.pixel_bytes)
        if found is None:
            offsets = (0, 0, 0) if frame.pixel_bytes == 1 else (0, 1, 2)
            size = frame.height, frame.width
            found = _kernel.Picture("packed", frame.pixel_bytes, offsets, False, size, NO_COLOR)
            self._pictures[frame.pixel_bytes] = found
        return Planes(found, [frame.buffer], [frame.line_bytes])
