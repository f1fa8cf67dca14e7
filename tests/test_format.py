"""How a frame is written: what a `ClipFormat` takes, and the sizes that it gives."""

import dataclasses
import pickle

import numpy as np
import pytest

from clipx.format import ClipFormat


def test_defaults_leave_a_picture_as_it_is():
    plain = ClipFormat()
    assert (plain.crop, plain.resize, plain.flip) == (None, None, False)
    assert plain.resized(272, 641) == (272, 641)
    assert plain.view(272, 641) == (0, 0, 272, 641, False)


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
    ],
)
def test_takes(given, kept):
    made = ClipFormat(**given)
    assert made == ClipFormat(**kept)
    for name, value in kept.items():
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
    assert ClipFormat(crop=crop).view(*size) == (*wanted, False)


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
        ClipFormat(crop=crop).view(*size)


def test_frozen_hashable_and_picklable():
    made = ClipFormat(crop=[1, 2, 3, 4], resize=[50, 60], flip=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.flip = False
    assert made == ClipFormat(crop=(1, 2, 3, 4), resize=(50, 60), flip=True)
    assert len({made, ClipFormat(crop=(1, 2, 3, 4), resize=(50, 60), flip=True), ClipFormat()}) == 2
    assert pickle.loads(pickle.dumps(made)) == made
    assert dataclasses.replace(made, flip=False) == ClipFormat(crop=(1, 2, 3, 4), resize=(50, 60))
    assert made != ClipFormat(crop=(1, 2, 3, 4), resize=(50, 60))
