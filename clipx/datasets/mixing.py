"""Samples of several datasets, drawn by weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Literal, TypeVar

__all__ = ["Stop", "Stream", "mixed"]

Item = TypeVar("Item")

Stop = Literal["all", "first", "never"]


class Stream(Generic[Item]):
    """The items of a dataset, and those of further passes over it where it is to begin anew.

    Args:
        begin: gives the items of a pass, by its number.
        again: whether another pass follows; asked at the end of each.
        number: of the first pass.
        given: whether that pass has given an item before.
    """

    def __init__(
        self,
        begin: Callable[[int], Iterator[Item]],
        again: Callable[[], bool] = lambda: False,
        number: int = 0,
        given: bool = False,
    ) -> None:
        self._begin, self._again, self.number, self._given = begin, again, number, given
        self._items: Iterator[Item] | None = None
        self._ended = False

    def take(self) -> list[Item]:
        """The next item alone; nothing where there is none any more: of a pass without any, no other follows."""
        while not self._ended:
            if self._items is None:
                self._items = self._begin(self.number)
            for item in self._items:
                self._given = True
                return [item]
            self._items = None
            if self._given and self._again():
                self.number, self._given = self.number + 1, False
            else:
                self._ended = True
        return []

    def close(self) -> None:
        """End the pass."""
        items, self._items, self._ended = self._items, None, True
        if items is not None and hasattr(items, "close"):
            items.close()


def mixed(
    streams: Sequence[Stream[Item]], order: Callable[[int], Sequence[int]], stop: Stop, number: int, most: int | None
) -> Iterator[tuple[int, int, Item]]:
    """Items with the numbers of their streams and of the passes.

    Args:
        order: gives the streams in the order in which a draw, by its number, wants them.
        stop: "first" ends where a draw's first stream has no item any more; all others where none has.
        number: of the first draw.
        most: number of the draw before which they end; None for no such number.
    """
    while most is None or number < most:
        for at in order(number):
            found = streams[at].take()
            if found:
                break
            if stop == "first":
                return
        else:
            return
        number += 1
        yield at, streams[at].number, found.pop()
