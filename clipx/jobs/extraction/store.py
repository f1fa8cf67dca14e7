"""A store: a flat folder of files that appear whole, and the files that are staged for it."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, NamedTuple

__all__ = ["Entry", "OutputError", "Staging", "Store", "output_error"]

CURES = {
    errno.ENOSPC: "free space there, or give another folder; parts that are done are kept",
    errno.EDQUOT: "free space there, or give another folder; parts that are done are kept",
    errno.EROFS: "give a folder that can be written",
    errno.EACCES: "give a folder that this user can write",
    errno.EPERM: "give a folder that this user can write",
    errno.EFBIG: "give a smaller shard_size, or raise the limit of this process (ulimit -f)",
    errno.ENOTDIR: "out must be a folder",
    errno.ENOENT: "the folder has been removed or is not mounted any more: run again",
    errno.EMFILE: "raise the number of files that a process may open (ulimit -n)",
}


class OutputError(OSError):
    """The output cannot be written or read: the job ends, and no sample is at fault.

    Stability: provisional.
    """


def output_error(exn: Exception, address: str, doing: str) -> OutputError:
    """The error of a store, which names the address, the reason and a cure."""
    number = exn.errno if isinstance(exn, OSError) else None
    reason = (exn.strerror if isinstance(exn, OSError) else None) or str(exn) or type(exn).__name__
    cure = CURES.get(number or 0)
    text = f"cannot {doing}: {reason}{'' if cure is None else f'; {cure}'}"
    return OutputError(number or errno.EIO, text, address)


class Entry(NamedTuple):
    """A file of a store.

    Attributes:
        size: in bytes.
        modified: time of its last change, in seconds since 1970; None where the store does not tell it.
    """

    size: int
    modified: float | None


class Staging(ABC):
    """Files that are being written, under names of their own until they are published.

    A context manager: what has not been published by its end is removed.
    """

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """A new file to be written; closing it brings its bytes to the disk. Raises OutputError, as its writes do."""

    @abstractmethod
    def publish(self, *names: str) -> None:
        """Give closed files their names in the store, over files that have them, in this order."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what has not been published."""

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Store(ABC):
    """A flat folder of files, which appear whole or not at all. All methods raise OutputError.

    Attributes:
        address: of the folder, as users give it.
        keeps_staged: whether files that are staged lie in the store already, so that to publish them costs nothing.
        has_whole_objects: whether a file that is there has been written to its end, and is not changed by others.
    """

    address: str
    keeps_staged: bool
    has_whole_objects: bool

    @abstractmethod
    def entries(self) -> dict[str, Entry]:
        """The files, by their names; none where there is no folder yet."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError where there is none of this name."""

    @abstractmethod
    def ends(self, name: str, size: int) -> tuple[bytes, bytes] | None:
        """The first and the last bytes of a file, `size` of them or fewer; None where there is none of this name."""

    def exists(self, name: str) -> bool:
        """True if there is a file of this name."""
        return self.ends(name, 0) is not None

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write a new file whole; false where there is one of this name, which is left as it is."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, where it is there."""

    @abstractmethod
    def stage(self) -> Staging:
        """Begin to write files. The folder is made where there is none."""

    def clear(self) -> None:  # noqa: B027  (where nothing is staged in the store)
        """Remove what dead processes of this host have staged."""

    def locked(self) -> AbstractContextManager[None]:
        """Held by one process at a time, where the store has locks."""
        return nullcontext()

    def path(self, name: str) -> str:
        """The address of a file."""
        return f"{self.address.rstrip('/')}/{name}"

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to be written, which replaces that of its name when the block ends without an error."""
        with self.stage() as staging:
            with staging.open(name) as file:
                yield file
            staging.publish(name)
