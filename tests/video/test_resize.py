"""Videos resized and cropped: as Pillow resizes the picture itself, whatever its pixel format and orientation."""

import tracemalloc
from dataclasses import replace

import av
import numpy as np
import pytest
from helpers.pictures import resized, unclipped
from helpers.videos import MKV

import clipx
from clipx import RandomResizedCrop
from clipx.format import View
from clipx.video.clips import clips
from clipx.video.orientation import Orientation
from clipx.video.writer import PictureWriter

FILTERS = ("bilinear", "bicubic", "area", "nearest")
ORIENTATIONS = [Orientation(rotation, mirrored) for rotation in (0, 90, 180, 270) for mirrored in (False, True)]
READ = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le", "p010le", "gray", "rgb24", "bgra", "bgr0")
CONVERTED = ("yuv411p", "yuv422p10le", "yuv420p16le", "yuv444p12le", "gbrp", "rgb48le", "ya8", "yuv410p")


def frame_of(pix_fmt="yuv420p", size=(50, 70), seed=0):
    """A frame of noise in colors that are well inside of what RGB holds."""
    rng, (height, width) = np.random.default_rng(seed), size
    light = rng.integers(100, 156, (height, width, 1))
    color = rng.integers(-25, 26, (-(-height // 3), -(-width // 3), 3)).repeat(3, 0).repeat(3, 1)[:height, :width]
    picture = np.ascontiguousarray((light + color).astype(np.uint8))
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)


def written(frame, format=None, orientation=None, **options):
    """The picture (height, width, channels) of a frame."""
    writer = PictureWriter(format or clipx.ClipFormat(), clipx.VideoOptions(**options), "it")
    writer.prepare(frame, orientation)
    return writer.clip_of(frame)[0]


def difference(one, other):
    return np.abs(one.astype(int) - other).max()


@pytest.mark.parametrize("pix_fmt", [*READ, *CONVERTED])
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_every_pixel_format(pix_fmt, color):
    for size in ((50, 70), (33, 47), (2, 2), (1, 9)):
        frame = frame_of(pix_fmt, size)
        whole = written(frame, color=color)
        assert whole.min() > 0
        assert whole.max() < 255
        for interpolation, to in zip(FILTERS, ((20, 28), (11, 64), (101, 1), (1, 30))):
            got = written(frame, clipx.ClipFormat(resize=to, interpolation=interpolation), color=color)
            assert difference(got, resized(whole, to, interpolation)) <= (0 if interpolation == "nearest" else 2)


@pytest.mark.parametrize("antialias", [None, False])
@pytest.mark.parametrize("interpolation", FILTERS)
def test_without_antialiasing(interpolation, antialias):
    """Of frames in RGB the result is to the bit that of an array."""
    format = clipx.ClipFormat(resize=(20, 90), interpolation=interpolation, antialias=antialias)
    frame = frame_of("rgb24")
    (wanted,) = clipx.windows.extract(written(frame)[None], 1, format=format)[0]
    assert np.array_equal(written(frame, format), wanted)
    frame = frame_of("yuv420p")
    (wanted,) = clipx.windows.extract(written(frame)[None], 1, format=format)[0]
    assert difference(written(frame, format), wanted) <= 2


# The argument, the size of a picture of 50 by 70, and where in it that is, with the value around it.
SIZES = [
    (25, (25, 35), None),
    ((30, 28), (30, 28), None),
    (("longer", 35), (25, 35), None),
    (("fit", 41, 60, 9), (41, 57), (0, 1, (41, 60), 9)),
    (("fit", 60, 35, 200), (25, 35), (17, 0, (60, 35), 200)),
]


def with_bars(picture, bars):
    if bars is None:
        return picture
    top, left, size, value = bars
    out = np.full((*size, picture.shape[2]), value, np.uint8)
    out[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return out


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
@pytest.mark.parametrize("interpolation", FILTERS)
def test_every_orientation(orientation, interpolation):
    """Sizes, rectangles and bars are those of the picture as it is shown, and so are pixels between two."""
    frame = frame_of("yuv422p", (70, 50) if orientation.sideways else (50, 70))
    whole = written(frame, orientation=orientation)
    assert whole.shape == (50, 70, 3)
    most = 0 if interpolation == "nearest" else 2
    rest = {"interpolation": interpolation, "flip": True}
    for resize, size, bars in SIZES:
        wanted = with_bars(resized(whole, size, interpolation), bars)
        got = written(frame, clipx.ClipFormat(resize=resize, **rest), orientation)[:, ::-1]
        assert difference(got, wanted) <= most
        got = written(frame, clipx.ClipFormat(resize=resize, crop=(4, 5, 20, 21), **rest), orientation)[:, ::-1]
        assert difference(got, wanted[4:24, 5:26]) <= most
    for size in ((9, 25), (31, 41), (65, 7)):
        writer = PictureWriter(clipx.ClipFormat(crop=RandomResizedCrop(size), **rest), clipx.VideoOptions(), "it")
        writer.prepare(frame, orientation)
        got = np.empty((*size, 3), np.uint8)
        writer.write(frame, [(got, (View(3, 8, 30, 41, True),))], 0)
        assert difference(got[:, ::-1], resized(whole, size, interpolation, (3, 8, 30, 41))) <= most


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_no_array_of_the_pictures_size(orientation):
    frame, format = av.VideoFrame(1920, 1080, "yuv420p"), clipx.ClipFormat(resize=(40, 60))
    writer = PictureWriter(format, clipx.VideoOptions(), "it")
    tracemalloc.start()
    try:
        writer.prepare(frame, orientation)
        writer.clip_of(frame)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def muted(tmp_path_factory):
    """A file of 24 frames in colors that are well inside of what RGB holds, and those frames whole."""
    path = tmp_path_factory.mktemp("muted") / "video.mkv"
    frames = [frame_of(seed=seed) for seed in range(24)]
    with av.open(str(path), "w", format=MKV["container"]) as out:
        stream = out.add_stream("ffv1", rate=25, options={"g": "4"})
        stream.height, stream.width, stream.pix_fmt = 50, 70, "yuv420p"
        for k, frame in enumerate(frames):
            frame.pts = k
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path, np.stack([written(frame) for frame in frames])


@pytest.mark.parametrize("numbers", [{}, {"mean": "imagenet", "order": "CTHW"}], ids=str)
@pytest.mark.parametrize("spec", [clipx.WindowSpec(3, 2), clipx.UniformSpec(5)], ids=str)
def test_a_rectangle_of_its_own_for_each_clip(muted, spec, numbers):
    path, whole = muted
    format = clipx.ClipFormat(crop=RandomResizedCrop((20, 24)), flip=0.5, **numbers)
    got = list(clips(path, spec, format, rng=3))
    assert len({clip.crop for clip in got}) == len(got)
    for clip in got:
        y, x, h, w = clip.crop
        assert 0 <= y <= 50 - h
        assert 0 <= x <= 70 - w
        wanted = np.stack([resized(whole[k], (20, 24), rectangle=clip.crop) for k in clip.frame_indices])
        data = clip.data
        if numbers:
            wanted = wanted.astype(np.float32) / 255
            data = data.transpose(1, 2, 3, 0) * np.array([0.229, 0.224, 0.225]) + np.array([0.485, 0.456, 0.406])
        data = data[:, :, ::-1] if clip.flip else data
        assert np.abs(data - wanted.astype(float)).max() <= (2.01 / 255 if numbers else 2)
    again = list(clips(path, spec, format, rng=3))
    assert all(np.array_equal(one.data, other.data) for one, other in zip(got, again, strict=True))


@pytest.mark.parametrize("crop", [("random", (20, 24)), ("random", (29, 40)), ("three", 30), ("ten", 9), 17], ids=str)
@pytest.mark.parametrize("spec", [clipx.WindowSpec(4, 1), clipx.WindowSpec(2)], ids=str)
def test_crops_are_parts_of_the_resized_picture(muted, whole, crop, spec):
    """To the bit, however many clips with views of their own hold a frame."""
    frames = whole(muted[0], clipx.ClipFormat(resize=30))
    format = clipx.ClipFormat(crop=crop, flip=0.5, mean=0.5, std=0.25, scale=1 / 255, order="TCHW")
    wanted = clipx.windows.extract(frames, spec, format=format, rng=1)
    resize = replace(format, resize=30)
    for clip, row in zip(clips(muted[0], spec, resize, rng=1), wanted, strict=True):
        assert np.array_equal(clip.data, row)


def test_colors_that_are_clipped(make_video):
    """Where nothing that goes into a pixel was clipped, it is that of the resized picture, in any file."""
    path = make_video(24, size=(96, 120), crf="1")
    spec = clipx.WindowSpec(1, 8)
    for one, small in zip(clips(path, spec), clips(path, spec, clipx.ClipFormat(resize=(40, 50))), strict=True):
        inside = unclipped(one.data[0], (40, 50))
        assert 0.1 < inside.mean() < 1
        assert difference(small.data[0][inside], resized(one.data[0], (40, 50))[inside]) <= 2


def test_sizes_of_the_picture_as_it_is_shown(muted):
    path, _ = muted
    for resize, size in (
        (("longer", 35), (25, 35)),
        (("fit", 40, 40, 0), (40, 40)),
        (("pixels", 784, 3136, 28), (56, 56)),
    ):
        (clip,) = clips(path, clipx.WindowSpec(4, num_clips=1), clipx.ClipFormat(resize=resize))
        assert clip.data.shape == (4, *size, 3)
