"""Arrays mapped from .npy files and members of tar files, their pages, and the source of mapped samples."""

import bz2
import gzip
import io
import os
import struct
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import webdataset
from helpers.arrays import npy

import clipx
from clipx import WindowSpec, mapped, wds, windows
from clipx.arrays import pages

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

RECORD = np.dtype([("a", "<i4"), ("b", ">f8", (2,)), ("c", "S3")])
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


def header(text, body=b"", version=(1, 0)):
    text = text.encode() if isinstance(text, str) else text
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text + body


def described(shape, descr="'<f4'", fortran=False, body=bytes(64)):
    return header(f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n", body)


def tar_of(path, members, format=tarfile.PAX_FORMAT, mode="w"):
    with tarfile.open(path, mode, format=format) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def same(got, wanted):
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert got.tobytes() == wanted.tobytes()


# What is mapped.


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
        tar = tar_of(tmp_path / f"{format}.tar", others, format)
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
    path = tar_of(tmp_path / "x.tar", members)
    found = list(mapped.members(path))
    assert [each.name for each in found] == list(members)
    data = path.read_bytes()
    for each in found:
        assert data[each.offset : each.offset + each.size] == members[each.name]


def test_the_first_of_two_members_of_one_name_or_the_last(tmp_path):
    path = tmp_path / "x.tar"
    tar_of(path, {"a.npy": npy(np.zeros(3))})
    tar_of(path, {"a.npy": npy(np.ones(3)), "b.npy": npy(np.ones(2))}, mode="a")
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


@pytest.fixture
def sparse(tmp_path):
    """A tar file, made by GNU tar, with a sparse member in between."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.npy").write_bytes(npy(np.arange(5)))
    with (folder / "b.npy").open("wb") as file:
        file.write(npy(np.zeros(1 << 20))[:128])
        file.truncate(128 + (8 << 20))
    (folder / "c.npy").write_bytes(npy(np.arange(7)))

    def make(kind):
        path = tmp_path / f"{kind}.tar"
        command = ["tar", "-S", f"--format={kind}", "-cf", path, "-C", folder, "a.npy", "b.npy", "c.npy"]
        subprocess.run(command, check=True)
        assert path.stat().st_size < 1 << 20
        return path

    return make


@linux
@pytest.mark.parametrize("kind", ["gnu", "posix"])
def test_sparse_members_are_never_taken_for_plain_ones(sparse, kind):
    path = sparse(kind)
    with pytest.raises((KeyError, ValueError)):
        mapped.open(path, "b.npy")
    same(np.asarray(mapped.open(path, "a.npy")), np.arange(5))
    same(np.asarray(mapped.open(path, "c.npy")), np.arange(7))


# What is refused.

BROKEN = {
    "empty": b"",
    "not npy": b"hello, world" * 20,
    "magic only": b"\x93NUMPY",
    "version 9": described("(2,)").replace(b"\x01\x00", b"\x09\x00", 1),
    "header cut": described("(2,)")[:20],
    "claims more": described("(17,)"),
    "claims far more": described("(2, 1000000000000)"),
    "overflows": described("(4294967296, 4294967296)"),
    "overflows to a little": described("(18446744073709551617,)"),
    "overflows to none": described("(4611686018427387904, 4)"),
    "overflows with none": described("(4611686018427387904, 4611686018427387904, 0)"),
    "huge and none": described("(1000000000000000000000000, 0)"),
    "negative": described("(-2,)"),
    "negative twice": described("(-2, -2)"),
    "negative and none": described("(0, -2)"),
    "truth": described("(True,)"),
    "no tuple": described("4"),
    "floats": described("(2.0,)"),
    "dimensions": described("(" + "1," * 70 + ")"),
    "no dtype": described("(2,)", "None"),
    "bad dtype": described("(2,)", "'<q9'"),
    "empty dtype": described("(99999999999999999999999,)", "'|V0'"),
    "objects": described("(2,)", "'|O'"),
    "structured objects": described("(2,)", "[('a', '<i4'), ('b', '|O')]"),
    "subarray of objects": described("(2,)", "[('b', '|O', (2,))]"),
    "unclosed": header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,", bytes(64)),
    "many frames of nothing": described((10**9, 3, 0)),
    "many numbers of nothing": described((10**9,), "'|V0'"),
    "unclosed text": header("{'descr': '''<f4, 'fortran_order': False, 'shape': (2,)}", bytes(64)),
    "nested": header("(" * 60000, bytes(64)),
    "nested brackets": header("[" * 190 + "]" * 190, bytes(64)),
    "minuses": header("{'descr': " + "-" * 60000 + "1}", bytes(64)),
    "no dict": header("[1, 2]", bytes(64)),
    "lists as keys": header("{[]: 1}", bytes(64)),
    "calls": header("{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (2,)}", bytes(64)),
    "large header": header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}" + " " * (1 << 20), b"", (2, 0)),
    "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_value_errors_that_name_them(tmp_path, name):
    path = tmp_path / "broken.npy"
    path.write_bytes(BROKEN[name])
    with pytest.raises(ValueError, match=r"broken\.npy"):
        mapped.open(path)
    # In a tar, what follows the member is no part of it.
    tar = tar_of(tmp_path / "x.tar", {"broken.npy": BROKEN[name], "rest.bin": bytes(100000)})
    with pytest.raises(ValueError, match=r"broken\.npy"):
        mapped.open(tar, "broken.npy")


def test_a_header_that_claims_more_than_its_member_holds(tmp_path):
    good = npy(np.arange(100))
    tar = tar_of(tmp_path / "x.tar", {"a.npy": good[:-8], "b.npy": good[:100], "c.npy": good + bytes(8), "d.npy": good})
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
        mapped.open(tar_of(tmp_path / "x.tar", {"x.npy": file.getvalue()}), "x.npy")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.timeout(60)
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
    tar = tar_of(tmp_path / "x.tar", {"a.npy": npy(np.zeros(3)), "a.txt": b"hello"})
    with pytest.raises(KeyError, match=r"b\.npy"):
        mapped.open(tar, "b.npy")
    with pytest.raises(ValueError, match=r"a\.txt"):
        mapped.open(tar, "a.txt")
    with pytest.raises(ValueError, match="npy"):
        mapped.open(tar)
    with pytest.raises((OSError, ValueError)):
        mapped.open(tmp_path)


def test_compressed_and_other_files_are_no_tar_files(tmp_path):
    data = tar_of(tmp_path / "x.tar", {"a.npy": npy(np.zeros(300))}).read_bytes()
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
    data = tar_of(tmp_path / "x.tar", {name: npy(array) for name, array in arrays.items()}).read_bytes()
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


def elsewhere(code, *arguments, timeout=20):
    """Run by another Python: (return code, output)."""
    root = str(Path(clipx.__file__).resolve().parents[1])
    command = [sys.executable, "-c", code, *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": root}
    run = subprocess.run(command, capture_output=True, text=True, env=env, timeout=timeout, check=False)
    return run.returncode, run.stdout + run.stderr


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("size", "at"),
    [(-512, 0), (-1, 0), (-1024, 0), (2**80, 0), (2**62, 0), (2**40, 0), (-2048, 1536), (-1536, 2560)],
)
def test_members_of_absurd_sizes(tmp_path, size, at):
    """Those below 0 lead back to headers that have been read."""
    small = npy(np.zeros(3))
    data = tar_of(tmp_path / "x.tar", {"a.npy": npy(np.zeros(100)), "b.npy": small, "c.npy": small}).read_bytes()
    path = tmp_path / "absurd.tar"
    path.write_bytes(sized(data, size, at))
    try:
        code, told = elsewhere(ELSEWHERE, path, timeout=8)
    except subprocess.TimeoutExpired:
        pytest.fail("it never ends")
    assert code == 0, told
    assert "ValueError" in told
    assert "absurd.tar" in told


# Pages.


def big(path, frames, shape=(128, 128, 3)):
    """An .npy file of uint8, written without holding it."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (frames, *shape))
    for first in range(0, frames, 256):
        array[first : first + 256] = (np.arange(first, min(first + 256, frames)) % 251)[:, None, None, None]
    array.flush()
    del array
    return path


@pytest.fixture(scope="module")
def big_file(tmp_path_factory):
    path = big(tmp_path_factory.mktemp("big") / "big.npy", 6400)
    assert path.stat().st_size > 300e6
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def big_tar(big_file):
    path = big_file.with_suffix(".tar")
    with tarfile.open(path, "w") as tar:
        tar.add(big_file, "a.npy")
    yield path
    path.unlink()


FORKS = """
import os, sys, traceback
import numpy as np, psutil
import clipx
from clipx import mapped, windows, wds
from clipx.wds import mapped_samples

def each(names, work):
    # One interpreter for all: each name has a child of its own, which may crash.
    for name in names:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            try:
                print(name, "|", work(name), flush=True)
            except BaseException:
                print(name, "|", traceback.format_exc().replace(chr(10), " "), flush=True)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status:
            print(name, "| crashed with signal", status, flush=True)
"""


def in_forks(code, *arguments):
    """What each child of a program printed, by its name."""
    told = elsewhere(FORKS + code, *arguments, timeout=60)[1]
    return dict(line.split(" | ", 1) for line in told.splitlines() if " | " in line) or told


RSS = """
npy, tar = sys.argv[1:]

def work(name):
    window = {"length": 16, "stride": 24}
    pool = clipx.ClipPool(20, (16, 128, 128, 3))
    format = clipx.ClipFormat(crop=(100, 100), order="CTHW") if "formatted" in name else None
    more = {"overlap": {"stride": 3}, "backpad": {"policy": "backpad"}, "reflect": {"policy": "reflect"}}.get(name, {})
    if name == "random":
        more = {"stride": None, "num_clips": 300, "sampling": "random", "rng": 1}
    if name == "stage":
        stage = wds.clips(clipx.WindowSpec(**window), pool=pool)
        source = lambda: (sample["npy"] for sample in stage(mapped_samples(tar)))
    else:
        x = mapped.open(tar, "a.npy") if "member" in name else mapped.open(npy)
        source = lambda: windows.iterate(x, **{**window, **more}, format=format, pool=pool)
    for clip in windows.iterate(np.zeros((32, 128, 128, 3), np.uint8), 16, 1, format=format, pool=pool):
        pass
    del clip
    process = psutil.Process()
    start, peak, total = process.memory_info().rss, 0, 0
    for n, clip in enumerate(source()):
        total += int(clip.flat[0])
        if n % 5 == 0:
            peak = max(peak, process.memory_info().rss)
    return f"{n} {(peak - start) / 1e6}"

each(["plain", "formatted", "overlap", "backpad", "reflect", "random", "member", "formatted member", "stage"], work)
"""


@linux
@pytest.mark.timeout(60)
def test_resident_memory_stays_small(big_file, big_tar):
    told = in_forks(RSS, big_file, big_tar)
    assert len(told) == 9, told
    for name, numbers in told.items():
        n, megabytes = numbers.split()
        assert int(n) > 200, name
        assert float(megabytes) < 60, name


CUT = """
def work(how):
    path = os.path.join(sys.argv[1], how + "-short.npy")
    np.save(path, np.zeros((1000, 8, 8, 3), np.uint8))
    x = mapped.open(path)
    os.truncate(path, 128 + 4096 * 3)
    format = clipx.ClipFormat(dtype="float32")
    ways = {
        "iterate": lambda: windows.iterate(x, 4, 2),
        "pool": lambda: windows.iterate(x, 4, 2, pool=clipx.ClipPool(5, (4, 8, 8, 3))),
        "view": lambda: windows.iterate(x[50:, ::2], 4, 2),
        "reversed": lambda: windows.iterate(x[::-1], 4, 2),
        "repeated": lambda: windows.iterate(np.broadcast_to(x[-1], (50, 8, 8, 3)), 4, 2),
        "asarray": lambda: windows.iterate(np.asarray(x), 4, 2),
        "formatted": lambda: windows.iterate(x, 4, 2, format=format),
        "extract": lambda: windows.extract(x, 4, 2),
        "extract formatted": lambda: windows.extract(x, 4, 2, format=format),
        "stage": lambda: wds.clips(clipx.WindowSpec(4, 2))([{"__key__": "k", "npy": x}]),
    }
    try:
        list(ways[how]())
    except ValueError as exn:
        return f"ValueError {exn}"

each("iterate,pool,view,reversed,repeated,asarray,formatted,extract,extract formatted,stage".split(","), work)
"""


@pytest.fixture(scope="module")
def cut_short(tmp_path_factory):
    return in_forks(CUT, tmp_path_factory.mktemp("short"))


@linux
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "how",
    [
        "iterate",
        "pool",
        "view",
        "reversed",
        "repeated",
        "asarray",
        "formatted",
        "extract",
        "extract formatted",
        "stage",
    ],
)
def test_a_file_cut_short_before_it_is_cut_is_an_error(cut_short, how):
    assert cut_short[how].startswith("ValueError"), cut_short[how]
    assert "short.npy" in cut_short[how]


def test_a_file_that_is_removed_stays(tmp_path):
    path = tmp_path / "x.npy"
    array = np.random.default_rng(0).integers(0, 256, (100, 64, 64), dtype=np.uint8)
    np.save(path, array)
    x = mapped.open(path)
    path.unlink()
    same(np.stack(list(windows.iterate(x, 8, 4))), windows.extract(array, 8, 4))


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """An array of 4 MB, and the paths of its file and of a tar file in which it stands at an odd offset."""
    array = np.random.default_rng(1).integers(0, 256, (130, 32, 64, 4), dtype=np.uint8)
    path = tmp_path_factory.mktemp("numbers") / "x.npy"
    np.save(path, array)
    return array, path, tar_of(path.with_suffix(".tar"), {"a.txt": b"123", "x.npy": path.read_bytes()})


SEEN = {
    "all": lambda x: x,
    "offset": lambda x: x[37:101],
    "every third": lambda x: x[1::3],
    "reversed": lambda x: x[::-1],
    "frames reversed": lambda x: x[:, ::-1, :, ::-1],
    "crop": lambda x: x[10:, 5:9, 3:57],
    "turned": lambda x: x.transpose(2, 0, 1, 3),
    "last first": lambda x: np.moveaxis(x, -1, 0)[:, 3:],
    "sliding": lambda x: np.moveaxis(np.lib.stride_tricks.sliding_window_view(x, 8, axis=0), -1, 1)[::2],
    "repeated": lambda x: np.broadcast_to(x[5], (20, *x.shape[1:])),
    "shorts": lambda x: x.view("<u2"),
    "flat": lambda x: x.reshape(-1, 1000 if x.size % 1000 == 0 else 512),
    "asarray": np.asarray,
    "memoryview": memoryview,
}


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("pool", [False, True])
def test_clips_of_views_equal_slicing(numbers, seen, pool):
    array, path, tar = numbers
    windows_of = [
        {"length": 4, "stride": 1, "num_clips": None},
        {"length": 4, "stride": 9},
        {"length": 3, "dilation": 5, "stride": 2, "policy": "reflect"},
        {"length": 16, "policy": "wrap", "stride": 13},
        {"length": 4, "policy": "constant", "fill_value": 7, "stride": 3},
        {"length": 2, "policy": "backpad", "stride": 3},
        {"length": 3, "num_clips": 9, "sampling": "random", "rng": 4},
    ]
    wanted = SEEN[seen](array)
    for x in (mapped.open(path), mapped.open(tar, "x.npy")):
        view = SEEN[seen](x)
        for window in windows_of:
            expected = windows.extract(wanted, **window)
            rest = {}
            if pool:
                rest["pool"] = clipx.ClipPool(32, expected.shape[1:], expected.dtype)
            count = 0
            for clip, data in zip(windows.iterate(view, **window, **rest), expected, strict=True):
                np.testing.assert_array_equal(clip, data)
                count += 1
            assert count
            np.testing.assert_array_equal(np.asarray(view), wanted)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_time_axes(numbers, axis):
    array, path, _ = numbers
    x = mapped.open(path)
    for clip, data in zip(windows.iterate(x, 2, 3, axis=axis), windows.extract(array, 2, 3, axis=axis), strict=True):
        np.testing.assert_array_equal(clip, data)


@pytest.mark.parametrize("policy", ["drop", "wrap", "reflect", "constant"])
def test_formatted_clips(numbers, policy):
    array, path, tar = numbers
    array = array[..., :3]
    format = clipx.ClipFormat(crop=("random", 20), flip=0.5, dtype="float32", scale=1 / 255, order="CTHW")
    arguments = {"length": 5, "stride": 11, "policy": policy, "format": format, "rng": 3}
    for x in (mapped.open(path), mapped.open(tar, "x.npy")):
        expected = windows.extract(array, **arguments)
        for clip, data in zip(windows.iterate(x[..., :3], **arguments), expected, strict=True):
            np.testing.assert_array_equal(clip, data)


def test_fortran_order_keeps_its_clips(tmp_path):
    array = np.random.default_rng(2).integers(0, 256, (300, 40, 50), dtype=np.uint8)
    np.save(tmp_path / "x.npy", np.asfortranarray(array))
    x = mapped.open(tmp_path / "x.npy")
    assert x.flags.f_contiguous
    for clip, data in zip(windows.iterate(x, 7, 5), windows.extract(array, 7, 5), strict=True):
        np.testing.assert_array_equal(clip, data)


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_what_was_written_into_a_mapping_is_never_lost(numbers, tmp_path, mode):
    array, path, _ = numbers
    copy = tmp_path / "x.npy"
    copy.write_bytes(path.read_bytes())
    x = np.load(copy, mmap_mode=mode)
    x[::3] = 255 - x[::3]
    changed = array.copy()
    changed[::3] = 255 - changed[::3]
    format = clipx.ClipFormat(crop=(20, 20), dtype="float32")
    for seen in (x, x[3:], x[::2], np.asarray(x), x.view(), x.transpose(1, 0, 2, 3)):
        list(windows.iterate(seen, 4, 3))
        list(windows.iterate(seen, 2, 9, policy="reflect"))
    list(windows.iterate(x[..., :3], 4, 3, format=format))
    list(wds.clips(WindowSpec(4))([{"__key__": "k", "npy": x}]))
    np.testing.assert_array_equal(x, changed)


def test_private_pages_behind_a_read_only_view_are_kept(numbers):
    array, path, _ = numbers
    x = np.load(path, mmap_mode="c")
    x[5:9] = 1
    seen = x.view()
    seen.flags.writeable = False
    assert not pages.Pages(seen)
    list(windows.iterate(seen, 4, 3))
    assert (x[5:9] == 1).all()
    np.testing.assert_array_equal(x[9:], array[9:])


def test_clips_outlive_the_mapping(numbers):
    array, path, _ = numbers
    x = mapped.open(path)
    clips = list(windows.iterate(x, 4, 40))
    before = [clip.copy() for clip in clips]
    clips[0][:] = 0
    np.testing.assert_array_equal(x, array)
    del x
    np.testing.assert_array_equal(clips[1:], before[1:])
    assert all(clip.flags.owndata or clip.base is not None for clip in clips)
    assert all(clip.flags.writeable for clip in clips)


def test_two_iterators_over_one_mapping(numbers):
    array, path, _ = numbers
    x = mapped.open(path)
    pairs = zip(windows.iterate(x, 4, 2), windows.iterate(x[20:], 4, 2), windows.extract(array, 4, 2))
    for i, (one, other, data) in enumerate(pairs):
        np.testing.assert_array_equal(one, data)
        np.testing.assert_array_equal(other, array[20 + 2 * i : 24 + 2 * i])


# The source.


@pytest.fixture
def shards(tmp_path):
    """Four shards of three samples."""
    for i in range(4):
        with webdataset.TarWriter(str(tmp_path / f"s{i}.tar")) as tar:
            for j in range(3):
                array = np.full((20 + j, 8, 8), 10 * i + j, np.int16)
                tar.write(
                    {"__key__": f"d/{i}.{j}"[:3] + f"_{j}", "x.npy": npy(array), "cls": j, "json": {"i": i}, "TXT": "é"}
                )
    return tmp_path


def plain(urls):
    """Samples as webdataset gives them."""
    urls = [urls] if isinstance(urls, str) else urls
    return list(webdataset.WebDataset(urls, shardshuffle=False, nodesplitter=None, empty_check=False))


def check_samples(got, wanted, skip=()):
    got = list(got)
    assert [each["__key__"] for each in got] == [each["__key__"] for each in wanted]
    for one, other in zip(got, wanted):
        assert set(one) - set(skip) == {key for key in other if key != "__local_path__"} - set(skip)
        for field, value in other.items():
            if field.endswith("npy"):
                same(np.asarray(one[field]), np.load(io.BytesIO(value)))
                assert not isinstance(one[field], bytes)
                assert not one[field].flags.writeable
            elif not field.startswith("__"):
                assert isinstance(one[field], bytes)
                assert one[field] == value
            elif field in ("__url__", "__key__"):
                assert one[field] == value


def test_samples_are_webdatasets(shards):
    text = str(shards / "s{0..3}.tar")
    urls = [str(shards / f"s{i}.tar") for i in range(4)]
    wanted = plain(urls)
    assert len(wanted) == 12
    for given in (text, urls, tuple(urls), [Path(url) for url in urls], (url for url in urls)):
        check_samples(wds.mapped_samples(given), wanted)
    check_samples(wds.mapped_samples(Path(urls[1])), plain(urls[1]))
    source = wds.mapped_samples(text)
    check_samples(source, wanted)
    check_samples(source, wanted)


def test_names_are_read_as_webdataset_reads_them(tmp_path):
    data = npy(np.arange(3))
    members = {
        "__meta__": b"1",
        "__more__.npy": data,
        "__dir__/a.npy": data,
        "README": b"no extension",
        "a.b.npy": data,
        "a.Cls": b"1",
        "dir.with.dots/k.npy": data,
        "dir.with.dots/k.b.txt": b"",
        ".hidden": b"x",
        "./z.npy": data,
        "./z.txt": b"z",
    }
    path = str(tar_of(tmp_path / "x.tar", members))
    check_samples(wds.mapped_samples(path), plain(path))


def test_samples_of_one_key_in_two_shards_stay_apart(tmp_path):
    paths = []
    for i in range(2):
        paths.append(str(tar_of(tmp_path / f"{i}.tar", {"a.npy": npy(np.full(3, i)), f"a.{i}": b"x"})))
    wanted = plain(paths)
    assert len(wanted) == 2
    check_samples(wds.mapped_samples(paths), wanted)


@linux
@pytest.mark.parametrize("kind", ["gnu", "posix"])
def test_sparse_members_are_not_lost_in_silence(sparse, kind):
    path = str(sparse(kind))
    errors = []
    got = {each["__key__"]: each for each in wds.mapped_samples(path, handler=lambda exn: errors.append(exn) or True)}
    assert errors or len(np.asarray(got["b"]["npy"])) == 1 << 20
    if not errors:
        assert set(got) == {"a", "b", "c"}


def test_nodes_and_workers_share_the_shards(shards, monkeypatch):
    text = str(shards / "s{0..3}.tar")

    def keys(**environment):
        for name in ("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        return [each["__url__"][-5] for each in wds.mapped_samples(text)][::3]

    def expected(**environment):
        mine = "0123"[environment.get("RANK", 0) :: environment.get("WORLD_SIZE", 1)]
        return list(mine[environment.get("WORKER", 0) :: environment.get("NUM_WORKERS", 1)])

    for ranks in (1, 2, 3):
        for workers in (1, 2):
            for rank in range(ranks):
                for worker in range(workers):
                    given = {"RANK": rank, "WORLD_SIZE": ranks, "WORKER": worker, "NUM_WORKERS": workers}
                    assert keys(**given) == expected(**given)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(list(wds.mapped_samples(text, split=False))) == 12


@pytest.mark.timeout(60)
def test_workers_of_a_torch_loader(shards):
    torch = pytest.importorskip("torch")
    data = webdataset.DataPipeline(wds.mapped_samples(str(shards / "s{0..3}.tar")), wds.clips(WindowSpec(8)))
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2)
    keys = sorted(sample["__key__"] for sample in loader)
    assert len(keys) == len(set(keys)) == 24


@pytest.mark.parametrize("url", ["pipe:cat x.tar", "http://127.0.0.1:9/x.tar", "https://x.y/z.tar", "s3://a/b.tar"])
def test_only_local_files_are_mapped(shards, url):
    with pytest.raises(ValueError, match="local"):
        list(wds.mapped_samples(url))
    errors = []
    given = [url, str(shards / "s0.tar")]
    assert len(list(wds.mapped_samples(given, handler=lambda exn: errors.append(exn) or True))) == 3
    assert len(errors) == 1
    assert isinstance(errors[0], ValueError)


def test_file_addresses(shards):
    assert len(list(wds.mapped_samples(f"file:{shards}/s0.tar"))) == 3
    assert len(list(wds.mapped_samples(f"file://{shards}/s0.tar"))) == 3


def test_wrong_arguments():
    for urls in ([], "", [""], ()):
        with pytest.raises(ValueError, match="urls"):
            wds.mapped_samples(urls)
    with pytest.raises(TypeError):
        wds.mapped_samples(3)
    with pytest.raises(TypeError, match="split"):
        wds.mapped_samples("x.tar", split=1)
    with pytest.raises(TypeError, match="handler"):
        wds.mapped_samples("x.tar", handler=3)


def test_broken_shards_go_to_the_handler(shards):
    good, late = str(shards / "s0.tar"), str(shards / "s2.tar")
    data = (shards / "s1.tar").read_bytes()
    (shards / "gz.tar").write_bytes(gzip.compress(data))
    (shards / "cut.tar").write_bytes(data[:6000])
    (shards / "text.tar").write_text("hello " * 300)
    for bad in ("gz.tar", "cut.tar", "text.tar", "none.tar"):
        url = str(shards / bad)
        with pytest.raises((ValueError, OSError)):
            list(wds.mapped_samples([url]))
        errors = []
        got = list(wds.mapped_samples([url, good], handler=lambda exn, into=errors: into.append(exn) or True))
        assert len(errors) == 1
        check_samples(got[-3:], plain(good))
        got = list(wds.mapped_samples([good, url, late], handler=lambda exn: False))
        check_samples(got[:3], plain(good))
        assert all(each["__url__"] == url for each in got[3:])


@pytest.mark.parametrize("broken", ["objects", "claims more", "not npy", "unclosed"])
def test_a_broken_member_loses_no_other_sample(tmp_path, broken):
    good = npy(np.arange(5))
    members = {"a.npy": good, "a.cls": b"1", "b.npy": BROKEN[broken], "b.cls": b"2", "c.npy": good, "c.cls": b"3"}
    path = tar_of(tmp_path / "x.tar", members)
    other = tar_of(tmp_path / "y.tar", {"d.npy": good})
    with pytest.raises(ValueError, match=r"b\.npy"):
        list(wds.mapped_samples(path))
    errors = []
    got = list(wds.mapped_samples([path, other], handler=lambda exn: errors.append(exn) or True))
    assert len(errors) == 1
    whole = {each["__key__"]: each for each in got if "npy" in each}
    assert sorted(whole) == ["a", "c", "d"]
    assert whole["c"]["cls"] == b"3"


def test_in_a_pipeline(shards):
    pool = clipx.ClipPool(40, (8, 8, 8), np.int16)
    data = webdataset.DataPipeline(
        wds.mapped_samples(str(shards / "s{0..3}.tar")),
        wds.clips(WindowSpec(8, 4), pool=pool),
        wds.shuffle(pool=pool, reserve=8, seed=1),
        wds.batched(4, partial=True),
    )
    seen = 0
    for batch in data:
        for clip, url, facts in zip(batch["x.npy"], batch["__url__"], batch["clip.json"]):
            assert clip.shape == (8, 8, 8)
            assert len(np.unique(clip)) == 1
            assert clip.flat[0] // 10 == int(url[-5])
            assert facts["valid"] == 8
            seen += 1
    assert seen == 4 * 3 * 4
    del batch, clip
    assert pool.stats().free == 40


def test_decoding_after_it(shards):
    data = webdataset.DataPipeline(wds.mapped_samples(str(shards / "s0.tar")), webdataset.decode(partial=True))
    for sample in data:
        assert sample["json"] == {"i": 0}
        assert isinstance(sample["x.npy"], np.ndarray)
