"""Clips of arrays as the reference gives them, and the arrays they come from."""

import numpy as np
import reference

FILL = {"policy": "constant", "fill_value": 7}


def numbers(shape, dtype="uint8", seed=0):
    """Random bytes as an array of any plain dtype."""
    dtype = np.dtype(dtype)
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(bytearray(raw), dtype).reshape(shape)


def table_of(n, length, stride=None, dilation=1, policy="drop", num_clips=None, **_):
    at = reference.starts(n, length, stride, dilation, policy, num_clips)
    return reference.indices(n, at, length, dilation, policy)


def expected(frames, axis=0, **plan):
    frames = np.moveaxis(frames, axis, 0)
    return reference.gather(frames, table_of(len(frames), **plan), plan.get("fill_value", 0))


def same(got, wanted):
    assert type(got) is np.ndarray
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert got.tobytes() == wanted.tobytes()


def only(**methods):
    """An object with these methods and no others."""
    return type("Only", (), {f"__{name}__": each for name, each in methods.items()})()


def block(size):
    """Bytes that tell when they are touched, and room around them."""
    return np.full(size, 0xA5, np.uint8)
