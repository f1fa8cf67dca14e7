"""Servers that fail: what is tried again, what is refused, and that wrong bytes are never given."""

import io
from itertools import pairwise

import pytest

from clipx.datasets.remote import RangeCache, cached_file, open_range, retries, stores


@pytest.mark.parametrize("fault", ["reset", "short", 500, 503, 429, 408])
def test_failures_that_may_pass_are_tried_again(server, data, waits, fault):
    server.faults.extend([fault] * 5)
    file = open_range(server.add("a", data))
    assert file.read(100) == data[:100]
    assert 2 <= len(waits) <= 5 if fault == "reset" else len(waits) == 5  # aiohttp itself asks once more
    assert all(0 < wait <= retries.FIRST_WAIT * 2**k for k, wait in enumerate(waits))
    assert waits[-1] > waits[0]


def test_errors_in_the_middle_lose_nothing(server, data):
    server.faults.extend([None, "short", None, "reset", 503, None, "short", "short"])
    assert open_range(server.add("a", data)).read() == data


@pytest.mark.parametrize("fault", ["reset", "short", 503])
def test_the_last_failure_names_the_file_the_bytes_and_the_tries(server, data, fault):
    file = open_range(server.add("a", data))
    file.read(100)
    file.seek(1_000_000)
    server.always = fault
    with pytest.raises(
        OSError, match=r"/a', bytes 1000000 to 1032768, cannot be read: .*; tried 6 times in .*\. Check"
    ):
        file.read(100)
    assert 7 <= len(server.requests) <= 13  # aiohttp itself asks once more where a connection breaks that was used
    server.always = None
    assert file.read(100) == data[1_000_000:1_000_100]


def test_a_server_that_is_not_there(server, data):
    with pytest.raises(OSError, match="tried 6 times"):
        open_range("http://127.0.0.1:1/a").read(1)


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [(404, FileNotFoundError, "no such file"), (403, PermissionError, "credentials"), (400, OSError, "400")],
)
def test_failures_for_good_are_not_tried_again(server, data, status, error, text):
    server.always = status
    with pytest.raises(error, match=rf"/a', bytes 0 to 32768.*{text}"):
        open_range(server.add("a", data)).read(1)
    assert len(server.requests) == 1


def test_a_signature_is_not_in_messages(server):
    address = server.base.replace("http://", "http://user:secret@") + "/a?signature=secret"
    with pytest.raises(FileNotFoundError) as info:
        open_range(address).read(1)
    assert "secret" not in str(info.value)


def test_other_bytes_than_those_asked_for_are_refused(server, data):
    server.always = "other"
    with pytest.raises(OSError, match="other bytes than 0 to 32768: Content-Range is 'bytes 1-32767/3000000'"):
        open_range(server.add("a", data)).read(1)


@pytest.mark.parametrize(
    ("fault", "text"),
    [("unsaid", "is answered by a part without saying which"), ("packed", r"is sent compressed \(gzip\)")],
)
def test_answers_whose_bytes_are_not_certain_are_refused(server, data, fault, text):
    server.always = fault
    with pytest.raises(OSError, match=rf"/a' {text}"):
        open_range(server.add("a", data)).read(1)
    assert len(server.requests) == 1


@pytest.mark.parametrize("says_size", [True, False])
def test_a_small_file_of_a_server_that_ignores_ranges_is_read_once(server, data, says_size):
    server.ranges, server.says_size = False, says_size
    file = open_range(server.add("a", data))
    for at in (2_000_000, 0, 1_500_000):
        file.seek(at)
        assert file.read(100_000) == data[at : at + 100_000]
    assert file.seek(0, io.SEEK_END) == len(data)
    assert len(server.requests) == 1


@pytest.mark.parametrize("says_size", [True, False])
def test_a_large_file_of_a_server_that_ignores_ranges_is_refused(server, data, says_size):
    server.ranges, server.says_size = False, says_size
    file = open_range(server.add("a", data), cache=RangeCache(1 << 20))
    with pytest.raises(OSError, match=r"/a' ignores ranges: .* at most 524288 would be held\. Copy the file"):
        file.read(1)
    assert len(server.requests) == 1


def test_a_size_that_the_server_does_not_say(server, data):
    server.says_size = False
    file = open_range(server.add("a", data))
    with pytest.raises(io.UnsupportedOperation, match=r"size of .* is not known"):
        file.seek(0, io.SEEK_END)
    assert file.read() == data
    assert file.seek(0, io.SEEK_END) == len(data)


@pytest.mark.parametrize(("tags", "what"), [(True, "its ETag was"), (False, "its size was 3000000 and is 2999999")])
def test_a_file_that_changes_while_it_is_read(server, data, tags, what):
    server.tags, cache = tags, RangeCache()
    url = server.add("a", data)
    file = open_range(url, cache=cache)
    file.read(100)
    new = data[:1_000_000][::-1] + data[1_000_000:] if tags else data[:-1]
    server.add("a", new)
    for _ in range(2):
        file.seek(1_000_000)
        with pytest.raises(OSError, match=rf"/a' has changed while it was read: {what}"):
            file.read(100)
        file.seek(0)
        with pytest.raises(OSError, match="has changed"):
            file.read(100)
    assert open_range(url, cache=cache).read() == new


def test_a_file_that_ends_before_its_size(server, data):
    server.tags = server.says_size = False
    file = open_range(server.add("a", data))
    file.read(100)
    server.add("a", data[:500_000])
    file.seek(400_000)
    assert file.read() == data[400_000:500_000]


def test_a_stored_file_that_changes_while_it_is_read(data, monkeypatch):
    system = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setattr(stores, "RECHECK_SECONDS", 0)
    system.pipe_file("/clipx-test/changing", data)
    file = open_range("memory://clipx-test/changing")
    file.read(100)
    system.pipe_file("/clipx-test/changing", data[::-1])
    file.seek(1_000_000)
    with pytest.raises(OSError, match="changing' has changed while it was read: its created was"):
        file.read(100)


def test_waits_grow_and_have_an_end(waits):
    def fail():
        raise ConnectionResetError("reset")

    for _ in range(10):
        waits.clear()
        with pytest.raises(OSError, match="tried 6 times"):
            retries.repeat(fail, "s3://a/b", "bytes 0 to 1")
        assert all(a < 2.0001 * 2 * b for a, b in pairwise(waits))
        assert max(waits) <= retries.MOST_WAIT


class Objects:
    """A file system of one object of several versions, which are asked for as `protocol` has it."""

    def __init__(self, protocol, *versions):
        self.protocol, self._versions, self.now, self.asked = protocol, versions, 0, []

    def invalidate_cache(self, path):
        pass

    def info(self, path):
        return {"size": len(self._versions[self.now]), "ETag": f"e{self.now}", "generation": self.now}

    def cat_file(self, path, start, end, generation=None):
        self.asked.append(generation)
        if generation is not None and int(generation) != self.now:
            raise FileNotFoundError(path)
        return self._versions[self.now][start:end]

    def open(self, path, mode, cache_type):
        return ObjectFile(self, self.now)


class FileExpired(OSError):
    pass


class ObjectFile:
    def __init__(self, objects, version):
        self._objects, self._version = objects, version

    def _fetch_range(self, start, stop):
        if self._objects.now != self._version:
            raise FileExpired
        return self._objects.cat_file("", start, stop)


@pytest.mark.parametrize("protocol", ["gs", "s3"])
def test_an_object_store_is_asked_for_one_version(data, monkeypatch, protocol):
    pytest.importorskip("fsspec")
    objects = Objects(protocol, data, data[::-1])
    monkeypatch.setattr(cached_file, "filesystem_of", lambda url: (objects, "a"))
    file = open_range(f"{protocol}://bucket/a")
    assert file.read(100) == data[:100]
    assert objects.asked == (["0"] if protocol == "gs" else [None])
    objects.now = 1
    file.seek(1_000_000)
    with pytest.raises(OSError, match=r"bucket/a' has changed while it was read: its (ETag|generation)"):
        file.read(100)
    assert open_range(f"{protocol}://bucket/a").read(100) == data[::-1][:100]
