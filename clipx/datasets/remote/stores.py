"""Ranges of a file of any file system of fsspec, such as an object store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from clipx.datasets.remote.answers import Answer
from clipx.datasets.remote.filesystems import shown
from clipx.datasets.remote.retries import Refused, ShortAnswer, changed

__all__ = ["StoredRanges"]

RECHECK_SECONDS = 10.0
"""Seconds after which a file system is asked once more whether the file is the same."""

VERSIONS = ("ETag", "etag", "generation", "md5Hash", "blob_id", "LastModified", "last_modified", "updated", "mtime")
"""Facts that file systems tell of a version of a file, beside its size and the time of its creation."""


class StoredRanges:
    """A file in a file system of fsspec.

    Args:
        filesystem: fsspec's.
        path: the file's path in it.
        url: the file's address, for messages.
    """

    def __init__(self, filesystem: Any, path: str, url: str) -> None:
        self._filesystem, self._path, self._url = filesystem, path, url
        self._facts, self._checked = Answer(0, b"", None, {}), -RECHECK_SECONDS
        self._file: Any = None

    def _ask(self) -> Answer:
        """The size and the version of the file as it is now."""
        self._filesystem.invalidate_cache(self._path)
        info = self._filesystem.info(self._path)
        if info.get("type") == "directory":
            raise Refused(f"{shown(self._url)!r} is a folder, but must be a file")
        size = info.get("size")
        names = [name for name in VERSIONS if info.get(name) is not None] or ["created"]
        version = {name: str(info[name]) for name in names if info.get(name) is not None}
        return Answer(0, b"", None if size is None else int(size), version)

    def fetch(self, start: int, stop: int, most_whole: int, count: Callable[[int], None]) -> Answer:
        """The bytes from `start` to `stop`, or to the end of the file.

        Args:
            count: called with the number of bytes that come.

        Raises Refused for a folder, ShortAnswer, and what the file system raises.
        """
        if time.monotonic() >= self._checked + RECHECK_SECONDS:
            self._facts, self._checked = self._ask(), time.monotonic()
        size = self._facts.size
        if size is not None:
            stop = min(stop, size)
        if start >= stop:
            return self._facts._replace(start=start)
        data = self._read(start, stop)
        count(len(data))
        if len(data) > stop - start:
            raise Refused(f"{shown(self._url)!r} gives {len(data)} bytes, but {stop - start} were asked for")
        if len(data) < stop - start and size is not None:
            self._checked = -RECHECK_SECONDS
            raise ShortAnswer(f"the answer has {len(data)} bytes, but should have {stop - start}")
        return self._facts._replace(start=start, data=bytes(data))

    def _read(self, start: int, stop: int) -> Any:
        """Bytes of this version of the file alone, where the file system can be asked so."""
        protocols = self._filesystem.protocol
        if "s3" in protocols:
            return self._read_matching(start, stop)
        generation = self._facts.version.get("generation") if "gs" in protocols else None
        if generation is None:
            return self._filesystem.cat_file(self._path, start=start, end=stop)
        try:
            return self._filesystem.cat_file(self._path, start=start, end=stop, generation=generation)
        except FileNotFoundError:
            if change := self._facts.changed_to(self._ask()):
                raise changed(self._url, change) from None
            raise

    def _read_matching(self, start: int, stop: int) -> Any:
        """Bytes of an object of S3, if its ETag is that of before: of s3fs, its files alone ask so."""
        if self._file is None:
            self._file = self._filesystem.open(self._path, "rb", cache_type="none")
        try:
            return self._file._fetch_range(start, stop)
        except OSError as exn:
            if type(exn).__name__ == "FileExpired":
                raise changed(self._url, f"its ETag was {self._facts.version.get('ETag')}") from exn
            raise
