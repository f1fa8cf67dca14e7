"""Values that belong to one process: a child that was forked gets its own, with locks that nobody holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerProcess"]

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value that is made when a process first asks for it.

    Args:
        make: makes the value.
        keep: whether a child keeps those of its parents alive. Some would close, when they are dropped, what they share
            with the parent, or wait for a thread that a fork does not copy.
    """

    def __init__(self, make: Callable[[], T], keep: bool = False) -> None:
        self._make, self._keep = make, keep
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """The value of this process."""
        process = os.getpid()
        found = self._made.get(process)
        if found is None:
            # Of two threads that come at the same time, both get what one made.
            found = self._made.setdefault(process, self._make())
            for other in list(self._made) if not self._keep else ():
                if other != process:
                    self._made.pop(other, None)
        return found
