"""Files and shards looked through on threads: what is broken, damaged or cut short, and what there is."""

from __future__ import annotations

import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from webdataset.shardlists import expand_urls

from clipx.datasets.addresses import UnreadMember
from clipx.datasets.decoding import decode
from clipx.datasets.fields import AUDIO_EXTENSIONS, SOURCE_EXTENSIONS, VIDEO_EXTENSIONS, extension_of
from clipx.datasets.origins import describe_error, origin_of
from clipx.datasets.shards import Shards
from clipx.datasets.streamed_tars import IncompleteSample
from clipx.datasets.urls import local_path
from clipx.datasets.world import Share
from clipx.jobs.inspection import Checked, Stopped, inspect

__all__ = ["Checked", "Summary", "check", "find_sources"]

SHARDS = ("tar", "tgz", "tbz2", "txz")
PACKED = ("gz", "bz2", "xz", "zst")
MOST_SAMPLE = 1 << 30
"""Bytes of a shard's sample that are read; of each thread one is in memory at a time."""

AHEAD = 100  # findings that wait to be taken


def _is_shard(source: str) -> bool:
    """Whether a source is taken for a shard by its name, or, where that does not tell, by how it begins."""
    path = local_path(source)
    if path is None:
        return True
    kind = extension_of(source)
    if kind in SHARDS or (kind in PACKED and extension_of(source.rpartition(".")[0]) in SHARDS):
        return True
    if kind in SOURCE_EXTENSIONS:
        return False
    with open(path, "rb") as file:
        head = file.read(512)
    return head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ"))


def find_sources(given: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The files and shards that arguments name: themselves, what braces expand to, and of a folder, however deep, those
    that are called like one.

    Raises ValueError for a folder without any.
    """
    found: list[str] = []
    for each in (os.fspath(each) for each in given):
        if os.path.isdir(each):
            inside = sorted(str(path) for path in Path(each).rglob("*") if path.is_file() and _is_known(path.name))
            if not inside:
                raise ValueError(f"folder {each!r} holds no shard, video, sound or array")
            found += inside
        else:
            found += [each] if os.path.exists(each) else expand_urls(each)
    return found


def _is_known(name: str) -> bool:
    stem, _, kind = name.lower().rpartition(".")
    return kind in SOURCE_EXTENSIONS or kind in SHARDS or (kind in PACKED and extension_of(stem) in SHARDS)


def _kind(name: str) -> str:
    kind = extension_of(name)
    return (
        "video"
        if kind in VIDEO_EXTENSIONS
        else "sound"
        if kind in AUDIO_EXTENSIONS
        else kind
        if kind in SOURCE_EXTENSIONS
        else ""
    )


class _Check:
    """A check of sources by threads, which hand over what they find one by one."""

    def __init__(self, headers: bool) -> None:
        self._headers = headers
        self.stopped = threading.Event()
        self.found: queue.Queue[Checked | None] = queue.Queue(AHEAD)

    def _tell(self, found: Checked | None) -> None:
        while not self.stopped.is_set():
            try:
                return self.found.put(found, timeout=0.1)
            except queue.Full:
                continue
        raise Stopped

    def source(self, source: str) -> None:
        """Check a file or a shard; None is then handed over."""
        try:
            try:
                shard = _is_shard(source)
            except OSError as exn:
                found = Checked(source, kind="file")
                found.fail("broken", describe_error(exn))
                self._tell(found)
            else:
                self._shard(source) if shard else self._inspect(Checked(source), local_path(source), _kind(source))
            self._tell(None)
        except Stopped:
            pass

    def _inspect(self, found: Checked, src: Any, kind: str) -> None:
        self._tell(inspect(found, src, kind, headers=self._headers, is_stopped=self.stopped.is_set))

    def _shard(self, source: str) -> None:
        whole = Checked(source, kind="shard")

        def handler(exn: Exception) -> bool:
            found = Checked(source, kind="shard", sample=origin_of(exn).key)
            found.fail("cut short" if "unexpected end" in str(exn) else "broken", describe_error(exn))
            if found.status != "cut short" or whole.status != "cut short":  # which is told at each of its levels
                self._tell(found)
            whole.fail(found.status, found.error or "")
            return True

        shards = Shards([source], handler)
        shards.limits.sample_bytes = MOST_SAMPLE
        whole.samples = 0
        with closing(shards.samples(Share([0]))) as samples:  # type: ignore[type-var]
            try:
                for _, sample in samples:
                    whole.samples += 1
                    self._sample(source, sample)
                    del sample
            except (OSError, ValueError, MemoryError) as exn:
                handler(exn)
        if whole.status == "ok":
            if not whole.samples:
                whole.fail("broken", "it holds no samples")
            self._tell(whole)

    def _sample(self, source: str, sample: dict[str, Any]) -> None:
        key = str(sample.get("__key__"))
        if isinstance(sample, IncompleteSample):
            return  # the handler has been told
        for name, value in sample.items():
            if name.startswith("__"):
                continue
            found = Checked(source, key, name, kind=_kind(name) or "field")
            if isinstance(value, UnreadMember):
                found.fail("broken", f"it has {value.size} bytes, and samples of more than {MOST_SAMPLE} are not read")
                self._tell(found)
            elif _kind(name):
                self._inspect(found, value, _kind(name))
            else:
                self._decode(found, name, value)

    def _decode(self, found: Checked, name: str, value: bytes) -> None:
        """Check a field beside the clips; nothing is told of one that is well."""
        if self.stopped.is_set():
            raise Stopped
        try:
            decode({name: value}, MOST_SAMPLE)
        except Exception as exn:  # of whatever kind: what is in it makes it
            found.fail("broken", describe_error(exn))
            self._tell(found)


def check(
    sources: Iterable[str | os.PathLike[str]],
    *,
    threads: int = 1,
    headers: bool = False,
    done: Callable[[], None] = lambda: None,
) -> Generator[Checked]:
    """Look through files and shards: what is in each video, sound and array, and what is wrong.

    >>> for found in clipx.jobs.check.check(clipx.jobs.check.find_sources(["videos"]), threads=8):
    ...     if found.status != "ok":
    ...         print(found.name, found.status, found.error)

    Args:
        sources: paths of videos, sounds, arrays (npy, npz) and shards, and addresses of shards.
        threads: that decode.
        headers: whether to leave it at what headers and packets say, which finds little of what is damaged.
        done: called when a source is done.

    Gives what it finds as it finds it, in no order: each video, sound and array, also in shards, each shard that is
    whole, and what is wrong with others and with other fields. Whatever is wrong with a source is found, not raised.
    Closing it ends the threads.
    """
    work, run = [os.fspath(each) for each in sources], _Check(headers)
    pool = ThreadPoolExecutor(max(threads, 1), thread_name_prefix="clipx-check")
    try:
        futures = [pool.submit(run.source, source) for source in work]
        left = len(work)
        while left:
            try:
                found = run.found.get(timeout=0.5)
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
        run.stopped.set()
        pool.shutdown(cancel_futures=True)


class Summary:
    """What a check has found, added up.

    Attributes:
        kinds: how many videos, sounds and arrays there are.
        statuses: how many are ok, broken, damaged or cut short.
        sizes, rates, sample_rates: how many videos have each (height, width), each rate, and how many sounds each rate.
        silent: videos without sound.
        frames, seconds: of all videos, and seconds of all sounds alone.
    """

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.rates: Counter[float] = Counter()
        self.sample_rates: Counter[int] = Counter()
        self.silent = self.frames = 0
        self.seconds: Counter[str] = Counter()

    def add(self, found: Checked) -> None:
        """Add what was found of one."""
        self.kinds[found.kind] += 1
        self.statuses[found.status] += 1
        self.seconds[found.kind] += found.seconds or 0  # type: ignore[assignment]
        if found.sample_rate is not None:
            self.sample_rates[found.sample_rate] += 1
        if found.kind != "video" or found.status == "broken":
            return
        self.frames += found.frames or 0
        self.silent += found.sample_rate is None
        if found.height is not None and found.width is not None:
            self.sizes[found.height, found.width] += 1
        if found.fps is not None:
            self.rates[found.fps] += 1

    @property
    def failed(self) -> int:
        """How many are not ok."""
        return sum(count for status, count in self.statuses.items() if status != "ok")
