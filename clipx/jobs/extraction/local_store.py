"""Output in a local folder: written beside its place, flushed, and renamed."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from clipx.jobs.extraction.store import Entry, OutputError, Staging, Store, output_error

__all__ = ["LocalStore"]

BUFFER_BYTES = 1 << 20
LOCK = "lock"
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)


STAGED = re.compile(r"\.tmp-(?P<host>\w*)-(?P<process>\d+)-[0-9a-f]+")
"""Names of folders of staged files: the host and the number of the process."""

ABANDONED_SECONDS = 7 * 86400.0
"""Seconds without a change after which staged files of other hosts are removed, too; where locks are not shared."""


def _host() -> str:
    return re.sub(r"\W", "_", socket.gethostname(), flags=re.ASCII)[:64]


@contextmanager
def _reported(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as exn:
        raise output_error(exn, str(path), doing) from exn


def _sync_folder(path: Path) -> None:
    """Bring the names of a folder to the disk, where its file system can do that."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _StagedFile(io.RawIOBase):
    """A file that is written from its beginning to its end; small writes are gathered. Closing it syncs it."""

    def __init__(self, path: Path, shown: Path) -> None:
        self._shown, self._buffer, self._position, self._file = shown, bytearray(), 0, -1
        with _reported(shown, "be written"):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            if view.nbytes + len(self._buffer) <= BUFFER_BYTES:
                self._buffer += view
            else:
                self._flush_buffer()
                self._write(view)
            self._position += view.nbytes
            return view.nbytes

    def _write(self, view: memoryview) -> None:
        with _reported(self._shown, "be written"):
            while view.nbytes:
                view = view[os.write(self._file, view) :]

    def _flush_buffer(self) -> None:
        if self._buffer:
            data, self._buffer = self._buffer, bytearray()
            self._write(memoryview(data))

    def close(self) -> None:
        if self.closed or self._file < 0:
            return
        try:
            self._flush_buffer()
            with _reported(self._shown, "be written"):
                os.fsync(self._file)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file without writing the rest."""
        if not self.closed:
            super().close()
            os.close(self._file)


class _LocalStaging(Staging):
    """Files in a hidden folder of the output folder, whose lock tells other processes that this one is alive."""

    def __init__(self, root: Path) -> None:
        self._root, self._open = root, list[_StagedFile]()
        with _reported(root, "be made"):
            root.mkdir(parents=True, exist_ok=True)
        with _reported(root, "be written"):
            self._folder, self._lock = self._make()

    def _make(self) -> tuple[Path, int]:
        while True:
            folder = self._root / f".tmp-{_host()}-{os.getpid()}-{secrets.token_hex(8)}"
            folder.mkdir()
            try:
                descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                continue  # another process has taken the folder for a dead one's
            except BaseException:
                with suppress(OSError):
                    folder.rmdir()
                raise
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (folder / LOCK).exists():
                return folder, descriptor
            os.close(descriptor)

    def open(self, name: str) -> IO[bytes]:
        file = _StagedFile(self._folder / name, self._root / name)
        self._open.append(file)
        return cast(IO[bytes], file)

    def publish(self, *names: str) -> None:
        with _reported(self._root, "be written"):
            for name in names:
                os.replace(self._folder / name, self._root / name)
            _sync_folder(self._root)

    def link(self, name: str) -> bool:
        """Publish a file unless there is one of its name; returns whether it was."""
        final = self._root / name
        with _reported(final, "be written"):
            try:
                os.link(self._folder / name, final)
            except FileExistsError:
                return False
            except OSError as exn:
                if exn.errno not in NO_LINKS:
                    raise
                if final.exists():
                    return False
                os.replace(self._folder / name, final)
            _sync_folder(self._root)
            return True

    def discard(self) -> None:
        for file in self._open:
            file.abandon()
        self._open.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


class LocalStore(Store):
    """A local folder. Raises OutputError for a path that is no folder."""

    keeps_staged, has_whole_objects = True, False

    def __init__(self, path: str) -> None:
        self._root = Path(path)
        self.address = path
        with _reported(self._root, "be read"):
            is_file = self._root.exists() and not self._root.is_dir()
        if is_file:
            raise OutputError(errno.ENOTDIR, "out must be a folder, but is a file", path)

    def entries(self) -> dict[str, Entry]:
        found = {}
        with _reported(self._root, "be listed"):
            try:
                with os.scandir(self._root) as names:
                    for each in names:
                        if not each.name.startswith(".") and each.is_file():
                            facts = each.stat()
                            found[each.name] = Entry(facts.st_size, facts.st_mtime)
            except FileNotFoundError:
                return {}
        return found

    def read(self, name: str) -> bytes:
        path = self._root / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as exn:
            raise output_error(exn, str(path), "be read") from exn

    def ends(self, name: str, size: int) -> tuple[bytes, bytes] | None:
        path = self._root / name
        with _reported(path, "be read"):
            try:
                with path.open("rb", buffering=0) as file:
                    head = file.read(size)
                    file.seek(-min(size, file.seek(0, io.SEEK_END)), io.SEEK_END)
                    return head, file.read(size)
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        with _LocalStaging(self._root) as staging:
            assert isinstance(staging, _LocalStaging)
            with staging.open(name) as file:
                file.write(data)
            return staging.link(name)

    def remove(self, name: str) -> None:
        with _reported(self._root / name, "be removed"):
            (self._root / name).unlink(missing_ok=True)

    def stage(self) -> Staging:
        return _LocalStaging(self._root)

    def clear(self) -> None:
        for folder in self._root.glob(".tmp-*"):
            match = STAGED.fullmatch(folder.name)
            if match is None or (match["host"] != _host() and _age(folder) < ABANDONED_SECONDS):
                continue
            if _is_dead(folder, int(match["process"])):
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        descriptor = -1
        try:
            with suppress(OSError):
                descriptor = os.open(self._root, os.O_RDONLY | os.O_CLOEXEC)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _age(folder: Path) -> float:
    """Seconds since the last change of a folder's files; 0 where they cannot be looked up."""
    try:
        return time.time() - max(each.stat().st_mtime for each in (folder, *folder.iterdir()))
    except OSError:
        return 0.0


def _is_dead(folder: Path, process: int) -> bool:
    """True if the process that made a folder of staged files is gone."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return not _is_running(process)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return not _is_running(process)
    finally:
        os.close(descriptor)
    return True


def _is_running(process: int) -> bool:
    """True if there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
