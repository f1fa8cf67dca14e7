"""Files, headers and members that are not mapped: broken, missing, compressed, cut short or absurd."""

import bz2
import gzip
import io
import os
import subprocess
import warnings

import numpy as np
import pytest
from helpers.arrays import npy
from helpers.mapped import BROKEN, RECORD, run_code
from helpers.shards import write_tar
from helpers.windows import same

from clipx import mapped


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_value_errors_that_name_them(tmp_path, name):
    path = tmp_path / "broken.npy"
    path.write_bytes(BROKEN[name])
    with pytest.raises(ValueError, match=r"broken\.npy"):
        mapped.open(path)
    # In a tar, what follows the member is no part of it.
    tar = write_tar(tmp_path / "x.tar", {"broken.npy": BROKEN[name], "rest.bin": bytes(100000)})
    with pytest.raises(ValueError, match=r"broken\.npy"):
        mapped.open(tar, "broken.npy")


def test_a_header_that_claims_more_than_its_member_holds(tmp_path):
    good = npy(np.arange(100))
    tar = write_tar(
        tmp_path / "x.tar", {"a.npy": good[:-8], "b.npy": good[:100], "c.npy": good + bytes(8), "d.npy": good}
    )
    for name in ("a.npy", "b.npy"):
        with pytest.raises(ValueError, match=name):
            mapped.open(tar, name)
    for name in ("c.npy", "d.npy"):
        same(np.asarray(mapped.open(tar, name)), np.arange(100))


def test_pickles_are_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    file = io.BytesIO()
    np.save(file, np.array([Bomb(), Bomb()]), allow_pickle=True)
    path = tmp_path / "x.npy"
    path.write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="object"):
        mapped.open(path)
    with pytest.raises(ValueError, match="object"):
        mapped.open(write_tar(tmp_path / "x.tar", {"x.npy": file.getvalue()}), "x.npy")
    assert not (tmp_path / "exploded").exists()


def test_corrupted_headers(tmp_path):
    good, path = npy(np.zeros((3, 4), RECORD)), tmp_path / "x.npy"
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"()[]{}',:<>0123456789 -LTrueNone|OVfiU\n\\\"#", np.uint8)
    for _ in range(1500):
        data = bytearray(good)
        for at in rng.integers(0, 160, rng.integers(1, 4)):
            data[at] = rng.choice(letters)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2, and of escapes
            try:
                array = mapped.open(path)
            except ValueError:
                continue
        assert array.nbytes <= len(data)
        array.tobytes()


def test_missing_files_and_members(tmp_path):
    with pytest.raises(FileNotFoundError):
        mapped.open(tmp_path / "none.npy")
    with pytest.raises(FileNotFoundError):
        mapped.open(tmp_path / "none.tar", "x.npy")
    tar = write_tar(tmp_path / "x.tar", {"a.npy": npy(np.zeros(3)), "a.txt": b"hello"})
    with pytest.raises(KeyError, match=r"b\.npy"):
        mapped.open(tar, "b.npy")
    with pytest.raises(ValueError, match=r"a\.txt"):
        mapped.open(tar, "a.txt")
    with pytest.raises(ValueError, match="npy"):
        mapped.open(tar)
    with pytest.raises((OSError, ValueError)):
        mapped.open(tmp_path)


def test_compressed_and_other_files_are_no_tar_files(tmp_path):
    data = write_tar(tmp_path / "x.tar", {"a.npy": npy(np.zeros(300))}).read_bytes()
    for name, other in (("gz", gzip.compress(data)), ("bz2", bz2.compress(data)), ("text", b"hello " * 500)):
        path = tmp_path / f"x.{name}"
        path.write_bytes(other)
        with pytest.raises(ValueError, match=f"x.{name}"):
            mapped.open(path, "a.npy")
    (tmp_path / "empty").touch()
    with pytest.raises((KeyError, ValueError)):
        mapped.open(tmp_path / "empty", "a.npy")


def test_truncated_tar_files(tmp_path):
    arrays = {f"{i}.npy": np.arange(200 + i) for i in range(3)}
    data = write_tar(tmp_path / "x.tar", {name: npy(array) for name, array in arrays.items()}).read_bytes()
    offsets = {each.name: (each.offset, each.offset + each.size) for each in mapped.members(tmp_path / "x.tar")}
    path = tmp_path / "cut.tar"
    for end in range(1, len(data), 111):
        path.write_bytes(data[:end])
        names, error = [], None
        try:
            names.extend(each.name for each in mapped.members(path))
        except ValueError as exn:
            error = str(exn)
        if error is not None:
            assert "cut.tar" in error
        else:
            inside = [low < end < high for low, high in offsets.values()]
            assert not any(inside), end
        assert names == list(arrays)[: len(names)]
        for name, (_, high) in offsets.items():
            if end >= high:
                same(np.asarray(mapped.open(path, name)), arrays[name])
            else:
                with pytest.raises((ValueError, KeyError)):
                    mapped.open(path, name)


def sized(data, size, at=0):
    """A tar file in which the header at `at` says `size`, in base 256."""
    out = bytearray(data[at : at + 512])
    out[124:136] = (b"\xff" if size < 0 else b"\x80") + (size % 2**88).to_bytes(11, "big")
    out[148:156] = b" " * 8
    out[148:156] = b"%06o\0 " % sum(out)
    return data[:at] + bytes(out) + data[at + 512 :]


ELSEWHERE = """
import sys
from clipx import mapped
try:
    for n, member in enumerate(mapped.members(sys.argv[1])):
        if n > 100:
            sys.exit("endless")
        print(member.size)
except ValueError as exn:
    print("ValueError", exn)
"""


@pytest.mark.parametrize(
    ("size", "at"),
    [(-512, 0), (-1, 0), (-1024, 0), (2**80, 0), (2**62, 0), (2**40, 0), (-2048, 1536), (-1536, 2560)],
)
def test_members_of_absurd_sizes(tmp_path, size, at):
    """Those below 0 lead back to headers that have been read."""
    small = npy(np.zeros(3))
    data = write_tar(tmp_path / "x.tar", {"a.npy": npy(np.zeros(100)), "b.npy": small, "c.npy": small}).read_bytes()
    path = tmp_path / "absurd.tar"
    path.write_bytes(sized(data, size, at))
    try:
        code, reported = run_code(ELSEWHERE, path, timeout=8)
    except subprocess.TimeoutExpired:
        pytest.fail("it never ends")
    assert code == 0, reported
    assert "ValueError" in reported
    assert "absurd.tar" in reported
