"""Several views written in one pass: bit for bit those of a whole picture that is written, then cropped and flipped."""

import hashlib
import itertools

import numpy as np
import pytest
from helpers.formatted import KINDS, ORDERS, bits, numbers, output, output_dtype
from helpers.guards import CACHED, STREAMING, fenced, guarded
from helpers.long import LONG, some
from helpers.processes import check_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import clipx
from clipx import _kernel
from clipx.video.color import color_numbers

LAYOUTS = {
    "gray": ("gray", 1, (0, 0, 0), False),
    "4:4:4": ("full", 1, (0, 0, 0), False),
    "4:2:2": ("paired", 1, (0, 0, 0), False),
    "4:2:0": ("paired", 1, (0, 0, 0), True),
    "4:2:0 of 10 bits": ("paired", 2, (0, 0, 0), True),
    "nv12": ("interleaved", 1, (0, 0, 0), True),
    "p010": ("interleaved", 2, (0, 0, 0), True),
    "rgb24": ("packed", 3, (0, 1, 2), False),
    "bgr24": ("packed", 3, (2, 1, 0), False),
    "bgra": ("packed", 4, (2, 1, 0), False),
}


class Source:
    """A picture of random bytes, as the kernel takes it."""

    def __init__(self, name, size, seed=0, room=None):
        layout, sample, offsets, chroma_rows = LAYOUTS[name]
        height, width = size
        bits = 10 if sample == 2 else 8
        color = color_numbers("bt709", "limited", bits, name == "p010")
        self.size, self.picture = size, _kernel.Picture(layout, sample, offsets, chroma_rows, size, color)
        lines, pairs = (height + 1) // 2 if chroma_rows else height, (width + 1) // 2
        chroma = {"full": [(lines, width)] * 2, "paired": [(lines, pairs)] * 2, "interleaved": [(lines, 2 * pairs)]}
        shapes = [(height, width), *chroma.get(layout, [])]
        rng = np.random.default_rng(seed)
        self.line_sizes = [w * sample for _, w in shapes]
        self.planes = [rng.integers(0, 256, h * w * sample, dtype=np.uint8) for h, w in shapes]
        if room is not None:
            for i, plane in enumerate(self.planes):
                room[i][-len(plane) :] = plane
                self.planes[i] = room[i][-len(plane) :]

    def write(self, how, views, targets, footprint=0):
        self.picture.write(self.planes, self.line_sizes, how, views, targets, footprint)


def frame_shape(order, h, w, channels):
    return (h, w, channels) if order == "THWC" else (channels, h, w)


def time_first(clip, order):
    """(views, ...) of a clip with views first, time first."""
    return np.moveaxis(clip, 1 + order.index("T"), 0)


def seen_by(whole, order, views):
    """Each view of a whole frame, cropped and flipped by NumPy."""
    rows_last = whole if order == "THWC" else whole.transpose(1, 2, 0)
    parts = []
    for y, x, h, w, flip in views:
        part = rows_last[y : y + h, x : x + w]
        part = part[:, ::-1] if flip else part
        parts.append(part if order == "THWC" else part.transpose(2, 0, 1))
    return np.stack(parts)


def written_whole(source, how, kind, order, channels):
    whole = np.empty(frame_shape(order, *source.size, channels), output_dtype(kind))
    source.write(how, [(0, 0, *source.size, False)], [whole])
    return whole


def written_views(source, how, kind, order, channels, views, footprint, count, offset, length=2):
    """Views of a picture in the last frame of each of some clips, with nothing written beside them."""
    h, w = views[0][2:4]
    shape = tuple({"T": length, "H": h, "W": w, "C": channels}[each] for each in order)
    dtype, clips = output_dtype(kind), []
    for i in range(count):
        size = len(views) * int(np.prod(shape)) * dtype.itemsize
        target, check = guarded(size, (offset + 7 * i) * dtype.itemsize)
        clips.append((target.view(dtype).reshape(len(views), *shape), check))
    frames = [time_first(clip, order) for clip, _ in clips]
    before = [frame[:-1].copy() for frame in frames]
    source.write(how, views, [frame[-1] for frame in frames], footprint)
    for frame, left, (_, check) in zip(frames, before, clips):
        check()
        np.testing.assert_array_equal(frame[:-1], left)
        np.testing.assert_array_equal(bits(frame[-1]), bits(frames[0][-1]))
    return np.ascontiguousarray(frames[0][-1])


@st.composite
def cases(draw):
    name = draw(st.sampled_from(list(LAYOUTS)))
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 200))
    h, w = draw(st.integers(1, height)), draw(st.integers(1, width))
    corner = st.tuples(st.integers(0, height - h), st.integers(0, width - w), st.booleans())
    views = [(y, x, h, w, flip) for y, x, flip in draw(st.lists(corner, min_size=2, max_size=16))]
    return name, (height, width), views


@settings(deadline=None, max_examples=400 if LONG else 150)
@given(case=cases(), data=st.data())
def test_views_of_pictures(case, data):
    name, size, views = case
    kind, order = data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from(ORDERS))
    channels = 3 if name in ("rgb24", "bgr24", "bgra") else data.draw(st.sampled_from([1, 3]))
    source, how = Source(name, size, data.draw(st.integers(0, 9))), output(kind, order, channels)
    wanted = seen_by(written_whole(source, how, kind, order, channels), order, views)
    for footprint, count in itertools.product((0, CACHED, STREAMING), (1, data.draw(st.integers(2, 3)))):
        offset = data.draw(st.integers(0, 50))
        got = written_views(source, how, kind, order, channels, views, footprint, count, offset)
        np.testing.assert_array_equal(bits(got), bits(wanted))


@pytest.mark.parametrize(
    ("name", "kind", "order", "crop"), some(itertools.product(LAYOUTS, KINDS, ORDERS, ["three", "five", "ten"]), 5)
)
def test_views_of_formats(name, kind, order, crop):
    """Rows above a strip's pixels, gaps between the views, and picture sides that are odd."""
    for size, side in (((13, 1301), (9, 600)), ((700, 9), (400, 8)), ((41, 75), (41, 41))):
        source, how = Source(name, size), output(kind, order, 3)
        views = clipx.ClipFormat(crop=(crop, side)).views(*size)
        wanted = seen_by(written_whole(source, how, kind, order, 3), order, views)
        for footprint in (CACHED, STREAMING):
            got = written_views(source, how, kind, order, 3, views, footprint, 2, 5)
            np.testing.assert_array_equal(bits(got), bits(wanted))


@settings(deadline=None, max_examples=300 if LONG else 100)
@given(case=cases(), data=st.data())
def test_views_of_arrays(case, data):
    _, (height, width), views = case
    kind, order = data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from(ORDERS))
    channels, dtype = data.draw(st.integers(1, 4)), data.draw(st.sampled_from(["u1", "i2", "f4"]))
    if kind == "uint8":
        channels, dtype = data.draw(st.sampled_from([1, 3])), "u1"
    frames, length = numbers((4, height, width, channels), dtype), data.draw(st.integers(1, 3))
    count, per_clip = data.draw(st.integers(1, 4)), len(views)
    table = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=count * length, max_size=count * length)))
    table = table.reshape(count, length)
    formatted = _kernel.Formatted(frames, output(kind, order, channels))
    dtype, sizes = output_dtype(kind), {"T": length, "H": views[0][2], "W": views[0][3], "C": channels}
    own = [[views[(i + j) % per_clip] for j in range(per_clip)] for i in range(count)]
    whole = np.zeros((count, *({**sizes, "H": height, "W": width}[each] for each in order)), dtype)
    formatted.write(whole, table, [(0, 0, height, width, False)])
    time = order.index("T")
    for together, footprint in itertools.product((True, False), (CACHED, STREAMING)):
        shape = (count, per_clip, *(sizes[each] for each in order))
        target, check = guarded(int(np.prod(shape)) * dtype.itemsize, data.draw(st.integers(0, 70)) * dtype.itemsize)
        target[:] = 0
        out = target.view(dtype).reshape(shape)
        flat = views if together else [view for each in own for view in each]
        formatted.write(out, table, flat, footprint, per_clip)
        check()
        for i, p in itertools.product(range(count), range(length)):
            frame = np.moveaxis(whole[i], time, 0)[p]
            got = np.ascontiguousarray(time_first(out[i], order)[p])
            wanted = seen_by(frame, order, views if together else own[i])
            np.testing.assert_array_equal(bits(got), bits(np.where(table[i, p] < 0, np.zeros_like(wanted), wanted)))


ONE = (0, 0, 4, 5, False)
SMALL = Source("4:2:0", (6, 8))


@pytest.mark.parametrize(
    ("order", "views", "target", "match"),
    [
        ("THWC", [], np.zeros((4, 5, 3), "u1"), "0 views of one frame; 1 to 16 are written"),
        ("THWC", [ONE] * 17, np.zeros((17, 4, 5, 3), "u1"), "17 views of one frame"),
        ("THWC", [ONE, (0, 0, 4, 6, False)], np.zeros((2, 4, 5, 3), "u1"), "not of the same size"),
        ("THWC", [ONE, (3, 0, 4, 5, False)], np.zeros((2, 4, 5, 3), "u1"), "lies outside the picture of 6 by 8"),
        ("THWC", [ONE, (0, 4, 4, 5, False)], np.zeros((2, 4, 5, 3), "u1"), "lies outside the picture"),
        ("THWC", [ONE, ONE], np.zeros((4, 5, 3), "u1"), r"shape \(4, 5, 3\) in items of 1 bytes, not \(2, 4, 5, 3\)"),
        ("THWC", [ONE, ONE], np.zeros((3, 4, 5, 3), "u1"), r"shape \(3, 4, 5, 3\)"),
        ("THWC", [ONE, ONE], np.zeros((2, 3, 4, 5), "u1"), r"shape \(2, 3, 4, 5\)"),
        ("CTHW", [ONE, ONE], np.zeros((2, 4, 5, 3), "u1"), r"not \(2, 3, 4, 5\)"),
        ("THWC", [ONE, ONE], np.zeros((2, 4, 5, 3), "f4"), "in items of 4 bytes"),
        ("THWC", [ONE, ONE], np.zeros((2, 4, 5, 6), "u1")[..., ::2], "not contiguous"),
        ("THWC", [ONE, ONE], np.zeros((2, 4, 6, 3), "u1")[:, :, :5], "not contiguous"),
        ("THWC", [ONE, ONE], np.zeros((2, 5, 4, 3), "u1").transpose(0, 2, 1, 3), "not contiguous"),
        ("TCHW", [ONE, ONE], np.zeros((2, 3, 5, 4), "u1").transpose(0, 1, 3, 2), "not contiguous"),
        ("TCHW", [ONE, ONE], np.zeros((2, 3, 4, 10), "u1")[..., ::2], "not contiguous"),
        ("THWC", [ONE, ONE], np.broadcast_to(np.zeros((1, 4, 5, 3), "u1"), (2, 4, 5, 3)), "read-?only"),
        ("THWC", [ONE, ONE], np.zeros((2, 4, 5, 3), "u1")[::-1], "views of a target overlap"),
        ("TCHW", [ONE, ONE], np.zeros((3, 2, 4, 5), "u1").transpose(1, 0, 2, 3), "views of a target overlap"),
        ("TCHW", [ONE, ONE], np.zeros((2, 3, 4, 5), "u1")[:, ::-1], "planes of the targets overlap"),
    ],
)
def test_refused(order, views, target, match):
    with pytest.raises((ValueError, BufferError), match=match):
        SMALL.write(output("uint8", order, 3), views, [target])
    assert not target.any()


def test_targets_whose_planes_do_not_lie_alike():
    targets = [np.zeros((2, 3, length, 4, 5), "u1")[:, :, 0] for length in (1, 2)]
    with pytest.raises(ValueError, match="do not lie alike"):
        SMALL.write(output("uint8", "TCHW", 3), [ONE, ONE], targets)


@pytest.mark.parametrize(
    ("size", "views", "per_clip", "match"),
    [
        (4 * 60, [ONE, ONE, ONE], 2, "3 views for 2 clips of 2"),
        (4 * 60, [ONE] * 8, 2, "8 views for 2 clips of 2"),
        (4 * 60, [ONE] * 2, 0, "0 views of one frame"),
        (34 * 60, [ONE] * 17, 17, "17 views of one frame"),
        (2 * 60, [ONE] * 2, 2, "dst has 120 bytes in items of 1 for 2 clips of 2 frames of 60 bytes"),
        (8 * 60, [ONE] * 2, 2, "dst has 480 bytes"),
        (4 * 60, [ONE, (0, 0, 5, 5, False)], 2, "not of the same size"),
        (4 * 60, [ONE, (0, 4, 4, 5, False)], 2, "lies outside the picture"),
    ],
)
def test_refused_of_arrays(size, views, per_clip, match):
    target = np.zeros(size, "u1")
    formatted = _kernel.Formatted(numbers((1, 6, 8, 3)), output("uint8", "THWC", 3))
    with pytest.raises(ValueError, match=match):
        formatted.write(target, np.array([[0], [0]]), views, 0, per_clip)
    assert not target.any()


def show_digest():
    """Print a digest of views of pictures of all layouts, from and to memory beside which nobody may touch any."""
    seen, room, largest = hashlib.sha256(), [fenced(7 * 700 * 4) for _ in range(3)], 10 * 7 * 700 * 3 * 4
    targets = fenced(largest)
    for width, name in itertools.product((1, 2, 17, 64, 131, 700), LAYOUTS):
        source = Source(name, (7, width), width, room)
        for kind, order, crop in itertools.product(KINDS, ORDERS, ("three", "five", "ten")):
            views = clipx.ClipFormat(crop=(crop, (5, (width + 1) // 2))).views(7, width)
            shape = (len(views), *frame_shape(order, 5, (width + 1) // 2, 3))
            dtype = output_dtype(kind)
            target = targets[-int(np.prod(shape)) * dtype.itemsize :].view(dtype).reshape(shape)
            source.write(output(kind, order, 3), views, [target], STREAMING if width % 2 else CACHED)
            seen.update(target)
    for width, dtype, channels in itertools.product((1, 17, 131), ("u1", "i2", "f4"), (2, 3)):
        frames = numbers((2, 7, width, channels), dtype)
        for kind, order, crop in itertools.product(KINDS[1:], ORDERS, ("three", "ten")):
            views = clipx.ClipFormat(crop=(crop, (5, (width + 1) // 2))).views(7, width)
            items, size = output_dtype(kind), 2 * len(views) * 5 * ((width + 1) // 2) * channels
            target = targets[-size * items.itemsize :].view(items)
            how = output(kind, order, channels)
            _kernel.Formatted(frames, how).write(target, np.array([[1, 0]]), views, CACHED, len(views))
            seen.update(target)
    print(clipx.simd, seen.hexdigest())


def test_every_implementation_gives_the_same_bits():
    check_same_bits(__file__)


if __name__ == "__main__":
    show_digest()
