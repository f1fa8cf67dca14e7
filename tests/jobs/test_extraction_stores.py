"""Stores: files appear whole or not at all, and what goes wrong names the place and a cure."""

import errno
import io
import os
import pickle
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import outputs
from helpers.outputs import add_clips, write_part
from helpers.processes import run_python

from clipx.jobs.extraction.local_store import LocalStore
from clipx.jobs.extraction.stores import OutputError, open_store


@pytest.fixture(scope="module")
def s3():
    server = pytest.importorskip("moto.server")
    s3fs, fsspec = pytest.importorskip("s3fs"), pytest.importorskip("fsspec")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}", "key": "a", "secret": "b"}
    fsspec.config.conf["s3"] = options
    s3fs.S3FileSystem(**options).mkdir("clips")
    yield "s3://clips"
    del fsspec.config.conf["s3"]
    running.stop()


@pytest.fixture(params=["local", "memory", "s3"])
def store(request, tmp_path):
    if request.param == "local":
        return open_store(tmp_path / "out")
    pytest.importorskip("fsspec")
    base = request.getfixturevalue("s3") if request.param == "s3" else "memory://clips"
    return open_store(f"{base}/{tmp_path.name}/out/")


def test_files_appear_when_they_are_whole(store):
    assert store.entries() == {}
    with store.writing("a") as file:
        file.write(b"one")
        assert not store.exists("a")
    assert store.read("a") == b"one"
    with store.writing("a") as file:
        file.write(b"another")
        assert store.read("a") == b"one"
    with pytest.raises(ZeroDivisionError), store.writing("a") as file:
        file.write(b"%d" % (1 // 0))
    assert store.read("a") == b"another"
    (entry,) = store.entries().values()
    assert entry.size == 7
    assert entry.modified > 1.6e9
    assert store.ends("a", 3) == (b"ano", b"her")
    assert store.ends("a", 100) == (b"another", b"another")


def test_a_file_is_created_once(store):
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.read("a") == b"first"
    store.remove("a")
    store.remove("a")
    assert not store.exists("a")
    assert store.ends("a", 4) is None
    with pytest.raises(FileNotFoundError, match="a"):
        store.read("a")


def test_large_and_small_writes_keep_their_order(store):
    pieces = [bytes([i]) * size for i, size in enumerate([1, 2**20, 5, 3 * 2**20, 2**20 - 1, 0, 7])]
    with store.writing("a") as file:
        for piece in pieces:
            file.write(memoryview(piece))
    assert store.read("a") == b"".join(pieces)


def test_nothing_is_left_of_a_part_that_is_given_up(store, tmp_path):
    with outputs.PartWriter(store, 0, shard_bytes=10**6, table="parquet") as writer:
        add_clips(writer, "a", range(3))
    assert store.entries() == {}
    assert list(tmp_path.glob("out/*")) + list(tmp_path.glob("out/.*")) == []


def test_many_threads_create_one_file(tmp_path):
    store = open_store(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: store.create("a", bytes([i]) * 1000), range(32)))
    assert made.count(True) == 1
    assert store.read("a") == bytes([made.index(True)]) * 1000
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_systems_without_hard_links(tmp_path, monkeypatch, number):
    def link(*_):
        raise OSError(number, "no links")

    monkeypatch.setattr(os, "link", link)
    store = open_store(tmp_path)
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.read("a") == b"first"


def test_the_lock_of_a_folder_is_held_by_one(tmp_path):
    store, inside = open_store(tmp_path), []

    def enter():
        with store.locked():
            inside.append(1)
            assert len(inside) == 1
            inside.clear()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: enter(), range(50)))
    with LocalStore(str(tmp_path / "none")).locked():
        pass


# What others have left


def test_files_of_dead_processes_are_removed_and_those_of_living_ones_kept(tmp_path):
    ran = run_python(outputs.__file__, "die_staging", tmp_path)
    assert ran.returncode == -9, ran.stderr
    (dead,) = tmp_path.glob(".tmp-*")
    assert any(each.name.endswith(".tar") for each in dead.iterdir())
    store = open_store(tmp_path)
    with store.stage() as staging:
        file = staging.open("a")
        other = tmp_path / dead.name.replace("-", "-other", 1)  # of another host
        dead.rename(other)
        store.clear()
        assert other.exists()
        other.rename(dead)
        (empty := tmp_path / dead.name.replace(dead.name.split("-")[-1], "0")).mkdir()  # died before it had a lock
        store.clear()
        assert not dead.exists()
        assert not empty.exists()
        file.write(b"alive")
        file.close()
        staging.publish("a")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_staged_files_of_other_hosts_are_kept_for_a_week(tmp_path):
    store = open_store(tmp_path)
    with store.stage():
        (own,) = tmp_path.glob(".tmp-*")
        _, host, process, rest = own.name.split("-")
        others = [tmp_path / f".tmp-{name}-{process}-{rest}" for name in (f"{host}_1", "pod", "pod2")]
        strange = tmp_path / f".tmp-{host}-of-mine"
        for folder in (*others, strange):
            folder.mkdir()
            (folder / "lock").touch()
        week = time.time() - 8 * 86400
        for path in (others[1], others[1] / "lock", others[2]):  # the last one has been written since
            os.utime(path, (week, week))
        store.clear()
        assert [folder.exists() for folder in (own, *others, strange)] == [True, True, False, True, True]


def test_without_locks_a_process_is_alive_that_has_its_number(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", flock)
    store = open_store(tmp_path)
    with store.stage() as staging:
        (living,) = tmp_path.glob(".tmp-*")
        ended = subprocess.Popen(["true"])
        ended.wait()
        dead = living.with_name(living.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
        dead.mkdir()
        (dead / "lock").touch()
        store.clear()
        assert living.exists()
        assert not dead.exists()
        with store.locked():
            pass
        staging.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_cleared_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    real, cleared = os.open, []

    def open_late(path, *args, **kwargs):
        if str(path).endswith("/lock") and not cleared:
            cleared.append(path)
            os.rmdir(os.path.dirname(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", open_late)
    write_part(open_store(tmp_path))
    assert cleared
    assert (tmp_path / "part-000000.parquet").exists()


# What goes wrong


def test_a_full_disk_is_named_and_leaves_what_was_done(tmp_path):
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", tmp_path], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("needs the right to mount")
    try:
        store = open_store(tmp_path)
        write_part(store, 0)
        before = outputs.contents(store)
        with pytest.raises(OutputError, match=r"No space left.*free space there") as caught:
            write_part(store, 1, clips=1000, shard_bytes=10**6)
        assert caught.value.errno == errno.ENOSPC
        assert str(tmp_path) in str(caught.value)
        assert outputs.contents(store) == before
        assert list(tmp_path.glob(".*")) == []
        write_part(store, 1)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_is_full_late_is_named(tmp_path, monkeypatch, call):
    real, calls = getattr(os, call), []

    def full(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OutputError, match=r"No space left on device; free space there.*clips-000000-000"):
        write_part(open_store(tmp_path), shard_bytes=2000)
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_file_size_is_named(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # Python ignores SIGXFSZ
    try:
        with pytest.raises(OutputError, match="smaller shard_size"):
            write_part(open_store(tmp_path), clips=300, shard_bytes=10**6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)  # which has an os.mkdir of its own in Python 3.10
    for path in (tmp_path, tmp_path / "new"):
        with pytest.raises(OutputError, match=r"Read-only file system; give a folder that can be written") as caught:
            write_part(open_store(path))
        assert str(path) in str(caught.value)


def test_a_folder_that_is_gone_is_named(tmp_path):
    store = open_store(tmp_path / "out")
    with store.stage() as staging:
        staging.open("a").close()
        (tmp_path / "out").rename(tmp_path / "moved")
        with pytest.raises(OutputError, match="removed or is not mounted"):
            staging.publish("a")


def test_paths_and_addresses_that_are_no_folders(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="must be a folder, but is a file"):
        open_store(tmp_path / "file")
    with pytest.raises(OutputError, match=r"cannot be"):
        write_part(open_store(tmp_path / "file" / "out"))
    for out in ("", "a\0b", b"folder", "-", "pipe:cat", Path("s3://bucket/out")):
        with pytest.raises(ValueError, match="out is "):
            open_store(out)
    pytest.importorskip("fsspec")
    with pytest.raises(ValueError, match="nosuch"):
        open_store("nosuch://bucket/out")


def test_errors_of_an_object_store_name_the_address_and_leave_no_manifest(tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    store = open_store(f"memory://{tmp_path.name}")
    put, names = fsspec.implementations.memory.MemoryFileSystem.put_file, []

    def fail(self, local, path, **options):
        names.append(path.rpartition("/")[2])
        if len(names) == 3:
            raise RuntimeError("the bucket is gone")
        return put(self, local, path, **options)

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.put_file", fail)
    before = set(os.listdir(os.environ.get("TMPDIR", "/tmp")))
    with pytest.raises(OutputError, match=rf"the bucket is gone.*memory://{tmp_path.name}/clips-000000-0002.tar"):
        write_part(store)
    assert sorted(store.entries()) == ["clips-000000-0000.tar", "clips-000000-0001.tar"]
    assert not [
        each for each in set(os.listdir(os.environ.get("TMPDIR", "/tmp"))) - before if each.startswith("clipx-")
    ]
    write_part(store)
    assert names[-2:] == ["part-000000.failures.jsonl", "part-000000.parquet"]
    assert threading.active_count() < 50


def test_uploads_are_repeated_where_their_errors_may_pass(tmp_path, monkeypatch):
    memory = pytest.importorskip("fsspec.implementations.memory")
    monkeypatch.setattr("clipx.datasets.remote.retries.FIRST_WAIT", 0.001)
    calls = []

    def failing(name):
        real = getattr(memory.MemoryFileSystem, name)

        def call(self, *args, **options):
            calls.append(name)
            if calls.count(name) % 3:
                raise ConnectionResetError("the connection broke")
            return real(self, *args, **options)

        monkeypatch.setattr(memory.MemoryFileSystem, name, call)

    for name in ("put_file", "pipe_file", "cat_file", "ls", "info", "rm_file"):
        failing(name)
    store = open_store(f"memory://{tmp_path.name}")
    assert store.create("a", b"one")
    assert not store.create("a", b"two")
    with store.writing("b") as file:
        file.write(b"three")
    assert {name: store.read(name) for name in store.entries()} == {"a": b"one", "b": b"three"}
    store.remove("a")
    assert not store.exists("a")


def test_a_full_folder_of_temporary_files_is_named(tmp_path, monkeypatch):
    pytest.importorskip("fsspec")
    store = open_store(f"memory://{tmp_path.name}")
    if not os.path.exists("/dev/full"):
        pytest.skip("no full device")
    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda **_: io.FileIO("/dev/full", "w"))
    monkeypatch.setattr(os, "unlink", lambda path: None)
    with pytest.raises(OutputError, match=r"TMPDIR.*No space left"):
        write_part(store)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", lambda **_: io.FileIO("/nowhere/file", "w"))
    with pytest.raises(OutputError, match="hold a file that is to be uploaded"):
        write_part(store)


def test_errors_cross_processes():
    error = OutputError(errno.ENOSPC, "cannot be written", "/out/a")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.errno) == (OutputError, str(error), errno.ENOSPC)


def test_an_address_of_a_whole_file_system():
    pytest.importorskip("fsspec")
    store = open_store("memory://")
    assert store.create("root", b"a")
    assert "root" in store.entries()
    store.remove("root")


def test_an_address_with_a_password_is_not_shown():
    pytest.importorskip("fsspec")
    assert "secret" not in open_store("memory://user:secret@host/out").path("a")
