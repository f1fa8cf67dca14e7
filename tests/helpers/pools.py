"""Clips in the slots of pools."""

import pickle

import numpy as np

from helpers.arrays import address

PAIR = np.dtype([("key", "<u4"), ("at", ">f8")])


def again(value):
    return pickle.loads(pickle.dumps(value))


def check_array(clip, dims, dtype):
    assert type(clip) is np.ndarray
    assert clip.shape == dims
    assert clip.dtype == np.dtype(dtype)
    assert clip.flags.c_contiguous
    assert clip.flags.writeable
    assert clip.flags.aligned
    assert not clip.flags.owndata
    assert address(clip) % 64 == 0


def in_cycle(clip):
    cell = [clip]
    cell.append(cell)
