"""One build of an index at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["locked"]

NAME = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made for it, and removed in the end where it is empty.

    Waits for another process, or thread, that holds it. Where the file system has no locks, nothing is waited for.
    """
    descriptor = _acquire(folder)
    try:
        yield
    finally:
        with suppress(OSError):
            if os.listdir(folder) == [NAME]:
                os.unlink(folder / NAME)
                os.rmdir(folder)
        os.close(descriptor)


def _acquire(folder: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue  # the folder has been removed since
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.stat(folder / NAME).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)  # whoever had it has removed it
