"""Clips of arrays that are resized: those of frames that the reference has resized, cropped, flipped and normalised."""

from dataclasses import replace

import numpy as np
import pytest
import reference_resampling as reference
from helpers.formatted import FLOATS, exact, moved, near, numbers, rounded, same
from helpers.formatted import expected as in_float64

import clipx
from clipx import RandomResizedCrop, mapped
from clipx._sizes import fitted
from clipx._views import Views
from clipx.format import View
from clipx.windows import extract, iterate

DTYPES = ["u1", "?", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
RESIZES = [6, ("longer", 8), (5, 20), ("fit", 10, 12, 1), ("fit", 16, 8, 0), ("pixels", 30, 80, 3)]
FILTERS = [
    {},
    {"antialias": False},
    {"interpolation": "bicubic"},
    {"interpolation": "area"},
    {"interpolation": "nearest"},
]


def resized(frames, format, box=None, size=None):
    """Frames of a source as the format resizes them, or their rectangle, in float64 where they are not bytes."""
    height, width = frames.shape[1:3]
    antialias = format.interpolation != "nearest" if format.antialias is None else format.antialias
    inner = size or fitted(format.resize, height, width)
    made = [
        reference.resampled(each, box or (0, 0, height, width), inner, format.interpolation, antialias)
        for each in frames
    ]
    if size is None and isinstance(format.resize, tuple) and format.resize[0] == "fit":
        room, value = format.resize[1:3], format.resize[3]
        corner = (room[0] - inner[0]) // 2, (room[1] - inner[1]) // 2
        made = [reference.barred(each, reference.Bars(*corner, *room, value)) for each in made]
    return np.stack(made)


def plain(format):
    """What is left of a format when pictures have been resized."""
    crop = None if isinstance(format.crop, RandomResizedCrop) else format.crop
    return replace(format, resize=None, crop=crop, interpolation="bilinear", antialias=None)


def wanted(made, format, dtype, plan, views=None):
    """Clips of frames that have been resized, of numbers of `dtype`."""
    format = plain(format)
    if format.dtype in FLOATS:
        return rounded(exact(made, format, plan, views), format.dtype)
    if dtype == np.float16:
        made = made.astype(np.float32)  # the other floats are a float32, rounded
    made = made.astype(dtype) if dtype in (np.uint8, np.bool_) else reference.of_dtype(made, dtype)
    return moved(made, format, plan, views).astype(format.dtype or dtype)


def check(frames, format, views=None, **plan):
    before = frames.tobytes()
    made = resized(frames, format)
    got = extract(frames, format=format, **plan)
    assert got.flags.c_contiguous
    assert len(got)
    same(got, wanted(made, format, frames.dtype, plan, views))
    if format.dtype == "float32":
        near(got, in_float64(made, plain(format), plan, views))
    pool = clipx.ClipPool(20, got.shape[1:], got.dtype)
    for slots in (None, pool):
        for clip, row in zip(iterate(frames, format=format, pool=slots, **plan), got, strict=True):
            same(clip, row)
    same(extract(frames, format=format, num_threads=3, **plan), got)
    assert frames.tobytes() == before
    return got


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [(each, None) for each in DTYPES]
    + [(each, "float32") for each in DTYPES]
    + [("u1", "float16"), ("i2", "bfloat16")],
)
def test_every_dtype(dtype, kind):
    frames = numbers((3, 7, 10, 3), dtype)
    numbers_of = {} if kind is None else {"mean": (0.5, -1, 2), "std": (2, 3, 0.5), "scale": 1 / 255}
    for i, resize in enumerate(RESIZES):
        order = [None, "CTHW", "TCHW"][i % 3]
        format = clipx.ClipFormat(resize=resize, flip=i % 2 == 0, dtype=kind, order=order, **numbers_of)
        check(frames, format, length=2, policy="constant", fill_value=1)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
@pytest.mark.parametrize("rest", FILTERS)
def test_every_filter(dtype, rest):
    frames = numbers((2, 17, 14, 3), dtype)
    for resize in (7, (23, 5), (17, 30)):
        check(frames, clipx.ClipFormat(resize=resize, **rest), length=2)
    check(frames, clipx.ClipFormat(resize=(20, 16), mean="clip", order="CTHW", **rest), length=1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_channels_and_strides(channels):
    room = numbers((4, 24, 30, channels + 1))
    for frames in (room[..., :channels].copy(), room[..., 1:], room[:, ::-2, ::3, :channels], room[::-1, :, ::-1, 1:]):
        for dtype in (None, "float16"):
            check(frames, clipx.ClipFormat(resize=7, crop=(5, 6), dtype=dtype), length=2)


@pytest.mark.parametrize("crop", [5, (1, 2, 4, 3), ("three", 6), ("five", (4, 5)), ("ten", 5)])
@pytest.mark.parametrize("resize", [6, ("longer", 12), ("fit", 10, 12, 1)])
def test_crops_of_resized_frames(crop, resize):
    """Those of frames that have been resized before."""
    frames, plan = numbers((5, 9, 14, 3)), {"length": 2, "policy": "constant", "fill_value": 7}
    made = resized(frames, clipx.ClipFormat(resize=resize))
    for rest in ({}, {"dtype": "float16", "order": "CTHW", "flip": True, "mean": "imagenet"}):
        format = clipx.ClipFormat(crop=crop, resize=resize, **rest)
        got = extract(frames, format=format, **plan)
        same(got, extract(made, format=plain(format), **plan))
        for clip, row in zip(iterate(frames, format=format, **plan), got, strict=True):
            same(clip, row)


def test_a_random_crop_of_resized_frames():
    frames = numbers((24, 9, 14, 3))
    format = clipx.ClipFormat(crop=("random", 5), resize=7, flip=0.5, dtype="float32", order="CTHW")
    views = Views(format, 7, 11)
    views.draw(np.random.default_rng(3))
    own = [views[i][0] for i in range(12)]
    assert len(set(own)) > 4
    check(frames, format, own, rng=3, length=2)


@pytest.mark.parametrize(
    ("dtype", "kind", "rest"),
    [
        ("u1", None, {}),
        ("u1", "float32", {"interpolation": "bicubic"}),
        ("u1", "bfloat16", {"antialias": False}),
        ("?", None, {"interpolation": "nearest"}),
        ("i2", None, {"interpolation": "area"}),
        ("u2", "float32", {}),
        ("f4", None, {"interpolation": "bicubic"}),
        ("f8", "float16", {}),
    ],
)
def test_random_resized_crops(dtype, kind, rest):
    frames = numbers((12, 19, 24, 3), dtype)
    crop = RandomResizedCrop((6, 5), scale=(0.1, 0.8))
    format = clipx.ClipFormat(crop=crop, flip=0.5, dtype=kind, order="TCHW", mean=None if kind is None else 3.0, **rest)
    plan = {"length": 2, "policy": "constant", "fill_value": 1, "stride": 3}
    got = extract(frames, format=format, rng=5, **plan)
    views = Views(format, 19, 24)
    views.draw(np.random.default_rng(5))
    boxes = [views[i][0] for i in range(len(got))]
    assert len(set(boxes)) == len(got) == 4
    for i, (y, x, h, w, flip) in enumerate(boxes):
        made = resized(frames, format, (y, x, h, w), crop.size)
        seen = [View(0, 0, *crop.size, flip)] * len(got)
        same(got[i], wanted(made, format, frames.dtype, plan, seen)[i])
    pool = clipx.ClipPool(6, got.shape[1:], got.dtype)
    for clip, row in zip(iterate(frames, format=format, rng=5, pool=pool, **plan), got, strict=True):
        same(clip, row)
    same(extract(frames, format=format, rng=5, num_threads=3, **plan), got)


def test_a_size_that_frames_have():
    """Numbers that are not resampled, of any dtype that is, only change places."""
    for dtype in ("u1", "i8", "f8", "?"):
        frames = numbers((4, 9, 14, 3), dtype)
        for resize in (9, ("longer", 14), (9, 14), ("fit", 9, 14, 0)):
            format = clipx.ClipFormat(resize=resize, crop=(2, 3, 5, 6), order="CTHW")
            same(extract(frames, 2, format=format), extract(frames, 2, format=plain(format)))
    barred = extract(numbers((4, 9, 14, 3)), 2, format=clipx.ClipFormat(resize=("fit", 12, 14, 77)))
    assert (barred[:, :, [0, 10, 11]] == 77).all()
    same(np.ascontiguousarray(barred[:, :, 1:10]), extract(numbers((4, 9, 14, 3)), 2, format=clipx.ClipFormat()))


@pytest.mark.parametrize("crop", [None, ("ten", 6), ("random", 5), RandomResizedCrop(6, scale=(0.2, 1))])
def test_segments_and_their_lengths(crop):
    frames, segments = numbers((30, 9, 14, 3)), [(3, 11), (0, 30), (9, 12)]
    resize = None if isinstance(crop, RandomResizedCrop) else 8
    format = clipx.ClipFormat(crop=crop, resize=resize, flip=0.5, dtype="float16", order="CTHW")
    for spec in (clipx.WindowSpec(3, 2, policy="constant", fill_value=1), clipx.UniformSpec(4)):
        got = extract(frames, spec, segments=segments, format=format, rng=4)
        clips = iterate(frames, spec, segments=segments, format=format, rng=4, pool="1MB")
        for clip, row in zip(clips, got, strict=True):
            same(clip, row)
        if resize is not None:
            made = resized(frames, format)
            same(got, extract(made, spec, segments=segments, format=plain(format), rng=4))
    lengths = clipx.RateSpec(5, min_frames=1, max_frames=8)
    with pytest.raises(ValueError):
        extract(frames, lengths, segments=segments, format=format, rng=4)


def test_mapped_arrays(tmp_path):
    frames = numbers((20, 9, 14, 3))
    np.save(tmp_path / "a.npy", frames)
    source = mapped.open(tmp_path / "a.npy")
    for crop, resize in ((None, 6), (RandomResizedCrop(5), None)):
        format = clipx.ClipFormat(crop=crop, resize=resize, dtype="float32")
        got = extract(frames, 4, 2, format=format, rng=1)
        same(extract(source, 4, 2, format=format, rng=1), got)
        for clip, row in zip(iterate(source, 4, 2, format=format, rng=1), got, strict=True):
            same(clip, row)


def test_infinity_and_nan():
    """A number that is not finite is in what it has a part in, and in nothing else."""
    frames = numbers((1, 12, 15, 3), "f4")
    frames[0, 3, 4, 0], frames[0, 8, 9, 1], frames[0, 2, 13, 2] = np.nan, np.inf, -np.inf
    for rest in FILTERS:
        check(frames, clipx.ClipFormat(resize=(5, 7), dtype="float32", **rest), length=1)


PLAIN = np.zeros((4, 6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("frames", "format", "match"),
    [
        (
            PLAIN[..., 0],
            {"resize": 4},
            r"frames has shape \(4, 6, 8\), but resize is for \(n, height, width, channels\)",
        ),
        (PLAIN[:, 0, 0], {"resize": (4, 4)}, r"frames has shape \(4, 3\), but resize is for \(n, height, width"),
        (PLAIN[:, 0], {"crop": RandomResizedCrop(4)}, r"frames has shape \(4, 8, 3\), but a format is for"),
        (PLAIN[:, :0], {"resize": 4}, r"frames has shape \(4, 0, 8, 3\), but a format needs pictures"),
        (PLAIN.astype("c8"), {"resize": 4}, "frames has dtype complex64, but resize is for numbers"),
        (
            PLAIN.astype("M8[s]"),
            {"crop": RandomResizedCrop(4)},
            r"frames has dtype datetime64\[s\], but a format is for",
        ),
        (np.zeros((4, 6, 8, 3), "i4,f4"), {"resize": 4}, "frames has dtype .*, but resize is for numbers"),
        (PLAIN.astype(">i4"), {"resize": 4}, "frames has dtype >i4, .* byte order"),
        (PLAIN.astype("g"), {"resize": 4}, "frames has dtype float128"),
        (PLAIN, {"resize": 4, "crop": 5}, r"crop is \(5, 5\), but the picture is 4 by 5"),
        (
            PLAIN,
            {"resize": ("pixels", 1, 490, 7)},
            r"resize is \('pixels', .*but the picture is 6 by 8, smaller than the",
        ),
        (PLAIN, {"resize": ("fit", 4, 4, 256)}, r"resize is \('fit', .*bars of 256, which dtype uint8 cannot hold"),
        (PLAIN, {"resize": ("fit", 4, 4, 0.5)}, "bars of 0.5, which dtype uint8 cannot hold"),
        (PLAIN, {"resize": ("fit", 3, 4, -1)}, "bars of -1, which dtype uint8 cannot hold"),
        (PLAIN.astype("?"), {"resize": ("fit", 4, 4, 2)}, "bars of 2, which dtype bool cannot hold"),
    ],
    ids=lambda each: str(each.dtype if isinstance(each, np.ndarray) else each),
)
def test_refused(frames, format, match):
    for function in (extract, iterate):
        with pytest.raises(ValueError, match=match):
            function(frames, 2, format=clipx.ClipFormat(**format), rng=0)


def test_no_clips():
    for format in (clipx.ClipFormat(crop=RandomResizedCrop(3)), clipx.ClipFormat(resize=3, mean="clip", order="CTHW")):
        for frames in (PLAIN, PLAIN[:0]):
            assert extract(frames, 5, format=format, rng=0).shape[0] == 0
            assert list(iterate(frames, 5, format=format, rng=0)) == []
