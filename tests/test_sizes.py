"""`resize=` in all of its forms: what it takes, and the sizes that it gives."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import ClipFormat, RandomResizedCrop
from clipx._sizes import fitted

QWEN = ("pixels", 56 * 56, 14 * 14 * 4 * 1280, 28)  # the defaults of Qwen2-VL's image processor
VIDEO = ("pixels", 128 * 28 * 28, 768 * 28 * 28, 28)  # those of qwen-vl-utils for videos
sides = st.integers(1, 3000)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["longer", np.int64(256)], ("longer", 256)),
        (("fit", 90, np.uint8(120), 0), ("fit", 90, 120, 0)),
        (["fit", 90, 120, np.float32(0.5)], ("fit", 90, 120, 0.5)),
        (("fit", 90, 120, np.uint8(127)), ("fit", 90, 120, 127)),
        (["pixels", np.int64(784), 7840, np.int8(28)], ("pixels", 784, 7840, 28)),
        (("pixels", 784, 784, 28), ("pixels", 784, 784, 28)),
    ],
)
def test_takes(given, kept):
    made = ClipFormat(resize=given)
    assert repr(made) == f"ClipFormat(resize={kept!r})"  # NumPy's integers and lists are gone
    assert made == ClipFormat(resize=kept) == dataclasses.replace(made) == pickle.loads(pickle.dumps(made))
    assert hash(made) == hash(ClipFormat(resize=kept))
    assert made.resizes
    assert not made.is_random


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (("longer",), ValueError, r"resize is \('longer',\), but must be \('longer', n\)"),
        (("longer", 2, 3), ValueError, r"resize is \('longer', 2, 3\), but must be \('longer', n\)"),
        (("longer", 0), ValueError, "resize is 0, but must be at least 1"),
        (("longer", 1 << 24), ValueError, "resize is 16777216, but must be at most 16777215"),
        (1 << 24, ValueError, "resize is 16777216, but must be at most 16777215"),
        ((4, 1 << 24), ValueError, "resize is 16777216, but must be at most 16777215"),
        (("fit", 4, 1 << 24, 0), ValueError, "resize is 16777216, but must be at most 16777215"),
        (("longer", 2.0), TypeError, "resize is 2.0, but must be an integer"),
        (("shorter", 2), ValueError, r"resize is \('shorter', 2\), but the names are longer, fit, pixels"),
        ("longer", TypeError, "resize is 'longer', but must be an integer"),
        (("fit", 4, 4), ValueError, r"resize is \('fit', 4, 4\), but must be \('fit', height, width, value\)"),
        (("fit", 0, 4, 0), ValueError, "resize is 0, but must be at least 1"),
        (("fit", 4, -4, 0), ValueError, "resize is -4, but must be at least 1"),
        (("fit", 4, 4, None), TypeError, "resize is None, but must be a number"),
        (("fit", 4, 4, True), TypeError, "resize is True, but must be a number"),
        (("fit", 4, 4, float("nan")), ValueError, "resize is nan, but must be finite"),
        (("pixels", 784, 7840), ValueError, r"but must be \('pixels', min_pixels, max_pixels, multiple\)"),
        (("pixels", 0, 7840, 28), ValueError, "resize is 0, but must be at least 1"),
        (("pixels", 784, 7840, 0), ValueError, "resize is 0, but must be at least 1"),
        (("pixels", 7841, 7840, 28), ValueError, r"resize is \('pixels', 7841, .* but min_pixels is above max_pixels"),
        (("pixels", 1, 783, 28), ValueError, r"resize is \(.*\), but 28 by 28 pixels are more than max_pixels"),
    ],
)
def test_refuses(given, error, match):
    with pytest.raises(error, match=match):
        ClipFormat(resize=given)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (
            {"resize": 4, "interpolation": "lanczos"},
            ValueError,
            "interpolation is 'lanczos', but must be one of bilinear,",
        ),
        ({"resize": 4, "interpolation": None}, ValueError, "interpolation is None, but must be one of"),
        (
            {"resize": 4, "interpolation": "nearest", "antialias": True},
            ValueError,
            "antialias is True, but interpolation",
        ),
        ({"resize": 4, "antialias": 1}, TypeError, "antialias is 1, but must be True, False or None"),
        ({"resize": 4, "antialias": "yes"}, TypeError, "antialias is 'yes'"),
        ({"interpolation": "bicubic"}, ValueError, "interpolation is 'bicubic', but neither resize nor crop resizes"),
        ({"crop": 4, "antialias": False}, ValueError, "antialias is False, but neither resize nor crop resizes"),
        ({"resize": 4, "crop": RandomResizedCrop(4)}, ValueError, r"resize is 4, but crop is RandomResizedCrop\(size="),
    ],
)
def test_refuses_what_does_not_go_together(given, error, match):
    with pytest.raises(error, match=match):
        ClipFormat(**given)


def test_filters_are_kept():
    for interpolation in ("bilinear", "bicubic", "area", "nearest"):
        for antialias in (None, False, True):
            if antialias and interpolation == "nearest":
                continue
            made = ClipFormat(resize=4, interpolation=interpolation, antialias=antialias)
            assert (made.interpolation, made.antialias) == (interpolation, antialias)
            assert pickle.loads(pickle.dumps(made)) == made
    assert repr(ClipFormat(resize=4, antialias=False)) == "ClipFormat(resize=4, antialias=False)"
    assert len({ClipFormat(resize=4), ClipFormat(resize=4, interpolation="area"), ClipFormat(resize=4)}) == 2


@pytest.mark.parametrize(
    ("resize", "picture", "size"),
    [
        (("longer", 640), (272, 640), (272, 640)),
        (("longer", 320), (272, 641), (136, 320)),  # 135.8
        (("longer", 320), (641, 272), (320, 136)),
        (("longer", 1000), (3, 2), (1000, 667)),
        (("longer", 7), (1, 3000), (1, 7)),
        (("longer", 7), (5, 5), (7, 7)),
        (("fit", 224, 224, 0), (720, 1280), (224, 224)),
        (("fit", 1, 900, 0), (720, 1280), (1, 900)),
        (QWEN, (720, 1280), (728, 1288)),
    ],
)
def test_resized(resize, picture, size):
    assert ClipFormat(resize=resize).resized(*picture) == size


@settings(deadline=None, max_examples=50)
@given(picture=st.tuples(sides, sides), n=st.integers(1, 600))
def test_the_longer_side_is_as_asked_for(picture, n):
    size = ClipFormat(resize=("longer", n)).resized(*picture)
    assert max(size) == n
    assert abs(min(size) - max(n * min(picture) / max(picture), 1)) <= 0.5
    assert ClipFormat(resize=("longer", n)).resized(*picture[::-1]) == size[::-1]


@pytest.mark.parametrize(
    ("room", "picture", "inner"),
    [
        ((224, 224), (720, 1280), (126, 224)),
        ((224, 224), (1280, 720), (224, 126)),
        ((224, 224), (100, 101), (222, 224)),  # 221.8
        ((100, 400), (240, 320), (100, 133)),
        ((5, 1000), (3000, 1), (5, 1)),
        ((90, 160), (720, 1280), (90, 160)),
    ],
)
def test_fitted(room, picture, inner):
    assert fitted(("fit", *room, 0), *picture) == inner


@settings(deadline=None, max_examples=50)
@given(picture=st.tuples(sides, sides), room=st.tuples(st.integers(1, 600), st.integers(1, 600)))
def test_a_picture_fits_and_touches_two_sides(picture, room):
    h, w = fitted(("fit", *room, 0), *picture)
    assert 1 <= h <= room[0]
    assert 1 <= w <= room[1]
    assert h == room[0] or w == room[1]
    by = min(room[0] / picture[0], room[1] / picture[1])
    assert abs(h - max(picture[0] * by, 1)) <= 0.5 + 1e-9
    assert abs(w - max(picture[1] * by, 1)) <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("resize", "picture", "size"),
    [
        (QWEN, (480, 640), (476, 644)),
        (QWEN, (224, 224), (224, 224)),
        (QWEN, (1080, 1920), (728, 1316)),
        (QWEN, (1920, 1080), (1316, 728)),
        (QWEN, (2160, 3840), (728, 1316)),
        (QWEN, (30, 50), (56, 84)),  # below min_pixels
        (QWEN, (28, 28), (56, 56)),
        (QWEN, (28, 5600), (28, 5600)),
        (QWEN, (5600, 42), (5600, 56)),  # 1.5: halves go to the even number
        (QWEN, (70, 98), (56, 112)),  # 2.5 and 3.5
        (VIDEO, (720, 1280), (560, 1008)),
        (VIDEO, (240, 320), (280, 392)),
        (("pixels", 32 * 32, 64 * 64, 32), (100, 3200), (32, 352)),  # whatever it is, a multiple at least
    ],
)
def test_smart_resize(resize, picture, size):
    assert ClipFormat(resize=resize).resized(*picture) == size


@settings(deadline=None, max_examples=50)
@given(
    picture=st.tuples(st.integers(28, 4000), st.integers(28, 4000)),
    multiple=st.sampled_from([14, 16, 28]),
    limits=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
)
def test_smart_resize_of_qwen(picture, multiple, limits):
    """The function of transformers and qwen-vl-utils, as their pages have it."""
    least, most = (each * multiple * multiple for each in sorted(limits))
    height, width = picture
    h, w = round(height / multiple) * multiple, round(width / multiple) * multiple
    if h * w > most:
        beta = math.sqrt((height * width) / most)
        h = max(multiple, math.floor(height / beta / multiple) * multiple)
        w = max(multiple, math.floor(width / beta / multiple) * multiple)
    elif h * w < least:
        beta = math.sqrt(least / (height * width))
        h = math.ceil(height * beta / multiple) * multiple
        w = math.ceil(width * beta / multiple) * multiple
    assert ClipFormat(resize=("pixels", least, most, multiple)).resized(height, width) == (h, w)


@pytest.mark.parametrize(
    ("picture", "match"),
    [
        ((27, 640), r"resize is \('pixels', .*\), but the picture is 27 by 640, smaller than the multiple, 28"),
        ((640, 27), "the picture is 640 by 27, smaller than the multiple, 28"),
        ((28, 5601), "the picture is 28 by 5601, one side more than 200 times as long as the other"),
        ((5601, 28), "the picture is 5601 by 28, one side more than 200 times"),
    ],
)
def test_pictures_that_smart_resize_is_not_for(picture, match):
    with pytest.raises(ValueError, match=match):
        ClipFormat(resize=QWEN).resized(*picture)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({}, None),
        ({"resize": 64}, None),
        ({"resize": ("longer", 64)}, None),
        ({"resize": QWEN}, None),
        ({"resize": (48, 64)}, (48, 64)),
        ({"resize": ("fit", 48, 64, 0)}, (48, 64)),
        ({"resize": ("fit", 48, 64, 0), "crop": 40}, (40, 40)),
        ({"resize": QWEN, "crop": ("three", (40, 20))}, (40, 20)),
        ({"crop": (1, 2, 30, 20)}, (30, 20)),
        ({"crop": RandomResizedCrop((30, 20))}, (30, 20)),
    ],
)
def test_sizes_that_no_picture_changes(given, size):
    format = ClipFormat(**given)
    assert format.fixed_view_size == size
    if size is not None:
        assert format.view_size(*format.resized(100, 120)) == size
    with pytest.raises(ValueError, match=r"crop is \(49, 49\), but the picture is 48 by 64"):
        _ = ClipFormat(resize=("fit", 48, 64, 0), crop=49).fixed_view_size
