"""File objects that users give: every result of theirs is checked before it reaches C code.

FFmpeg asks for at most n bytes and makes room for n; PyAV copies there what it is given, even if it is more.
"""

from __future__ import annotations

import io
import operator
from collections.abc import Callable, Iterable
from typing import Any

from clipx._kernel import callbacks
from clipx.errors import MediaError
from clipx.media.hints import ByteRange, HintedFile

__all__ = ["CheckedFile", "Interrupted", "OwnFile", "OwnPart", "SeekableUnnamed", "Unnamed"]

LARGEST = 2**63 - 1

MOST_REPLAYED = 1 << 25
"""Most bytes that are kept of a source that cannot seek, for it to be read again while it is probed."""


class Interrupted(Exception):
    """Carries a BaseException, such as a KeyboardInterrupt in `read`, through PyAV, which would swallow it.

    Attributes:
        error: the exception to raise instead.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class OwnFile(io.FileIO):
    """A file that is opened here, and closed without a warning where an iterator over it is dropped midway.

    Its owner cannot do that: in a reference cycle, either may be finalized first.
    """

    def __del__(self) -> None:
        self.close()


class OwnPart(io.RawIOBase):
    """A file object of clipx's own, which can be read again from its beginning as cheaply as a path."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _method(file: Any, name: str) -> Callable[..., Any] | None:
    found = getattr(file, name, None)
    return found if callable(found) else None


class CheckedFile:
    """A file object whose results are checked: `read` gives at most the bytes asked for, positions are integers.

    Position 0 is the file's position when this is made; that is taken for its beginning where neither `tell` nor
    `seek` gives it.

    Attributes:
        is_own: whether it is an OwnPart.

    Raises TypeError for results of another type, MediaError for impossible ones, and what the file itself raises.
    """

    def __init__(self, file: Any, name: str) -> None:
        self.name, self.is_own = name, isinstance(file, OwnPart)
        read = _method(file, "read")
        if read is None:
            raise TypeError(f"{name} has a read that is not a method")
        self._read, self._seek, self._tell = read, _method(file, "seek"), _method(file, "tell")
        self._hint = file.hint if isinstance(file, HintedFile) else None
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

    def _position(self, result: Any) -> int:
        """A position from the file's own beginning: the result of `seek`, or where that is None, of `tell`."""
        what = "seek"
        if result is None:
            if self._tell is None:
                return self._start + self._at
            what, result = "tell", self._call(self._tell)
        if isinstance(result, bool):
            raise TypeError(f"{what} of {self.name} gave {result!r}, but must give a number")
        try:
            position = operator.index(result)
        except TypeError:
            raise TypeError(f"{what} of {self.name} gave {_kind(result)}, but must give a number") from None
        if not 0 <= position <= LARGEST:
            raise MediaError(f"{what} of {self.name} gave position {position}, which is not possible")
        return position

    def seekable(self) -> bool:
        """True if `seek` works."""
        return self._can_seek

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, or all that are left for -1; none only at the end."""
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
                raise TypeError(f"read({size}) of {self.name} gave {_kind(data)}, but must give bytes") from None
        if len(data) > size:
            raise MediaError(f"read({size}) of {self.name} gave {len(data)} bytes, more than were asked for")
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it."""
        to = offset + self._start if whence == io.SEEK_SET else offset
        result = self._call(self._seek, to, whence)
        if result is None and self._tell is None and whence == io.SEEK_END:
            self._call(self._seek, self._start + self._at)
            raise io.UnsupportedOperation(f"seek of {self.name} gave None, and it has no tell to say where its end is")
        self._at = {io.SEEK_SET: offset, io.SEEK_CUR: self._at + offset}.get(whence, self._at)
        self._at = self._position(result) - self._start
        return self._at

    def tell(self) -> int:
        """The current position."""
        return self._at

    @property
    def takes_hints(self) -> bool:
        """True if `hint` has an effect."""
        return self._hint is not None

    def hint(self, ranges: Iterable[ByteRange]) -> None:
        """Say which bytes will be read, to a file that fetches them together."""
        if self._hint is not None:
            self._hint((begin + self._start, end + self._start) for begin, end in ranges)


class Unnamed:
    """A file for PyAV that only has `read`. It has no name, by which FFmpeg would choose a format.

    What was read of a file that cannot seek can be read once more while it is probed. After an error nothing is read
    until `rewind`.
    """

    def __init__(self, file: CheckedFile) -> None:
        self._file, self._failed = file, False
        self._replay = io.BytesIO()
        self._head: bytearray | None = None if file.seekable() else bytearray()

    read = callbacks.read

    def _interrupted(self, error: BaseException) -> Interrupted:
        self._failed = True
        return Interrupted(error)

    def _call(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except Exception:
            self._failed = True
            raise

    def _read(self, size: int) -> bytes:
        """At most `size` bytes."""
        # PyAV keeps the first error, and prints it where a second one comes before it has been raised.
        if self._failed:
            return b""
        data: bytes = self._replay.read(size) or self._call(self._file.read, size)
        if self._head is not None:
            self._head += data
            if len(self._head) > MOST_REPLAYED:
                self._head = None
        return data

    def hint(self, ranges: Iterable[ByteRange]) -> None:
        """Say which bytes will be read, to a file that fetches them together."""
        self._file.hint(ranges)

    @property
    def is_own(self) -> bool:
        """Whether it is an OwnPart."""
        return self._file.is_own

    def rewind(self) -> None:
        """Go back to the beginning; of a file that cannot seek, only while all that was read is kept."""
        self._failed = False
        if self._file.seekable():
            self._file.seek(0)
        elif self._head is not None:
            self._replay, self._head = io.BytesIO(bytes(self._head) + self._replay.read()), bytearray()

    def stop_keeping(self) -> bytes:
        """The bytes that have been read of a file that cannot seek; from now on they are no longer kept."""
        head, self._head = self._head, None
        return bytes(head or b"")


class SeekableUnnamed(Unnamed):
    """An Unnamed file that can seek. PyAV relies on `seek` and `tell` wherever a file has them."""

    seek, tell = callbacks.seek, callbacks.tell

    def _seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return -1 if self._failed else self._call(self._file.seek, offset, whence)
        except io.UnsupportedOperation:
            if whence != io.SEEK_END:
                raise
            self._failed = False  # its size is not known, which is not an error
            return -1

    def _tell(self) -> int:
        return self._file.tell()
