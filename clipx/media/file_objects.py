"""File objects of others: every answer is checked before it is believed, and before it reaches C code.

FFmpeg asks for at most n bytes and makes room for n; what PyAV is given instead it copies there, however much it is.
"""

from __future__ import annotations

import io
import operator
from collections.abc import Callable
from typing import Any

from clipx.errors import MediaError

__all__ = ["CheckedFile", "Interrupted", "Unnamed"]

LARGEST = 2**63 - 1

MOST_REPLAYED = 1 << 25
"""Bytes that are kept of a source that cannot seek, for it to be read again while it is probed."""


class Interrupted(Exception):
    """Carries what is no Exception, such as a KeyboardInterrupt in `read`, through PyAV, which would swallow it.

    Attributes:
        error: to be raised instead.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def _told(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _method(file: Any, name: str) -> Callable[..., Any] | None:
    found = getattr(file, name, None)
    return found if callable(found) else None


class CheckedFile:
    """A file object whose every answer is checked: `read` gives at most as many bytes as were asked for, positions are
    whole numbers. Position 0 is where the file stood; without `tell`, and where `seek` does not say, that is its
    beginning.

    Raises TypeError for answers of another kind, MediaError for those that cannot be, and what the file itself raises.
    """

    def __init__(self, file: Any, name: str) -> None:
        self.name = name
        read = _method(file, "read")
        if read is None:
            raise TypeError(f"{name} has a read that is no method")
        self._read, self._seek, self._tell = read, _method(file, "seek"), _method(file, "tell")
        self._start = self._at = 0
        says = _method(file, "seekable")
        self._can_seek = self._seek is not None and (says is None or bool(says()))
        if self._can_seek:
            try:
                asks = self._seek is not None and self._tell is None
                self._start = self._position(self._call(self._seek, 0, io.SEEK_CUR) if asks else None)
            except OSError:
                self._can_seek = False

    def _call(self, method: Callable[..., Any] | None, *args: Any) -> Any:
        assert method is not None
        try:
            return method(*args)
        except (StopIteration, StopAsyncIteration) as exn:  # which would end a generator of ours
            raise OSError(f"{self.name} raised {exn!r}") from exn

    def _position(self, told: Any) -> int:
        """A position that `seek` gave, or, where that gave none, `tell`, from the file's own beginning."""
        what = "seek"
        if told is None:
            if self._tell is None:
                return self._start + self._at
            what, told = "tell", self._call(self._tell)
        if isinstance(told, bool):
            raise TypeError(f"{what} of {self.name} gave {told!r}, but must give a number")
        try:
            position = operator.index(told)
        except TypeError:
            raise TypeError(f"{what} of {self.name} gave {_told(told)}, but must give a number") from None
        if not 0 <= position <= LARGEST:
            raise MediaError(f"{what} of {self.name} gave position {position}, which no file has")
        return position

    def seekable(self) -> bool:
        """Whether `seek` works."""
        return self._can_seek

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that are left for -1; none at the end only."""
        if size < 0:
            pieces = []
            while piece := self.read(1 << 20):
                pieces.append(piece)
            return b"".join(pieces)
        data = self._call(self._read, size)
        if type(data) is not bytes:
            try:
                data = memoryview(data).tobytes()
            except TypeError:
                raise TypeError(f"read({size}) of {self.name} gave {_told(data)}, but must give bytes") from None
        if len(data) > size:
            raise MediaError(f"read({size}) of {self.name} gave {len(data)} bytes, more than were asked for")
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, and say where the file then stands."""
        to = offset + self._start if whence == io.SEEK_SET else offset
        told = self._call(self._seek, to, whence)
        if told is None and self._tell is None and whence == io.SEEK_END:
            self._call(self._seek, self._start + self._at)
            raise io.UnsupportedOperation(f"seek of {self.name} gave None, and it has no tell to say where its end is")
        self._at = {io.SEEK_SET: offset, io.SEEK_CUR: self._at + offset}.get(whence, self._at)
        self._at = self._position(told) - self._start
        return self._at

    def tell(self) -> int:
        """Where the file stands."""
        return self._at


class Unnamed:
    """What PyAV is given of a file: `read`, and `seek` and `tell` only where they work, since it takes their presence
    for the promise that they do. Of one that cannot seek, what was read can be read once more while it is probed.

    It has no name, after which FFmpeg would choose how to read it. An error ends it until `rewind`.
    """

    def __init__(self, file: CheckedFile) -> None:
        self._file, self._failed = file, False
        self._replay = io.BytesIO()
        self._head: bytearray | None = None
        if file.seekable():
            self.seek, self.tell = self._seek, file.tell
        else:
            self._head = bytearray()

    def _guarded(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except Exception:
            self._failed = True
            raise
        except BaseException as exn:
            self._failed = True
            raise Interrupted(exn) from exn

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        # PyAV keeps the first error, and prints it where a second one comes before it has been raised.
        if self._failed:
            return b""
        data: bytes = self._replay.read(size) or self._guarded(self._file.read, size)
        if self._head is not None:
            self._head += data
            if len(self._head) > MOST_REPLAYED:
                self._head = None
        return data

    def _seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return -1 if self._failed else self._guarded(self._file.seek, offset, whence)
        except io.UnsupportedOperation:
            if whence != io.SEEK_END:
                raise
            self._failed = False  # its size is not known, which is no error
            return -1

    def rewind(self) -> None:
        """Start again; of a file that cannot seek, as far as it is still known."""
        self._failed = False
        if self._file.seekable():
            self._file.seek(0)
        elif self._head is not None:
            self._replay, self._head = io.BytesIO(bytes(self._head) + self._replay.read()), bytearray()

    def opened(self) -> bytes:
        """What has been read, of a file that cannot seek. Nothing is kept of what is read from here on."""
        head, self._head = self._head, None
        return bytes(head or b"")
