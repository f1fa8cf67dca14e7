"""Tar files as other programs write them: gzip members one behind the other, and holes of the newer kind."""

import gzip
import io
import shutil
import subprocess
import tarfile

import numpy as np
import pytest

from clipx._reading import CHUNK_BYTES
from clipx.datasets.shards import Shards
from clipx.datasets.shares import Share
from clipx.datasets.streamed_tars import ReadLimits, read_members


def tar_of(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def members(data):
    def handler(exn):
        raise exn

    found = read_members(io.BytesIO(data), "x.tar.gz", handler, ReadLimits(10**8), set())
    return {each["fname"]: each["data"] for each in found}


NOISE = np.random.default_rng(0).bytes(3 * CHUNK_BYTES)  # which gzip does not make smaller


def test_gzip_members_one_behind_the_other():
    data = tar_of(a_txt=b"first", b_bin=NOISE)
    parts = [gzip.compress(data[at : at + 100_000]) for at in range(0, len(data), 100_000)]
    assert members(b"".join(parts)) == {"a.txt": b"first", "b.bin": NOISE}
    assert members(b"".join(parts) + b"what gzip ignores") == {"a.txt": b"first", "b.bin": NOISE}


@pytest.mark.parametrize("size", range(CHUNK_BYTES - 40, CHUNK_BYTES + 10))
def test_a_gzip_member_begins_beside_the_end_of_a_chunk(size):
    data = tar_of(a_bin=NOISE)
    # Stored, not packed, so that in one of these cases a chunk ends between the first two bytes of the second member.
    parts = gzip.compress(data[:size], compresslevel=0), gzip.compress(data[size:], compresslevel=0)
    assert members(b"".join(parts)) == {"a.bin": NOISE}


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs the program tar")
@pytest.mark.parametrize("local", [True, False])
def test_holes_as_gnu_tar_writes_them(tmp_path, local):
    file = tmp_path / "a.bin"
    expected = bytearray(1 << 20)
    with file.open("wb") as out:
        for at in range(0, 1 << 20, 1 << 17):
            expected[at : at + 4096] = NOISE[:4096]
            out.seek(at)
            out.write(NOISE[:4096])
        out.truncate(1 << 20)
    shard = tmp_path / "x.tar"
    done = subprocess.run(["tar", "--sparse", "--format=posix", "-cf", shard, "-C", tmp_path, "a.bin"], check=False)
    if done.returncode or shard.stat().st_size > 1 << 19:
        pytest.skip("this tar writes no holes, or this file system has none")
    if local:
        shards = Shards([str(shard)], lambda exn: False)
        (sample,) = [sample for _, sample in shards.samples(Share([0]))]
        assert bytes(sample["bin"]) == expected
    else:
        assert members(shard.read_bytes()) == {"a.bin": bytes(expected)}
