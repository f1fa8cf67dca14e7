"""Files that are read by ranges: their bytes, positions and ends, from servers that behave well."""

import io
import pickle
import random
import threading

import pytest
from helpers.processes import in_child

from clipx.datasets.remote import RangeCache, bytes_read, open_range


def test_reads_are_those_of_a_file_in_memory(server, data):
    file, same, rng = open_range(server.add("a", data)), io.BytesIO(data), random.Random(0)
    for _ in range(200):
        whence = rng.choice([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
        base = {io.SEEK_SET: 0, io.SEEK_CUR: same.tell(), io.SEEK_END: len(data)}[whence]
        to = rng.randrange(len(data) + 1000)
        assert file.seek(to - base, whence) == same.seek(to - base, whence)
        for size in rng.choices([0, 1, 512, 32768, 100_000, 700_000], k=rng.randrange(4)):
            assert file.read(size) == same.read(size)
            assert file.tell() == same.tell()
    file.seek(5)
    assert file.read() == data[5:]


@pytest.mark.parametrize("size", [0, 1, 5000, None])
def test_a_range_is_a_file_of_its_own(server, data, size):
    file = open_range(server.add("a", data), 1000, size)
    wanted = data[1000:] if size is None else data[1000 : 1000 + size]
    assert file.read() == wanted
    assert file.read(1) == b""
    assert file.seek(0, io.SEEK_END) == len(wanted)
    file.seek(max(len(wanted) - 3, 0))
    assert file.read(10) == wanted[-3:]
    if size is not None:
        assert file.bytes_read == size
    with pytest.raises(ValueError, match="before the beginning"):
        file.seek(-1)


def test_no_memory_is_taken_for_bytes_that_there_are_not(server, data):
    file = open_range(server.add("a", data), 10)
    file.seek(-5, io.SEEK_END)
    assert file.read(1 << 60) == data[-5:]
    assert open_range(server.base + "/a", 10, 20).read(1 << 60) == data[10:30]


def test_a_range_past_the_end_is_an_error(server, data):
    file = open_range(server.add("a", data), len(data) - 10, 20)
    with pytest.raises(OSError, match=r"/a' ends at byte 3000000, inside the range of 20 bytes from 2999990"):
        file.read()


def test_an_empty_file(server):
    file = open_range(server.add("a", b""))
    assert file.read() == b""
    assert file.seek(0, io.SEEK_END) == 0


def test_reads_in_order_request_more_each_time_and_others_little(server, data):
    url = server.add("a", data)
    file = open_range(url)
    while file.read(32768):
        pass
    assert server.sent == file.bytes_read == len(data)
    assert len(server.requests) == 8
    server.sent = 0
    file = open_range(url)
    for at in (2_000_000, 1_000_000, 0):
        file.seek(at)
        file.read(100)
    assert server.sent == 3 * 32768


def test_two_runs_of_reads_are_followed_at_once(server, data):
    file = open_range(server.add("a", data))
    for at in range(0, 1_000_000, 25_000):
        for base in (0, 1_900_000):
            file.seek(base + at)
            assert file.read(25_000) == data[base + at : base + at + 25_000]
    assert len(server.requests) <= 12


def test_hinted_ranges_are_requested_whole_and_nothing_between_them(server, data):
    file = open_range(server.add("a", data))
    file.hint([(2_000_000, 2_500_000), (100_000, 400_000), (400_000, 600_000)])
    file.seek(100_000)
    for _ in range(15):
        file.read(32768)
    assert [(begin, end) for _, begin, end in server.requests] == [(100_000, 632_768)]
    file.seek(2_000_000)
    file.read(500_000)
    assert [(begin, end) for _, begin, end in server.requests[1:]] == [(2_000_000, 2_532_768)]


def test_what_is_held_is_not_requested_again(server, data):
    cache = RangeCache("8MiB")
    url = server.add("a", data)
    first, second = open_range(url, cache=cache), open_range(url, cache=cache)
    assert first.read() == second.read() == data
    assert server.sent == cache.bytes_read == first.bytes_read == len(data)
    assert second.bytes_read == 0
    assert cache.held == len(data)
    first.close()
    second.close()
    assert open_range(url, cache=cache).read(10) == data[:10]
    assert server.sent == len(data)
    cache.clear()
    assert cache.held == 0
    assert open_range(url, cache=cache).read(10) == data[:10]
    assert server.sent > len(data)


def test_a_cache_keeps_to_its_bytes(server, data):
    cache, most = RangeCache(1 << 20), 0
    files = [open_range(server.add(f"f{i}", data), cache=cache) for i in range(3)]
    while all(file.read(50_000) for file in files):
        most = max(most, cache.held)
    assert 900_000 < most <= 1 << 20
    assert server.sent <= 1.1 * 3 * len(data)


def test_what_is_read_in_sequence_is_not_held(server, data):
    cache = RangeCache()
    with open_range(server.add("a", data), cache=cache, sequential=True) as file:
        while file.read(10_000):
            assert cache.held <= 2_000_000
    assert cache.held == 0


def test_files_that_are_closed_and_not_held_are_forgotten(server, data):
    cache = RangeCache(1 << 17)
    for i in range(20):
        with open_range(server.add(str(i), data[: 50_000 + i]), cache=cache) as file:
            assert file.read() == data[: 50_000 + i]
    assert len(cache.state.files) <= 3


def test_threads_share_a_cache_and_request_each_byte_once(server, data):
    url, cache, found = server.add("a", data), RangeCache(), []
    server.latency = 0.01

    def read():
        with open_range(url, cache=cache) as file:
            found.append(file.read())

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [data] * 6
    assert server.sent == len(data)


def test_the_bytes_of_the_process_are_counted(server, data):
    before = bytes_read()
    server.faults.append("short")
    file = open_range(server.add("a", data))
    file.read(10)
    assert bytes_read() - before == file.bytes_read == 32768 + 16384 == server.sent


def test_a_forked_child_goes_on_with_connections_of_its_own(server, data):
    cache = RangeCache()
    file = open_range(server.add("a", data), cache=cache)
    file.read(100)

    def go_on():
        before, at = cache.held, file.tell()
        rest = file.read()
        file.close()
        return before, at, rest == data[100:], cache.held, file.bytes_read

    read = file.bytes_read
    assert in_child(go_on) == (0, 100, True, len(data) - 100, read + len(data) - 100)
    assert file.bytes_read == read
    assert file.read() == data[100:]


def test_a_pickled_file_goes_on_at_its_position(server, data):
    cache = RangeCache(1 << 20)
    file, other = (open_range(server.add("a", data), 1000, 5000, cache=cache, block=100) for _ in range(2))
    file.seek(10)
    again, beside = pickle.loads(pickle.dumps((file, other)))
    assert again.read(200) == data[1010:1210]
    assert again.bytes_read == 200
    assert beside.seek(20) == 20
    assert beside.read(80) == data[1020:1100]
    assert beside.bytes_read == 0


def test_a_file_in_memory_of_fsspec(data):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/clipx-test/a", data)
    file = open_range("memory://clipx-test/a")
    assert file.read() == data
    assert file.seek(0, io.SEEK_END) == len(data)
    with pytest.raises(FileNotFoundError, match=r"memory://clipx-test/none', bytes 0 to 32768: there is no such file"):
        open_range("memory://clipx-test/none").read(1)


def test_a_file_that_is_dropped_is_left(server, data):
    cache = RangeCache()
    file = open_range(server.add("a", data), cache=cache)
    file.read(100)
    (held,) = cache.state.files.values()
    assert held.users == 1
    del file
    assert held.users == 0
    cache.clear()
    assert not cache.state.files


def test_a_closed_file_is_not_read(server, data):
    file = open_range(server.add("a", data))
    file.close()
    file.close()
    with pytest.raises(ValueError, match="is closed"):
        file.read(1)


def test_addresses_and_sizes_are_checked():
    pytest.importorskip("fsspec")
    with pytest.raises(ValueError, match="must be an address such as"):
        open_range("/data/a.mp4")
    with pytest.raises(ValueError, match="unheard"):
        open_range("unheard://a/b")
    with pytest.raises(TypeError, match="url is 3"):
        open_range(3)
    with pytest.raises(ValueError, match="offset is -1"):
        open_range("memory://a", -1)
    with pytest.raises(ValueError, match="nbytes is 100"):
        RangeCache(100)


def test_without_fsspec_an_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(ImportError, match=r'pip install "clipx-data\[remote\]"'):
        open_range("https://host/a.mp4")
