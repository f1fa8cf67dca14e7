"""Clips' samples as encoders take them, without a source, and files of encoded clips read back."""

import io

import numpy as np

import clipx
from clipx import VideoOptions, WindowSpec
from clipx.datasets.fields import Field

ONE = {Field("avi"): Field("avi")}
"""The fields of a sample with one source."""


def moving(n=8, height=48, width=64, channels=3, seed=0):
    """Pictures of smooth waves that move, with some noise."""
    t, y, x, c = np.ogrid[:n, :height, :width, :channels]
    waves = 128 + 90 * np.sin(x / 9 + t / 3 + c) * np.cos(y / 7 - t / 5 + 2 * c)
    return (waves + np.random.default_rng(seed).integers(-6, 7, waves.shape)).clip(0, 255).astype(np.uint8)


def clip_sample(array, times=None, lasts=None, sound=None, rate=None, valid=None, field="avi"):
    """The sample of a clip, of frames at these times and of these durations, by default of 25 frames a second."""
    n = len(array)
    times = [2.0 + k / 25 for k in range(n)] if times is None else times
    facts = {"index": 0, "valid": n if valid is None else valid, "length": n, "frame_indices": list(range(n))}
    facts |= {"pts_seconds": times, "duration_seconds": [0.04] * n if lasts is None else lasts}
    out = {"__key__": "a_000000", field: array, "clip.json": facts}
    if sound is not None:
        out["audio"] = sound
    if rate is not None:
        facts["sample_rate"] = rate
    return out


def sound_sample(array, rate=16000, field="avi"):
    """The sample of a clip of sound."""
    return {"__key__": "a_000000", field: array, "clip.json": {"index": 0, "sample_rate": rate, "pts_seconds": 0.5}}


def joined_bytes(data):
    """The bytes of an encoded field."""
    return b"".join(data) if isinstance(data, tuple) else bytes(data)


def whole_clip(data, n, color="rgb", audio=None):
    """All n frames of a video as one clip, with the sound that is heard with them."""
    options = VideoOptions(color=color)
    (clip,) = clipx.video.clips(io.BytesIO(joined_bytes(data)), WindowSpec(n), options=options, audio=audio)
    return clip
