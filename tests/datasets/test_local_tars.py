"""Samples of local tar files by their headers: which members make a sample, where the next one begins, and damage."""

import io
import tarfile

import numpy as np
import pytest
from helpers.arrays import npy

from clipx.datasets.addresses import checksum_of
from clipx.datasets.local_tars import find_samples, local_samples, map_member, read_member, view_members
from clipx.datasets.streamed_tars import ReadLimits, read_samples

X = np.arange(24).reshape(6, 4)
MEMBERS = {"a.npy": npy(X), "a.TXT": b"one", "__x__": b"", "plain": b"", "b.txt": b"two" * 500, "c.d/e.txt": b"three"}


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def test_samples(shard):
    found = list(local_samples(shard))
    assert [(each.key, [member.name for member in each.members]) for each in found] == [
        ("a", ["a.npy", "a.TXT"]),
        ("b", ["b.txt"]),
        ("c.d/e", ["c.d/e.txt"]),
    ]
    assert [each.end for each in found] == [found[1].members[0].header, found[2].members[0].header, None]


def test_samples_are_those_of_the_stream(shard):
    with open(shard, "rb") as file:
        streamed = list(read_samples(file, shard, lambda exn: False, ReadLimits()))
    found = list(local_samples(shard))
    assert [each.read(shard, 10**6) for each in found] == streamed
    assert [each.checksum() for each in found] == [checksum_of(sample) for sample in streamed]
    assert [each.read(shard, 1000) is None for each in found] == [False, True, False]
    # A stream that begins where a sample ends has the samples behind it.
    with open(shard, "rb") as file:
        file.seek(found[0].end)
        assert list(read_samples(file, shard, lambda exn: False, ReadLimits())) == streamed[1:]


def test_members_in_three_forms(shard):
    first = next(local_samples(shard))
    as_bytes = [each["data"] for each in first.files("url", read_member)]
    assert as_bytes == [MEMBERS["a.npy"], b"one"]
    mapped, text = (each["data"] for each in first.files("url", map_member))
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, X)
    assert text == b"one"
    views = {each["fname"]: each["data"] for each in view_members(shard)}
    assert {name: bytes(view) for name, view in views.items()} == {
        name: data for name, data in MEMBERS.items() if name not in ("__x__", "plain")
    }
    assert all(isinstance(view, memoryview) for view in views.values())


def test_damage(shard):
    numbers = [0, 1, 2, 7]
    assert sorted(find_samples(shard, numbers)) == [0, 1, 2]
    second = find_samples(shard, [1])[1]
    with open(shard, "r+b") as file:
        file.truncate(second.members[0].offset + 100)
    # The sample before the damage may lack members, and is not found either.
    assert sorted(find_samples(shard, numbers)) == []
    with pytest.raises(ValueError, match=r"ends inside member 'b\.txt'"):
        list(local_samples(shard))
    with pytest.raises(ValueError, match=r"ends inside member 'b\.txt'"):
        view_members(shard)
    assert find_samples(shard + ".none", numbers) == {}
