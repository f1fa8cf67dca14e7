"""`RandomResizedCrop`: what it takes, and that its rectangles are distributed as torchvision's."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import ClipFormat, RandomResizedCrop


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (RandomResizedCrop(224), "RandomResizedCrop(size=(224, 224))"),
        (RandomResizedCrop([np.int64(90), 120], (0.08, 1), (3 / 4, 4 / 3)), "RandomResizedCrop(size=(90, 120))"),
        (RandomResizedCrop(8, [np.float32(0.5), 1]), "RandomResizedCrop(size=(8, 8), scale=(0.5, 1.0))"),
        (RandomResizedCrop(8, ratio=(1, 1)), "RandomResizedCrop(size=(8, 8), ratio=(1.0, 1.0))"),
    ],
)
def test_takes(made, text):
    assert repr(made) == text
    assert eval(text) == made == dataclasses.replace(made) == pickle.loads(pickle.dumps(made))
    assert len({made, eval(text)}) == 1
    format = ClipFormat(crop=made, flip=0.5)
    assert repr(format) == f"ClipFormat(crop={text}, flip=0.5)"
    assert pickle.loads(pickle.dumps(format)) == format
    assert hash(format) == hash(ClipFormat(crop=made, flip=0.5))
    assert format.is_random
    assert format.resizes
    assert format.num_views == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.size = 3


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"size": 0}, ValueError, "size is 0, but must be at least 1"),
        ({"size": (4, 0)}, ValueError, "size is 0, but must be at least 1"),
        ({"size": (4, 4, 4)}, ValueError, r"size is \(4, 4, 4\), but must be an integer or 2 integers"),
        ({"size": 4.0}, TypeError, "size is 4.0, but must be an integer"),
        ({"size": None}, TypeError, "size is None"),
        ({"scale": (0, 1)}, ValueError, r"scale is \(0, 1\), but must be two numbers, .* above 0 and at most 1"),
        ({"scale": (0.5, 1.1)}, ValueError, r"scale is \(0.5, 1.1\), .* at most 1"),
        ({"scale": (0.6, 0.5)}, ValueError, r"scale is \(0.6, 0.5\), but must be two numbers, the smallest and the"),
        ({"scale": (-0.5, 0.5)}, ValueError, r"scale is \(-0.5, 0.5\)"),
        ({"scale": (float("nan"), 1)}, ValueError, "scale is nan, but must be finite"),
        ({"scale": 0.5}, ValueError, "scale is 0.5, but must be two numbers"),
        ({"scale": (0.5,)}, ValueError, r"scale is \(0.5,\), but must be two numbers"),
        ({"scale": ("a", 1)}, TypeError, "scale is 'a', but must be a number"),
        ({"ratio": (4 / 3, 3 / 4)}, ValueError, r"ratio is \(1.33.*\), but must be two numbers"),
        ({"ratio": (0, 1)}, ValueError, r"ratio is \(0, 1\), but must be two numbers, .* above 0$"),
        ({"ratio": (1, float("inf"))}, ValueError, "ratio is inf, but must be finite"),
        ({"ratio": None}, ValueError, "ratio is None, but must be two numbers"),
        ({"ratio": (1, True)}, TypeError, "ratio is True, but must be a number"),
    ],
)
def test_refuses(given, error, match):
    with pytest.raises(error, match=match):
        RandomResizedCrop(**{"size": 4, **given})


def of_torchvision(height, width, scale, ratio, rng):
    """`RandomResizedCrop.get_params` of torchvision 0.29, with random numbers of NumPy."""
    log_ratio = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(10):
        target_area = height * width * rng.uniform(scale[0], scale[1])
        aspect_ratio = math.exp(rng.uniform(log_ratio[0], log_ratio[1]))
        w = round(math.sqrt(target_area * aspect_ratio))
        h = round(math.sqrt(target_area / aspect_ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w
    in_ratio = width / height
    if in_ratio < min(ratio):
        w, h = width, round(width / min(ratio))
    elif in_ratio > max(ratio):
        h, w = height, round(height * max(ratio))
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def distance(first, second):
    """Largest distance of two samples' cumulative distributions (Kolmogorov and Smirnov)."""
    at = np.sort(np.concatenate([first, second]))
    below = [np.searchsorted(np.sort(each), at, side="right") / len(each) for each in (first, second)]
    return np.abs(below[0] - below[1]).max()


@pytest.mark.parametrize(
    ("picture", "scale", "ratio"),
    [
        ((720, 1280), (0.08, 1.0), (3 / 4, 4 / 3)),
        ((1280, 300), (0.3, 1.0), (3 / 4, 4 / 3)),  # often none of ten fits
        ((400, 400), (0.1, 0.4), (0.2, 5.0)),
        ((17, 40), (0.08, 0.9), (0.5, 1.0)),
    ],
)
def test_the_distribution_is_torchvisions(picture, scale, ratio):
    n, crop, rng = 4000, RandomResizedCrop(4, scale, ratio), np.random.default_rng(2)
    ours = np.array([crop.draw(*picture, rng) for _ in range(n)], float)
    theirs = np.array([of_torchvision(*picture, scale, ratio, rng) for _ in range(n)], float)
    for of in (
        lambda y, x, h, w: h * w / math.prod(picture),
        lambda y, x, h, w: np.log(w / h),
        lambda y, x, h, w: y / np.maximum(picture[0] - h, 1),
        lambda y, x, h, w: x / np.maximum(picture[1] - w, 1),
        lambda y, x, h, w: (y + h / 2) * picture[1] + x + w / 2,
    ):
        assert distance(of(*ours.T), of(*theirs.T)) < 0.045
    # It would show a shape that is drawn evenly.
    assert distance(np.log(rng.uniform(*ratio, n)), rng.uniform(*np.log(ratio), n)) > 0.05


@pytest.mark.parametrize(
    ("picture", "scale", "ratio", "wanted"),
    [
        ((100, 10), (1, 1), (3 / 4, 4 / 3), (43, 0, 13, 10)),  # 13.3
        ((10, 100), (1, 1), (3 / 4, 4 / 3), (0, 43, 10, 13)),
        ((10, 1000), (1, 1), (1, 1), (0, 495, 10, 10)),
        ((1000, 10), (1, 1), (1e3, 1e300), (499, 0, 1, 10)),
        ((10, 1000), (1, 1), (1e-300, 1e-3), (0, 499, 10, 1)),
        ((1, 1), (0.01, 0.02), (1, 1), (0, 0, 1, 1)),
    ],
)
def test_what_fits_into_no_picture_is_in_the_centre(picture, scale, ratio, wanted):
    crop = RandomResizedCrop(4, scale, ratio)
    assert {crop.draw(*picture, np.random.default_rng(i)) for i in range(20)} == {wanted}
    if 0.1 < ratio[0] < ratio[1] < 10 or ratio == (1, 1):  # else torchvision's has no pixels
        assert of_torchvision(*picture, scale, ratio, np.random.default_rng(0)) == wanted


@settings(deadline=None, max_examples=50)
@given(
    picture=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    scale=st.tuples(st.floats(1e-3, 1), st.floats(1e-3, 1)),
    ratio=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
    seed=st.integers(0, 2**32),
)
def test_rectangles_lie_in_the_picture(picture, scale, ratio, seed):
    format = ClipFormat(crop=RandomResizedCrop((5, 7), sorted(scale), sorted(ratio)), flip=0.5)
    (view,) = format.views(*picture, np.random.default_rng(seed))
    assert tuple(map(type, view)) == (int, int, int, int, bool)
    assert 0 <= view.y < view.y + view.h <= picture[0]
    assert 0 <= view.x < view.x + view.w <= picture[1]
    assert format.views(*picture, np.random.default_rng(seed)) == (view,)
    assert format.view_size(*picture) == (5, 7)
    (central,) = format.views(*picture)
    assert abs(central.y - (picture[0] - central.h) / 2) < 1
    assert abs(central.x - (picture[1] - central.w) / 2) < 1
    assert not central.flip
