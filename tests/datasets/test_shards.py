"""Samples of shards from any address on: the same that webdataset reads, whatever members a tar file has."""

import bz2
import gzip
import io
import tarfile

import numpy as np
import pytest
import webdataset

from clipx.datasets.addresses import START, Address
from clipx.datasets.shards import Shards
from clipx.datasets.shares import Share
from clipx.datasets.urls import local_path

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def raise_it(exn):
    raise exn


def member(tar, name, data=b"x", **changes):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in changes.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


def fill(tar, prefix="", long=True):
    """Samples among all that is none."""
    rng = np.random.default_rng(len(prefix))
    member(tar, "__meta__")
    member(tar, "no-extension")
    for i in range(12):
        if i % 3 == 0:
            member(tar, f"{prefix}folder{i}", b"", type=tarfile.DIRTYPE)
        if i % 4 == 1:
            member(tar, f"{prefix}link{i}.txt", b"", type=tarfile.SYMTYPE, linkname="elsewhere")
        key = f"{prefix}folder/{'k' * (120 if long and i % 2 else 3)}{i:03d}"
        member(tar, f"{key}.TXT", str(i).encode())
        member(tar, f"__hidden__/{i}.txt")
        member(tar, f"{key}.a.bin", rng.bytes(int(rng.integers(0, 3000))), pax_headers={"comment": "some"})
    member(tar, f"{prefix}folder/again.txt")
    member(tar, f"{prefix}folder/other.txt")
    member(tar, f"{prefix}folder/again.txt", b"of the same name, but another sample")


def read(shards, share, after=None):
    return list(shards.samples(share, START if after is None else START.advance(after)))


def check(urls, handler=raise_it):
    """From every address on, the samples that follow it; and each sample by itself."""
    shards, share = Shards(urls, handler), Share(list(range(len(urls))))
    every = read(shards, share)
    wanted = list(webdataset.tariterators.tarfile_samples(({"url": url} for url in urls), handler=handler))
    assert [sample for _, sample in every] == wanted
    for i, (address, _) in enumerate(every):
        assert read(shards, share, address) == every[i + 1 :], address
    picked = [address for address, _ in every[::3]]
    assert dict(shards.find(picked[::-1])) == dict(every[::3])
    assert dict(shards.find([])) == {}
    for split in (2, 3):
        parts = [read(shards, Share(share.shards, split, offset)) for offset in range(split)]
        assert sorted(address for part in parts for address, _ in part) == [address for address, _ in every]
        for offset, part in enumerate(parts):
            for i, (address, _) in list(enumerate(part))[::4]:
                assert read(shards, Share(share.shards, split, offset), address) == part[i + 1 :]
    return every


@pytest.mark.parametrize("kind", FORMATS)
def test_odd_members(tmp_path, kind):
    urls = []
    for i in range(2):
        urls.append(str(tmp_path / f"{i}.tar"))
        with tarfile.open(urls[-1], "w", format=FORMATS[kind]) as tar:
            fill(tar, f"{i}", long=kind != "ustar")
    assert len(check(urls)) == 30
    check([urls[0], f"file:{urls[1]}", urls[0]])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_compressed(tmp_path, pack):
    plain = tmp_path / "plain.tar"
    with tarfile.open(plain, "w") as tar:
        fill(tar)
    packed = tmp_path / "packed.tar"
    packed.write_bytes(pack(plain.read_bytes()))
    check([str(packed), f"pipe:cat {plain}"])


def test_headers_for_all_that_follows(tmp_path):
    """Of a file with a global header the members mean something else when they are read alone."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "for all"}) as tar:
        fill(tar)
    check([str(path)])


def test_damaged_shards(tmp_path):
    """What a broken shard gives before its end is numbered like the rest, and its error told where it is read over."""
    urls = []
    for i in range(3):
        urls.append(str(tmp_path / f"{i}.tar"))
        with tarfile.open(urls[-1], "w") as tar:
            fill(tar, f"{i}")
    with tarfile.open(urls[1]) as tar:
        cut = [found.offset_data + 1000 for found in tar if found.size > 1500][3]
    (tmp_path / "1.tar").write_bytes((tmp_path / "1.tar").read_bytes()[:cut])
    reported = []
    every = check(urls, lambda exn: reported.append(exn) or True)
    assert 30 < len(every) < 45
    reported.clear()
    shards, share = Shards(urls, lambda exn: reported.append(exn) or True), Share([0, 1, 2])
    read(shards, share)
    from_the_start = list(map(str, reported))
    reported.clear()
    read(shards, share, every[0][0])
    assert len(reported) == len(from_the_start) > 0
    for address, _ in every:
        reported.clear()
        read(shards, share, address)
        assert bool(reported) == (address.shard < 2), address
    # A handler that stops ends all that would follow.
    stopping = Shards(urls, lambda exn: False)
    addresses = [address for address, _ in stopping.samples(share)]
    assert addresses[-1].shard == 1
    for i, address in enumerate(addresses):
        assert [following for following, _ in read(stopping, share, address)] == addresses[i + 1 :]
    reported.clear()
    list(shards.find([address for address, _ in every]))
    assert reported == []


def test_another_sample(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        fill(tar)
    shards, share = Shards([str(path)], raise_it), Share([0])
    address = read(shards, share)[3][0]
    for wrong in (address._replace(checksum=0), address._replace(sample=2), address._replace(sample=99)):
        with pytest.raises(ValueError, match=rf"shard 0, .*a.tar.* has changed: its sample {wrong.sample} is not"):
            read(shards, share, wrong)
        with pytest.raises(ValueError, match="has changed"):
            list(shards.find([wrong]))
    # Bytes in the middle of a field are not looked at, its ends and its size are.
    assert Address(0, 3, address.checksum) == address


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("a/b.tar", "a/b.tar"),
        ("file:a/b.tar", "a/b.tar"),
        ("pipe:cat a.tar", None),
        ("http://a/b.tar", None),
        ("-", None),
    ],
)
def test_local_path(url, path):
    assert local_path(url) == path
