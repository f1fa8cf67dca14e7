"""Arrays of random numbers, and the bytes of .npy and .npz files."""

import io

import numpy as np


def array(n, seed=0, shape=(8, 8, 3), dtype="uint8"):
    """n frames."""
    return np.random.default_rng((n, seed)).integers(0, 256, (n, *shape)).astype(dtype)


def npy(value, version=None):
    """The bytes of a .npy file; version: of its header, else the least that can hold it."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(value), version)
    return file.getvalue()


def npz(save=np.savez, **arrays):
    """The bytes of an .npz file."""
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def address(array):
    return array.__array_interface__["data"][0]


def random_bytes(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, count, dtype=np.uint8)
