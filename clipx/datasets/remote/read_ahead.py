"""How far to read ahead: as far again as a run of reads has come, and of other places little more than is asked for."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ReadAhead", "merged"]

BUFFER_BYTES = 1 << 15
"""Bytes by which FFmpeg reads on behind those that it needs."""

MOST_RUNS = 4
"""Runs that are followed at the same time, such as pictures and sound that lie apart."""

MOST_LEARNED = 1 << 14
"""Bytes up to which the first request of a run is as long as the run before, such as the headers between members."""

NEAR_BYTES = 1 << 16
"""Bytes that a run may pass over: as a request takes longer than to read these."""


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges (begin, end) in order, those that overlap, or lie at most NEAR_BYTES apart, as one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(each for each in ranges if each[0] < each[1]):
        if found and begin <= found[-1][1] + NEAR_BYTES:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


class _Run:
    """Reads that follow one another.

    Attributes:
        start: byte at which the first of them begins.
        next: byte behind the last of them.
        fetched: bytes that were requested for them.
    """

    def __init__(self, start: int) -> None:
        self.start = self.next = start
        self.fetched = 0


class ReadAhead:
    """The end of each request, from the reads before it.

    A run of reads, each at most NEAR_BYTES behind the one before, doubles what is requested each time: what is too much
    is less than what was read. Any other read requests `block` bytes, or what it asks for where that is more, or, up to
    MOST_LEARNED, as many as the run before it read.

    Args:
        block: bytes of the first request of a run.
        most: bytes of a request where more is not asked for.
    """

    def __init__(self, block: int, most: int) -> None:
        self._block, self._most = block, most
        self._runs: list[_Run] = []
        self._length = 0
        self._hinted: list[tuple[int, int]] = []

    def hint(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Ranges (begin, end) that will be read whole, in place of those before: each is requested at once."""
        self._hinted = merged((begin, end + BUFFER_BYTES) for begin, end in ranges)

    def moved(self, start: int, stop: int) -> None:
        """Note a read of bytes from `start` to `stop`."""
        self._run(start).next = stop

    def end(self, start: int, stop: int) -> int:
        """To where to request bytes for a read from `start` to `stop`, of which the first is not held."""
        run = self._run(start)
        learned = 0 if run.fetched else min(self._length, MOST_LEARNED)
        end = start + min(max(self._block, run.fetched, learned), self._most)
        hinted = next((each for each in self._hinted if start < each[1]), None)
        if hinted is not None and hinted[0] <= start + self._block:
            run.fetched = 0
            return max(hinted[1], stop)
        end = max(end if hinted is None else min(end, hinted[0]), stop)
        run.fetched += end - start
        return end

    def _run(self, start: int) -> _Run:
        """The run that a read goes on with, now the latest; a new one in place of the oldest."""
        for run in self._runs:
            if run.next <= start <= run.next + NEAR_BYTES:
                self._runs.remove(run)
                break
        else:
            if self._runs:
                self._length = self._runs[-1].next - self._runs[-1].start
            run = _Run(start)
            del self._runs[: max(len(self._runs) + 1 - MOST_RUNS, 0)]
        self._runs.append(run)
        return run
