"""What the kernel resamples: Pillow's pixels, in all implementations and threads, and no picture's memory."""

import hashlib
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.formatted import KINDS, ORDERS, numbers, output, output_dtype
from helpers.guards import CACHED, STREAMING, fenced
from helpers.pictures import PACKED, PLANAR
from helpers.pillow import FILTERS, resized
from helpers.processes import check_same_bits, in_child
from helpers.resampled import WAYS, Rectangle, rectangles, written
from PIL import Image

import clipx
from clipx import _kernel
from clipx.video.color import color_numbers

ONE = np.array([[0]])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_of_pillow(channels):
    """Bit for bit where Pillow resamples along rows first, too; bilinear and area are within 1 where it does not."""
    filters = itertools.cycle(["bilinear", "bicubic", "bilinear", "area"])
    for i, (size, box, wanted) in enumerate(rectangles(1000, channels, largest=(2, 30, 120))):
        frames, rectangle = numbers((1, *size, channels), seed=i), Rectangle(box, wanted, next(filters))
        if i % 3 == 0:
            frames = (frames > 127) * np.uint8(255)  # what overshoots most
        got = written(frames, ONE, [rectangle], [(0, 0, *wanted, False)], "uint8", "THWC")[0, 0, 0]
        picture = frames[0] if channels == 3 else frames[0, ..., 0]
        rows_first = resized(picture, box, wanted, rectangle.interpolation)
        np.testing.assert_array_equal(got.reshape(rows_first.shape), rows_first, err_msg=f"{size} {rectangle}")
        if rectangle.interpolation != "bicubic":
            (y, x, h, w), how = box, FILTERS[rectangle.interpolation]
            pillow = Image.fromarray(picture).resize(wanted[::-1], how, box=(x, y, x + w, y + h))
            assert np.abs(rows_first.astype(int) - np.asarray(pillow)).max() <= 1


def plane_sizes(layout, chroma_rows, size):
    lines, pairs = (size[0] + 1) // 2 if chroma_rows else size[0], (size[1] + 1) // 2
    chroma = {"full": [(lines, size[1])] * 2, "paired": [(lines, pairs)] * 2, "interleaved": [(lines, 2 * pairs)]}
    return [size, *chroma.get(layout, [])]


def digest_of(i, size, rectangle, kind, order, footprint, rooms, targets, seen):
    """Update `seen` with what is made of the rooms' last bytes, as arrays and as pictures of every fifth layout."""
    how, views = rectangle.of(size), [(0, 0, *rectangle.size, i % 2 == 0)]

    def target(channels):
        items = output_dtype(kind)
        shape = (*rectangle.size, channels) if order == "THWC" else (channels, *rectangle.size)
        made = targets[-int(np.prod(shape)) * items.itemsize :]
        made[:] = 0
        return made.view(items).reshape(shape)

    for channels in (1, 2, 3, 4):
        frames = rooms[0][-size[0] * size[1] * channels :].reshape(1, *size, channels)
        made = target(channels)
        _kernel.Formatted(frames, output(kind, order, channels)).write(made, ONE, views, footprint, 1, how)
        seen.update(made)
    planar = [(*each, bits, 1 if bits == 8 else 2, (0, 0, 0)) for each in PLANAR for bits in (8, 10, 16)]
    layouts = [*planar, *(("packed", False, 8, *each) for each in PACKED.values())]
    for layout, rows, bits, sample, offsets in layouts[i % 5 :: 5]:
        color = color_numbers("bt601", "full", min(bits, 10), bits == 16)
        picture = _kernel.Picture(layout, sample, offsets, rows, size, color)
        sides = plane_sizes(layout, rows, size)
        planes, made = [room[-h * w * sample :] for room, (h, w) in zip(rooms, sides)], target(3)
        lines = [w * sample for _, w in sides]
        picture.write(planes, lines, output(kind, order, 3), views, [made], footprint, how)
        seen.update(made)


def show_digest():
    """Print a digest of what is resampled of random bytes, between pages that nobody may touch."""
    rng, seen, largest = np.random.default_rng(3), hashlib.sha256(), 40 * 164 * 4
    rooms, targets = [fenced(largest) for _ in range(3)], fenced(40 * 40 * 3 * 4)
    for room in rooms:
        room[:] = rng.integers(0, 256, largest, dtype=np.uint8)
    for i, ((height, width), (y, x, h, w), wanted) in enumerate(rectangles(70, 4, largest=(2, 20, 40))):
        rectangle = Rectangle((y, 4 * x, h, 4 * w), wanted, *WAYS[i % len(WAYS)])
        kind, order, footprint = KINDS[i % 4], ORDERS[i % 3], (CACHED, STREAMING)[i // 4 % 2]
        digest_of(i, (height, 4 * width + i % 4), rectangle, kind, order, footprint, rooms, targets, seen)
    print(clipx.simd, seen.hexdigest())


def test_every_implementation_gives_the_same_bits():
    check_same_bits(__file__)


def test_threads_share_a_resampling():
    """From its first use on, by all kinds of sources at once."""
    size, rectangle = (150, 210), Rectangle((10.5, 3, 130, 200), (60, 77), "bicubic")
    arrays = [_kernel.Formatted(numbers((1, *size, 3), dtype), output("float32", "CTHW", 3)) for dtype in ("u1", "f4")]
    color = color_numbers("bt709", "limited", 8)
    pictures = [
        _kernel.Picture(layout, 1, (0, 0, 0), True, size, color) for layout in ("full", "paired", "interleaved")
    ]
    planes = numbers((3, size[0] * size[1]))
    views = [(0, 0, *rectangle.size, False)]

    def write(i, resampling):
        made = np.empty((3, *rectangle.size), np.float32)
        if i < 2:
            arrays[i].write(made, ONE, views, 0, 1, resampling)
        else:
            lines = [size[1], *[size[1] // 2 if i == 3 else size[1]] * 2]
            pictures[i - 2].write(list(planes), lines, output("float32", "CTHW", 3), views, [made], 0, resampling)
        return made.tobytes()

    alone = [write(i, rectangle.of(size)) for i in range(5)]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            shared = rectangle.of(size)
            made = list(threads.map(write, [*range(5)] * 8, [shared] * 40))
            assert made == alone * 8


@pytest.mark.skipif(sys.platform == "win32", reason="no resource")
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_memory_does_not_grow_with_the_picture(dtype):
    """Resampling a 4K frame takes less than a tenth of its bytes."""
    import resource

    small, frames = (np.ones((1, *size, 3), dtype) for size in ((256, 256), (2160, 3840)))
    made = np.ones((3, 224, 224), np.float32)

    def resample(pictures):
        size = pictures.shape[1:3]
        resampling = Rectangle((0, 0, *size), (224, 224)).of(size)
        _kernel.Formatted(pictures, output("float32", "CTHW", 3)).write(
            made, ONE, [(0, 0, 224, 224, False)], 0, 1, resampling
        )

    def write():
        unit = 1 if sys.platform == "darwin" else 1024
        resample(small)  # the child has to fetch the code's pages, too
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        resample(frames)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before

    assert in_child(write) < frames.nbytes / 10


if __name__ == "__main__":
    show_digest()
