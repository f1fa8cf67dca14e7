"""Output at an address that fsspec opens: files are uploaded whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

from clipx.datasets.remote.filesystems import filesystem_of, shown
from clipx.jobs.extraction.store import Entry, OutputError, Staging, Store, output_error

__all__ = ["RemoteStore"]


@contextmanager
def _reported(address: str, doing: str) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except Exception as exn:  # libraries of object stores have errors of their own
        raise output_error(exn, address, doing) from exn


class _RemoteStaging(Staging):
    """Files in the local folder of temporary files, until they are uploaded."""

    def __init__(self, store: RemoteStore) -> None:
        self._store, self._files = store, dict[str, Any]()

    def open(self, name: str) -> IO[bytes]:
        with _reported(tempfile.gettempdir(), "hold a file that is to be uploaded"):
            file = tempfile.NamedTemporaryFile(prefix="clipx-", delete=False)  # noqa: SIM115
        self._files[name] = file
        return cast(IO[bytes], file)

    def publish(self, *names: str) -> None:
        for name in names:
            local = self._files[name].name
            self._store.upload(local, name)
            os.unlink(local)
            del self._files[name]

    def discard(self) -> None:
        for file in self._files.values():
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                os.unlink(file.name)
        self._files.clear()


class RemoteStore(Store):
    """A folder of a file system of fsspec, such as an object store."""

    keeps_staged = False

    def __init__(self, address: str) -> None:
        self._url = address.rstrip("/")
        self.address = shown(self._url)
        filesystem_of(self._url)

    def _at(self, name: str = "") -> tuple[Any, str]:
        # Asked for each time: a process that was forked, or has unpickled this, has a file system of its own.
        filesystem, path = filesystem_of(self._url)
        return filesystem, f"{path.rstrip('/')}/{name}" if name else path

    def entries(self) -> dict[str, Entry]:
        filesystem, path = self._at()
        with _reported(self.address, "be listed"):
            filesystem.invalidate_cache(path)
            try:
                listed = filesystem.ls(path, detail=True)
            except FileNotFoundError:
                return {}
            return {
                each["name"].rstrip("/").rpartition("/")[2]: Entry(int(each.get("size") or 0), _modified(each))
                for each in listed
                if each.get("type") == "file"
            }

    def read(self, name: str) -> bytes:
        filesystem, path = self._at(name)
        with _reported(self.path(name), "be read"):
            try:
                return bytes(filesystem.cat_file(path))
            except FileNotFoundError:
                pass
        raise FileNotFoundError(2, "no such file", self.path(name))

    def ends(self, name: str, size: int) -> tuple[bytes, bytes] | None:
        filesystem, path = self._at(name)
        with _reported(self.path(name), "be read"):
            filesystem.invalidate_cache(path)
            try:
                length = int(filesystem.info(path).get("size") or 0)
                if not size or not length:
                    return b"", b""
                head = filesystem.cat_file(path, start=0, end=min(size, length))
                return head, filesystem.cat_file(path, start=max(length - size, 0), end=length)
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        if self.exists(name):
            return False
        with self.writing(name) as file:
            file.write(data)
        return True

    def remove(self, name: str) -> None:
        filesystem, path = self._at(name)
        with _reported(self.path(name), "be removed"), suppress(FileNotFoundError):
            filesystem.rm_file(path)

    def stage(self) -> Staging:
        return _RemoteStaging(self)

    def upload(self, local: str, name: str) -> None:
        """Upload a local file under a name of the store."""
        filesystem, path = self._at(name)
        with _reported(self.path(name), "be uploaded"):
            filesystem.put_file(local, path)


def _modified(info: dict[str, Any]) -> float | None:
    """The time of the last change of a file, from what its file system tells."""
    for name in ("LastModified", "last_modified", "mtime", "updated", "modified", "created"):
        value: Any = info.get(name)
        if isinstance(value, (int, float)):
            return float(value)
        if hasattr(value, "timestamp"):
            return float(value.timestamp())
    return None
