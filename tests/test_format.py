"""How a frame is written: what a `ClipFormat` takes, and the sizes that it gives."""

import dataclasses
import importlib.util
import pickle
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from clipx.format import PRESETS, ClipFormat

IMAGENET_MEAN, IMAGENET_STD = PRESETS["imagenet"]


def test_defaults_leave_a_picture_as_it_is():
    plain = ClipFormat()
    assert (plain.crop, plain.resize, plain.flip) == (None, None, False)
    assert (plain.dtype, plain.scale, plain.mean, plain.std, plain.order) == (None,) * 5
    assert (plain.interpolation, plain.antialias, plain.resizes) == ("bilinear", None, False)
    assert not plain.computes
    assert not plain.is_random
    assert plain.written_dtype(np.dtype("i2")) == np.int16
    assert plain.clip_shape(4, 5, 6, 3) == (4, 5, 6, 3)
    assert plain.resized(272, 641) == (272, 641)
    assert plain.views(272, 641) == ((0, 0, 272, 641, False),)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"crop": 112}, {"crop": (112, 112)}),
        ({"crop": np.int64(112)}, {"crop": (112, 112)}),
        ({"crop": (90, 120)}, {"crop": (90, 120)}),
        ({"crop": [90, np.uint8(120)]}, {"crop": (90, 120)}),
        ({"crop": (0, 5, 90, 120)}, {"crop": (0, 5, 90, 120)}),
        ({"crop": [1, 0, 2, 3]}, {"crop": (1, 0, 2, 3)}),
        ({"resize": 128}, {"resize": 128}),
        ({"resize": np.int32(128)}, {"resize": 128}),
        ({"resize": (90, 120)}, {"resize": (90, 120)}),
        ({"resize": [90, 120]}, {"resize": (90, 120)}),
        ({"flip": True}, {"flip": True}),
        ({"flip": np.float32(0.5)}, {"flip": 0.5}),
        ({"flip": 0.0}, {"flip": False}),
        ({"flip": 1.0}, {"flip": True}),
        ({"crop": ("random", 7)}, {"crop": ("random", (7, 7))}),
        ({"crop": ["random", [7, np.int8(9)]]}, {"crop": ("random", (7, 9))}),
        ({"dtype": np.float32}, {"dtype": "float32"}),
        ({"dtype": np.dtype("f2")}, {"dtype": "float16"}),
        ({"dtype": np.uint8}, {"dtype": "uint8"}),
        ({"dtype": ml_dtypes.bfloat16}, {"dtype": "bfloat16"}),
        ({"scale": np.float64(0.5)}, {"scale": 0.5, "dtype": "float32"}),
        ({"scale": Fraction(1, 4)}, {"scale": 0.25}),
        ({"scale": -2}, {"scale": -2.0}),
        ({"mean": 3}, {"mean": (3.0,)}),
        ({"mean": np.array([1, 2, 3])}, {"mean": (1.0, 2.0, 3.0)}),
        ({"std": [np.float32(0.5), -2]}, {"std": (0.5, -2.0)}),
        ({"mean": [1], "std": (1, 2, 3)}, {"mean": (1.0,), "std": (1.0, 2.0, 3.0)}),
        ({"mean": "imagenet"}, {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "scale": 1 / 255, "dtype": "float32"}),
        ({"std": "imagenet"}, {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "scale": 1 / 255}),
        ({"mean": "clip", "std": "clip"}, dict(zip(("mean", "std", "scale"), (*PRESETS["clip"], 1 / 255)))),
        ({"mean": "imagenet", "scale": 1.0}, {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "scale": 1.0}),
        ({"mean": "imagenet", "std": 2}, {"mean": IMAGENET_MEAN, "std": (2.0,), "scale": 1 / 255}),
        ({"mean": 0.5, "std": "imagenet"}, {"mean": (0.5,), "std": IMAGENET_STD, "scale": 1 / 255}),
        ({"mean": "imagenet", "std": np.ones(3)}, {"mean": IMAGENET_MEAN, "std": (1.0, 1.0, 1.0), "scale": 1 / 255}),
        ({"mean": np.zeros(3), "std": "imagenet"}, {"mean": (0.0, 0.0, 0.0), "std": IMAGENET_STD, "scale": 1 / 255}),
        ({"mean": "kinetics", "dtype": "float16"}, {"mean": "kinetics", "dtype": "float16"}),
        ({"scale": 256, "mean": -224, "dtype": "float16"}, {"scale": 256.0, "mean": (-224.0,), "dtype": "float16"}),
        ({"order": "CTHW"}, {"order": "CTHW"}),
    ],
)
def test_takes(given, kept):
    made = ClipFormat(**given)
    assert made == ClipFormat(**kept)
    assert made == dataclasses.replace(made)
    assert hash(made) == hash(ClipFormat(**kept))
    for name, value in kept.items():
        if isinstance(value, str) and value in PRESETS:
            continue
        assert repr(getattr(made, name)) == repr(value)  # NumPy's integers and lists are gone


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"crop": 0}, ValueError, "crop is 0, but must be at least 1"),
        ({"crop": -3}, ValueError, "crop is -3"),
        ({"crop": 1.5}, TypeError, "crop is 1.5, but must be an integer"),
        ({"crop": "112"}, TypeError, "crop is '112'"),
        ({"crop": True}, TypeError, "crop is True"),
        ({"crop": ()}, ValueError, r"crop is \(\), but must be an integer or 2 or 4 integers"),
        ({"crop": (3,)}, ValueError, r"crop is \(3,\)"),
        ({"crop": (1, 2, 3)}, ValueError, r"crop is \(1, 2, 3\)"),
        ({"crop": [1, 2, 3, 4, 5]}, ValueError, r"crop is \[1, 2, 3, 4, 5\]"),
        ({"crop": (0, 4)}, ValueError, "crop is 0, but must be at least 1"),
        ({"crop": (4, 0)}, ValueError, "crop is 0, but must be at least 1"),
        ({"crop": (0, 0, 0, 4)}, ValueError, "crop is 0, but must be at least 1"),
        ({"crop": (0, 0, 4, 0)}, ValueError, "crop is 0, but must be at least 1"),
        ({"crop": (-1, 0, 4, 4)}, ValueError, "crop is -1, but must be at least 0"),
        ({"crop": (0, -2, 4, 4)}, ValueError, "crop is -2, but must be at least 0"),
        ({"crop": (4, 4.0)}, TypeError, "crop is 4.0"),
        ({"crop": (0, None, 4, 4)}, TypeError, "crop is None"),
        ({"crop": (4, False)}, TypeError, "crop is False"),
        ({"crop": {4, 5}}, TypeError, r"crop is \{4, 5\}"),
        ({"resize": 0}, ValueError, "resize is 0, but must be at least 1"),
        ({"resize": -128}, ValueError, "resize is -128"),
        ({"resize": 128.0}, TypeError, "resize is 128.0, but must be an integer"),
        ({"resize": "128"}, TypeError, "resize is '128'"),
        ({"resize": False}, TypeError, "resize is False"),
        ({"resize": ()}, ValueError, r"resize is \(\), but must be an integer or 2 integers"),
        ({"resize": (128,)}, ValueError, r"resize is \(128,\)"),
        ({"resize": (1, 2, 3)}, ValueError, r"resize is \(1, 2, 3\)"),
        ({"resize": (0, 0, 4, 4)}, ValueError, r"resize is \(0, 0, 4, 4\)"),
        ({"resize": (0, 4)}, ValueError, "resize is 0, but must be at least 1"),
        ({"resize": (4, -1)}, ValueError, "resize is -1, but must be at least 1"),
        ({"resize": (4, 4.5)}, TypeError, "resize is 4.5"),
        ({"flip": 1}, TypeError, "flip is 1, but must be True or False"),
        ({"flip": None}, TypeError, "flip is None"),
        ({"flip": "horizontal"}, TypeError, "flip is 'horizontal'"),
        ({"flip": 1.5}, ValueError, "flip is 1.5, but a probability lies from 0 to 1"),
        ({"flip": -0.5}, ValueError, "flip is -0.5"),
        ({"flip": float("nan")}, ValueError, "flip is nan"),
        ({"crop": "random"}, TypeError, "crop is 'random', .* a name and its size"),
        ({"crop": ("random",)}, ValueError, r"crop is \('random',\)"),
        ({"crop": ("random", 3, 4)}, ValueError, r"crop is \('random', 3, 4\)"),
        ({"crop": ("center", 3)}, ValueError, r"crop is \('center', 3\), but the names are random, three, five, ten"),
        ({"crop": ("random", 0)}, ValueError, "crop is 0, but must be at least 1"),
        ({"crop": ("random", (3, -4))}, ValueError, "crop is -4"),
        ({"crop": ("random", (1, 2, 3))}, ValueError, r"crop is \(1, 2, 3\)"),
        ({"crop": ("random", 2.5)}, TypeError, "crop is 2.5"),
        ({"crop": ("random", None)}, TypeError, "crop is None"),
        ({"scale": 0}, ValueError, "scale is 0"),
        ({"scale": -0.0}, ValueError, "scale is 0"),
        ({"scale": float("nan")}, ValueError, "scale is nan, but must be finite"),
        ({"scale": float("inf")}, ValueError, "scale is inf, but must be finite"),
        ({"scale": True}, TypeError, "scale is True, but must be a number"),
        ({"scale": "1"}, TypeError, "scale is '1', but must be a number"),
        ({"scale": 1j}, TypeError, "scale is 1j, but must be a number"),
        ({"scale": (1, 2, 3)}, TypeError, r"scale is \(1, 2, 3\), but must be a number"),
        ({"scale": np.ones(2)}, TypeError, "scale is .*, but must be a number"),
        ({"mean": float("-inf")}, ValueError, "mean is -inf, but must be finite"),
        ({"mean": (0, float("nan"), 0)}, ValueError, "mean is nan, but must be finite"),
        ({"mean": ()}, ValueError, r"mean is \(\), but must be a number, or one for each channel"),
        ({"mean": [[1, 2, 3]]}, ValueError, r"mean is \[\[1, 2, 3\]\], but must be a number, or one for each"),
        ({"mean": [1, [2, 3]]}, ValueError, r"mean is \[1, \[2, 3\]\]"),
        ({"mean": (1, None)}, TypeError, "mean is None, but must be a number"),
        ({"mean": (1, "2")}, TypeError, "mean is '2', but must be a number"),
        ({"mean": (1, True)}, TypeError, "mean is True, but must be a number"),
        ({"mean": {1, 2}}, TypeError, r"mean is \{1, 2\}, but must be a number"),
        ({"mean": 10**400}, TypeError, "mean is 1000"),
        ({"mean": "ImageNet"}, ValueError, "'ImageNet', but must be numbers or one of imagenet, kinetics, clip"),
        ({"std": "nothing"}, ValueError, "'nothing', but must be numbers or one of"),
        ({"mean": "imagenet", "std": "clip"}, ValueError, "mean is 'imagenet' and std is 'clip'"),
        ({"std": 0}, ValueError, r"std is \(0.0,\), but must not hold 0"),
        ({"std": (1, -0.0, 1)}, ValueError, r"std is \(1.0, -0.0, 1.0\), but must not hold 0"),
        ({"std": (1, float("inf"))}, ValueError, "std is inf, but must be finite"),
        ({"mean": (1, 2), "std": (1, 2, 3)}, ValueError, r"mean is \(1.0, 2.0\) and std is \(1.0, 2.0, 3.0\)"),
        ({"mean": (1, 2), "std": "imagenet"}, ValueError, r"mean is \(1.0, 2.0\) and std is"),
        ({"mean": 1.0, "scale": 5e-324}, ValueError, "scale is 5e-324, but mean 1.0"),
        ({"std": 1e-300}, ValueError, "std 1e-300"),
        ({"scale": 1e300}, ValueError, "scale is 1e[+]300"),
        ({"mean": 1e300}, ValueError, "mean 1e[+]300"),
        ({"std": (1, 1, 1e-38)}, ValueError, "dtype is 'float32', which holds up to 3.40282e[+]38, but bytes become"),
        ({"dtype": "float64"}, ValueError, "dtype is 'float64', but must be one of uint8, float16, bfloat16, float32"),
        ({"dtype": float}, ValueError, "dtype is <class 'float'>"),
        ({"dtype": ">f4"}, ValueError, "dtype is '>f4'"),
        ({"dtype": "int8"}, ValueError, "dtype is 'int8'"),
        ({"dtype": 5}, ValueError, "dtype is 5"),
        (
            {"dtype": "uint8", "mean": 1},
            ValueError,
            "dtype is 'uint8', which cannot hold what scale, mean and std make",
        ),
        ({"dtype": "uint8", "scale": 1.0}, ValueError, "dtype is 'uint8', which cannot hold"),
        ({"dtype": "uint8", "std": "clip"}, ValueError, "dtype is 'uint8', which cannot hold"),
        ({"dtype": "float16", "scale": 257}, ValueError, "dtype is 'float16', which holds up to 65504, but bytes"),
        ({"dtype": "float16", "mean": 65505}, ValueError, "dtype is 'float16', which holds up to 65504, but bytes"),
        ({"dtype": "float16", "std": (1, -1e-3, 1)}, ValueError, "dtype is 'float16', .* but bytes become 255000"),
        ({"dtype": "bfloat16", "std": 7.5e-37}, ValueError, "dtype is 'bfloat16', which holds up to 3.38953e[+]38"),
        ({"order": "TTHW"}, ValueError, "order is 'TTHW', but names a dimension twice"),
        ({"order": "THWCC"}, ValueError, "order is 'THWCC', but names a dimension twice"),
        ({"order": "HWTC"}, ValueError, "order is 'HWTC', but must be one of THWC, CTHW, TCHW, HWC, CHW"),
        ({"order": "cthw"}, ValueError, "order is 'cthw'"),
        ({"order": "NCHW"}, ValueError, "order is 'NCHW'"),
        ({"order": ""}, ValueError, "order is ''"),
        ({"order": ("T", "H", "W", "C")}, TypeError, r"order is \('T', 'H', 'W', 'C'\), but must be a text"),
    ],
)
def test_refuses(given, error, match):
    with pytest.raises(error, match=match):
        ClipFormat(**given)


def test_no_other_arguments():
    with pytest.raises(TypeError, match="size"):
        ClipFormat(size=3)


@pytest.mark.parametrize(
    ("resize", "size", "wanted"),
    [
        (128, (272, 640), (128, 301)),  # 301.18
        (136, (272, 640), (136, 320)),
        (136, (640, 272), (320, 136)),
        (128, (640, 272), (301, 128)),
        (240, (720, 1280), (240, 427)),  # 426.67
        (544, (272, 640), (544, 1280)),
        (100, (77, 77), (100, 100)),
        (272, (272, 640), (272, 640)),
        (1, (2, 1000), (1, 500)),
        (1, (1000, 3), (333, 1)),
        (1, (1, 1), (1, 1)),
        (7, (1, 3), (7, 21)),
        ((90, 120), (272, 640), (90, 120)),
        ((300, 10), (1, 1), (300, 10)),
    ],
)
def test_resized(resize, size, wanted):
    assert ClipFormat(resize=resize).resized(*size) == wanted


@pytest.mark.parametrize("short", [1, 16, 99, 224])
def test_the_shorter_side_is_as_asked_for(short):
    for height, width in np.random.default_rng(short).integers(1, 3000, (300, 2)).tolist():
        resized = ClipFormat(resize=short).resized(height, width)
        assert min(resized) == resized[height > width] == short
        assert abs(max(resized) - short * max(height, width) / min(height, width)) <= 0.5
        assert ClipFormat(resize=short).resized(width, height) == resized[::-1]


@pytest.mark.parametrize(
    ("crop", "size", "wanted"),
    [
        (112, (128, 301), (8, 94, 112, 112)),  # 94.5: the odd pixel is to the right
        (112, (129, 300), (8, 94, 112, 112)),  # 8.5: and below
        (3, (3, 3), (0, 0, 3, 3)),
        (1, (2, 2), (0, 0, 1, 1)),
        ((90, 120), (90, 121), (0, 0, 90, 120)),
        ((90, 120), (100, 130), (5, 5, 90, 120)),
        ((0, 5, 90, 120), (90, 125), (0, 5, 90, 120)),
        ((3, 0, 1, 1), (4, 1), (3, 0, 1, 1)),
    ],
)
def test_cropped(crop, size, wanted):
    assert ClipFormat(crop=crop).views(*size) == ((*wanted, False),)


@pytest.mark.parametrize(
    ("crop", "size", "match"),
    [
        (112, (111, 200), r"crop is \(112, 112\), but the picture is 111 by 200"),
        (112, (200, 111), "the picture is 200 by 111"),
        ((90, 120), (120, 90), r"crop is \(90, 120\)"),
        ((1, 0, 90, 120), (90, 120), r"crop is \(1, 0, 90, 120\)"),
        ((0, 1, 90, 120), (90, 120), r"crop is \(0, 1, 90, 120\)"),
        ((90, 0, 1, 1), (90, 120), r"crop is \(90, 0, 1, 1\)"),
        ((0, 120, 1, 1), (90, 120), r"crop is \(0, 120, 1, 1\)"),
    ],
)
def test_crop_outside(crop, size, match):
    with pytest.raises(ValueError, match=match):
        ClipFormat(crop=crop).views(*size)


def test_frozen_hashable_and_picklable():
    made = ClipFormat(crop=[1, 2, 3, 4], resize=[50, 60], flip=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.flip = False
    assert made == ClipFormat(crop=(1, 2, 3, 4), resize=(50, 60), flip=True)
    assert len({made, ClipFormat(crop=(1, 2, 3, 4), resize=(50, 60), flip=True), ClipFormat()}) == 2
    assert pickle.loads(pickle.dumps(made)) == made
    assert dataclasses.replace(made, flip=False) == ClipFormat(crop=(1, 2, 3, 4), resize=(50, 60))
    assert made != ClipFormat(crop=(1, 2, 3, 4), resize=(50, 60))


def test_all_fields_are_frozen_hashable_and_picklable():
    made = ClipFormat(("random", 5), 9, 0.5, "bfloat16", None, "clip", None, "CTHW")
    assert pickle.loads(pickle.dumps(made)) == made == dataclasses.replace(made)
    assert len({made, dataclasses.replace(made, order="TCHW"), dataclasses.replace(made, flip=False)}) == 3
    assert made.computes
    assert made.is_random
    assert not dataclasses.replace(made, crop=5, flip=True).is_random


def test_bfloat16_needs_its_package(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ml_dtypes" else found(name))
    with pytest.raises(ValueError, match="dtype is 'bfloat16', which needs the package ml_dtypes"):
        ClipFormat(dtype="bfloat16")
    assert ClipFormat(dtype="float16").dtype == "float16"


@pytest.mark.parametrize(
    ("order", "shape"),
    [(None, (4, 5, 6, 3)), ("THWC", (4, 5, 6, 3)), ("TCHW", (4, 3, 5, 6)), ("CTHW", (3, 4, 5, 6))],
)
def test_shape_of_a_clip(order, shape):
    assert ClipFormat(order=order).clip_shape(4, 5, 6, 3) == shape


@pytest.mark.parametrize(("order", "shape"), [("HWC", (5, 6, 3)), ("CHW", (3, 5, 6))])
def test_shape_of_a_frame(order, shape):
    assert ClipFormat(order=order).clip_shape(1, 5, 6, 3) == shape
    with pytest.raises(ValueError, match=f"order is '{order}', which is for clips of one frame, but length is 2"):
        ClipFormat(order=order).clip_shape(2, 5, 6, 3)


def test_numbers_of_each_channel():
    assert ClipFormat().arithmetic(4) == (1.0, (0.0,) * 4, (1.0,) * 4)
    assert ClipFormat(mean=3, std=(1, 2)).arithmetic(2) == (1.0, (3.0, 3.0), (1.0, 2.0))
    for channels in (1, 2, 4):
        with pytest.raises(ValueError, match=f"mean has 3 numbers, but the frames have {channels} channels"):
            ClipFormat(mean="imagenet").arithmetic(channels)


def test_random_views_lie_inside():
    format, rng = ClipFormat(crop=("random", (3, 5)), flip=0.25), np.random.default_rng(0)
    views = [format.views(4, 8, rng)[0] for _ in range(2000)]
    assert {view[:2] for view in views} == {(y, x) for y in range(2) for x in range(4)}
    assert {view[2:4] for view in views} == {(3, 5)}
    assert 0.2 < np.mean([view.flip for view in views]) < 0.3
    assert {tuple(map(type, view)) for view in views} == {(int, int, int, int, bool)}
    with pytest.raises(ValueError, match=r"crop is \('random', \(3, 5\)\), but the picture is 4 by 4"):
        format.views(4, 4, rng)
