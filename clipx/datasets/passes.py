"""Numbers of passes over the data, counted together in a process and the DataLoader workers that it starts."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import struct
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from fcntl import F_GETFL, F_SETFL, fcntl
from multiprocessing import context, reduction
from typing import Any, NamedTuple

import numpy as np

from clipx.datasets.world import in_worker
from clipx.plan.draws import Epoch, count_epoch

__all__ = ["Passes"]

RECORD_NUMBERS = 6
RECORD = struct.Struct(f"={RECORD_NUMBERS}q")

BEGUN, ADVANCED, SET = range(3)
"""Kinds of records: a worker has begun a pass; a process advances to an epoch; the user has set one."""


class _Board:
    """A file without a name, to which a process and its workers append records, each whole and in one order.

    It lies in memory where the system has such files. A process that is spawned, with its parent's objects pickled for
    it, gets the same file, as a forked one does.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        fcntl(file, F_SETFL, fcntl(file, F_GETFL) | os.O_APPEND)

    def __reduce__(self) -> Any:
        return (_unpickled_board, (reduction.DupFd(self._file),))

    def add(self, *record: int) -> None:
        """Append a record."""
        os.write(self._file, RECORD.pack(*record))

    def records(self, key: int, main: int) -> list[list[int]]:
        """The records that begin with `key` and `main`, without these two."""
        data = os.pread(self._file, os.fstat(self._file).st_size, 0)
        table = np.frombuffer(data, np.int64, len(data) // RECORD.size * RECORD_NUMBERS).reshape(-1, RECORD_NUMBERS)
        # The file is that of all loaders and stages of the process.
        rows: list[list[int]] = table[(table[:, 0] == key) & (table[:, 1] == main), 2:].tolist()
        return rows


def _unpickled_board(file: Any) -> _Board:
    return _Board(file.detach())


_BOARDS: list[_Board] = []
"""The board of this process, or of the one that it was forked from, once it is needed."""


def _board() -> _Board:
    if not _BOARDS:
        if hasattr(os, "memfd_create"):
            file = os.memfd_create("clipx-passes")
        else:
            file, path = tempfile.mkstemp(prefix="clipx-")
            with suppress(OSError):
                os.unlink(path)
        _BOARDS.append(_Board(file))
    return _BOARDS[0]


class _Count(NamedTuple):
    """The passes so far.

    Attributes:
        following: the epoch of the next pass.
        begun: the epochs of the passes that workers have begun.
        times: how often each worker has begun each pass.
        was_set: whether the user has set an epoch.
    """

    following: int
    begun: dict[tuple[int, ...], int]
    times: Counter[tuple[int, ...]]
    was_set: bool


class Passes:
    """The passes of a Loader or a stage, in this process and in the DataLoader workers that it starts.

    All workers of one iteration of a DataLoader have the same epoch, whichever begins first. The next iteration has the
    next epoch, whether its workers are new (with a new base seed) or persist. An iteration of a DataLoader counts once,
    as one in the process itself does. Other processes, such as those of ranks, count on their own from the epoch that
    their parent has reached.
    """

    def __init__(self, start: int = 0) -> None:
        self._begin(secrets.randbits(63), _board(), os.getpid(), start, start)

    def _begin(self, key: int, board: _Board, owner: int, start: int, known: int) -> None:
        self._key, self._board = key, board
        # The owner began at `start`; other processes begin at the epoch that was known when they were started.
        self._owner, self._start, self._known = owner, start, known
        self._process, self._runs = os.getpid(), 0

    def __getstate__(self) -> dict[str, Any]:
        if context.get_spawning_popen() is None:
            return {"start": self.following}
        state = {"key": self._key, "board": self._board, "owner": self._owner, "start": self._start}
        return {**state, "known": self.following}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "key" in state:
            self._begin(**state)
        else:
            self._begin(secrets.randbits(63), _board(), os.getpid(), state["start"], state["start"])

    def _main(self) -> int:
        """The process that counts the passes: this one, or in a worker that of the DataLoader."""
        parent = multiprocessing.parent_process() if in_worker() else None
        return os.getpid() if parent is None or parent.pid is None else parent.pid

    def _count(self) -> _Count:
        main = self._main()
        if main == os.getpid() != self._owner:
            self._owner, self._start = main, self._known
        following, was_set = self._start if main == self._owner else self._known, False
        begun: dict[tuple[int, ...], int] = {}
        times: Counter[tuple[int, ...]] = Counter()
        for kind, first, number, worker in self._board.records(self._key, main):
            if kind == BEGUN:
                # A seed that comes again is another iteration, whose generator was seeded again.
                identity = first, number, times[first, number, worker]
                times[first, number, worker] += 1
                if identity not in begun:
                    begun[identity] = following
                    following += 1
            else:
                following, was_set = first, was_set or kind == SET
        if main == os.getpid():
            self._known = following
        return _Count(following, begun, times, was_set)

    @property
    def following(self) -> int:
        """The epoch of the next pass, as it is counted."""
        return self._count().following

    @property
    def epoch_was_set(self) -> bool:
        """True once the user has set an epoch."""
        return self._count().was_set

    def epoch(self, epoch: Epoch) -> int:
        """Epoch of the pass that begins now: `epoch`, or the counted one where it is None or another has been set."""
        return self.begin(epoch)[0]

    def begin(self, epoch: Epoch) -> tuple[int, int]:
        """Epoch of the pass that begins now, as `epoch` gives it, and as it is counted."""
        if not in_worker():
            following = self.following
            self.advance_to(following + 1)
            return count_epoch(epoch, following), following
        info = sys.modules["torch.utils.data"].get_worker_info()
        if self._process != os.getpid():
            self._process, self._runs = os.getpid(), 0
        identity = info.seed - info.id, self._runs, info.id
        self._runs += 1
        self._board.add(self._key, self._main(), BEGUN, *identity)
        count = self._count()
        counted = count.begun[identity[0], identity[1], count.times[identity] - 1]
        return counted if count.was_set else count_epoch(epoch, counted), counted

    def advance_to(self, epoch: int) -> None:
        """Make `epoch` the epoch of the next pass."""
        self._add(ADVANCED, epoch)

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the epoch of the next pass, also in workers that have counted another."""
        self._add(SET, epoch)

    def _add(self, kind: int, epoch: int) -> None:
        if epoch >= 1 << 63:
            raise ValueError(f"epoch is {epoch}, but must be below 2 ** 63")
        main = self._main()
        self._board.add(self._key, main, kind, epoch, 0, 0)
        if main == os.getpid():
            self._known = epoch
