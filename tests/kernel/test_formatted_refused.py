"""Formats, frames, targets and outputs that are refused before anything is written."""

import subprocess
import sys

import numpy as np
import pytest
from helpers.formatted import dtype_of, output

import clipx
from clipx import _kernel
from clipx.windows import extract, iterate

PLAIN = np.zeros((4, 6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("frames", "format", "match"),
    [
        (PLAIN, {"mean": (1, 2)}, "mean has 2 numbers, but the frames have 3 channels"),
        (PLAIN, {"std": (1, 2, 3, 4)}, "std has 4 numbers, but the frames have 3 channels"),
        (PLAIN[..., :1], {"mean": "imagenet"}, "mean has 3 numbers, but the frames have 1 channels"),
        (PLAIN, {"crop": 7}, r"crop is \(7, 7\), but the picture is 6 by 8"),
        (PLAIN, {"crop": (1, 0, 6, 8)}, r"crop is \(1, 0, 6, 8\), but the picture is 6 by 8"),
        (PLAIN, {"crop": (0, 1, 6, 8)}, r"crop is \(0, 1, 6, 8\)"),
        (PLAIN, {"crop": ("random", 7)}, r"crop is \('random', \(7, 7\)\), but the picture is 6 by 8"),
        (PLAIN, {"crop": ("random", (2, 9))}, r"crop is \('random', \(2, 9\)\)"),
        (PLAIN, {"order": "HWC"}, "order is 'HWC', which is for clips of one frame, but length is 2"),
        (PLAIN, {"order": "CHW"}, "order is 'CHW', which is for clips of one frame, but length is 2"),
        (PLAIN[..., 0], {}, r"frames has shape \(4, 6, 8\), but a format is for \(n, height, width, channels\)"),
        (PLAIN[None], {}, r"frames has shape \(1, 4, 6, 8, 3\)"),
        (PLAIN[:, :0], {}, r"frames has shape \(4, 0, 8, 3\), but a format needs pictures"),
        (PLAIN[..., :0], {}, r"frames has shape \(4, 6, 8, 0\)"),
        (PLAIN.astype("f4"), {"dtype": "uint8"}, "dtype is 'uint8', which cannot hold the frames' float32"),
        (PLAIN.astype("i1"), {"dtype": "uint8"}, "dtype is 'uint8', which cannot hold the frames' int8"),
        (PLAIN.astype("u2"), {"dtype": "uint8"}, "dtype is 'uint8', which cannot hold the frames' uint16"),
        (PLAIN.astype(">i4"), {"dtype": "float32"}, "frames has dtype >i4, .* byte order"),
        (PLAIN.astype(">f4"), {"dtype": "float32"}, "frames has dtype >f4, .* byte order"),
        (PLAIN.astype(">f8"), {"mean": 1.0}, "frames has dtype >f8, .* byte order"),
        (PLAIN.astype("c8"), {"dtype": "float32"}, "frames has dtype complex64, but a format is for numbers"),
        (PLAIN.astype("S3"), {"mean": 1.0}, r"frames has dtype \|S3, but a format is for numbers"),
        (PLAIN.astype("U3"), {"dtype": "float16"}, "frames has dtype <U3, but a format is for numbers"),
        (PLAIN.astype("M8[s]"), {"dtype": "uint8"}, r"frames has dtype datetime64\[s\], but a format is for numbers"),
        (np.zeros((4, 6, 8, 3), "i4,f4"), {"scale": 2.0}, "frames has dtype .*, but a format is for numbers"),
        (PLAIN.astype("g"), {"dtype": "float32"}, "frames has dtype float128"),
    ],
    ids=lambda each: str(each.dtype if isinstance(each, np.ndarray) else each),
)
def test_refused(frames, format, match):
    out, format = np.full(10_000, 77, np.uint8), clipx.ClipFormat(**format)
    for function in (extract, iterate):
        with pytest.raises(ValueError, match=match):
            function(frames, 2, format=format)
    assert (out == 77).all()


def test_refused_before_anything_is_written():
    for dtype, shape in ((np.float64, (2, 2, 6, 8, 3)), (np.float32, (2, 2, 3, 6, 8))):
        out = np.full(shape, 77, dtype)
        with pytest.raises(ValueError, match="out has"):
            extract(PLAIN, 2, format=clipx.ClipFormat(dtype="float32"), out=out)
        assert (out == 77).all()
    with pytest.raises(ValueError, match="out overlaps frames"):
        extract(PLAIN, 2, format=clipx.ClipFormat(flip=True), out=PLAIN.reshape(2, 2, 6, 8, 3))
    with pytest.raises(TypeError, match="format is 'CTHW', but must be a ClipFormat"):
        extract(PLAIN, 2, format="CTHW")
    with pytest.raises(TypeError, match="rng is 'x'"):
        extract(PLAIN, 2, format=clipx.ClipFormat(flip=0.5), rng="x")
    with pytest.raises(ValueError, match="fill_value is 256, which dtype uint8 cannot hold"):
        extract(PLAIN, 3, policy="constant", fill_value=256, format=clipx.ClipFormat(dtype="float32"))
    with pytest.raises(ValueError, match="make the pool with"):
        iterate(PLAIN, 2, format=clipx.ClipFormat(dtype="float32"), pool=clipx.ClipPool(4, (2, 6, 8, 3)))


def test_no_clips():
    for format in (clipx.ClipFormat(crop=("random", 3)), clipx.ClipFormat(crop=3, mean="clip", order="CTHW")):
        for frames in (PLAIN, PLAIN[:0]):
            got = extract(frames, 5, format=format, rng=0)
            assert got.shape in ((0, 5, 3, 3, 3), (0, 3, 5, 3, 3))
            assert list(iterate(frames, 5, format=format, rng=0)) == []
    formatted = _kernel.Formatted(PLAIN, output("float32", "CTHW", 3))
    for views in ([], ONE):
        formatted.write(np.zeros(0, np.float32), np.zeros((0, 2), np.int64), views)


ONE = [(0, 0, 6, 8, False)]


@pytest.mark.parametrize(
    ("size", "table", "views", "error", "match"),
    [
        (143, [[0]], ONE, ValueError, r"dst has \d+ bytes in items of \d for 1 clips of 1 frames"),
        (145, [[0]], ONE, ValueError, r"dst has \d+ bytes"),
        (0, [[0]], ONE, ValueError, "dst has 0 bytes"),
        (144, [[4]], ONE, IndexError, "outside the source's 4 frames"),
        (144, [[-2]], ONE, IndexError, "outside the source's 4 frames"),
        (144, [0], ONE, ValueError, "indices have 1 dimensions"),
        (288, [[0], [1]], ONE * 3, ValueError, "3 views for 2 clips"),
        (288, [[0], [1]], [], ValueError, "0 views for 2 clips"),
        (288, [[0], [1]], [*ONE, (0, 0, 6, 7, False)], ValueError, "not of the same size"),
        (288, [[0], [1]], [*ONE, (1, 0, 6, 8, False)], ValueError, "lies outside the picture"),
        *[
            (144, [[0]], [(*crop, False)], ValueError, "lies outside the picture")
            for crop in [
                (0, 0, 7, 8),
                (0, 0, 6, 9),
                (-1, 0, 6, 8),
                (0, -1, 6, 8),
                (0, 0, 0, 8),
                (0, 0, 6, -1),
                (2**31 - 1, 0, 6, 8),
                (1, 0, 2**31 - 1, 8),
            ]
        ],
        (144, [[0]], [(0, 0, 6, 2**31, False)], OverflowError, "int"),
        (144, [[0]], [(0, 0, 6, 8)], ValueError, "unpack"),
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_bad_writes(kind, size, table, views, error, match):
    item = dtype_of(kind).itemsize
    formatted, target = _kernel.Formatted(PLAIN, output(kind, "CTHW", 3)), np.full(size, 77, kind)
    with pytest.raises(error, match=match):
        formatted.write(target, np.array(table), views)
    assert (target == 77).all()
    with pytest.raises(ValueError, match="dst has 144 bytes in items of"):
        formatted.write(np.zeros(144 // (5 - item), f"u{5 - item}" if item == 1 else "u1"), np.array([[0]]), ONE)


def test_bad_targets_and_tables():
    formatted, table = _kernel.Formatted(PLAIN, output("uint8", "THWC", 3)), np.array([[0]])
    for target in (np.zeros(288, np.uint8)[::2], np.frombuffer(bytes(144), np.uint8)):
        with pytest.raises((ValueError, BufferError)):
            formatted.write(target, table, ONE)
    for bad in (
        table.astype("i4"),
        table.astype("f8"),
        np.zeros((1, 2), np.int64)[:, ::2][:, :1].T[::-1].repeat(2, 0)[::2],
    ):
        if not bad.flags.c_contiguous or bad.dtype != np.int64:
            with pytest.raises(ValueError):
                formatted.write(np.zeros(144, np.uint8), bad, ONE)


@pytest.mark.parametrize(
    ("frames", "kind", "order", "channels", "match"),
    [
        (PLAIN, "uint8", "THWC", 1, r"frames are not \(n, height, width, 1\)"),
        (PLAIN[0], "uint8", "THWC", 3, "frames are not"),
        (PLAIN[:, :0], "float32", "THWC", 3, "frames of 0 by 8 are not read"),
        (PLAIN.astype("c8"), "float32", "THWC", 3, "numbers of format"),
        (PLAIN.astype(">i4"), "float32", "THWC", 3, "numbers of format >i4"),
        (PLAIN.astype("i4"), "uint8", "THWC", 3, "not written as uint8"),
        (PLAIN.astype("i4"), "int64", "THWC", 3, "not written as int64"),
    ],
)
def test_frames_that_the_kernel_does_not_read(frames, kind, order, channels, match):
    with pytest.raises(ValueError, match=match):
        _kernel.Formatted(frames, output(kind, order, channels))


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        (np.zeros((4, 6, 8, 2), np.uint8), "uint8"),
        (PLAIN[:, :, ::-1], "uint8"),
        (PLAIN.astype("i4"), "int32"),
        (PLAIN.astype("f8"), "float64"),
    ],
)
def test_numbers_that_are_only_written_where_they_are_resampled(frames, kind):
    formatted = _kernel.Formatted(frames, output(kind, "THWC", frames.shape[3]))
    target = np.zeros(frames.shape[1:], frames.dtype)
    with pytest.raises(ValueError, match=f"not written as {kind} unless they are resampled"):
        formatted.write(target, np.array([[0]]), ONE)
    assert (
        formatted.write(target, np.array([[0]]), ONE, resampling=_kernel.Resampling((6, 8), ONE[0][:4], (6, 8)))
        is False
    )
    assert np.array_equal(target, frames[0])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("complex64", "THWC", 1.0, [0.0], [1.0]), ValueError, "complex64"),
        (("uint8", "HWC", 1.0, [0.0], [1.0]), ValueError, "frames are not written as HWC"),
        (("uint8", "THWC", 1.0, [], []), ValueError, "not of the same channels"),
        (("uint8", "THWC", 1.0, [0.0], [1.0, 2.0]), ValueError, "not of the same channels"),
        (("uint8", "THWC", 1.0, [[0.0]], [[1.0]]), ValueError, "not of the same channels"),
    ],
)
def test_bad_outputs(arguments, error, match):
    with pytest.raises(error, match=match):
        _kernel.Output(*arguments)


WRAPS = """
import numpy as np
from clipx import _kernel
height, width, clips = 4295467, 3161593, 339581
assert 4 * height * width * clips == 2**64 + 4 * 7
frames = np.broadcast_to(np.zeros((1, 1, 1, 1), np.uint8), (1, height, width, 1))
formatted = _kernel.Formatted(frames, _kernel.Output("float32", "THWC", 1.0, [0.0], [1.0]))
try:
    formatted.write(np.zeros(7, np.float32), np.zeros((clips, 1), np.int64), [(0, 0, height, width, False)])
except (ValueError, OverflowError, MemoryError):
    print("refused")
"""


def test_sizes_that_pass_what_an_integer_holds():
    """In a process of its own: where it is not refused, memory is written that is not there."""
    ran = subprocess.run([sys.executable, "-c", WRAPS], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "refused"), ran.stderr
