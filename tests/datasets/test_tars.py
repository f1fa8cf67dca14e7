"""Tar files that lie, and those that are damaged: what can be found is, and memory follows nothing that they say."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import tracemalloc

import pytest
import webdataset
from helpers.loaders import of_arrays
from helpers.shards import array_sample, write_shard

from clipx.datasets.addresses import ENDS_BYTES, START, UnreadMember
from clipx.datasets.shards import Shards
from clipx.datasets.shares import Share
from clipx.datasets.streamed_tars import ReadLimits, read_members

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")

BLOCK = 512


def member(name, data=b"", size=None, kind=b"0", **fields):
    """A member with its header in GNU's form, whatever its fields say; its checksum is right."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape"))[-BLOCK:]
    header[156:157] = kind
    if size is not None:
        binary = bytes([255 if size < 0 else 128]) + size.to_bytes(11, "big", signed=True)
        header[124:136] = b"%011o\0" % size if 0 <= size < 8**11 else binary
    for at, value in fields.get("put", {}).items():
        header[at : at + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % BLOCK)


def sparse(name, size):
    """A member that is one hole of so many bytes."""
    number = b"%011o\0"
    put = {257: b"ustar  \0", 386: number % 0, 398: number % 0, 483: number % size}
    return member(name, kind=b"S", put=put)


END = bytes(2 * BLOCK)


def read(data, limit=10**6, reported=None, handler=None):
    """Names and data of the members, and the errors that were told."""
    reported = [] if reported is None else reported
    handler = handler or (lambda exn: reported.append(exn) or True)
    return {
        each["fname"]: each["data"]
        for each in read_members(io.BytesIO(data), "x.tar", handler, ReadLimits(limit), set())
    }


GOOD = {"a.txt": b"first", "c.txt": b"third" * 300, "d.txt": b""}


def around(middle):
    """A tar of good members, and one other."""
    first, *rest = GOOD.items()
    return member(*first) + middle + b"".join(member(*each) for each in rest) + END


BAD = {
    "checksum": member("b.txt", b"data").replace(b"b.txt", b"B.txt", 1),
    "noise": random.Random(0).randbytes(BLOCK),
    "noise and data": random.Random(0).randbytes(9 * BLOCK),
    "size": member("b.txt", b"x", put={124: b"9" * 12}),
    "negative size": member("b.txt", b"data", size=-5000),
    "long name without end": member("././@LongLink", b"n" * 40, kind=b"L") + bytes(random.Random(1).randbytes(BLOCK)),
    "large name": member("././@LongLink", size=1 << 40, kind=b"L"),
    "large fields": member("./PaxHeaders/b", size=2 << 20, kind=b"x"),
    "broken fields": member("./PaxHeaders/b", b"99 a=b\nx\n", kind=b"x") + member("b.txt", b"data"),
    "headers that extend one another": member("././@LongLink", b"n\0", kind=b"L") * 600 + member("b.txt"),
    "fields of fields": member("./PaxHeaders/b", b"9 path=b\n", kind=b"x") * 600 + member("b.txt"),
    "negative size in fields": member("./PaxHeaders/b", b"13 size=-512\n", kind=b"x") + member("b.txt", b"data"),
    "negative sparse": sparse("b.txt", 0).replace(b"00000000000\0" * 2, b"\xff" * 24, 1),
    "list of holes": member("./PaxHeaders/b", b"24 GNU.sparse.major=1\n"[:22].ljust(22), kind=b"x") + member("b.txt"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_follows_a_damaged_header_is_found(name):
    reported = []
    found = read(around(BAD[name]), reported=reported)
    assert {key: found.get(key) for key in GOOD} == GOOD, reported
    assert reported or "b.txt" in found
    assert all("x.tar" in str(exn) for exn in reported)


def test_a_handler_that_stops():
    with pytest.raises(ValueError, match=r"shard 'x.tar' is damaged: there is no header of a member at byte 1024"):
        read(around(BAD["noise"]), handler=webdataset.reraise_exception)
    assert read(around(BAD["noise"]), handler=lambda exn: False) == {"a.txt": b"first"}


@pytest.mark.parametrize("size", [5000, 8**11 - 1, 2**62, 2**80])
def test_sizes_that_reach_past_the_end(size):
    """A skip over all that is said to be there would take years."""
    reported = []
    assert read(member("a.txt", b"first") + member("b.txt", b"x", size=size), 10**4, reported) == {"a.txt": b"first"}
    assert reported
    for kind in (b"5", b"2", b"7", b"\0"):
        read(member("a.txt", b"first") + member("b.txt", b"x", size=size, kind=kind), 10**4, reported)


def peak_of(run):
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_what_is_too_large_is_not_held(pack):
    """Nor is what a compressed file unpacks to."""
    large = b"begin" + bytes(30_000_000) + b"end"
    data = around(member("b.txt", large))
    data = pack(data[:1024]) + pack(data[1024:])
    found = {}
    assert peak_of(lambda: found.update(read(data))) < 12_000_000
    assert found.pop("b.txt") == UnreadMember(len(large), large[:ENDS_BYTES], large[-ENDS_BYTES:])
    assert found == GOOD


def test_members_of_one_sample_together():
    """All of them, with their headers."""
    data = b"".join(member(f"{key}.{i}", bytes(300)) for key in "abc" for i in range(10)) + END
    found = read(data, 5 * (300 + 512))
    assert [name for name, value in found.items() if isinstance(value, UnreadMember)] == [
        f"{key}.{i}" for key in "abc" for i in range(5, 10)
    ]


def test_holes():
    reported = []
    data = around(sparse("b.txt", 2 * 10**9) + sparse("x.txt", 500) + sparse("y.txt", 8**11 - 1))
    found = {}
    assert peak_of(lambda: found.update(read(data, reported=reported))) < 5_000_000
    assert found.pop("b.txt") == UnreadMember(2 * 10**9, b"", b"")
    assert found.pop("y.txt") == UnreadMember(8**11 - 1, b"", b"")
    assert found.pop("x.txt") == bytes(500)
    assert found == GOOD
    assert reported == []


def test_many_holes():
    part = (b"%011o\0" % 1) * 2
    more = (part * 21).ljust(504) + b"\1" + bytes(7)
    data = around(sparse("b.txt", 10)[:482] + b"\1" + sparse("b.txt", 10)[483:] + more * 4000)
    fixed = bytearray(data)
    fixed[2 * BLOCK + 148 : 2 * BLOCK + 156] = b" " * 8
    fixed[2 * BLOCK + 148 : 2 * BLOCK + 156] = b"%06o\0 " % sum(fixed[2 * BLOCK : 3 * BLOCK])
    reported = []
    assert read(bytes(fixed), reported=reported) == GOOD
    assert "holes" in str(reported[0])


def test_a_limit_changes_no_place(tmp_path):
    """A state that was saved under another limit names the same samples."""
    url = write_shard(tmp_path / "a.tar", [array_sample(f"s{i}", 9 + 40 * (i == 2), txt="x" * 3000) for i in range(5)])
    addresses = []
    for limit in (10**9, 10_000, 1):
        shards = Shards([url], webdataset.reraise_exception)
        shards.limits = ReadLimits(limit)
        addresses.append([address for address, _ in shards.samples(Share([0]))])
        for i, address in enumerate(addresses[0]):
            assert [after for after, _ in shards.samples(Share([0]), START.advance(address))] == addresses[0][i + 1 :]
            ((found, sample),) = shards.find([address])
            assert found == address
            assert isinstance(sample["txt"], UnreadMember) == (limit == 1 or (limit == 10_000 and address.sample == 2))
    assert addresses[0] == addresses[1] == addresses[2]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_sample_that_is_too_large_loses_no_other(tmp_path, shuffle):
    samples = [array_sample(f"s{i}", 9) for i in range(4)]
    large = {"__key__": "big", "npy": samples[0]["npy"], "txt": "x" * 20_000_000}
    url = write_shard(tmp_path / "a.tar", [*samples[:2], large, *samples[2:]])
    reported = []
    loader = of_arrays(url, shuffle=shuffle, drop_last=False, handler=lambda exn: reported.append(exn) or True)
    keys = sorted(key for batch in loader for key in batch["__key__"])
    assert keys == [f"s{i}_{j:06d}" for i in range(4) for j in range(3)]
    assert len(reported) == 1
    assert "of which field 'txt' 20000000, but" in str(reported[0])
    assert "raise memory" in str(reported[0])


def test_names_of_other_bytes(tmp_path):
    """A sample with a field, or a key, that is no UTF-8; resumed, too."""
    path = tmp_path / "a.tar"
    array = array_sample("a", 9)["npy"]
    names = ["a.npy", "b\udcff.npy", "c.npy", "d.npy", "d.t\udcff", "e.npy"]
    path.write_bytes(b"".join(member(name, array if name.endswith("npy") else b"x") for name in names) + END)
    reported, keys = [], []
    changes = {"shuffle": False, "batch_size": 1, "handler": lambda exn: reported.append(exn) or True}
    for batch in of_arrays(str(path), **changes):
        keys += batch["__key__"]
        del batch
    assert sorted(keys) == sorted(f"{key}_{i:06d}" for key in ("a", "b\udcff", "c", "d", "e") for i in range(3))
    assert reported == []
    loader = of_arrays(str(path), **changes)
    iterator = iter(loader)
    first = [next(iterator)["__key__"][0] for _ in range(5)]
    state = loader.state_dict()
    iterator.close()
    loader.load_state_dict(state)
    rest = []
    for batch in loader:
        rest += batch["__key__"]
        del batch
    assert first + rest == keys
