"""`out=`: written as a whole, or refused before anything is written."""

import numpy as np
import pytest
from helpers.windows import FILL, block, expected, numbers, same
from numpy.lib.stride_tricks import as_strided

from clipx.windows import extract


@pytest.mark.parametrize("offset", [0, 1, 3, 64])
def test_out(offset):
    frames = numbers((11, 6, 3), "i4")
    wanted = expected(frames, length=4, stride=3, **FILL)
    room = block(wanted.nbytes + 128)
    out = room[offset : offset + wanted.nbytes].view("i4").reshape(wanted.shape)
    assert extract(frames, 4, 3, out=out, **FILL) is out
    same(out, wanted)
    assert (room[:offset] == 0xA5).all()
    assert (room[offset + wanted.nbytes :] == 0xA5).all()


def test_out_beside_frames():
    room = numbers(200)
    frames, out = room[:40].reshape(10, 4), room[40:80].reshape(2, 5, 4)
    wanted = expected(frames, length=5)
    same(extract(frames, 5, out=out), wanted)
    interleaved = as_strided(room, (10, 4), (20, 1))  # reaches past out on both sides, and never into it
    out = room[4:20].reshape(4, 1, 4)[:4]
    same(extract(interleaved, 1, 3, out=out), expected(interleaved, length=1, stride=3))


def test_out_with_no_clips():
    out = np.zeros((0, 5, 3), "u1")
    assert extract(np.zeros((4, 3), "u1"), 5, out=out) is out


def frozen(x):
    x.flags.writeable = False
    return x


BAD_OUTS = {
    "shape": (lambda f: np.zeros((3, 4, 6), "i4"), ValueError, r"out has shape \(3, 4, 6\).*\(2, 4, 6\)"),
    "flat": (lambda f: np.zeros(48, "i4"), ValueError, r"out has shape \(48,\)"),
    "dtype": (lambda f: np.zeros((2, 4, 6), "u4"), ValueError, "out has dtype uint32.*int32"),
    "byte order": (lambda f: np.zeros((2, 4, 6), ">i4"), ValueError, "out has dtype >i4"),
    "fortran": (lambda f: np.zeros((2, 4, 6), "i4", "F"), ValueError, "out has strides.*C-contiguous"),
    "steps": (lambda f: np.zeros((2, 4, 12), "i4")[..., ::2], ValueError, "out has strides.*C-contiguous"),
    "read-only": (lambda f: frozen(np.zeros((2, 4, 6), "i4")), ValueError, "out is read-only"),
    "frames themselves": (lambda f: f[:8].reshape(2, 4, 6), ValueError, "out overlaps frames"),
    "last element": (lambda f: as_strided(f[9:, 5:], (2, 4, 6), (96, 24, 4)), ValueError, "out overlaps frames"),
    "list": (lambda f: [[0] * 6] * 8, TypeError, "out is a list"),
    "bytearray": (lambda f: bytearray(192), TypeError, "out is a bytearray"),
    "number": (lambda f: 0, TypeError, "out is a int"),
}


@pytest.mark.parametrize("name", BAD_OUTS)
def test_bad_out(name):
    make, error, words = BAD_OUTS[name]
    room = numbers((40, 6), "i4")
    frames = room[:10]
    out = make(frames)
    before = room.tobytes(), repr(out)
    with pytest.raises(error, match=words):
        extract(frames, 4, out=out)
    assert before == (room.tobytes(), repr(out))


@pytest.mark.parametrize("bad", [
    {"policy": "error"},
    {"policy": "constant", "fill_value": 2.5},
    {"num_threads": 0},
    {"axis": 2},
    {"dilation": 0},
    {"stride": 1, "num_clips": 2},
    {"num_clips": 2, "sampling": "random", "rng": -1},
])  # fmt: skip
def test_error_before_any_write(bad):
    out = np.full((2, 4, 6), 77, "i4")
    with pytest.raises(ValueError):
        extract(numbers((10, 6), "i4"), 4, out=out, **bad)
    assert (out == 77).all()
