"""A bounded record of broken and damaged samples, which DataLoader workers share with their main process."""

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
from typing import Any, NamedTuple, Protocol, overload

from clipx._registry import Registry
from clipx.datasets.fields import DATASET
from clipx.datasets.origins import describe_error, noun_of_source, origin_of, shorten
from clipx.datasets.world import in_worker

__all__ = ["MOST_ENTRIES", "Entry", "Ledger", "Notes", "Recorder"]

logger = logging.getLogger("clipx")

MOST_ENTRIES = 1000
"""Different entries that are kept; further ones are only counted."""

MOST_TEXT = 1000
"""Characters of a message that are kept."""

MOST_FILE_BYTES = 1 << 20
"""Bytes of entries that the workers of a process write for it; of as many bytes more, only the kinds are counted."""


class Entry(NamedTuple):
    """A problem with a sample or a shard.

    Attributes:
        kind: "error": the sample, or a shard, is broken; "segment": one of the sample's segments is; "damage":
            parts of it were left out or concealed; "no clips": the sample is whole, but gives no clip;
            "left out": a clip is in no batch.
        shard, key, field: its origin; None where that is not known, or not one sample or field.
        error: the error's type, such as "MediaError"; None for the other kinds.
        message: a description in English.
        clips: number of clips that the sample gave before; None where that is not known.
        dataset: the name of its dataset in a mixture; None elsewhere.

    Stability: stable.
    """

    kind: str
    shard: str | None
    key: str | None
    field: str | None
    error: str | None
    message: str
    clips: int | None
    dataset: str | None = None

    def __str__(self) -> str:
        source = noun_of_source(self.shard or "")
        names = (("dataset", self.dataset), (source, self.shard), ("sample", self.key), ("field", self.field))
        origin = ", ".join(f"{kind} {shorten(name)!r}" for kind, name in names if name is not None)
        before = f" after {self.clips} clip{'s' * (self.clips > 1)}" if self.clips else ""
        return f"{origin or 'unknown'}: {self.kind}{before}: {self.message}"


class Notes(Protocol):
    """Takes what is found in a sample beside errors."""

    def note(
        self,
        kind: str,
        sample: Mapping[str, Any],
        message: str,
        *,
        field: str | None = None,
        clips: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Take a note: "damage" of a sample that still gives clips, from so many seconds on, or "no clips"."""


class Ledger(Sequence[Entry]):
    """Problems with samples: a sequence of the first 1000 different entries, the oldest first.

    >>> for entry in loader.errors:
    ...     print(entry)

    In the main process it has the entries of DataLoader workers, too. They write them to a file in the folder of
    temporary files, which is made with the first entry and has at most two megabytes. The file is removed when another
    ledger is made after this one is gone, or when the process ends, but not where the process is killed.

    Stability: stable.
    """

    def __init__(self) -> None:
        self._start([], {}, _new_prefix())

    def _start(self, entries: Iterable[Entry], counts: Mapping[str, int], prefix: str) -> None:
        self._entries, self._counts, self._prefix = dict.fromkeys(entries), Counter(counts), prefix
        self._started()

    def _started(self) -> None:
        """Begin in this process: after a fork, the lock may be held by a thread that the child does not have."""
        self._lock = threading.Lock()
        self._read = 0
        _LEDGERS.add(self, self._prefix, os.getpid())

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            entries, counts = list(self._entries), dict(self._counts)
        return {"entries": entries, "counts": counts, "prefix": self._prefix, "process": os.getpid()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy in the same process has its own workers; a copy in another process may be a worker of this one.
        prefix = _new_prefix() if state["process"] == os.getpid() else state["prefix"]
        self._start(state["entries"], state["counts"], prefix)

    def record(self, exn: BaseException) -> None:
        """Add an error, with the origin that `origins.locate` has given it."""
        origin = origin_of(exn)
        self._add(
            Entry(
                "error" if origin.segment is None else "segment",
                _text(origin.shard),
                _text(origin.key),
                _text(origin.field),
                type(exn).__name__,
                shorten(describe_error(exn), MOST_TEXT),
                origin.clips,
                _text(origin.dataset),
            )
        )

    def note(
        self,
        kind: str,
        sample: Mapping[str, Any],
        message: str,
        *,
        field: str | None = None,
        clips: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Add an entry that is not an error: "damage" of a sample that still gives clips, or "no clips".

        It does not say at how many seconds: damage of one kind in one sample is one entry.
        """
        shard, key = sample.get("__url__"), sample.get("__key__")
        names = _text(shard), _text(key), _text(field)
        self._add(Entry(kind, *names, None, shorten(message, MOST_TEXT), clips, _text(sample.get(DATASET))))

    def note_left_out(self, clips: Iterable[Mapping[str, Any]], batch_size: int) -> None:
        """Add an entry for each clip of a bucket that has too few at the end of an epoch."""
        clips = list(clips)
        few = f"its bucket has {len(clips)} of {batch_size} clips at the end of the epoch"
        for clip in clips:
            self.note("left out", clip, few)

    def _add(self, entry: Entry) -> None:
        with self._lock:
            self._keep(entry)
        if in_worker():
            _send(self._prefix, entry)

    def _keep(self, entry: Entry) -> None:
        self._counts[entry.kind] += 1
        if len(self._entries) < MOST_ENTRIES:
            self._entries.setdefault(entry)

    def _drain(self) -> None:
        """Read the entries that workers have written."""
        with self._lock:
            try:
                with _path(self._prefix, os.getpid()).open("rb") as file:
                    file.seek(self._read)
                    lines = file.read(3 * MOST_FILE_BYTES)
            except OSError:  # mostly because no worker has written one
                return
            lines = lines[: lines.rfind(b"\n") + 1]
            self._read += len(lines)
            for line in lines.splitlines():
                with suppress(ValueError, TypeError):  # a line is incomplete where the disk was full
                    found = json.loads(line)
                    if isinstance(found, str):
                        self._counts[found] += 1
                    else:
                        self._keep(Entry(*found))

    @property
    def counts(self) -> dict[str, int]:
        """Number of entries of each kind, over all epochs, with those that were repeated or are not kept."""
        self._drain()
        return dict(self._counts)

    def log_new(self, name: str, before: Mapping[str, int]) -> None:
        """Log how many samples have given no clips since the counts were `before`; `name` begins the message."""
        count = self.counts.get("no clips", 0) - before.get("no clips", 0)
        if count > 0:
            kept = self.of_kind("no clips")  # none, where there were too many entries before
            example = f", such as {kept[-1]}" if kept else ""
            logger.warning("%s: %d samples gave no clips%s; see .errors", name, count, example)

    def of_kind(self, kind: str) -> list[Entry]:
        """The entries of a kind, the oldest first."""
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
    """A handler that adds each error to a ledger, and then calls another handler."""

    def __init__(self, ledger: Ledger, handler: Callable[[Exception], bool]) -> None:
        self.ledger, self.handler = ledger, handler

    def __call__(self, exn: Exception) -> bool:
        self.ledger.record(exn)
        return self.handler(exn)


def _text(value: Any) -> str | None:
    return None if value is None else shorten(str(value), MOST_TEXT)


# Entries of DataLoader workers


def _new_prefix() -> str:
    """Prefix of the paths of workers' files, which nobody else can guess; "" without a folder for temporary files."""
    try:
        return str(Path(tempfile.gettempdir(), f"clipx-{secrets.token_hex(16)}"))
    except OSError:
        return ""


def _path(prefix: str, process: int) -> Path:
    """The file that the workers of a process write for it."""
    return Path(f"{prefix}-{process}.jsonl")


def _remove(prefix: str, process: int) -> None:
    if prefix and os.getpid() == process:
        with suppress(OSError):
            _path(prefix, process).unlink()


def _send(prefix: str, entry: Entry) -> None:
    """Write an entry to the file for the main process; its kind alone where the file is full."""
    parent = multiprocessing.parent_process()
    if not prefix or parent is None or parent.pid is None:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    with suppress(OSError):
        file = os.open(_path(prefix, parent.pid), flags, 0o600)
        try:
            size = os.fstat(file).st_size
            value = entry if size < MOST_FILE_BYTES else entry.kind
            if size < 2 * MOST_FILE_BYTES:
                # One call, so that lines of several workers do not mix.
                os.write(file, json.dumps(value).encode() + b"\n")
        finally:
            os.close(file)


_LEDGERS: Registry[Ledger] = Registry(_remove)
atexit.register(_LEDGERS.end)


def _start_again() -> None:
    for ledger in list(_LEDGERS):
        ledger._started()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_again)
