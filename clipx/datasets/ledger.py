"""A bounded record of what was wrong with samples, which the workers of a DataLoader share with their main process."""

from __future__ import annotations

import atexit
import json
import logging
import multiprocessing
import os
import secrets
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, overload

from clipx._registry import Registry
from clipx.datasets.origins import describe_error, origin_of, shorten
from clipx.datasets.world import in_worker

__all__ = ["Entry", "Ledger", "Recorder"]

logger = logging.getLogger("clipx")

MOST_ENTRIES = 1000
MOST_TEXT = 1000
"""Characters of a message that is kept."""

MOST_FILE_BYTES = 1 << 20
"""Of what the workers of a process tell it in full; what comes after is only counted, up to as many more."""


class Entry(NamedTuple):
    """What was wrong with a sample.

    Attributes:
        kind: "error": the sample, or a shard, is broken; "damage": parts of it were left out or concealed; "no clips":
            it is whole, but gives no clip.
        shard, key, field: where; None where it is not known, or not of one sample or field.
        error: the error's type, such as "MediaError"; None for the other kinds.
        message: in words.
        clips: that the sample gave before; None where that is not known.
    """

    kind: str
    shard: str | None
    key: str | None
    field: str | None
    error: str | None
    message: str
    clips: int | None

    def __str__(self) -> str:
        names = (("shard", self.shard), ("sample", self.key), ("field", self.field))
        told = ", ".join(f"{kind} {shorten(name)!r}" for kind, name in names if name is not None)
        before = f" after {self.clips} clips" if self.clips else ""
        return f"{told or 'unknown'}: {self.kind}{before}: {self.message}"


class Ledger(Sequence[Entry]):
    """What was wrong with samples: a sequence of the first 1000 different entries, the oldest first.

    >>> for entry in loader.errors:
    ...     print(entry)

    What the workers of a DataLoader note is here too, in the main process: they write it to a file in the folder of
    temporary files, which is made with the first entry and is at most two megabytes. It goes when another ledger is
    made after this one is gone, or when the process ends, but not where the process is killed.
    """

    def __init__(self) -> None:
        self._start([], {}, _new_prefix())

    def _start(self, entries: Iterable[Entry], counts: Mapping[str, int], prefix: str) -> None:
        self._entries, self._counts, self._prefix = dict.fromkeys(entries), Counter(counts), prefix
        self._started()

    def _started(self) -> None:
        """This process has the ledger; after a fork, a thread that it does not have may have held the lock."""
        self._lock = threading.Lock()
        self._read = 0
        _LEDGERS.add(self, self._prefix, os.getpid())

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            entries, counts = list(self._entries), dict(self._counts)
        return {"entries": entries, "counts": counts, "prefix": self._prefix, "process": os.getpid()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy in the same process has workers of its own; one in another process may be a worker of this one.
        prefix = _new_prefix() if state["process"] == os.getpid() else state["prefix"]
        self._start(state["entries"], state["counts"], prefix)

    def record(self, exn: BaseException) -> None:
        """Note an error; where it arose, it says itself (`origins.locate`)."""
        origin = origin_of(exn)
        self._add(
            Entry(
                "error",
                _text(origin.shard),
                _text(origin.key),
                _text(origin.field),
                type(exn).__name__,
                shorten(describe_error(exn), MOST_TEXT),
                origin.clips,
            )
        )

    def note(
        self, kind: str, sample: Mapping[str, Any], message: str, *, field: str | None = None, clips: int | None = None
    ) -> None:
        """Note what is no error: "damage" that a sample is cut in spite of, or that it gives "no clips"."""
        shard, key = sample.get("__url__"), sample.get("__key__")
        self._add(Entry(kind, _text(shard), _text(key), _text(field), None, shorten(message, MOST_TEXT), clips))

    def _add(self, entry: Entry) -> None:
        with self._lock:
            self._keep(entry)
        if in_worker():
            _tell(self._prefix, entry)

    def _keep(self, entry: Entry) -> None:
        self._counts[entry.kind] += 1
        if len(self._entries) < MOST_ENTRIES:
            self._entries.setdefault(entry)

    def _drain(self) -> None:
        """Take over what workers have written."""
        with self._lock:
            try:
                with _path(self._prefix, os.getpid()).open("rb") as file:
                    file.seek(self._read)
                    told = file.read(3 * MOST_FILE_BYTES)
            except OSError:  # mostly: there is none
                return
            told = told[: told.rfind(b"\n") + 1]
            self._read += len(told)
            for line in told.splitlines():
                with suppress(ValueError, TypeError):  # the disk was full
                    found = json.loads(line)
                    if isinstance(found, str):
                        self._counts[found] += 1
                    else:
                        self._keep(Entry(*found))

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of entry was noted, also what is not kept, and what was noted before in another epoch."""
        self._drain()
        return dict(self._counts)

    def log_new(self, what: str, before: Mapping[str, int]) -> None:
        """Log how many samples have given no clips since the counts were `before`."""
        count = self.counts.get("no clips", 0) - before.get("no clips", 0)
        if count > 0:
            last = self.of_kind("no clips")[-1]
            logger.warning("%s: %d samples gave no clips, such as %s; see .errors", what, count, last)

    def of_kind(self, kind: str) -> list[Entry]:
        """The entries of one kind."""
        return [entry for entry in self if entry.kind == kind]

    def __len__(self) -> int:
        self._drain()
        return len(self._entries)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        self._drain()
        return list(self._entries)[at]

    def __iter__(self) -> Iterator[Entry]:
        self._drain()
        return iter(list(self._entries))

    def __repr__(self) -> str:
        lines = [f"<Ledger: {len(self)} entries, {sum(self.counts.values())} in all>", *map(str, self[:10])]
        return "\n".join(lines if len(self) <= 10 else [*lines, "..."])


class Recorder:
    """A handler that notes each error in a ledger before another handler takes it."""

    def __init__(self, ledger: Ledger, handler: Callable[[Exception], bool]) -> None:
        self.ledger, self.handler = ledger, handler

    def __call__(self, exn: Exception) -> bool:
        self.ledger.record(exn)
        return self.handler(exn)


def _text(value: Any) -> str | None:
    return None if value is None else shorten(str(value), MOST_TEXT)


# What workers tell


def _new_prefix() -> str:
    """What the files that workers write begin with, which nobody else can guess; "" where there is no room for them."""
    try:
        return str(Path(tempfile.gettempdir(), f"clipx-{secrets.token_hex(16)}"))
    except OSError:
        return ""


def _path(prefix: str, process: int) -> Path:
    """The file of what the workers of a process tell it."""
    return Path(f"{prefix}-{process}.jsonl")


def _remove(prefix: str, process: int) -> None:
    if prefix and os.getpid() == process:
        with suppress(OSError):
            _path(prefix, process).unlink()


def _tell(prefix: str, entry: Entry) -> None:
    """Write an entry to the file of the main process, or, where that is full, its kind alone."""
    parent = multiprocessing.parent_process()
    if not prefix or parent is None or parent.pid is None:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    with suppress(OSError):
        file = os.open(_path(prefix, parent.pid), flags, 0o600)
        try:
            size = os.fstat(file).st_size
            told = entry if size < MOST_FILE_BYTES else entry.kind
            if size < 2 * MOST_FILE_BYTES:
                # One call, so that lines of several workers do not mix.
                os.write(file, json.dumps(told).encode() + b"\n")
        finally:
            os.close(file)


_LEDGERS: Registry[Ledger] = Registry(_remove)
atexit.register(_LEDGERS.end)


def _start_again() -> None:
    for ledger in list(_LEDGERS):
        ledger._started()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_again)
