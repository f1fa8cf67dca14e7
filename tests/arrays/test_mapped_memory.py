"""Memory of mapped arrays: pages that go back, processes that share them, files that shrink or are removed."""

import sys
import tarfile

import numpy as np
import pytest
from helpers.mapped import run_code
from helpers.windows import same

from clipx import mapped, windows

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


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
    reported = run_code(FORKS + code, *arguments, timeout=60)[1]
    return dict(line.split(" | ", 1) for line in reported.splitlines() if " | " in line) or reported


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
def test_resident_memory_stays_small(big_file, big_tar):
    reported = in_forks(RSS, big_file, big_tar)
    assert len(reported) == 9, reported
    for name, numbers in reported.items():
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
