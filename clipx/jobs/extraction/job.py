"""A job in an output folder: its description, which parts are done, what a retry is for, and its end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clipx.jobs.extraction.description import described, parse_description, refuse_changes
from clipx.jobs.extraction.manifest import default_table, is_whole
from clipx.jobs.extraction.names import JOB, SUMMARY, is_own, manifest_name, parse_name
from clipx.jobs.extraction.outcome import Outcome, Retry
from clipx.jobs.extraction.store import Entry, Store
from clipx.jobs.extraction.summary import Summary, as_time

__all__ = ["Job"]

THREADS = 16
"""Manifests that are read side by side, as their latency is what takes the time in object stores."""


class Job:
    """A job: an output folder and its description.

    Attributes:
        store: the output.
        facts: "options", "inputs" and "versions", as job.json has them.
        table: kind of its manifests, "parquet" or "jsonl".
    """

    def __init__(self, store: Store, facts: Mapping[str, Any]) -> None:
        self.store, self.facts = store, dict(facts)
        self.table: str = facts["table"]

    @classmethod
    def open(cls, store: Store, facts: Mapping[str, Any], *, write: bool = True) -> Job:
        """Begin a job, or go on with it.

        Args:
            facts: "options", a dict; "inputs", a list with an item for each part; "versions", a dict. As JSON takes
                them.
            write: False: nothing is written where there is no job yet, and nothing is cleared.

        Raises ValueError where the folder is of another job, naming the differences, or of none, and OutputError where
        it cannot be written. Other versions than those that the job was begun with are a warning.
        """
        entries = store.entries()
        new = {**facts, "table": default_table()}
        if JOB not in entries:
            foreign = sorted(name for name in entries if is_own(name))
            if foreign:
                raise ValueError(
                    f"{store.address!r} has {foreign[0]!r} but no {JOB}: give another folder, or remove what is in it"
                )
            if not write:
                return cls(store, new)
            store.create(JOB, described(new))
        job = cls.load(store)
        refuse_changes(job.facts, new, store.path(JOB))
        if write:
            store.clear()
        return job

    @classmethod
    def load(cls, store: Store) -> Job:
        """The job of a folder. Raises FileNotFoundError where there is none, ValueError for a broken job.json."""
        return cls(store, parse_description(store.read(JOB), store.path(JOB)))

    @property
    def parts(self) -> int:
        """Number of parts."""
        return len(self.facts["inputs"])

    def done(self) -> set[int]:
        """The parts whose manifests are there, and whole.

        Raises ValueError for one that is broken, of a part that has been tried again: its retries would not match.
        """
        entries, found = self.store.entries(), set()
        for part, attempts in self._attempts(entries).items():
            name = manifest_name(part, self.table)
            if name not in entries:
                continue
            if self._is_broken(name, entries[name]):
                if len(attempts) > 1:
                    self._outcome(part, attempts).raise_broken(name, "it is truncated")
                continue
            found.add(part)
        return found

    def is_done(self, part: int) -> bool:
        """True if the manifest of a part is there, and whole; without listing the others."""
        return is_whole(self.store, manifest_name(part, self.table), self.table)

    def _is_broken(self, name: str, entry: Entry) -> bool:
        if self.store.has_whole_objects:  # each look at one would be a request
            return self.table == "parquet" and not entry.size
        return not is_whole(self.store, name, self.table)

    def _attempts(self, entries: Mapping[str, Entry]) -> dict[int, list[int]]:
        """The tries whose manifests are there, by part, in order: 0, and the numbers of retries."""
        found: dict[int, list[int]] = {}
        for name in entries:
            parsed = parse_name(name)
            if parsed is not None and parsed.kind == self.table:
                found.setdefault(parsed.part, []).append(parsed.retry)
        return {part: sorted(retries) for part, retries in found.items()}

    def _outcome(self, part: int, attempts: Iterable[int]) -> Outcome:
        return Outcome(self.store, part, self.table, attempts)

    def retry(self, part: int) -> Retry:
        """What is to be tried again of a part; false where that is nothing. Raises ValueError for broken manifests."""
        attempts = 0  # counted by asking for each, since a listing may be of thousands
        while self.store.exists(manifest_name(part, self.table, attempts)):
            attempts += 1
        return self._outcome(part, range(attempts)).retry()

    def finish(self) -> Summary:
        """Write summary.json, and return what it says.

        Raises ValueError that names the parts that are missing, or a file that is broken.
        """
        entries = self.store.entries()
        attempts = {part: tries for part, tries in self._attempts(entries).items() if part < self.parts}
        missing = sorted(set(range(self.parts)) - {part for part, tries in attempts.items() if 0 in tries})
        if missing:
            raise ValueError(
                f"{self.store.address!r} lacks {_ranges(missing)} of {self.parts} parts: run them, and finish then"
            )
        total = self._summed(entries, attempts)
        with self.store.writing(SUMMARY) as file:
            file.write(json.dumps(total.as_json(), indent=2).encode() + b"\n")
        return total

    def sums(self, parts: Iterable[int] | None = None) -> Summary:
        """The sums over the parts that are done so far, of these or of all.

        Raises ValueError that names a file that is broken.
        """
        entries, wanted = self.store.entries(), set(range(self.parts) if parts is None else parts)
        attempts = {part: tries for part, tries in self._attempts(entries).items() if 0 in tries and part in wanted}
        return self._summed(entries, attempts)

    def _summed(self, entries: Mapping[str, Entry], attempts: Mapping[int, list[int]]) -> Summary:
        total = Summary()
        with ThreadPoolExecutor(1 if self.store.keeps_staged else THREADS, "clipx-summary") as pool:
            outcomes = (self._outcome(part, attempts[part]) for part in sorted(attempts))
            for found in pool.map(lambda outcome: outcome.summary(entries), outcomes):
                total.add(found)
        parsed = ((parse_name(name), entry.modified) for name, entry in entries.items())
        times = [modified for name, modified in parsed if name is not None and name.kind == self.table]
        self._set_times(total, entries[JOB].modified, times)
        return total

    def _set_times(self, total: Summary, began: float | None, ends: list[float | None]) -> None:
        known = [end for end in ends if end is not None]
        if began is not None and known:
            total.started, total.ended = as_time(began), as_time(max(known))
            total.seconds = round(max(max(known) - began, 0.0), 3)


def _ranges(numbers: list[int], most: int = 10) -> str:
    """Numbers as texts such as "3, 7-9", the first of them."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:most]]
    return f"part{'s' * (len(numbers) > 1)} {', '.join(texts)}{', ...' * (len(runs) > most)}"
