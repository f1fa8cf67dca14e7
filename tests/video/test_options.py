"""How a video is read: what `VideoOptions` takes, and rates as exact fractions."""

import dataclasses
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from clipx.video.options import VideoOptions, as_fps


def test_defaults():
    plain = VideoOptions()
    assert (plain.fps, plain.start_seconds, plain.end_seconds, plain.colorspace, plain.color_range) == (None,) * 5
    assert (plain.rotate, plain.color, plain.num_threads, plain.stream, plain.trusted) == (
        True,
        "rgb",
        1,
        "best",
        False,
    )
    assert plain.max_pixels >= 7680 * 4320
    assert plain.quality == "exact"


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (25, Fraction(25)),
        (np.int64(25), Fraction(25)),
        (10**6, Fraction(10**6)),
        (12.5, Fraction(25, 2)),
        (29.97, Fraction(2997, 100)),
        (23.976, Fraction(2997, 125)),
        (0.1, Fraction(1, 10)),
        (1e-7, Fraction(1, 10**7)),
        (np.float64(29.97), Fraction(2997, 100)),
        (Decimal("29.97"), Fraction(2997, 100)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("29.97", Fraction(2997, 100)),
        ("25", Fraction(25)),
    ],
)
def test_fps(value, rate):
    for made in (as_fps("fps", value), VideoOptions(fps=value).fps):
        assert made == rate
        assert type(made) is Fraction


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-25, ValueError),
        (0.0, ValueError),
        (-1e-9, ValueError),
        ("0/5", ValueError),
        ("-30000/1001", ValueError),
        (Fraction(-1, 3), ValueError),
        (10**6 + 1, ValueError),
        (1e30, ValueError),
        (Fraction(10**9, 999), ValueError),
        (True, TypeError),
        (False, TypeError),
        ("", TypeError),
        ("fast", TypeError),
        ("30000/0", TypeError),
        ("25 fps", TypeError),
        (float("nan"), TypeError),
        (float("inf"), TypeError),
        (1j, TypeError),
        ([25], TypeError),
        ((30000, 1001), TypeError),
        (object, TypeError),
    ],
)
def test_bad_fps(value, error):
    for make in (lambda: as_fps("fps", value), lambda: VideoOptions(fps=value)):
        with pytest.raises(error) as raised:
            make()
        assert str(raised.value).startswith(f"fps is {value!r}, but must be ")


def test_as_fps_wants_a_rate_and_names_it():
    with pytest.raises(TypeError, match="rate is None, but must be"):
        as_fps("rate", None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, Fraction(0)),
        (2, Fraction(2)),
        (-1.5, Fraction(-3, 2)),
        (0.1, Fraction(1, 10)),
        (np.float64(0.1), Fraction(1, 10)),
        (Fraction(1001, 30000), Fraction(1001, 30000)),
        (None, None),
    ],
)
@pytest.mark.parametrize("name", ["start_seconds", "end_seconds"])
def test_seconds(name, value, seconds):
    made = getattr(VideoOptions(**{name: value}), name)
    assert made == seconds
    assert isinstance(made, type(seconds))


@pytest.mark.parametrize("value", ["soon", float("nan"), float("inf"), 1j, [1]])
@pytest.mark.parametrize("name", ["start_seconds", "end_seconds"])
def test_bad_seconds(name, value):
    with pytest.raises((TypeError, ValueError)) as raised:
        VideoOptions(**{name: value})
    assert str(raised.value).startswith(f"{name} is {value!r}, but must be a number of seconds")


@pytest.mark.parametrize(("start", "end"), [(2, 2), (3, 2), (0.3, 0.2), (Fraction(1, 3), 0), (-1, -2)])
def test_nothing_between_start_and_end(start, end):
    with pytest.raises(ValueError, match=r"end_seconds is .*, but must be above start_seconds"):
        VideoOptions(start_seconds=start, end_seconds=end)


def test_start_and_end():
    made = VideoOptions(start_seconds=0.1, end_seconds=Fraction(1, 10) + Fraction(1, 10**9))
    assert made.end_seconds - made.start_seconds == Fraction(1, 10**9)
    assert VideoOptions(start_seconds=-2, end_seconds=-1).start_seconds == -2


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("colorspace", ["bt601", "bt709", "bt2020", None]),
        ("color_range", ["limited", "full", None]),
        ("color", ["rgb", "gray"]),
        ("quality", ["exact", "fast"]),
    ],
)
def test_one_of(name, values):
    for value in values:
        assert getattr(VideoOptions(**{name: value}), name) == value
    for value in ("nonsense", "RGB", "", 0, 601, True, b"bt601", ["rgb"], {"full": 1}):
        with pytest.raises(ValueError) as raised:
            VideoOptions(**{name: value})
        assert str(raised.value).startswith(f"{name} is {value!r}, but must be one of {values[0]}, {values[1]}")


@pytest.mark.parametrize(("name", "known"), [("color", "rgb, gray"), ("quality", "exact, fast")])
def test_not_none(name, known):
    with pytest.raises(ValueError, match=f"{name} is None, but must be one of {known}"):
        VideoOptions(**{name: None})


@pytest.mark.parametrize(("name", "least"), [("num_threads", 1), ("stream", 0), ("max_pixels", 1)])
def test_integers(name, least):
    for value in (least, least + 7, np.int64(least + 7)):
        made = getattr(VideoOptions(**{name: value}), name)
        assert made == value
        assert type(made) is int
    for value in (least - 1, -5):
        with pytest.raises(ValueError, match=f"{name} is {value}, but must be at least {least}"):
            VideoOptions(**{name: value})
    for value in (1.0, "1", None, True, [1]):
        with pytest.raises(TypeError) as raised:
            VideoOptions(**{name: value})
        assert str(raised.value) == f"{name} is {value!r}, but must be an integer"


@pytest.mark.parametrize("name", ["rotate", "trusted"])
def test_true_or_false(name):
    for value in (True, False):
        assert getattr(VideoOptions(**{name: value}), name) is value
    for value in (0, 1, 90, None, "yes"):
        with pytest.raises(TypeError) as raised:
            VideoOptions(**{name: value})
        assert str(raised.value) == f"{name} is {value!r}, but must be True or False"


def test_frozen_hashable_and_picklable():
    made = VideoOptions(fps=29.97, start_seconds=1.5, colorspace="bt709", stream=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.trusted = True
    same = VideoOptions(fps="2997/100", start_seconds=Fraction(3, 2), colorspace="bt709", stream=1)
    assert made == same
    assert len({made, same, VideoOptions()}) == 2
    assert pickle.loads(pickle.dumps(made)) == made
    assert dataclasses.replace(made, fps=None) == VideoOptions(start_seconds=1.5, colorspace="bt709", stream=1)
    assert made != VideoOptions()
