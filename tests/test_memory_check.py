"""memory.check: limits of what the process holds."""

import numpy as np
import pytest
from helpers.shards import array_samples

import clipx
from clipx import memory, wds

WINDOW = clipx.WindowSpec(4, 2)


def test_check_passes():
    pool = clipx.ClipPool(2, 2_000_000)
    memory.check({})
    memory.check({"__key__": "a", "x": np.zeros(5_000_000, np.uint8), "y": b"bytes", "z": None})
    memory.check({"small": np.zeros(1_000_000, np.uint8)[:10]})  # a megabyte is within the slack
    memory.check({"half": np.zeros(8_000_000, np.uint8)[:4_000_000]})
    memory.check({"clip": pool.acquire((1_500_000,))})
    for sample in wds.clips(WINDOW)(array_samples(1, 400, (100, 100))):
        memory.check(sample)


@pytest.mark.parametrize("kind", ["slice", "step", "memoryview", "nested", "tensor"])
def test_check_raises(kind):
    whole = np.zeros(8_000_000, np.uint8)
    make = {
        "slice": lambda: whole[100:300],
        "step": lambda: whole[::40_000],
        "memoryview": lambda: memoryview(whole)[:200],
        "nested": lambda: {"deep": [whole[:200]]},
        "tensor": lambda: pytest.importorskip("torch").from_numpy(whole)[:200].clone()[:0].new_zeros(8_000_000)[:200],
    }
    value = make[kind]()
    if kind == "tensor":
        value = value.to(dtype=value.dtype)
        assert memory.payload_bytes(value) == 200
    with pytest.raises(ValueError, match=r"'view' shows 200 bytes but keeps 8000000 alive"):
        memory.check({"__key__": "a", "good": np.zeros(3), "view": value})


@pytest.mark.parametrize(("size", "shown", "raises"), [(3_000_000, 1_000_000, True), (2_000_000, 1_000_000, False)])
def test_check_limits(size, shown, raises):
    sample = {"x": np.zeros(size, np.uint8)[:shown]}
    if raises:
        with pytest.raises(ValueError, match="'x'"):
            memory.check(sample)
    else:
        memory.check(sample)
