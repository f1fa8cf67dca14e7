"""Output at an address that fsspec opens: files are uploaded whole."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, TypeVar, cast

from clipx.datasets.remote.filesystems import filesystem_of, shown
from clipx.datasets.remote.retries import TRIES, is_passing, pause
from clipx.jobs.extraction.store import Entry, Staging, Store, output_error

__all__ = ["RemoteStore"]

UPLOAD_OPTIONS = {"s3": {"chunksize": 8 << 20, "max_concurrency": 4}}
"""Options of uploads, by protocol: s3fs would hold ten pieces of 50 MB in memory."""

OBJECT_STORES = frozenset({"s3", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory"})
"""Protocols of stores in which an object appears when its upload has ended."""

MODIFIED = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
"""Facts that file systems tell of a file's last change."""

T = TypeVar("T")


class _RemoteStaging(Staging):
    """Files in the local folder of temporary files, until they are uploaded."""

    def __init__(self, store: RemoteStore) -> None:
        self._store, self._files = store, dict[str, Any]()

    def open(self, name: str) -> IO[bytes]:
        try:
            file = tempfile.NamedTemporaryFile(prefix="clipx-", delete=False)  # noqa: SIM115
        except OSError as exn:
            raise output_error(exn, tempfile.gettempdir(), "hold a file that is to be uploaded") from exn
        self._files[name] = _Spooled(file)
        return cast(IO[bytes], self._files[name])

    def publish(self, *names: str) -> None:
        for name in names:
            local = self._files[name].name
            self._store.upload(local, name)
            os.unlink(local)
            del self._files[name]

    def discard(self) -> None:
        for file in self._files.values():
            with suppress(OSError):
                file.abandon()
            with suppress(OSError):
                os.unlink(file.name)
        self._files.clear()


class _Spooled:
    """A local file that is to be uploaded. Errors of writing name the folder of temporary files."""

    def __init__(self, file: Any) -> None:
        self._file, self.name = file, file.name

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def write(self, data: Any) -> int:
        return self._reported(lambda: self._file.write(data))

    def close(self) -> None:
        self._reported(self._file.close)

    def abandon(self) -> None:
        self._file.close()

    def _reported(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except OSError as exn:
            doing = "hold a file that is to be uploaded, for which TMPDIR may name another folder"
            raise output_error(exn, self.name, doing) from exn

    def __enter__(self) -> _Spooled:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RemoteStore(Store):
    """A folder of a file system of fsspec, such as an object store. Requests are repeated where their errors may pass.

    Raises ValueError for an address that fsspec does not open, and ImportError that names the extra.
    """

    keeps_staged = False

    def __init__(self, address: str) -> None:
        self._url = address if address.endswith("://") else address.rstrip("/")
        self.address = shown(self._url)
        self.has_whole_objects = not OBJECT_STORES.isdisjoint(_protocols(filesystem_of(self._url)[0]))

    def _ask(self, name: str, doing: str, request: Callable[[Any, str], T]) -> T:
        """What a request of the file system, for the path of a file, or of the folder for "", gives.

        Raises FileNotFoundError and FileExistsError as they come, else OutputError.
        """
        for number in range(1, TRIES + 1):
            try:
                # Asked for each time: a process that was forked, or has unpickled this, has a file system of its own.
                filesystem, folder = filesystem_of(self._url)
                path = f"{folder.rstrip('/')}/{name}" if name else folder
                filesystem.invalidate_cache(path)
                return request(filesystem, path)
            except (FileNotFoundError, FileExistsError, MemoryError):
                raise
            except Exception as exn:  # libraries of object stores have errors of their own
                if number == TRIES or not is_passing(exn):
                    raise output_error(exn, self.path(name) if name else self.address, doing) from exn
                pause(number, exn)
        raise AssertionError("unreachable")

    def entries(self) -> dict[str, Entry]:
        try:
            listed = self._ask("", "be listed", lambda filesystem, path: filesystem.ls(path, detail=True))
        except FileNotFoundError:
            return {}
        return {
            each["name"].rstrip("/").rpartition("/")[2]: Entry(int(each.get("size") or 0), _modified(each))
            for each in listed
            if each.get("type") == "file"
        }

    def read(self, name: str) -> bytes:
        try:
            return bytes(self._ask(name, "be read", lambda filesystem, path: filesystem.cat_file(path)))
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path(name)) from None

    def ends(self, name: str, size: int) -> tuple[bytes, bytes] | None:
        def request(filesystem: Any, path: str) -> tuple[bytes, bytes]:
            length = int(filesystem.info(path).get("size") or 0)
            if not size or not length:
                return b"", b""
            head = filesystem.cat_file(path, start=0, end=min(size, length))
            return head, filesystem.cat_file(path, start=max(length - size, 0), end=length)

        try:
            return self._ask(name, "be read", request)
        except FileNotFoundError:
            return None

    def create(self, name: str, data: bytes) -> bool:
        def request(filesystem: Any, path: str) -> None:
            try:
                filesystem.pipe_file(path, data, mode="create")
            except FileExistsError:
                raise
            except Exception as exn:
                if is_passing(exn):
                    raise
                # An fsspec, or a server, that does not know this.
                if filesystem.exists(path):
                    raise FileExistsError(path) from None
                filesystem.pipe_file(path, data)

        try:
            self._ask(name, "be written", request)
        except FileExistsError:
            return False
        except FileNotFoundError as exn:
            raise output_error(exn, self.path(name), "be written") from exn
        return True

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._ask(name, "be removed", lambda filesystem, path: filesystem.rm_file(path))

    def stage(self) -> Staging:
        return _RemoteStaging(self)

    def upload(self, local: str, name: str) -> None:
        """Upload a local file under a name of the store."""

        def request(filesystem: Any, path: str) -> None:
            options = next((UPLOAD_OPTIONS[each] for each in _protocols(filesystem) if each in UPLOAD_OPTIONS), {})
            filesystem.put_file(local, path, **options)

        try:
            self._ask(name, "be uploaded", request)
        except FileNotFoundError as exn:
            raise output_error(exn, self.path(name), "be uploaded") from exn


def _protocols(filesystem: Any) -> tuple[str, ...]:
    """The names of a file system in addresses."""
    found = filesystem.protocol
    return (found,) if isinstance(found, str) else tuple(found)


def _modified(info: dict[str, Any]) -> float | None:
    """The time of the last change of a file, from what its file system tells."""
    for name in MODIFIED:
        value: Any = info.get(name)
        if isinstance(value, (int, float)):
            return float(value)
        if hasattr(value, "timestamp"):
            return float(value.timestamp())
    return None
