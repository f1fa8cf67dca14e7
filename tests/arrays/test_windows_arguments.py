"""Frames and arguments that are refused."""

import tracemalloc

import numpy as np
import pytest
from helpers.windows import numbers, only

from clipx.windows import extract, iterate

REFUSED = {
    "list": lambda: [[1, 2], [3, 4]],
    "tuple": lambda: (1, 2, 3),
    "text": lambda: "frames",
    "number": lambda: 3,
    "none": lambda: None,
    "generator": lambda: (i for i in range(5)),
    "object": object,
    "objects": lambda: np.array([1, "a", None], object),
    "structured objects": lambda: np.zeros(5, [("a", "u1"), ("b", "O")]),
    "masked": lambda: np.ma.zeros((5, 2)),
    "array of objects": lambda: only(array=lambda self, dtype=None, copy=None: np.zeros(5, object)),
    "strings": lambda: np.array(["a", "bc", "d"], np.dtypes.StringDType()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_frames_refused(name):
    if name == "strings" and not hasattr(np.dtypes, "StringDType"):
        pytest.skip("NumPy 1 has no StringDType")
    for function in (extract, iterate):
        with pytest.raises(TypeError, match="frames"):
            function(REFUSED[name](), 2)


@pytest.mark.parametrize("frames", [np.array(3), np.float32(3), np.zeros((), "V4")])
def test_no_time_axis(frames):
    for function in (extract, iterate):
        with pytest.raises(ValueError, match="frames has no dimensions"):
            function(frames, 2)


@pytest.mark.parametrize(("name", "value", "error"), [
    ("length", 0, ValueError),
    ("length", 2.0, TypeError),
    ("length", True, TypeError),
    ("stride", -1, ValueError),
    ("stride", "2", TypeError),
    ("dilation", 0, ValueError),
    ("policy", "crop", ValueError),
    ("sampling", "all", ValueError),
    ("num_clips", 0, ValueError),
    ("num_clips", False, TypeError),
    ("fill_value", (1, 2), ValueError),
    ("axis", 2, ValueError),
    ("axis", -3, ValueError),
    ("axis", True, TypeError),
    ("axis", 0.0, TypeError),
    ("axis", None, TypeError),
])  # fmt: skip
def test_bad_argument(name, value, error):
    frames = numbers((10, 6))
    for function in (extract, iterate):  # iterate: at the call, not at the first clip
        with pytest.raises(error) as caught:
            function(frames, **{"length": 2, name: value})
        assert name in str(caught.value)
        assert str(np.shape(value) if name == "fill_value" else repr(value)) in str(caught.value)


@pytest.mark.parametrize(("value", "error"), [
    (0, ValueError),
    (-2, ValueError),
    (True, TypeError),
    (1.5, TypeError),
    ("2", TypeError),
    (None, TypeError),
], ids=repr)  # fmt: skip
def test_bad_num_threads(value, error):
    with pytest.raises(error, match="num_threads is ") as caught:
        extract(numbers((10, 6)), 2, num_threads=value)
    assert repr(value) in str(caught.value)


def test_policy_error_raises_at_the_call():
    for function in (extract, iterate):
        with pytest.raises(ValueError, match="1 of 10 frames are left"):
            function(numbers((10, 6)), 3, policy="error")


@pytest.mark.parametrize(("function", "shape", "plan"), [
    (extract, (2, 2**40), {"length": 2**30, "policy": "repeat_last"}),
    (extract, (2, 2**40), {"length": 2**24, "policy": "wrap"}),
    (extract, (2**21, 2**41), {"length": 4, "stride": 1}),
    (extract, (8, 2**42), {"length": 2, "num_clips": 2**20}),
    (extract, (8, 2**42), {"length": 2, "num_clips": 2**20, "sampling": "random", "rng": 0}),
    (extract, (2, 0), {"length": 2**60, "policy": "repeat_last"}),
    (iterate, (2, 2**40), {"length": 2**24, "policy": "repeat_last"}),
    (iterate, (2, 0), {"length": 2**60, "policy": "repeat_last"}),
])  # fmt: skip
def test_too_large(function, shape, plan):
    frames = np.broadcast_to(np.uint8(0), shape)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"clip|plan|length"):
            function(frames, **plan)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Said from the sizes, before memory is asked for the plan.
    assert peak < 1 << 20
