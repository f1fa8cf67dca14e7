"""Bytes shown and bytes kept alive, and the memory meter."""

import array
import dataclasses
import gc
import itertools
import mmap
import threading
import time
from collections import OrderedDict, deque, namedtuple
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest

from clipx import ClipPool
from clipx.memory import Meter, payload_bytes, retained_bytes

PIECE = np.dtype([("key", "<u4"), ("at", "<f4")])
Pair = namedtuple("Pair", "video audio")


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    video: object
    audio: object = None
    name: str = "clip"


def video():
    return np.zeros((100, 10, 8), np.uint8)


# One leaf: its bytes shown, and its bytes kept alive.

VIEWS = {
    "array": (lambda x: x, 8000, 8000),
    "slice": (lambda x: x[10:20], 800, 8000),
    "slice of a slice": (lambda x: x[10:50][5:10, ::2], 200, 8000),
    "scalar view": (lambda x: x[3, 4, 5:6], 1, 8000),
    "empty slice": (lambda x: x[:0], 0, 8000),
    "other dtype": (lambda x: x.view("float32")[:50], 4000, 8000),
    "other dtype, structured": (lambda x: x.view(PIECE)["at"], 4000, 8000),
    "transposed": (lambda x: x.T[2:4], 2000, 8000),
    "reshaped": (lambda x: x.reshape(-1)[:9], 9, 8000),
    "broadcast": (lambda x: np.broadcast_to(x[0], (1000, 10, 8)), 80_000, 8000),
    "sliding window": (lambda x: np.lib.stride_tricks.sliding_window_view(x, 16, axis=0), 85 * 16 * 80, 8000),
    "slice of a sliding window": (
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 16, axis=0)[3],
        16 * 80,
        8000,
    ),
    "memoryview": (memoryview, 8000, 8000),
    "memoryview slice": (lambda x: memoryview(x)[10:20], 800, 8000),
    "memoryview of a view": (lambda x: memoryview(x[10:20]).cast("B")[3:7], 4, 8000),
    "frombuffer": (lambda x: np.frombuffer(memoryview(x)[50:].cast("B"), "int16")[5:], 3990, 8000),
    "subclass": (lambda x: x.view(np.recarray)[5:6], 80, 8000),
}


@pytest.mark.parametrize("view", VIEWS)
def test_views(view):
    make, shown, kept = VIEWS[view]
    leaf = make(video())
    assert payload_bytes(leaf) == shown
    assert retained_bytes(leaf) == kept


@pytest.mark.parametrize("make", [bytes, bytearray])
def test_buffers(make):
    data = make(1000)
    assert payload_bytes(data) == retained_bytes(data) == 1000
    view = memoryview(data)[100:300]
    assert payload_bytes(view) == 200
    assert retained_bytes(view) == 1000
    samples = np.frombuffer(data, "int16", offset=100, count=50)[10:]
    assert payload_bytes(samples) == 80
    assert retained_bytes(samples) == 1000
    assert payload_bytes([data, view, samples]) == 1280
    assert retained_bytes([data, view, samples]) == 1000


def test_views_of_other_buffers():
    data = array.array("H", bytes(1000))
    parts = [memoryview(data)[:5], np.frombuffer(data, np.uint8)[500:], memoryview(data)[50:150]]
    assert payload_bytes(parts) == 710
    for some in (parts[:1], parts[1:2], parts, parts[::-1]):
        assert retained_bytes(some) == 1000


def test_owners_are_counted_once():
    first, second = video(), video()
    views = [first[:10], first[5:20], memoryview(first)[3:5], second[0], second.T]
    assert payload_bytes(views) == 800 + 1200 + 160 + 80 + 8000
    assert retained_bytes(views) == 16_000
    assert retained_bytes(views[:3]) == 8000


def test_objects_are_counted_once():
    frames = video()
    part = frames[:10]
    assert payload_bytes([part, part, {"again": (part,)}]) == 800
    assert payload_bytes([part, frames[:10]]) == 1600


NESTS = {
    "dict": lambda a, b: {"video": a, "audio": b, "__key__": "x"},
    "ordered dict": lambda a, b: OrderedDict(video=a, audio=b),
    "mapping": lambda a, b: MappingProxyType({"video": a, "audio": b}),
    "list": lambda a, b: [a, 3, b, None],
    "tuple": lambda a, b: (a, "text", b),
    "named tuple": Pair,
    "dataclass": Sample,
    "deque": lambda a, b: deque([a, b]),
    "deep": lambda a, b: [{"x": ([a], {"y": Sample(({"z": b},))})}],
}


@pytest.mark.parametrize("nest", NESTS)
def test_nested(nest):
    sample = NESTS[nest](video()[:10], bytes(50))
    assert payload_bytes(sample) == 850
    assert retained_bytes(sample) == 8050


def test_sets():
    sample = {bytes(10), frozenset([bytes(20)])}
    assert payload_bytes(sample) == retained_bytes(sample) == 30


class Made(Mapping):
    """A mapping that makes its values when they are asked for."""

    def __getitem__(self, key):
        return np.zeros(1000, np.uint8)

    def __iter__(self):
        return iter("abc")

    def __len__(self):
        return 3


def test_values_that_nobody_else_holds():
    assert payload_bytes([Made(), Made()]) == 6000


def test_cycles():
    sample = [video()[:10]]
    sample.append({"again": sample})
    assert payload_bytes(sample) == 800
    assert retained_bytes(sample) == 8000
    looped = {}
    looped["self"] = (looped, [looped])
    assert payload_bytes(looped) == retained_bytes(looped) == 0


class Opaque:
    def __init__(self):
        self.data = video()


OTHERS = [None, 3, 2.5, "text", Opaque(), Sample, object, iter([bytes(9)]), range(5)]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: type(other).__name__)
def test_other_objects(other):
    assert payload_bytes(other) == retained_bytes(other) == 0
    assert payload_bytes([other, bytes(7)]) == retained_bytes({"a": other, "b": bytes(7)}) == 7


# Slots


@pytest.mark.parametrize("dtype", ["uint8", PIECE])
def test_slots(dtype):
    pool = ClipPool(50, 100, dtype)
    size = 100 * np.dtype(dtype).itemsize
    first, second = pool.acquire(), pool.acquire(3)
    assert payload_bytes(first) == size
    assert retained_bytes(first) == pool.slot_bytes > size
    assert retained_bytes(second) == pool.slot_bytes
    parts = [first[:3], first[5:], memoryview(first)[7:8], second, np.frombuffer(first.view("u1"), "u1")]
    assert retained_bytes(parts) == 2 * pool.slot_bytes
    assert pool.stats().leased == 2


def test_slots_over_backing():
    pool = ClipPool(5, 100, backing=bytearray(6 * 128))
    assert retained_bytes([pool.acquire(), pool.acquire()[:3]]) == 256


# Torch


def test_tensors():
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(100, 20)
    assert payload_bytes(tensor) == retained_bytes(tensor) == 8000
    parts = [tensor[:10], tensor[:, 3], tensor.T, tensor.view(torch.int16)[4:5], tensor.numpy()[50:]]
    assert [payload_bytes(part) for part in parts] == [800, 400, 8000, 80, 4000]
    assert [retained_bytes(part) for part in parts] == [8000] * 5
    assert retained_bytes(parts) == 8000
    assert retained_bytes([*parts, torch.zeros(10)]) == 8040
    assert retained_bytes({"a": (tensor.expand(3, 100, 20),)}) == 8000


def test_tensors_of_arrays():
    torch = pytest.importorskip("torch")
    frames = video()
    tensor = torch.from_numpy(frames)
    assert payload_bytes(tensor[:10]) == 800
    assert retained_bytes(tensor[:10]) == 8000
    assert retained_bytes([tensor, frames]) == 8000
    parts = [torch.from_numpy(frames[:5]), torch.from_numpy(frames)]
    assert retained_bytes(parts) == retained_bytes(parts[::-1]) == 8000


def test_tensors_of_slots():
    torch = pytest.importorskip("torch")
    pool = ClipPool(5, 128)
    clip = pool.acquire()
    assert retained_bytes(torch.from_numpy(clip)[3:]) == 128
    assert retained_bytes([torch.from_numpy(clip), clip]) == 128


def test_sparse_tensors():
    torch = pytest.importorskip("torch")
    tensor = torch.eye(10).to_sparse()
    parts = tensor.indices().nbytes + tensor.values().nbytes
    assert payload_bytes(tensor) in (0, parts)
    assert retained_bytes([tensor, bytes(7)]) in (7, parts + 7)


# Mapped files


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_mapped_files(tmp_path, mode):
    path = tmp_path / "frames.bin"
    path.write_bytes(bytes(8000))
    frames = np.memmap(path, np.uint8, mode, shape=(100, 80))
    assert payload_bytes(frames[:10]) == 800
    assert retained_bytes(frames[:10]) == 8000
    assert retained_bytes([frames, frames[3], np.asarray(frames)[4:6]]) == 8000


def test_mapped_files_with_a_header(tmp_path):
    path = tmp_path / "frames.npy"
    np.save(path, video())
    frames = np.load(path, mmap_mode="r")
    assert payload_bytes(frames) == 8000
    assert retained_bytes(frames[:1]) == path.stat().st_size


def test_mapped_memory():
    block = mmap.mmap(-1, 8192)
    views = [np.frombuffer(block, np.uint8)[:10], memoryview(block)[5:9]]
    assert payload_bytes(views) == 14
    assert retained_bytes(views) == 8192


def test_nothing_is_kept():
    pool = ClipPool(2, 100)
    retained_bytes({"clip": pool.acquire(), "view": pool.acquire()[1:]})
    payload_bytes([pool.acquire()])
    gc.collect()
    assert pool.stats().leased == 0


# Meter


def settled(meter, more):
    """Wait until the meter has taken `more` samples."""
    enough = len(meter.samples) + more
    while len(meter.samples) < enough:
        time.sleep(0.001)


def test_samples():
    with Meter(0.001) as meter:
        settled(meter, 20)
    assert len(meter.samples) >= 22  # and one at each end
    times = [sample.seconds for sample in meter.samples]
    assert times == sorted(times)
    assert times[0] >= 0
    assert all(sample.rss > 0 for sample in meter.samples)
    assert all(sample.uss is None or sample.uss > 0 for sample in meter.samples)
    assert meter.start == meter.samples[0].rss
    assert meter.peak == max(sample.rss for sample in meter.samples)


def test_samples_of_a_short_block():
    with Meter(60) as meter:
        pass
    assert len(meter.samples) == 2
    assert meter.samples[-1].seconds < 60  # it does not wait for the interval to end


def fresh(size):
    """Memory that was not there before: what this process has freed may still be resident."""
    block = np.frombuffer(mmap.mmap(-1, size), np.uint8)
    block[:] = 1
    return block


def test_peak():
    size = 64 << 20
    with Meter(0.01) as meter:
        block = fresh(size)
        settled(meter, 2)
        del block
    slack = 8 << 20  # the system counts pages by the batch
    assert meter.peak >= meter.start + size - slack


def test_peak_at_the_end():
    size = 64 << 20
    with Meter(60) as meter:
        block = fresh(size)
    assert meter.peak - meter.start >= size - (8 << 20)
    assert block.nbytes == size


def test_meter_works_twice():
    meter = Meter(0.001)
    lengths = []
    for more in (30, 3):
        with meter as entered:
            assert entered is meter
            settled(meter, more)
        lengths.append(len(meter.samples))
        times = [sample.seconds for sample in meter.samples]
        assert times == sorted(times)
        assert times[0] < times[-1]
    assert lengths[0] >= 32
    assert lengths[1] >= 5


def test_meter_starts_anew():
    meter = Meter(60)
    for _ in range(2):
        with meter:
            pass
        assert len(meter.samples) == 2


def meter_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("clipx-meter")]


def test_thread_is_gone(monkeypatch):
    sample = Meter.sample

    def slow(meter):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.2)
        return sample(meter)

    monkeypatch.setattr(Meter, "sample", slow)
    assert not meter_threads()
    with Meter(0.001) as meter:
        assert len(meter_threads()) == 1
        assert meter_threads()[0].daemon
        settled(meter, 1)
    assert not meter_threads()


def test_exception_in_the_block():
    meter = Meter(0.001)
    with pytest.raises(KeyError, match="inside"), meter:
        raise KeyError("inside")
    assert not meter_threads()
    assert len(meter.samples) >= 2


@pytest.mark.parametrize("interval", [0, -1, 0.0, float("nan")])
def test_bad_interval(interval):
    with pytest.raises(ValueError, match=f"interval is {interval}"):
        Meter(interval)


def test_sample_outside_the_block():
    meter = Meter(60)
    taken = meter.sample()
    assert taken.rss > 0
    with meter:
        inside = meter.sample()
    assert meter.samples.count(inside) == 1
    assert len(meter.samples) == 3


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    with Meter(0.001) as meter:
        settled(meter, 5)
    for path in (tmp_path / "memory.png", str(tmp_path / "again.png")):
        meter.plot(path)
        with open(path, "rb") as file:
            assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    from matplotlib import image

    picture = image.imread(tmp_path / "memory.png")
    assert picture.ndim == 3
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 2  # curves, not white alone


def test_uss_is_read_rarely(monkeypatch):
    with Meter(60) as meter:
        if meter.samples[0].uss is None:
            pytest.skip("no USS on this system")
        clock = itertools.count(10**9)  # every look at it takes a second, and so does every reading of USS
        with monkeypatch.context() as patch:
            patch.setattr(time, "perf_counter", lambda: float(next(clock)))
            samples = [meter.sample() for _ in range(100)]
            seconds = next(clock) - 10**9
    read = sum(sample.uss is not None for sample in samples)
    assert 1 < read <= seconds / 20 + 1
