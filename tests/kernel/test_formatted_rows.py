"""Rows that the kernel writes: every width, alignment, corner and implementation, and nothing beside them."""

import hashlib
import itertools

import numpy as np
import pytest
import reference
from helpers.formatted import (
    FLOATS,
    HARSH,
    KINDS,
    MEAN,
    ORDERS,
    SCALE,
    STD,
    dtype_of,
    every_byte,
    numbers,
    ordered,
    output,
    output_dtype,
    rounded,
    same,
)
from helpers.guards import CACHED, STREAMING, fenced, guarded
from helpers.long import some
from helpers.processes import check_same_bits

import clipx
from clipx import _kernel
from clipx.windows import extract


def converted(frames, kind):
    if kind == "uint8":
        return frames
    channels = frames.shape[3]
    return rounded(reference.floats(frames.astype(np.float64), SCALE, MEAN[:channels], STD[:channels]), kind)


def write(formatted, kind, table, views, size, footprint=0, offset=0):
    """The bytes that the kernel writes, with nothing around them touched."""
    item = 1 if kind == "uint8" else dtype_of(kind).itemsize
    channels = formatted[1]
    target, check_guards = guarded(table.size * size[0] * size[1] * channels * item, offset)
    target[:] = 0
    formatted[0].write(target.view(f"u{item}"), table, views, footprint)
    check_guards()
    return target.tobytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_width(kind, order, channels):
    table, how = np.array([[0, 1], [1, 0]]), output(kind, order, channels)
    for width, height in some(itertools.product(range(1, 131), range(1, 5)), 3):
        frames = numbers((2, height, width, channels), seed=width)
        made = converted(frames, kind)[table]
        formatted = _kernel.Formatted(frames, how), channels
        for flip, footprint in ((False, CACHED), (True, STREAMING), (False, STREAMING), (True, CACHED)):
            wanted = ordered(made[:, :, :, ::-1] if flip else made, order).tobytes()
            view, offset = (0, 0, height, width, flip), (7 * width + 13 * height) % 71
            got = write(formatted, kind, table, [view], (height, width), footprint, offset)
            assert got == wanted, (width, height, flip, footprint)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_alignment(kind, order, channels):
    """Planes that begin at whole lines and planes that do not; lines longer than what is converted at a time."""
    how = output(kind, order, channels)
    for height, width in ((4, 64), (3, 65), (2, 1100)):
        frames, table = numbers((3, height, width, channels)), np.array([[0, 2], [2, 1]])
        formatted, wanted = (_kernel.Formatted(frames, how), channels), ordered(converted(frames, kind)[table], order)
        for offset in range(0, 70, 1 if width < 100 else 9):
            view = [(0, 0, height, width, False)]
            assert write(formatted, kind, table, view, (height, width), STREAMING, offset) == wanted.tobytes()


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
@pytest.mark.parametrize("kind", FLOATS)
def test_targets_of_numbers_at_odd_addresses(kind, dtype):
    frames, table = numbers((2, 3, 300, 2), dtype), np.array([[0, -1], [1, 0]])
    for order, offset in itertools.product(ORDERS, (0, 1, 2, 3, 63)):
        formatted = _kernel.Formatted(frames, output(kind, order, 2)), 2
        made = converted(frames, kind)[table]
        made[0, 1] = 0
        got = write(formatted, kind, table, [(0, 0, 3, 300, False)], (3, 300), 0, offset)
        assert got == ordered(made, order).tobytes()


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_every_corner(order, channels):
    height, width = 5, 67
    frames = numbers((3, height, width, channels))
    kinds = ("uint8", "float32") if channels != 2 else ("float32",)
    for y, x in itertools.product((0, 1, 4), (0, 1, 2, 31, 66)):
        sizes = {(height - y, width - x), (1, 1), (height - y, 1), (1, width - x), (height - y, (width - x + 1) // 2)}
        for (h, w), flip, kind in itertools.product(sizes, (False, True), kinds):
            format = clipx.ClipFormat(crop=(y, x, h, w), flip=flip, order=order, dtype=kind)
            seen = frames[:, y : y + h, x : x + w]
            wanted = ordered((seen[:, :, ::-1] if flip else seen)[None], order).astype(kind)
            same(extract(frames, 3, format=format), wanted)


@pytest.mark.parametrize("width", [33, 240])
@pytest.mark.parametrize("footprint", [CACHED, STREAMING])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_overlapping_clips_equal_each_alone(kind, order, footprint, width):
    """All clips at once are written frame by frame, one alone place by place. Of 240 pixels, planes are whole lines."""
    frames = numbers((9, 5, width + 4, 3))
    formatted, view = (_kernel.Formatted(frames, output(kind, order, 3)), 3), (1, 3, 4, width, True)
    table = np.array([[i, i + 2, 4, i] for i in range(7)])
    table[2, 1] = table[5, 3] = -1
    alone = b"".join(write(formatted, kind, row[None], [view], (4, width), footprint, 3) for row in table)
    for offset in (0, 5, 12):
        assert write(formatted, kind, table, [view], (4, width), footprint, offset) == alone
    assert write(formatted, kind, table, [view] * 7, (4, width), footprint, 5) == alone


@pytest.mark.parametrize("footprint", [CACHED, STREAMING])
def test_a_view_for_each_clip(footprint):
    frames, rng = numbers((6, 20, 70, 3)), np.random.default_rng(0)
    table = rng.integers(0, 6, (40, 3))
    views = [(*rng.integers(0, (9, 38)).tolist(), 12, 33, bool(rng.integers(2))) for _ in table]
    wanted = reference.formatted(frames, table, views, order="CTHW").astype(np.uint8)
    formatted = _kernel.Formatted(frames, output("uint8", "CTHW", 3)), 3
    assert write(formatted, "uint8", table, views, (12, 33), footprint, 1) == wanted.tobytes()


def show_digest():
    """Print a digest of clips of every kind, order, width and store; nothing is touched past frames and clips."""
    seen = hashlib.sha256()
    largest = 2 * 3 * 130 * 3
    room, target = fenced(largest), fenced(4 * largest)
    room[:] = numbers(largest)
    for width in range(1, 131):
        for channels, kind, order in itertools.product((1, 3), KINDS, ORDERS):
            size = 2 * 3 * width * channels
            frames, dtype = room[-size:].reshape(2, 3, width, channels), output_dtype(kind)
            for x, flip in ((0, False), (width // 2, True)):
                view = [(0, x, 3, width - x, flip)]
                out = target[-(size // width * (width - x)) * dtype.itemsize :].view(dtype)
                footprint = STREAMING if width % 3 == 0 else CACHED
                _kernel.Formatted(frames, output(kind, order, channels)).write(out, np.array([[0, 1]]), view, footprint)
                seen.update(out)
    for width in range(1, 131):
        for channels, kind, order in itertools.product((1, 3), KINDS, ORDERS):
            frames = numbers((2, 3, width, channels), seed=width)
            formatted = _kernel.Formatted(frames, output(kind, order, channels)), channels
            view = [(0, 0, 3, width, width % 2 == 0)]
            footprint = STREAMING if width % 3 == 0 else CACHED
            seen.update(write(formatted, kind, np.array([[0, 1]]), view, (3, width), footprint, width % 64))
    for scale, mean, std in HARSH:
        for channels, kind in itertools.product((1, 3), FLOATS):
            frames = every_byte(channels)
            how = _kernel.Output(kind, "THWC", scale, [mean] * channels, [std] * channels)
            seen.update(
                write((_kernel.Formatted(frames, how), channels), kind, np.array([[0]]), [(0, 0, 1, 256, 0)], (1, 256))
            )
    print(clipx.simd, seen.hexdigest())


def test_every_implementation_gives_the_same_bits():
    check_same_bits(__file__)


if __name__ == "__main__":
    show_digest()
