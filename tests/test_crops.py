"""Crops that give several views: where these lie, by the formulas of the libraries that they are named after."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipx import ClipFormat


def corners(crop, size, **rest):
    return [(view.y, view.x) for view in ClipFormat(crop=crop, **rest).views(*size)]


def flips(crop, size, **rest):
    return [view.flip for view in ClipFormat(crop=crop, **rest).views(*size)]


@pytest.mark.parametrize(
    ("size", "picture", "wanted"),
    [
        (256, (256, 340), [(0, 0), (0, 42), (0, 84)]),
        (256, (256, 341), [(0, 0), (0, 43), (0, 85)]),  # 42.5: the odd pixel is to the left
        (256, (340, 256), [(0, 0), (42, 0), (84, 0)]),
        (256, (455, 256), [(0, 0), (100, 0), (199, 0)]),  # 99.5
        (224, (256, 340), [(16, 0), (16, 58), (16, 116)]),  # centred along the shorter side
        (224, (341, 257), [(0, 17), (59, 17), (117, 17)]),  # 16.5, 58.5
        (224, (224, 224), [(0, 0)] * 3),
        (200, (224, 224), [(12, 0), (12, 12), (12, 24)]),  # a square picture counts as wide
        ((128, 340), (256, 340), [(0, 0), (64, 0), (128, 0)]),  # along the side that has more room
        ((256, 171), (256, 340), [(0, 0), (0, 85), (0, 169)]),  # 84.5
    ],
)
def test_three(size, picture, wanted):
    assert corners(("three", size), picture) == wanted
    assert flips(("three", size), picture) == [False] * 3


@pytest.mark.parametrize(
    ("size", "picture", "centre"),
    [
        (224, (256, 340), (16, 58)),
        (224, (257, 343), (16, 60)),  # 16.5 and 59.5: halves go to the even number
        (224, (255, 341), (16, 58)),  # 15.5 and 58.5
        ((90, 121), (90, 124), (0, 2)),  # 1.5
        ((5, 6), (5, 6), (0, 0)),
    ],
)
def test_five_and_ten(size, picture, centre):
    (h, w), (height, width) = size if isinstance(size, tuple) else (size, size), picture
    y, x = height - h, width - w
    five = [(0, 0), (0, x), (y, 0), (y, x), centre]
    assert corners(("five", size), picture) == five
    assert flips(("five", size), picture) == [False] * 5
    # In the flipped picture the top left corner is the top right one.
    assert corners(("ten", size), picture) == [*five, (0, x), (0, 0), (y, x), (y, 0), (centre[0], x - centre[1])]
    assert flips(("ten", size), picture) == [False] * 5 + [True] * 5


sizes = st.tuples(st.integers(1, 500), st.integers(1, 500))


@given(picture=sizes, size=st.integers(1, 500))
def test_three_is_pytorchvideos_uniform_crop(picture, size):
    height, width = picture
    size = min(size, height, width)
    wanted = []
    for which in range(3):
        y, x = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
        if height > width:
            y = [0, y, height - size][which]
        else:
            x = [0, x, width - size][which]
        wanted.append((y, x))
    assert corners(("three", size), picture) == wanted


@given(picture=sizes)
def test_three_and_mmaction2s_three_crop(picture):
    """The same in another order; where the room is odd, its right and middle are a pixel further to the left."""
    size = min(picture)
    got = corners(("three", size), picture)
    step, axis = (max(picture) - size) // 2, int(picture[1] >= picture[0])
    theirs = [0, 2 * step, step]
    assert [got[i][1 - axis] for i in range(3)] == [0, 0, 0]
    odd = (max(picture) - size) % 2
    assert [got[i][axis] - odd * (i > 0) for i in (0, 2, 1)] == theirs


@given(picture=sizes, size=sizes)
def test_ten_is_the_five_of_the_picture_and_of_the_flipped_one(picture, size):
    h, w = min(size[0], picture[0]), min(size[1], picture[1])
    y, x = picture[0] - h, picture[1] - w
    five = [(0, 0), (0, x), (y, 0), (y, x), (round(y / 2), round(x / 2))]
    views = ClipFormat(crop=("ten", (h, w))).views(*picture)
    assert [tuple(view) for view in views[:5]] == [(*corner, h, w, False) for corner in five]
    columns = list(range(picture[1]))[::-1]
    for view, (top, left) in zip(views[5:], five):
        seen = list(range(picture[1]))[view.x : view.x + view.w][::-1]
        assert (view.y, view.flip, seen) == (top, True, columns[left : left + w])


@pytest.mark.parametrize("name", ["three", "five", "ten"])
def test_a_flip_flips_all_views(name):
    plain = ClipFormat(crop=(name, 5)).views(9, 8)
    flipped = ClipFormat(crop=(name, 5), flip=True).views(9, 8)
    assert [view[:4] for view in flipped] == [view[:4] for view in plain]
    assert [view.flip for view in flipped] == [not view.flip for view in plain]
    assert all(type(view.flip) is bool for view in flipped)


@pytest.mark.parametrize("name", ["three", "five", "ten"])
@pytest.mark.parametrize(
    ("order", "length", "shape", "axis"),
    [
        (None, 4, (4, 5, 6, 3), 1),
        ("THWC", 4, (4, 5, 6, 3), 1),
        ("TCHW", 4, (4, 3, 5, 6), 1),
        ("CTHW", 4, (3, 4, 5, 6), 2),
        ("HWC", 1, (5, 6, 3), None),
        ("CHW", 1, (3, 5, 6), None),
    ],
)
def test_views_are_the_first_axis(name, order, length, shape, axis):
    number = {"three": 3, "five": 5, "ten": 10}[name]
    format = ClipFormat(crop=(name, (5, 6)), order=order)
    assert (format.num_views, format.clip_shape(length, 5, 6, 3), format.time_axis) == (number, (number, *shape), axis)
    single = ClipFormat(crop=(5, 6), order=order)
    assert (single.num_views, single.clip_shape(length, 5, 6, 3)) == (1, shape)
    assert single.time_axis == (None if axis is None else axis - 1)


def test_a_view_larger_than_the_picture():
    for name in ("three", "five", "ten"):
        for size in ((6, 5), (5, 7)):
            with pytest.raises(ValueError, match=rf"crop is \('{name}', \({size[0]}, {size[1]}\)\), but the picture"):
                ClipFormat(crop=(name, size)).views(5, 6)


@pytest.mark.parametrize(
    ("crop", "error", "match"),
    [
        (("three", 0), ValueError, "crop is 0, but must be at least 1"),
        (("five", (3, -1)), ValueError, "crop is -1"),
        (("ten", (1, 2, 3)), ValueError, r"crop is \(1, 2, 3\)"),
        (("ten", 2.5), TypeError, "crop is 2.5, but must be an integer"),
        (("three",), ValueError, r"crop is \('three',\)"),
        (("four", 3), ValueError, r"crop is \('four', 3\), but the names are random, three, five, ten"),
        ("three", TypeError, r"crop is 'three', .* such as \('random', 224\)"),
    ],
)
def test_refused(crop, error, match):
    with pytest.raises(error, match=match):
        ClipFormat(crop=crop)


def test_kept_as_given():
    made = ClipFormat(crop=["three", [4, 5]], order="CTHW")
    assert made.crop == ("three", (4, 5))
    assert not made.is_random
    assert made.time_axis == 2
    assert pickle.loads(pickle.dumps(made)) == made == ClipFormat(crop=("three", (4, 5)), order="CTHW")
    assert len({made, ClipFormat(crop=("three", (4, 5)), order="CTHW")}) == 1
    assert ClipFormat(crop=("ten", 4), flip=0.5).is_random
