"""Arrays mapped from .npy files and members of tar files: found by their headers, as they were saved."""

import io
import os
import sys
import tarfile
import warnings

import numpy as np
import pytest
from helpers.arrays import npy
from helpers.mapped import RECORD, described
from helpers.shards import write_tar
from helpers.windows import same

from clipx import mapped, windows

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

ARRAYS = {
    **{f"dtype {d}": np.arange(60).reshape(10, 2, 3).astype(d) for d in "?bBhHiIlLqQefdFD"},
    "big endian": np.arange(60, dtype=">i4").reshape(10, 6),
    "dates": np.arange(60).reshape(10, 6).astype("M8[ns]"),
    "durations": np.arange(60).reshape(10, 6).astype("m8[s]"),
    "text": np.array([["a", "bcd"], ["", "ü"]] * 5),
    "bytes": np.array([[b"a", b"bcd"]] * 10),
    "raw": np.frombuffer(bytes(range(70)), "V7"),
    "structured": np.frombuffer(np.random.default_rng(0).bytes(10 * RECORD.itemsize), RECORD),
    "fortran": np.asfortranarray(np.arange(60).reshape(10, 2, 3)),
    "fortran structured": np.asfortranarray(np.zeros((10, 3), RECORD)),
    "one dimension": np.arange(10.0),
    "one frame": np.arange(10.0)[None],
    "no frames": np.zeros((0, 4), "f4"),
    "no pixels": np.zeros((10, 0, 4), "i2"),
    "0-d": np.array(5.0),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_files_and_members(tmp_path, name, version):
    array = ARRAYS[name]
    data = npy(array, version)
    path = tmp_path / "x.npy"
    path.write_bytes(data)
    others = {"a.txt": b"12345", "dir/x.npy": data, "é.npy": data, "n" * 150 + ".npy": data}
    opened = [mapped.open(path), mapped.open(str(path))]
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        if format == tarfile.USTAR_FORMAT:
            others = {key: value for key, value in others.items() if key.isascii() and len(key) < 100}
        tar = write_tar(tmp_path / f"{format}.tar", others, format)
        opened += [mapped.open(tar, member) for member in others if member.endswith(".npy")]
    for got in opened:
        same(np.asarray(got), array)
        assert got.flags.f_contiguous == array.flags.f_contiguous
        assert not got.flags.writeable
        with pytest.raises(ValueError, match=r"read-only|writ"):
            got[...] = got
        if array.ndim:
            same(windows.extract(got, 3, 2), windows.extract(array, 3, 2))
            clips = list(windows.iterate(got, 3, 2, policy="wrap"))
            for clip, wanted in zip(clips, windows.iterate(array, 3, 2, policy="wrap")):
                same(clip, wanted)
                assert not np.shares_memory(clip, got)


@pytest.mark.parametrize("array", [np.zeros((4, 3)), np.zeros(4, [("ü", "<i4")])], ids=["plain", "utf-8 fields"])
def test_version_3_is_read_or_refused_clearly(tmp_path, array):
    path = tmp_path / "x.npy"
    path.write_bytes(npy(array, (3, 0)))
    got, error = None, "version"
    try:
        got = mapped.open(path)
    except ValueError as exn:
        error = str(exn)
    assert "version" in error
    assert "attribute" not in error
    if got is not None:
        same(np.asarray(got), array)


def test_python_2_headers(tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(described("(2L, 3L)", body=np.arange(6, dtype="<f4").tobytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(np.asarray(mapped.open(path)), np.arange(6, dtype="<f4").reshape(2, 3))


def test_members_are_found_by_their_headers(tmp_path):
    members = {f"{i}.bin": os.urandom(i * 100) for i in range(30)}
    path = write_tar(tmp_path / "x.tar", members)
    found = list(mapped.members(path))
    assert [each.name for each in found] == list(members)
    data = path.read_bytes()
    for each in found:
        assert data[each.offset : each.offset + each.size] == members[each.name]


def test_the_first_of_two_members_of_one_name_or_the_last(tmp_path):
    path = tmp_path / "x.tar"
    write_tar(path, {"a.npy": npy(np.zeros(3))})
    write_tar(path, {"a.npy": npy(np.ones(3)), "b.npy": npy(np.ones(2))}, mode="a")
    assert mapped.open(path, "a.npy").sum() in (0, 3)
    same(np.asarray(mapped.open(path, "b.npy")), np.ones(2))


def test_links_and_folders_are_no_members(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.npy")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("real.npy")
        data = npy(np.arange(4))
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    assert [each.name for each in mapped.members(path)] == ["real.npy"]
    for name in ("2.npy", "1.npy", "5.npy", "6.npy", "3.npy", "other.npy", ""):
        with pytest.raises((KeyError, ValueError)):
            mapped.open(path, name)
    same(np.asarray(mapped.open(path, "real.npy")), np.arange(4))


@linux
@pytest.mark.parametrize("kind", ["gnu", "posix"])
def test_sparse_members_are_never_taken_for_plain_ones(sparse, kind):
    path = sparse(kind)
    with pytest.raises((KeyError, ValueError)):
        mapped.open(path, "b.npy")
    same(np.asarray(mapped.open(path, "a.npy")), np.arange(5))
    same(np.asarray(mapped.open(path, "c.npy")), np.arange(7))
