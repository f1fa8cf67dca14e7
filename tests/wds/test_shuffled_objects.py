"""`clipx.wds.shuffle` bounds the bytes of samples of any kind."""

import io
import sys
import time
import warnings
from collections import deque
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pytest

from clipx import memory, wds
from clipx.wds.object_memory import extents


def total(sample):
    return sum(end - start for start, end in extents(sample))


class Attributes:
    def __init__(self, value):
        self.value, self.itself = value, self


class Slots:
    __slots__ = ("missing", "value")

    def __init__(self, value):
        self.value = value


@dataclass
class Data:
    value: object
    number: int = 3


class Sized:
    """Says its size itself."""

    def __init__(self, value):
        self.value = value

    def __sizeof__(self):
        return 12_345


class WithBytes:
    nbytes = 54_321


class Broken:
    def __sizeof__(self):
        raise RuntimeError("no size")

    @property
    def nbytes(self):
        raise RuntimeError("no bytes")


def text():
    """A text of 10,000 letters, made anew."""
    return "".join(["x"] * 10_000)


@pytest.mark.parametrize(
    "make",
    [
        text,
        lambda: {"txt": text()},
        lambda: {"__key__": "a", "txt": text(), "cls": 3},
        lambda: (text(), 7),
        lambda: [[[[text()]]]],
        lambda: {"json": {"words": [text(), {"more": deque([1, 2])}]}},
        lambda: {"json": {text(): None}},
        lambda: Attributes(text()),
        lambda: {"x": Attributes({"y": text()})},
        lambda: {"x": Slots(text())},
        lambda: {"x": Data(text())},
        lambda: {"x": io.BytesIO(bytes(10_000))},
        lambda: {"x": Attributes(np.zeros(10_000, np.uint8))},
        lambda: {"x": {text()}},
        lambda: {"npy": np.zeros(4, np.uint8), "txt": text()},
        lambda: {"x": 1 << 80_000},
    ],
)
def test_objects_are_bounded(make):
    """A buffer of ten such samples' bytes holds ten of them."""
    size = total(make())
    assert 10_000 <= size < 13_000
    came = 0

    def samples():
        nonlocal came
        for _ in range(40):
            came += 1
            yield make()

    stage = iter(wds.shuffle(10 * size + size // 2)(samples()))
    next(stage)
    assert came == 11
    assert len(list(stage)) == 39


def test_sizes_that_objects_say():
    assert total({"x": Sized(text())}) == 12_345 + sys.getsizeof(Sized(0)) - Sized(0).__sizeof__() + meta()
    assert 54_321 <= total({"x": WithBytes()}) < 55_500
    assert total({"x": Broken()}) == meta()
    mapping = MappingProxyType({"x": text()})
    assert total(mapping) >= sys.getsizeof(mapping)


def meta():
    """Bytes of a sample that has one field called "x" and nothing in it."""
    return sys.getsizeof({"x": 0}) + sys.getsizeof("x")


def test_pil_images():
    image = pytest.importorskip("PIL.Image")
    for mode, each in {"RGB": 4, "L": 1, "RGBA": 4, "I;16": 2, "F": 4, "1": 1}.items():
        size = total({"png": image.new(mode, (200, 100))})
        assert 200 * 100 * each <= size < 200 * 100 * each + 5000, mode
    # One that is not loaded yet is counted as it will be.
    file = io.BytesIO()
    image.new("RGB", (200, 100)).save(file, "PNG")
    assert total({"png": image.open(io.BytesIO(file.getvalue()))}) > 200 * 100 * 4


def test_tensors():
    torch = pytest.importorskip("torch")
    assert total({"x": torch.zeros(1000)}) == 4000
    assert total({"x": [torch.zeros(1000)[:3]]}) >= 4000
    sparse = torch.zeros(50, 50)
    sparse[::7] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a layout that is new to torch
        rows = sparse.to_sparse_csr()
    for made, least in ((sparse.to_sparse(), 400 * 20), (rows, 400 * 12)):
        assert least <= total({"x": made}) < 20_000


def test_arrays_count_as_before():
    """Their owners alone, beside numbers and what says where a sample comes from."""
    x = np.zeros(1000, np.uint8)
    for sample in (
        {"__key__": "a", "__url__": "b" * 1000, "npy": x[:10], "cls": 7, "score": 0.5},
        {"npy": x, "bytes": memoryview(x)[3:]},
        [x[5:], x[:5]],
        (x, 7),
        x,
    ):
        assert extents(sample) == memory.owners(sample)
        assert total(sample) == 1000
    assert total({"npy": x, "mp4": b"1" * 500}) >= 1500


def test_shared_objects_count_once():
    shared = text()
    came = 0

    def samples():
        nonlocal came
        for _ in range(50):
            came += 1
            yield {"npy": np.zeros(100, np.uint8), "txt": shared}

    next(iter(wds.shuffle(20_000)(samples())))
    # The text once, and a hundred bytes of each.
    assert came == 50


def test_long_and_deep():
    """What has more objects than are looked at counts as if the others were as large."""
    numbers = [float(i) for i in range(200_000)]
    assert 0.7 < total(numbers) / (sys.getsizeof(numbers) + 24 * 200_000) < 1.5
    deep = current = []
    for _ in range(50_000):
        current += [[], text()[:100]]
        current = current[0]
    assert total(deep) > 1_000_000
    began = time.perf_counter()
    total(deep)
    assert time.perf_counter() - began < 5


def test_order_of_texts_does_not_depend_on_addresses():
    def order():
        return list(wds.shuffle(20_000)([f"{i:04d}" + text()[:500] for i in range(200)]))

    first = order()
    assert order() == first != sorted(first)
