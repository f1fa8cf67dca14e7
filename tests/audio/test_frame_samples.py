"""Samples of decoded frames in blocks, of every type that FFmpeg has: as its resampler converts them."""

import av
import numpy as np
import pytest
from av.audio.plane import AudioPlane

from clipx import AudioFormat, _kernel
from clipx.audio.resampling import Resampler

TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
LAYOUTS = ["mono", "stereo", "5.1", "7.1", "9.1.6"]


def frame_of(samples, type, layout, rate=16000):
    """A frame of samples (channels, n)."""
    frame = av.AudioFrame(format=type, layout=layout, samples=samples.shape[1])
    frame.sample_rate = rate
    for i, row in enumerate(samples if type.endswith("p") else [samples.T]):
        data = np.ascontiguousarray(row).tobytes()
        plane = memoryview(AudioPlane(frame, i))
        plane[: len(data)] = data
    return frame


def random_samples(type, channels, n, seed=0):
    dtype = np.dtype(TYPES[type.removesuffix("p")])
    rng = np.random.default_rng(seed)
    if dtype.kind == "f":
        return rng.uniform(-1.1, 1.1, (channels, n)).astype(dtype)
    info = np.iinfo(dtype)
    found = rng.integers(info.min, info.max, (channels, n), dtype, endpoint=True)
    found[:, 0], found[:, -1] = info.min, info.max
    return found


def resampled(frame, format):
    """(channels, n): what FFmpeg's resampler makes of a frame."""
    resampler = av.AudioResampler({"float32": "flt", "int16": "s16"}[format.dtype], frame.layout.name, frame.rate)
    made = resampler.resample(frame) + resampler.resample(None)
    return np.concatenate([each.to_ndarray().reshape(each.samples, -1).T for each in made if each], axis=1)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("type", [each + end for each in TYPES for end in ("", "p")])
def test_every_type_is_converted_as_ffmpeg_does(type, layout, dtype):
    format = AudioFormat(dtype=dtype)
    sound = Resampler(format, "it")
    got, wanted = [], []
    for seed, n in enumerate((1, 3, 64, 1000)):
        frame = frame_of(random_samples(type, av.AudioLayout(layout).nb_channels, n + 1, seed), type, layout)
        got += [sound.array(each) for each in sound.convert(frame)]
        wanted.append(resampled(frame, format))
    got += [sound.array(each) for each in sound.convert(None)]
    np.testing.assert_array_equal(np.concatenate(got, axis=1), np.concatenate(wanted, axis=1))


def test_frames_of_several_types_follow_each_other():
    sound = Resampler(AudioFormat(), "it")
    frames = [frame_of(random_samples(type, 2, 50), type, "stereo") for type in ("s16", "s32p", "fltp", "dbl", "s16")]
    got = [sound.array(each) for frame in [*frames, None] for each in sound.convert(frame)]
    wanted = [resampled(frame, AudioFormat()) for frame in frames]
    np.testing.assert_array_equal(np.concatenate(got, axis=1), np.concatenate(wanted, axis=1))


def test_planes_are_copied_to_a_block():
    planes = np.arange(12, dtype=np.float32).reshape(2, 6)
    block = np.full((2, 9), -1, np.float32)
    _kernel.copy_planes(lambda frame, i: frame[i], planes, 5, block, 3)
    np.testing.assert_array_equal(block[:, 3:8], planes[:, :5])
    assert (block[:, [0, 1, 2, 8]] == -1).all()
    part = np.full((2, 20), -1, np.float32)[:, 4:10]
    _kernel.copy_planes(lambda frame, i: frame[i], planes, 6, part, 0)
    np.testing.assert_array_equal(part, planes)
    assert (part.base[:, [3, 10]] == -1).all()


def test_planes_and_blocks_that_do_not_fit():
    planes, block = np.zeros((2, 6), np.float32), np.zeros((2, 9), np.float32)

    def plane(frame, i):
        return frame[i]

    for n, position in ((-1, 0), (1, -1), (5, 5), (1, 9), (10, 0)):
        with pytest.raises(IndexError, match="outside of a block of 9"):
            _kernel.copy_planes(plane, planes, n, block, position)
    with pytest.raises(IndexError, match="outside of a plane of 24"):
        _kernel.copy_planes(plane, planes, 7, block, 0)
    for wrong in (np.zeros(9, np.float32), np.zeros((9, 2), np.float32).T):
        with pytest.raises(ValueError, match="contiguous rows"):
            _kernel.copy_planes(plane, planes, 1, wrong, 0)
    with pytest.raises(ValueError, match="C-contiguous"):
        _kernel.copy_planes(lambda frame, i: frame[i, ::2], planes, 1, block, 0)
    block.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match=r"read-only|not writable"):
        _kernel.copy_planes(plane, planes, 1, block, 0)
