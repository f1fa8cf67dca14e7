"""The fields beside the clips: decoded as webdataset decodes them, without running what they say."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import struct
import sys
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.loaders import WINDOW, of_arrays
from helpers.shards import array_sample, write_shard
from webdataset import tenbin
from webdataset.autodecode import IMAGE_EXTENSIONS, Decoder, decoders

from clipx import wds
from clipx.arrays.npz import Npz
from clipx.datasets.decoding import KINDS, TooLarge, decode, decoded_bytes

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")

METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def npz(method=zipfile.ZIP_DEFLATED, **members):
    """An .npz file; members that are bytes are no arrays."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, value in members.items():
            data = value if isinstance(value, bytes) else npy(value)
            archive.writestr(name if isinstance(value, bytes) else f"{name}.npy", data)
    return out.getvalue()


VALUES = {
    "txt": ["words", "Wörter, 言葉".encode(), b""],
    "text": [b"words"],
    "transcript": [b"words"],
    **{name: [b"17", b" -3\n"] for name in ("cls", "cls2", "index", "inx", "id")},
    **{name: [b'{"a": [1, 2.5, null, {"b": "\\u00e9"}]}', b"3", b"[]"] for name in ("json", "jsn")},
    "ten": [bytes(tenbin.encode_buffer([np.arange(6.0).reshape(2, 3), np.arange(3, dtype=np.int16)]))],
    "tb": [bytes(tenbin.encode_buffer([array(3)])), b""],
    "npy": [npy(array(3)), npy(np.asfortranarray(np.arange(6.0).reshape(2, 3))), npy(np.float32(3))],
    "npz": [npz(method, a=array(3), b=np.arange(4), c=b"bytes") for method in METHODS.values()],
}


def equal(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            equal(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other):
            equal(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.flags.writeable == other.flags.writeable
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("name", [*VALUES, "bin", "jpg", "jsonl", "", "pkl"])
def test_what_is_decoded_equals_webdatasets(name):
    """Plain, compressed, under compound names, and compressed twice."""
    for value in VALUES.get(name, [b"bytes", b""]):
        data = value.encode() if isinstance(value, str) else value
        for field, packed in ((name, data), (f"a.b.{name}", data)):
            if name != "pkl":
                equal(decode({field: packed}, 10**6), Decoder([], partial=True)({field: packed}))
        for field in (f"{name}.gz".lstrip("."), f"a.{name}.gz", f"{name}.gz.gz".lstrip(".")):
            found = decode({field: gzip.compress(data)}, 10**6)
            if name == "pkl" and not field.endswith("gz.gz"):
                assert found == {field: gzip.compress(data)}
            else:
                equal(found, Decoder([], partial=True)({field: gzip.compress(data)}))
    others = {"__key__": "a", "npy": array(3), "x": None}
    assert all(found is others[name] for name, found in decode(others, 10).items())


def test_the_table_is_webdatasets():
    assert set(KINDS) <= set(decoders)
    assert set(decoders) - set(KINDS) == {"pkl", "pickle", "pyd", "pth", "cbor"}


class Runs:
    """What a pickle does when it is loaded."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def pickles(mark):
    """The same pickle as itself, and as the formats that hold pickles."""
    bait = Runs(mark)
    objects = io.BytesIO()
    np.save(objects, np.array([bait], dtype=object), allow_pickle=True)
    yield pickle.dumps(bait)
    yield pickle.dumps(bait, protocol=0)
    yield objects.getvalue()
    yield npz(a=objects.getvalue())
    torch = sys.modules.get("torch")
    if torch is not None:
        saved = io.BytesIO()
        torch.save(bait, saved)
        yield saved.getvalue()


NAMES = [*decoders, *IMAGE_EXTENSIONS, "bin", "joblib", "dill", "pt", "ckpt", "h5", "yaml", "safetensors", "x"]


def test_no_pickle_is_run(tmp_path):
    """Whatever the field is called."""
    pytest.importorskip("torch")
    mark = str(tmp_path / "ran")
    for data in pickles(mark):
        for name in NAMES:
            forms = [(each, data) for each in (name, f"a.b.{name}", name.upper(), f"{name}.", f"{name}.bin")]
            packed = gzip.compress(data)
            forms += [(each, packed) for each in (f"{name}.gz", f"a.b.{name}.gz", f"{name}.GZ", f".{name}.gz")]
            forms += [(f"{name}.gz.gz", gzip.compress(packed)), ("gz", packed), ("gz.gz", packed)]
            for field, value in forms:
                try:
                    decode({field: value}, 10**6)
                    list(wds.clips(WINDOW)([{"__key__": "a", field: value}]))
                    list(wds.clips(WINDOW, keys=field)([{"__key__": "a", field: value}]))
                except ValueError:
                    pass
                assert not os.path.exists(mark), field
    pickle.loads(pickle.dumps(Runs(mark)))
    assert os.path.exists(mark)  # The test can fail.


@pytest.mark.parametrize("field", ["pkl", "pkl.gz", "pickle.gz", "pyd.gz", "pth.gz", "a.PKL.GZ", "cbor", "x.bin"])
def test_a_loader_leaves_bytes(tmp_path, field):
    mark = str(tmp_path / "ran")
    data = pickle.dumps(Runs(mark))
    data = gzip.compress(data) if field.lower().endswith("gz") else data
    url = write_shard(tmp_path / "a.tar", [array_sample("a", 9)])

    with tarfile.open(url, "a") as tar:
        info = tarfile.TarInfo(f"a.{field}")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    for batch in of_arrays(url, drop_last=False):
        assert batch[field.lower()] == [data] * len(batch["__key__"])
        del batch
    assert not os.path.exists(mark)


def chunk(size, data):
    return b"~TenBin~" + struct.pack("@q", size) + data


BROKEN = {
    "txt": [b"\xff"],
    "cls": [b"", b"x", b"9" * 5000],
    "json": [b"", b"{", b"[" * 100_000, b"\xff"],
    "txt.gz": [b"words", gzip.compress(b"words")[:-3], gzip.compress(b"words") + b"rest"],
    "npy": [b"", npy(array(3))[:-1], npy(array(3))[:60]],
    "npz": [b"", npz(a=array(3))[:-30]],
    # The first goes back to where it began, for ever.
    "ten": [
        chunk(-80, b"~TenBin~" * 20),
        chunk(64, b""),
        chunk(2**62, bytes(64)),
        b"~TenBin~",
        chunk(64, bytes(64)) * 2,
    ],
    "mp": [b"", b"\xdd\xff\xff\xff\xff", b"\x91" * 2000, b"\xdc\xff\xff" * 300 + bytes(900), b"\xc1", b"\xda\xff\xff"],
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_decoded(name):
    for data in BROKEN[name]:
        with pytest.raises(ValueError, match=rf"field '{name}' cannot be decoded"):
            decode({name: data}, 10**6)


def test_what_unpacks_to_more_than_it_may():
    data = gzip.compress(bytes(10**7))
    with pytest.raises(ValueError, match="more than 1000000 bytes"):
        decode({"txt.gz": data}, 10**6)
    with pytest.raises(TooLarge):
        decoded_bytes("bin.gz", data, 10**7 - 1)
    assert decoded_bytes("bin.gz", data, 10**7) == (10**7, 0)
    assert decoded_bytes("pkl.gz", data, 10) == (0, 0)


def size_of(value):
    """What an object takes, and all that it refers to."""
    size, left = 0, [value]
    while left:
        each = left.pop()
        size += sys.getsizeof(each)
        if isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple)):
            left += each
    return size


def some(rng, depth):
    """A random value of JSON."""
    kind = rng.randrange(9 if depth else 5)
    if kind < 5:
        return [None, rng.random(), rng.randrange(10 ** rng.randrange(1, 40)), "é😀x" * rng.randrange(5), ""][kind]
    inner = [some(rng, depth - 1) for _ in range(rng.choice([0, 1, 2, 6, 30]))]
    return inner if kind < 7 else {str(i) * rng.randrange(1, 4): each for i, each in enumerate(inner)}


HOSTILE = [
    b"[" + b"[]," * 1000 + b"[]]",
    b"[" + b"{}," * 1000 + b"{}]",
    b"[" + b'{"":0},' * 1000 + b"0]",
    b"[" + b"1e9," * 1000 + b"0]",
    b'"' + b"x" * 1000 + '😀"'.encode(),
    b'"' + b"x" * 1000 + b'\\ud83d\\ude00"',
    b"{" + b",".join(b'"%d":1' % i for i in range(1000)) + b"}",
    b"[" * 500 + b"]" * 500,
]


def test_bounds_on_what_is_decoded():
    rng = random.Random(0)
    made = [json.dumps(some(rng, 4), ensure_ascii=bool(i % 2), separators=(",", ":")).encode() for i in range(300)]
    for data in [*made, *HOSTILE]:
        bound, beside = decoded_bytes("json", data, 10**6)
        assert size_of(json.loads(data)) <= bound
        assert beside == 0
        assert decoded_bytes("json.gz", gzip.compress(data), 10**6) == (bound, len(data))
    for name, values in VALUES.items():
        for value in values:
            data = value.encode() if isinstance(value, str) else value
            payload = [each.nbytes for each in [decode({name: data}, 0)[name]] if isinstance(each, np.ndarray)]
            assert sum(payload) <= decoded_bytes(name, data, 10**6)[0]


def test_msgpack():
    msgpack = pytest.importorskip("msgpack")
    rng = random.Random(1)
    for _ in range(300):
        value = {"a": some(random.Random(rng.random()), 3), "b": [b"x" * 300, 2**40, -5, True, "t" * 70000]}
        try:
            data = msgpack.packb(value)
        except OverflowError:
            continue
        assert decode({"mp": data}, 0) == {"mp": msgpack.unpackb(data)}
        assert size_of(msgpack.unpackb(data)) <= decoded_bytes("mp", data, 0)[0]


# .npz files


@pytest.mark.parametrize("method", METHODS)
def test_members_of_every_method(method):
    zeros = np.zeros((500, 60, 60), np.uint8)  # far smaller packed than DEFLATE could make it
    data = npz(METHODS[method], a=zeros, b=array(3), c=b"words")
    found = Npz(data)
    assert list(found) == ["a", "b", "c"]
    np.testing.assert_array_equal(found["a"], zeros)
    np.testing.assert_array_equal(found["b"], array(3))
    assert found["c"] == b"words"
    assert [found.shape(name) for name in found] == [zeros.shape, (3, 8, 8, 3), None]
    assert zeros.nbytes < found.unpacked_bytes < zeros.nbytes + 10_000
    got = list(wds.clips(WINDOW, keys="npz:a")([{"__key__": "k", "npz": data}]))
    np.testing.assert_array_equal(got[3]["npz"]["a"], zeros[6:10])
    assert got[0]["npz"]["c"] == b"words"


def test_names_as_numpy_reads_them():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two of one name
        for name, value in (("a.npy", 1), ("b", 2), ("b.npy", 3), ("c.npy", 4), ("c.npy", 5), ("d.npy", b"no array")):
            archive.writestr(name, value if isinstance(value, bytes) else npy(np.full(3, value)))
    theirs = dict(np.load(io.BytesIO(out.getvalue())))
    equal(dict(Npz(out.getvalue())), theirs)


def flags(data, bit):
    """Every entry of a zip file with a flag set."""
    data = bytearray(data)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        found = data.find(mark)
        while found >= 0:
            data[found + at] |= bit
            found = data.find(mark, found + 4)
    return bytes(data)


@pytest.mark.parametrize("method", METHODS)
def test_broken_members_are_value_errors(method):
    whole = npz(METHODS[method], a=array(50), b=np.arange(9))
    broken = [flags(whole, 1)]  # encrypted
    directory = whole.find(b"PK\x01\x02")
    for at, size, value in (
        (10, 2, 99),
        (16, 4, 0),
        (24, 4, 0xFFFFFFF0),
        (24, 4, 5),
        (20, 4, 7),
        (42, 4, 9),
        (6, 2, 99),
    ):
        changed = bytearray(whole)
        changed[directory + at : directory + at + size] = value.to_bytes(size, "little")
        broken.append(bytes(changed))
    rng = random.Random(method)
    for _ in range(150):
        changed = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        broken.append(bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.1 else changed))
    failed, reported = 0, []
    for data in broken:
        try:
            decode({"npz": data}, 0)
        except ValueError:
            failed += 1
        try:
            list(wds.clips(WINDOW, keys="npz:a")([{"__key__": "k", "npz": data}]))
        except ValueError as exn:
            reported.append(str(exn))
    assert failed > 50
    assert all("field 'npz'" in each for each in reported)
    assert "encrypted" in reported[0]


def test_a_member_that_unpacks_to_more_than_it_says():
    """Its rest is not unpacked: neither at once, nor at all."""
    tracemalloc = pytest.importorskip("tracemalloc")
    for pack, method in ((bz2.compress, zipfile.ZIP_BZIP2), (lzma.compress, zipfile.ZIP_LZMA)):
        whole = bytearray(npz(method, a=bytes(60_000_000)))
        at = whole.find(b"PK\x01\x02")
        whole[at + 24 : at + 28] = (1000).to_bytes(4, "little")
        tracemalloc.start()
        with pytest.raises(ValueError, match="'a'"):
            Npz(bytes(whole))["a"]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000, pack
