"""Objects that are alive, known by weak references whose end runs no Python: Ctrl-C would be swallowed there."""

from __future__ import annotations

import queue
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["Registry"]

Item = TypeVar("Item")


class Registry(Generic[Item]):
    """The objects that were added and are still alive, as `weakref.WeakSet` has them.

    `on_gone` is called with the facts that an object was added with, once it is gone: when the next one is added, or by
    `sweep`.
    """

    def __init__(self, on_gone: Callable[..., None] | None = None) -> None:
        self._on_gone = on_gone
        self._facts: dict[weakref.ref[Item], tuple[Any, ...]] = {}
        self._gone: queue.SimpleQueue[weakref.ref[Item]] = queue.SimpleQueue()

    def add(self, item: Item, *facts: Any) -> None:
        self.sweep()
        self._facts[weakref.ref(item, self._gone.put)] = facts

    def __iter__(self) -> Iterator[Item]:
        for reference in list(self._facts):
            item = reference()
            if item is not None:
                yield item

    def sweep(self) -> None:
        """Forget the objects that are gone."""
        while True:
            try:
                reference = self._gone.get_nowait()
            except queue.Empty:
                return
            self._end(reference)

    def end(self) -> None:
        """Forget all objects, as if they were gone."""
        for reference in list(self._facts):
            self._end(reference)

    def _end(self, reference: weakref.ref[Item]) -> None:
        facts = self._facts.pop(reference, None)
        if facts is not None and self._on_gone is not None:
            self._on_gone(*facts)
