"""A container that is left open at a file, for whoever reads the file next."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

__all__ = ["KeptContainer"]


class KeptContainer:
    """The place of at most one open container and its stream, which threads may share.

    A forked process does not use its parent's: they share a position in the file.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[Any, Any, Any]] = []
        self._process, self._closed = os.getpid(), False

    def __reduce__(self) -> Any:
        return KeptContainer, ()

    def _own(self) -> list[tuple[Any, Any, Any]]:
        if self._process != os.getpid():
            self._kept, self._process = [], os.getpid()
        return self._kept

    def take(self, key: Any) -> tuple[Any, Any] | None:
        """The container and its stream, where they were given with this key; they are then the caller's alone."""
        try:
            given, container, stream = self._own().pop()
        except IndexError:
            return None
        if given == key:
            return container, stream
        container.close()
        return None

    def give(self, key: Any, container: Any, stream: Any) -> None:
        """Leave a container here; it is closed where there is one already, or the place is closed."""
        kept = self._own()
        if kept:
            container.close()
            return
        kept.append((key, container, stream))
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close the container that is here, and those that are given later."""
        self._closed = True
        with suppress(IndexError):  # others may take the last one meanwhile
            while True:
                self._own().pop()[1].close()
