"""fill_value in every dtype, and random starts."""

import numpy as np
import pytest
from helpers.windows import same

import clipx
from clipx.windows import extract, iterate


@pytest.mark.parametrize(("dtype", "value"), [
    ("u1", 255),
    ("u1", np.float32(7)),
    ("i1", -128),
    ("i8", -(2**63)),
    ("u8", 2**64 - 1),
    (">i4", 258),
    ("?", True),
    ("f2", 0.5),
    ("f4", 0.1),
    ("f8", float("nan")),
    ("f8", float("-inf")),
    (">f8", 3),
    ("c8", 1 - 2j),
    ("M8[s]", np.datetime64("2020-01-02", "s")),
    ("M8[s]", "2020-01-02T03:04:05"),
    ("m8[ms]", np.timedelta64("NaT", "ms")),
    ("S5", b"abc"),
    ("U3", "ab"),
    ("V3", b"xyz"),
    ("V9000", bytes(range(250)) * 36),
    ([("a", "u1"), ("b", "f4")], 3),
    ([("a", "u1"), ("b", "f4")], np.array((1, 2.5), [("a", "u1"), ("b", "f4")])[()]),
])  # fmt: skip
def test_fill(dtype, value):
    frames = np.zeros((7, 5), dtype)
    wanted = np.zeros((2, 4, 5), dtype)
    wanted[1, 3] = value
    same(extract(frames, 4, policy="constant", fill_value=value), wanted)
    for clip, row in zip(iterate(frames, 4, policy="constant", fill_value=value), wanted, strict=True):
        same(clip, row)


@pytest.mark.parametrize(("dtype", "value"), [
    ("u1", 256),
    ("u1", -1),
    ("i1", 128),
    ("u1", np.int64(300)),
    ("i4", 0.5),
    ("i4", np.float32(0.5)),
    ("i4", float("nan")),
    ("i4", np.float64("nan")),
    ("i8", np.uint64(2**63)),
    ("i8", 2.0**63),
    ("u1", np.inf),
    ("?", 2),
    ("?", -0.5),
    ("i4", "x"),
    ("i4", "7"),
    ("i4", None),
    ("f4", "x"),
    ("f4", 1j),
    ("f4", np.complex64(1j)),
    ("M8[s]", "never"),
    ("f8", object()),
])  # fmt: skip
def test_fill_that_does_not_fit(dtype, value):
    frames = np.zeros((7, 5), dtype)
    for function in (extract, iterate):
        with pytest.raises(ValueError, match="fill_value is ") as caught:
            function(frames, 4, policy="constant", fill_value=value)
        assert repr(value) in str(caught.value)
        assert str(frames.dtype) in str(caught.value)
    # Only a policy that fills looks at it.
    assert extract(frames, 4, policy="wrap", fill_value=value).shape == (2, 4, 5)


def test_random_starts():
    frames = np.arange(1000)
    plan = {"length": 4, "num_clips": 6, "sampling": "random"}
    whole = extract(frames, rng=3, **plan)
    at = clipx.windows.starts(1000, rng=3, **plan)
    same(whole, frames[at[:, None] + np.arange(4)])
    same(np.stack(list(iterate(frames, rng=3, **plan))), whole)
    same(extract(frames, rng=np.random.default_rng(3), **plan), whole)
    rng = np.random.default_rng(3)
    clips = iterate(frames, rng=rng, **plan)
    rng.random(50)  # drawn at the call, not while iterating
    same(np.stack(list(clips)), whole)
