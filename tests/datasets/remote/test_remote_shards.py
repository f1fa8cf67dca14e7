"""Shards that are read by ranges: the samples of local ones, found again without reading what is not asked for."""

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import webdataset
from helpers.arrays import npy
from helpers.shards import write_shard

import clipx
from clipx.datasets.addresses import START, Position, checksum_of
from clipx.datasets.remote import RangeCache
from clipx.datasets.shard_list import ShardList
from clipx.datasets.world import World

SAMPLES = 60


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """The bytes of a shard, and its path."""
    rng = np.random.default_rng(0)
    samples = (
        {
            "__key__": f"s{i}",
            "npy": npy(rng.integers(0, 256, (40, 60, 100), np.uint8)),
            "cls": i,
            "json": {"text": "x" * i},
        }
        for i in range(SAMPLES)
    )
    path = write_shard(tmp_path_factory.mktemp("shards") / "a.tar", samples)
    return Path(path).read_bytes(), path


def fail(exn):
    raise exn


def reader_of(*urls, handler=fail, cache=None):
    dataset = ShardList(urls)
    reader = dataset.reader(handler)
    if cache is not None:
        reader.limits.cache = cache
    return reader, dataset.share(0, 0, False, World(0, 1, 0, 1))


def samples_of(*urls, after=None, **options):
    reader, share = reader_of(*urls, **options)
    return list(reader.samples(share, START if after is None else Position((after,), after.sample + 1)))


def contents(samples):
    return [
        (address, {name: value for name, value in sample.items() if name != "__url__"}) for address, sample in samples
    ]


@pytest.fixture(scope="module")
def local(shard):
    return contents(samples_of(shard[1]))


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("nbytes", [1 << 20, 1 << 26])
def test_samples_are_those_of_a_local_shard(server, shard, local, ranges, nbytes):
    server.ranges = ranges
    url, cache = server.add("a.tar", shard[0]), RangeCache(nbytes)
    assert contents(samples_of(url, cache=cache)) == local
    if ranges or nbytes > 2 * len(shard[0]):
        assert server.sent == cache.bytes_read == len(shard[0])
    assert contents(samples_of(url, after=local[20][0], cache=cache)) == local[21:]


def test_a_shard_in_memory_of_fsspec(shard, local):
    pytest.importorskip("fsspec").filesystem("memory").pipe_file("/clipx-test/a.tar", shard[0])
    url = "memory://clipx-test/a.tar"
    assert contents(samples_of(url)) == local
    assert contents(samples_of(url, after=local[40][0])) == local[41:]


@pytest.mark.parametrize("at", [0, 30, 54, 58, 59])
def test_going_on_reads_headers_and_what_comes_after(server, shard, local, at):
    url = server.add("a.tar", shard[0])
    assert contents(samples_of(url, after=local[at][0])) == local[at + 1 :]
    rest = len(shard[0]) * (SAMPLES - 1 - at) / SAMPLES
    assert server.sent <= rest + 0.08 * len(shard[0])
    assert len(server.requests) <= at + 12


def test_samples_are_found_alone(server, shard, local):
    wanted = [local[k] for k in (3, 20, 55)]
    reader, _ = reader_of(server.add("a.tar", shard[0]))
    assert contents(reader.find(address for address, _ in wanted)) == wanted
    assert server.sent <= (3 / SAMPLES + 0.08) * len(shard[0])


def test_small_members_are_read_rather_than_asked_for_one_by_one(server, tmp_path):
    samples = [{"__key__": f"s{i}", "bin": bytes([i]) * 20_000} for i in range(50)]
    data = Path(write_shard(tmp_path / "b.tar", samples)).read_bytes()
    url = server.add("b.tar", data)
    found = samples_of(url)
    server.requests.clear()
    assert samples_of(url, after=found[40][0]) == found[41:]
    assert len(server.requests) <= 16


def test_a_shard_that_has_changed_is_refused(server, shard, local):
    url = server.add("a.tar", shard[0])
    address, _ = local[30]
    with pytest.raises(ValueError, match=r"shard 0, .*/a\.tar', has changed: its sample 30"):
        samples_of(url, after=address._replace(checksum=address.checksum ^ 1))


def test_errors_in_the_middle_lose_no_sample(server, shard, local):
    server.faults.extend([None, "short", 503, None, "reset", None, "short"])
    assert contents(samples_of(server.add("a.tar", shard[0]))) == local


def test_a_shard_that_fails_goes_to_the_handler(server, shard, local):
    errors = []
    good, gone = server.add("a.tar", shard[0]), f"{server.base}/none.tar"
    found = samples_of(gone, good, handler=lambda exn: errors.append(exn) or True)
    assert [sample["cls"] for _, sample in found] == [sample["cls"] for _, sample in local]
    (error,) = errors
    assert isinstance(error, FileNotFoundError)
    assert error.shard == gone
    assert "none.tar" in str(error)


def test_an_answer_of_a_whole_file_that_breaks_off_is_an_error(server, shard):
    server.ranges, errors = False, []
    server.faults.extend([None, "short"])
    found = samples_of(
        server.add("a.tar", shard[0]), cache=RangeCache(1 << 20), handler=lambda exn: errors.append(exn) or True
    )
    assert 0 < len(found) < SAMPLES
    assert "ignores ranges" in str(errors[0])


def test_a_compressed_shard_is_read_from_its_beginning(server, shard, local):
    url = server.add("a.tar.gz", gzip.compress(shard[0], 1))
    assert contents(samples_of(url)) == local
    assert contents(samples_of(url, after=local[50][0])) == local[51:]


def test_a_way_to_open_that_webdataset_was_told_of_is_kept(server, shard, local, monkeypatch):
    opened = []

    def open_otherwise(url, mode="rb", bufsize=8192):
        opened.append(url)
        return Path(shard[1]).open("rb")

    monkeypatch.setitem(webdataset.tariterators.gopen.gopen_schemes, "http", open_otherwise)
    url = server.add("a.tar", b"")
    assert contents(samples_of(url)) == local
    assert opened == [url]
    assert not server.requests


def batches(url, state=None, **options):
    loader = clipx.Loader(url, clipx.WindowSpec(16, 12), batch_size=4, memory="64MB", threads=1, seed=5, **options)
    if state is not None:
        loader.load_state_dict(json.loads(state))
    with loader:
        for batch in loader:
            yield batch["__key__"], batch["npy"].tobytes(), json.dumps(loader.state_dict())


def test_a_loader_resumes_at_90_percent_and_reads_at_most_15(server, shard):
    url = server.add("a.tar", shard[0])
    whole = list(batches(url, shuffle=False))
    at = int(0.9 * len(whole))
    server.sent = 0
    assert [each[:2] for each in batches(url, whole[at - 1][2], shuffle=False)] == [each[:2] for each in whole[at:]]
    assert server.sent <= 0.15 * len(shard[0])


def test_a_loader_that_shuffles_resumes_without_reading_all(server, shard):
    url = server.add("a.tar", shard[0])
    whole = list(itertools.islice(batches(url), 30))
    server.sent = 0
    assert [each[:2] for each in itertools.islice(batches(url, whole[9][2]), 20)] == [each[:2] for each in whole[10:]]


def test_checksums_of_remote_and_local_samples_are_the_same(server, shard, local):
    found = samples_of(server.add("a.tar", shard[0]))
    assert [checksum_of(sample) for _, sample in found] == [address.checksum for address, _ in local]
