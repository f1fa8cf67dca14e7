"""Shards and files checked on threads: findings as they come, and nothing raised for what is broken."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from clipx.datasets.addresses import UnreadMember
from clipx.datasets.decoding import decode
from clipx.datasets.fields import Sample, is_metadata
from clipx.datasets.origins import describe_error, origin_of
from clipx.datasets.shards import Shards
from clipx.datasets.shares import Share
from clipx.datasets.source_names import find_sources, is_shard, kind_of_name
from clipx.datasets.streamed_tars import IncompleteSample
from clipx.datasets.urls import local_path
from clipx.jobs.findings import Finding, Summary
from clipx.jobs.inspection import inspect
from clipx.jobs.media_inspection import Cancelled

__all__ = ["Finding", "Summary", "check", "find_sources"]

MOST_SAMPLE = 1 << 30
"""Bytes of a sample that are read; each thread holds one sample at a time."""

AHEAD = 100
"""Findings that wait to be taken."""


class _Checker:
    """A check of sources by threads, which put their findings into one queue; None stands for the end of a source."""

    def __init__(self, headers: bool) -> None:
        self._headers = headers
        self.cancelled = threading.Event()
        self.findings: queue.Queue[Finding | None] = queue.Queue(AHEAD)

    def _put(self, found: Finding | None) -> None:
        while not self.cancelled.is_set():
            try:
                return self.findings.put(found, timeout=0.1)
            except queue.Full:
                continue
        raise Cancelled

    def check(self, source: str) -> None:
        """Check a file or a shard."""
        try:
            try:
                shard = is_shard(source)
            except (OSError, ValueError) as exn:
                found = Finding(source, kind="file")
                found.fail("broken", describe_error(exn))
                self._put(found)
            else:
                if shard:
                    self._check_shard(source)
                else:
                    self._inspect(Finding(source), local_path(source), kind_of_name(source))
            self._put(None)
        except Cancelled:
            pass

    def _inspect(self, found: Finding, src: Any, kind: str) -> None:
        self._put(inspect(found, src, kind, headers=self._headers, is_cancelled=self.cancelled.is_set))

    def _check_shard(self, source: str) -> None:
        whole = Finding(source, kind="shard", samples=0)

        def handler(exn: Exception) -> bool:
            found = Finding(source, kind="shard", sample=origin_of(exn).key)
            found.fail("truncated" if "unexpected end" in str(exn) else "broken", describe_error(exn))
            # A truncated shard is reported by the readers of its members and of the shard; once is enough.
            if found.status != "truncated" or whole.status != "truncated":
                self._put(found)
            whole.fail(found.status, found.error or "")
            return True

        shards, samples = Shards([source], handler), 0
        shards.limits.sample_bytes = MOST_SAMPLE
        with closing(shards.samples(Share([0]))) as found:  # type: ignore[type-var]
            try:
                for _, sample in found:
                    samples += 1
                    self._check_sample(source, sample)
                    del sample
            except (OSError, ValueError, MemoryError) as exn:
                handler(exn)
        whole.samples = samples
        if whole.status == "ok":
            if not samples:
                whole.fail("broken", "it holds no samples")
            self._put(whole)

    def _check_sample(self, source: str, sample: Sample) -> None:
        if isinstance(sample, IncompleteSample):
            return  # the handler has reported it
        key = str(sample.get("__key__"))
        for name, value in sample.items():
            if is_metadata(name):
                continue
            kind = kind_of_name(name)
            found = Finding(source, key, name, kind=kind or "field")
            if isinstance(value, UnreadMember):
                found.fail("broken", f"it has {value.size} bytes, and samples of more than {MOST_SAMPLE} are not read")
                self._put(found)
            elif kind:
                self._inspect(found, value, kind)
            else:
                self._check_field(found, name, value)

    def _check_field(self, found: Finding, name: str, value: bytes) -> None:
        """Decode a field that clips are not taken from; there is a finding only where it is broken."""
        if self.cancelled.is_set():
            raise Cancelled
        try:
            decode({name: value}, MOST_SAMPLE)
        except Exception as exn:  # of any type, as the content makes it
            found.fail("broken", describe_error(exn))
            self._put(found)


def check(
    sources: Iterable[str | os.PathLike[str]],
    *,
    threads: int = 1,
    headers: bool = False,
    done: Callable[[], None] = lambda: None,
) -> Generator[Finding]:
    """Findings about files and shards: what each video, sound and array holds, and what is wrong with it.

    >>> for found in clipx.jobs.check.check(clipx.jobs.check.find_sources(["videos"]), threads=8):
    ...     if found.status != "ok":
    ...         print(found.name, found.status, found.error)

    Args:
        sources: paths of videos, sounds, arrays (npy, npz) and shards, and addresses of shards.
        threads: number of decoding threads.
        headers: whether to read headers and packets only, which finds little of the damage.
        done: called when a source has been checked.

    Returns a generator of findings in no particular order: one for each video, sound and array, also in shards, one
    for each shard that is whole, and one for each problem with other shards and fields. An error of a source is a
    finding and is not raised. Closing the generator ends the threads.
    """
    names, checker = [os.fspath(each) for each in sources], _Checker(headers)
    pool = ThreadPoolExecutor(max(threads, 1), thread_name_prefix="clipx-check")
    try:
        futures = [pool.submit(checker.check, source) for source in names]
        left = len(names)
        while left:
            try:
                found = checker.findings.get(timeout=0.5)
            except queue.Empty:
                for future in futures:
                    if future.done() and future.exception() is not None:
                        future.result()
                continue
            if found is None:
                left -= 1
                done()
            else:
                yield found
    finally:
        checker.cancelled.set()
        pool.shutdown(cancel_futures=True)
