"""Decoded pictures resampled by the kernel: bit for bit those of the reference, and near resized RGB."""

import itertools

import numpy as np
import pytest
import reference
from helpers.formatted import BFLOAT16, KINDS, ORDERS, output, output_dtype, same
from helpers.guards import CACHED, STREAMING, guarded
from helpers.pictures import ENCODINGS, PACKED, PLANAR, random_planes, stored
from helpers.resampled import WAYS, Rectangle, drawn_rectangles, drawn_views, finished, view_of
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_resampling import barred, colored, resampled, resampled_planes

from clipx import _kernel
from clipx.video.color import COLORSPACES, RANGES, color_numbers, matrix

LAYOUTS = [*itertools.product(PLANAR, ENCODINGS), *((("packed", False), each) for each in PACKED)]


class Picture:
    """A random picture of a layout and an encoding."""

    def __init__(self, layout, chroma_rows, encoding, size, color=("bt709", "limited"), seed=0, planes=None, padding=0):
        self.layout, self.chroma_rows, self.size, self.color = layout, chroma_rows, size, color
        self.offsets = (0, 1, 2)
        if layout == "packed":
            sample, self.offsets = PACKED[encoding]
            self.bits, high_bits, self.planes = 8, False, random_planes(layout, False, size, 8 * sample, seed)
        else:
            (self.bits, high_bits), sample = ENCODINGS[encoding], 1 if encoding == "8 bits" else 2
            self.planes = planes or random_planes(layout, chroma_rows, size, self.bits, seed)
        self.numbers = color_numbers(*color, self.bits, high_bits)
        self.kernel = _kernel.Picture(layout, sample, self.offsets, chroma_rows, size, self.numbers)
        kept = [stored(each, self.bits, high_bits, padding + i) for i, each in enumerate(self.planes)]
        self.buffers, self.line_sizes = [each for each, _ in kept], [line for _, line in kept]

    def write(self, how, views, targets, footprint=0, resampling=None):
        self.kernel.write(self.buffers, self.line_sizes, how, views, targets, footprint, resampling)

    def pixels(self, rectangle, channels=3):
        """The reference's bytes (h, w, channels)."""
        if self.layout == "packed":
            made = resampled(self.planes[0][..., list(self.offsets)], *rectangle[:4])
        else:
            samples = self.planes[:1] if channels == 1 else self.planes
            made = resampled_planes(samples, self.layout, *rectangle[:4], self.bits, self.chroma_rows)
            made = colored(made, self.numbers, channels)
        return made if rectangle.bars is None else barred(made, rectangle.bars)


def written(picture, rectangle, views, kind="uint8", order="THWC", channels=3, footprint=0, count=1, offset=0):
    """Views in each of `count` targets, the same in all and with nothing written beside them."""
    h, w = views[0][2:4]
    shape = (len(views), *((h, w, channels) if order == "THWC" else (channels, h, w)))
    shape, dtype = shape if len(views) > 1 else shape[1:], output_dtype(kind)
    room = [guarded(int(np.prod(shape)) * dtype.itemsize, (offset + 3 * i) * dtype.itemsize) for i in range(count)]
    targets = [target.view(dtype).reshape(shape) for target, _ in room]
    before = [each.tobytes() for each in picture.buffers]
    picture.write(output(kind, order, channels), views, targets, footprint, rectangle.of(picture.size))
    assert [each.tobytes() for each in picture.buffers] == before
    for target, (_, check) in zip(targets, room):
        check()
        np.testing.assert_array_equal(target.view(f"u{dtype.itemsize}"), targets[0].view(f"u{dtype.itemsize}"))
    made = targets[0] if len(views) > 1 else targets[0][None]
    return made.view(BFLOAT16) if kind == "bfloat16" else made


def expected(picture, rectangle, views, kind="uint8", order="THWC", channels=3):
    made = finished(picture.pixels(rectangle, channels), kind)
    seen = np.stack([view_of(made, view) for view in views])
    return np.ascontiguousarray(seen if order == "THWC" else seen.transpose(0, 3, 1, 2))


def whole(rectangle, flip=False):
    return [(0, 0, *rectangle.whole, flip)]


@pytest.mark.parametrize(("layout", "encoding"), LAYOUTS)
def test_every_layout(layout, encoding):
    """Sides that are odd and even, rectangles that begin inside a block of chroma, to fewer and to more pixels."""
    for size, box, wanted in [
        ((9, 37), (0, 0, 9, 37), (5, 19)),
        ((12, 40), (1, 3, 10, 33), (7, 52)),
        ((1, 1), (0, 0, 1, 1), (3, 2)),
        ((7, 8), (2.5, 1.25, 4.5, 6), (7, 8)),
        ((30, 3), (0, 0, 30, 3), (4, 9)),
    ]:
        picture = Picture(*layout, encoding, size, padding=size[0] % 3)
        for way in WAYS[size[0] % 2 :: 2]:
            rectangle = Rectangle(box, wanted, *way)
            for channels in (3,) if layout[0] == "packed" else (1, 3):
                got = written(picture, rectangle, whole(rectangle), channels=channels)
                same(got, expected(picture, rectangle, whole(rectangle), channels=channels))


@st.composite
def cases(draw):
    (layout, rows), encoding = draw(st.sampled_from(LAYOUTS))
    size = draw(st.integers(1, 24)), draw(st.integers(1, 70))
    color = draw(st.sampled_from(list(COLORSPACES))), draw(st.sampled_from(RANGES))
    picture = Picture(layout, rows, encoding, size, color, draw(st.integers(0, 9)), padding=draw(st.integers(0, 3)))
    rectangle = draw(drawn_rectangles(*size, value=draw(st.integers(0, 255))))
    views = draw(drawn_views(rectangle.whole, draw(st.sampled_from([1, 1, 3, 16]))))
    channels = 3 if layout == "packed" else draw(st.sampled_from([1, 3]))
    return picture, rectangle, views, draw(st.sampled_from(KINDS)), draw(st.sampled_from(ORDERS)), channels


@settings(deadline=None, max_examples=100)
@given(case=cases(), offset=st.integers(0, 40), count=st.integers(1, 3))
def test_against_reference(case, offset, count):
    wanted = expected(*case)
    for footprint, each in ((CACHED, 1), (STREAMING, count)):
        same(written(*case, footprint, each, offset), wanted)


def test_packed_bytes_are_a_plane_of_bytes():
    pixels = np.random.default_rng(0).integers(0, 256, (11, 23), dtype=np.uint8)
    rectangle = Rectangle((1, 2, 9, 20), (6, 8))
    picture = _kernel.Picture("packed", 1, (0, 0, 0), False, (11, 23), color_numbers("bt601", "full", 8))
    out = np.empty((6, 8, 1), np.uint8)
    picture.write([pixels], [23], output("uint8", "THWC", 1), whole(rectangle), [out], 0, rectangle.of((11, 23)))
    np.testing.assert_array_equal(out[..., 0], resampled(pixels, *rectangle[:4]))


@pytest.mark.parametrize("way", WAYS[:3], ids=str)
@pytest.mark.parametrize(("layout", "encoding"), [each for each in LAYOUTS if each[0][0] not in ("gray", "packed")])
def test_near_the_resized_picture(layout, encoding, way):
    """Within 2 levels of resizing the converted picture, where the conversion clips nothing."""
    bits = ENCODINGS[encoding][0]
    planes = random_planes(*layout, (24, 40), bits)
    for i, plane in enumerate(planes):
        middle, around = (126, 12) if i == 0 else (128, 20)
        plane[...] = (middle + (plane % 256 - 128) * around // 128) * 2 ** (bits - 8) + plane % 2 ** (bits - 8)
    picture = Picture(*layout, encoding, (24, 40), planes=planes)
    colors = matrix(*picture.color, bits)
    converted = reference.picture(planes, layout[0], (0, 0, 24, 40), colors, bits, layout[1])
    assert 0 < converted.min() < converted.max() < 255
    for box, size in [((0, 0, 24, 40), (9, 16)), ((3, 5, 17, 30), (20, 44)), ((1, 1, 20, 20), (11, 31))]:
        rectangle = Rectangle(box, size, *way)
        difference = written(picture, rectangle, whole(rectangle))[0].astype(int) - resampled(converted, *rectangle[:4])
        assert np.abs(difference).max() <= 2


def test_one_color_stays_that_color():
    """However many taps there are, and however large the picture."""
    for bits, y, u, v in ((8, 81, 90, 240), (8, 235, 128, 128), (8, 0, 255, 0), (8, 255, 0, 255)):
        shapes = [(100, 1301), (50, 651), (50, 651)]
        planes = [np.full(shape, each) for shape, each in zip(shapes, (y, u, v))]
        picture = Picture("paired", True, "8 bits", (100, 1301), planes=planes)
        rectangle = Rectangle((0, 0, 100, 1301), (3, 19), "bicubic")
        color = reference.picture(planes, "paired", (0, 0, 1, 1), matrix(*picture.color, bits), bits, True)
        got = written(picture, rectangle, whole(rectangle))
        assert (got == got[0, 0, 0]).all()
        assert np.abs(got[0, 0, 0].astype(int) - color[0, 0]).max() <= 1
