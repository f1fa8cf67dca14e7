"""Samples of PCM to clips: every type, order of bytes and layout, to the bit."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from clipx import _kernel

TYPES = ("u8", "s8", "s16", "s24", "s32", "s64", "f32", "f64")
LAW = np.arange(-32768, 32768, 256, dtype=np.int16)[::-1].copy()

HARSH = [0.0, -0.0, 1.0, -1.0, 0.5 / 32768, 1.5 / 32768, -2.5 / 32768, 32766.5 / 32768, 32767.5 / 32768, -1.00002, 2.0]
HARSH += [65535.9, 65536.0, -65536.0, 1e30, -1e30, 1e-40, np.inf, -np.inf, np.nan]


def data_of(type, big, n, rng):
    """n samples: of floats small ones, and in between harsh ones."""
    if type[0] != "f":
        return rng.integers(0, 256, n * int(type[1:]) // 8, dtype=np.uint8).tobytes()
    values = rng.normal(0, 0.4, n)
    values[rng.random(n) < 0.3] = rng.choice(HARSH)
    return values.astype(f"{'>' if big else '<'}f{int(type[1:]) // 8}").tobytes()


def made(shape, dtype, value=77):
    return np.full(shape, value, dtype)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("type", TYPES)
def test_all_samples_of_a_type(type, big, dtype):
    rng = np.random.default_rng(3)
    for channels in (1, 2, 3, 6, 16):
        for n in (1, 7, 64, 1500):
            data = data_of(type, big, n * channels, rng)
            expected = reference.pcm(data, type, big, channels, dtype)
            for order in ("CN", "NC"):
                clip = made(expected.shape if order == "CN" else expected.T.shape, dtype)
                _kernel.Pcm(type, big, channels, dtype, order).write(data, clip)
                got = clip if order == "CN" else clip.T
                np.testing.assert_array_equal(got, expected, f"{channels} channels, {n}, {order}")
                assert np.array_equal(np.signbit(got), np.signbit(expected))


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("type", ["f32", "f64"])
def test_harsh_floats(type, dtype):
    values = np.array(HARSH * 4)
    data = values.astype(f"<f{int(type[1:]) // 8}").tobytes()
    expected = reference.pcm(data, type, False, 1, dtype)
    clip = made((1, len(values)), dtype)
    _kernel.Pcm(type, False, 1, dtype, "CN").write(data, clip)
    np.testing.assert_array_equal(clip, expected)


@given(
    type=st.sampled_from(TYPES),
    big=st.booleans(),
    channels=st.integers(1, 9),
    dtype=st.sampled_from(["float32", "int16"]),
    order=st.sampled_from(["CN", "NC"]),
    step=st.integers(1, 5),
    lengths=st.tuples(st.integers(0, 6), st.integers(1, 700), st.integers(0, 6)),
    places=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 8)),
    seed=st.integers(0, 99),
)
def test_frames_with_a_step_go_to_positions(type, big, channels, dtype, order, step, lengths, places, seed):
    before, count, behind = lengths
    first, spare, rest = places
    n = first + (count - 1) * step + 1 + spare
    pcm = _kernel.Pcm(type, big, channels, dtype, order)
    data = data_of(type, big, n * channels, np.random.default_rng(seed))
    # Frames need not lie at multiples of their size, nor end where the data does.
    data = memoryview(bytes(rest) + data + bytes(min(rest, pcm.frame_bytes - 1)))[rest:]
    length = before + count + behind
    expected = made((channels, length), dtype)
    expected[:, before : before + count] = reference.pcm(data, type, big, channels, dtype)[:, first::step][:, :count]
    clip = made(expected.shape if order == "CN" else expected.T.shape, dtype)
    pcm.write(data, clip, before, first, step, count)
    np.testing.assert_array_equal(clip if order == "CN" else clip.T, expected)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_law_names_each_byte(dtype):
    data = bytes(range(256)) * 3
    clip = made((3, 256), dtype)
    _kernel.Pcm("law", True, 3, dtype, "CN", LAW).write(data, clip)
    expected = LAW[np.frombuffer(data, np.uint8).reshape(256, 3).T]
    np.testing.assert_array_equal(clip, expected if dtype == "int16" else expected / np.float32(32768))


def test_frame_bytes():
    assert _kernel.Pcm("s24", False, 6, "int16", "CN").frame_bytes == 18


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"first": -1}, IndexError, "frames from -1 on"),
        ({"first": 20}, IndexError, "lie outside of 20"),
        ({"first": 11}, IndexError, "10 frames from 11 on"),
        ({"step": 3}, IndexError, "3 apart, lie outside of 20"),
        ({"step": 0}, IndexError, "0 apart"),
        ({"step": 2**62, "count": 3}, IndexError, "lie outside"),
        ({"position": -1}, IndexError, "position -1"),
        ({"position": 11}, IndexError, "position 11"),
        ({"position": 5, "count": 6}, IndexError, "6 positions from 5 on"),
        ({"count": -2}, IndexError, "-2 positions"),
        ({"clip": np.zeros((10, 2), "f4")}, ValueError, "2 channels"),
        ({"clip": np.zeros((2, 10), "f8")}, ValueError, "items of 4 bytes"),
        ({"clip": np.zeros(20, "f4")}, ValueError, "2 channels"),
        ({"clip": np.zeros((2, 20), "f4")[:, ::2]}, (ValueError, BufferError), "contiguous"),
        ({"data": np.zeros((4, 40), "u1")[:, ::2]}, (ValueError, BufferError), "contiguous"),
    ],
)
def test_what_does_not_fit_is_refused(kwargs, error, message):
    pcm = _kernel.Pcm("s16", False, 2, "float32", "CN")
    with pytest.raises(error, match=message):
        pcm.write(**{"data": bytes(80), "clip": np.zeros((2, 10), "f4"), **kwargs})


def test_no_positions_are_written():
    clip = made((2, 10), "float32")
    _kernel.Pcm("s16", False, 2, "float32", "CN").write(b"", clip, 10)
    assert np.all(clip == 77)


def test_a_clip_that_overlaps_its_data_is_refused():
    clip = np.zeros((1, 100), "f4")
    with pytest.raises(ValueError, match="overlaps"):
        _kernel.Pcm("f32", False, 1, "float32", "CN").write(clip.view(np.uint8)[0, 4:], clip, count=1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("s16", False, 2, "float64", "CN"), "float64"),
        (("s16", False, 2, "float32", "CHW"), "CHW"),
        (("s16", False, 0, "float32", "CN"), "0 channels"),
        (("s16", False, 65, "float32", "CN"), "65 channels"),
        (("law", False, 1, "float32", "CN", bytes(511)), "511 bytes"),
    ],
)
def test_what_is_not_known_is_refused(args, message):
    with pytest.raises(ValueError, match=message):
        _kernel.Pcm(*args)
