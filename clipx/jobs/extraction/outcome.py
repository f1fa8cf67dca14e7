"""The outcome of a part: what its manifests and lists of failures say, of the part itself and of its retries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from clipx.jobs.extraction.failures import Failure, read_failures
from clipx.jobs.extraction.manifest import as_text, read_columns
from clipx.jobs.extraction.names import failures_name, manifest_name
from clipx.jobs.extraction.store import Entry, Store
from clipx.jobs.extraction.summary import MOST_EXAMPLES, Summary

__all__ = ["Outcome", "Retry"]


class _Keys(set[str]):
    """Keys as manifests have them, among which keys of samples are looked up."""

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and super().__contains__(as_text(key))


class Retry:
    """What is to be tried again of a part; false where that is nothing.

    Args:
        number: of the retry.
        written: of each failed sample, the keys of the clips that are written.
        done: the other samples that are known.
        is_broken: whether the input broke off, so that samples that are not known are tried, too.

    Attributes:
        number: of the retry.
    """

    def __init__(self, number: int, written: dict[str, set[str]], done: set[str], is_broken: bool) -> None:
        self.number, self._written, self._done, self._is_broken = number, written, done, is_broken

    def __bool__(self) -> bool:
        return bool(self._written) or self._is_broken

    def written_of(self, key: str) -> set[str] | None:
        """The keys of the clips of a sample that are written already; None if the sample is not to be tried again."""
        key = as_text(key)
        if key in self._written:
            return _Keys(self._written[key])
        return set() if self._is_broken and key not in self._done else None


class Outcome:
    """The outcome of a part.

    Args:
        store: the output.
        part: number of the part.
        table: kind of the manifests.
        attempts: the numbers of its tries: 0, and those of its retries, in order.

    Methods raise ValueError that names a file that is broken or not there.
    """

    def __init__(self, store: Store, part: int, table: str, attempts: Iterable[int]) -> None:
        self._store, self._part, self._table, self._attempts = store, part, table, list(attempts)

    def _columns(self, *names: str) -> Iterator[list[list[Any]]]:
        """The values of some columns, of some thousand rows at a time."""
        for attempt in self._attempts:
            name = manifest_name(self._part, self._table, attempt)
            try:
                yield from read_columns(self._read(name), self._table, names)
            except ValueError as exn:
                self.raise_broken(name, exn)

    def _failures(self) -> list[list[Failure]]:
        """The failures of each try."""
        found = []
        for attempt in self._attempts:
            name = failures_name(self._part, attempt)
            try:
                found.append(list(read_failures(self._read(name))))
            except ValueError as exn:
                self.raise_broken(name, exn)
        return found

    def _read(self, name: str) -> bytes:
        try:
            return self._store.read(name)
        except FileNotFoundError:
            raise ValueError("it is not there") from None

    def raise_broken(self, name: str, why: object) -> NoReturn:
        """Raise the ValueError for a broken file, with what to do."""
        raise ValueError(
            f"{self._store.path(name)!r} cannot be read: {why}. Remove the files of this part, "
            f"'*-{self._part:06d}*', and run the job again"
        )

    def retry(self) -> Retry:
        """What is to be tried again, after all tries so far."""
        failures = self._failures()
        latest = [failure for failure in failures[-1] if failure.is_retried] if failures else []
        written = {failure.key: set[str]() for failure in latest if failure.key is not None}
        is_broken = any(failure.key is None for failure in latest)
        done = (
            {failure.key for tried in failures for failure in tried if failure.key is not None} if is_broken else set()
        )
        if written or is_broken:
            for columns in self._columns("key", "source_key"):
                for key, source in zip(*columns):
                    if source in written:
                        written[source].add(key)
                    elif is_broken and source is not None:
                        done.add(source)
        return Retry(max(self._attempts, default=0) + 1, written, done - written.keys(), is_broken)

    def _remaining(self) -> list[Failure]:
        """The failures that are left: of a sample that was tried again, those of its last try."""
        left: list[Failure] = []
        for failures in self._failures():
            retried = {failure.key for failure in left if failure.is_retried}
            left = [failure for failure in left if failure.key not in retried] + failures
        return left

    def summary(self, entries: Mapping[str, Entry]) -> Summary:
        """The sums of this part, whose shards are looked up among the files of the store."""
        total, sources, shards, seconds = Summary(parts=1), set[str | None](), Counter[str](), 0.0
        for columns in self._columns("source_key", "shard", "bytes", "frames", "start_seconds", "end_seconds"):
            keys, names, sizes, frames, begins, ends = columns
            sources.update(keys)
            for name, size in zip(names, sizes):
                shards[name] += size or 0
            total.clips += len(keys)
            total.frames += sum(filter(None, frames))
            seconds += sum(end - begin for begin, end in zip(begins, ends) if None not in (begin, end))
        total.bytes = shards.total()
        for name, size in shards.items():
            if name not in entries or entries[name].size < size:
                why = "it is not there" if name not in entries else f"it has {entries[name].size} bytes"
                self.raise_broken(name, f"{why}, and its clips have {size}")
        failures = self._remaining()
        total.samples = len(sources | {failure.key for failure in failures})
        total.failures = dict(Counter(failure.kind for failure in failures))
        total.failed = len({failure.key for failure in failures if failure.is_retried})
        total.examples = [f"{each.key or each.source}: {each.reason}" for each in failures[:MOST_EXAMPLES]]
        total.shards, total.hours = len(shards), seconds / 3600
        return total
