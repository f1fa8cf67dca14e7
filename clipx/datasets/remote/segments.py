"""Parts of a file that are held in memory, by position."""

from __future__ import annotations

from bisect import bisect_right, insort

__all__ = ["Segments"]


class Segments:
    """Bytes of a file that are held, in pieces that don't overlap."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._data: dict[int, bytes] = {}

    def holding(self, position: int) -> tuple[int, bytes] | None:
        """The start and the bytes of the piece that holds a position; None where none does."""
        at = bisect_right(self._starts, position) - 1
        if at < 0:
            return None
        start = self._starts[at]
        data = self._data[start]
        return (start, data) if position < start + len(data) else None

    def next_start(self, position: int) -> int | None:
        """Start of the first piece behind a position; None where there is none."""
        at = bisect_right(self._starts, position)
        return self._starts[at] if at < len(self._starts) else None

    def add(self, start: int, data: bytes) -> None:
        """Hold a piece where nothing is held."""
        insort(self._starts, start)
        self._data[start] = data

    def remove(self, start: int) -> int:
        """Forget the piece at a start; returns its number of bytes, 0 where there is none."""
        data = self._data.pop(start, None)
        if data is None:
            return 0
        del self._starts[bisect_right(self._starts, start) - 1]
        return len(data)

    @property
    def starts(self) -> list[int]:
        """Where the pieces start."""
        return list(self._starts)

    def __len__(self) -> int:
        return len(self._starts)
