"""Pictures, planes and targets that the kernel refuses before it reads or writes."""

import numpy as np
import pytest
from helpers.guards import LEFT_ALONE, guarded
from helpers.pictures import NUMBERS, Writer


def make_picture(**changes):
    arguments = {
        "layout": "paired",
        "sample_bytes": 1,
        "offsets": (0, 1, 2),
        "chroma_rows": True,
        "size": (5, 7),
        "crop": (0, 0, 5, 7),
        "flip": False,
        "channels": 3,
        "color": NUMBERS,
    }
    return Writer(**{**arguments, **changes})


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"layout": "planar"}, KeyError, "planar"),
        ({"layout": "Gray"}, KeyError, "Gray"),
        ({"layout": 1}, TypeError, "layout"),
        ({"sample_bytes": 0}, ValueError, "paired samples of 0 bytes"),
        ({"sample_bytes": 3}, ValueError, "paired samples of 3 bytes"),
        ({"sample_bytes": -1}, ValueError, "paired samples of -1 bytes"),
        ({"layout": "packed", "sample_bytes": 2, "offsets": (0, 1, 1)}, ValueError, "packed samples of 2 bytes"),
        ({"layout": "packed", "sample_bytes": 9}, ValueError, "packed samples of 9 bytes"),
        ({"layout": "packed", "sample_bytes": 3, "offsets": (0, 1, 3)}, ValueError, r"\(0, 1, 3\) lie outside"),
        ({"layout": "packed", "sample_bytes": 4, "offsets": (-1, 1, 2)}, ValueError, r"\(-1, 1, 2\) lie outside"),
        ({"layout": "packed", "sample_bytes": 3, "offsets": iter((0, 1, 900))}, ValueError, "lie outside"),
        ({"offsets": (0, 1)}, ValueError, "values to unpack"),
        (
            {"layout": "packed", "sample_bytes": 3, "channels": 1},
            ValueError,
            "1 channels are not written from this picture",
        ),
        ({"layout": "packed", "sample_bytes": 3, "offsets": (0, 1, 1)}, ValueError, "are not three bytes"),
        ({"channels": 0}, ValueError, "not of the same channels"),
        ({"channels": 2}, ValueError, "2 channels"),
        ({"channels": 4}, ValueError, "4 channels"),
        ({"color": NUMBERS[:8]}, ValueError, "values to unpack"),
        ({"color": (16, *NUMBERS[1:])}, ValueError, "0 to 15 bits"),
        ({"color": (7, -1, *NUMBERS[2:])}, ValueError, "0 to 15 bits"),
        ({"color": (7, 0, 16, *NUMBERS[3:])}, ValueError, "0 to 15 bits"),
        ({"color": (6, 0, 8, *NUMBERS[3:])}, ValueError, "shifted by 7, 0 and 8 bits"),
        ({"color": (7, 1, 8, *NUMBERS[3:])}, ValueError, "shifted by 7, 0 and 8 bits"),
        ({"color": (7, 0, 7, *NUMBERS[3:])}, ValueError, "shifted by 7, 0 and 8 bits"),
        ({"color": (7, 0, 8, 1 << 14, *NUMBERS[4:])}, ValueError, "factor 16384 of samples of a byte"),
        ({"color": (*NUMBERS[:8], 1 << 15)}, OverflowError, "int16"),
        ({"size": (0, 7), "crop": (0, 0, 0, 7)}, ValueError, r"\(0, 7\) is not read"),
        ({"size": (5, -7)}, ValueError, r"\(5, -7\) is not read"),
        ({"size": (5, 1 << 24)}, ValueError, "is not read"),
        ({"size": (1 << 24, 7)}, ValueError, "is not read"),
        *[
            ({"crop": crop}, ValueError, "lies outside the picture")
            for crop in [
                (0, 0, 6, 7),
                (0, 0, 5, 8),
                (1, 0, 5, 7),
                (0, 1, 5, 7),
                (-1, 0, 5, 7),
                (0, -1, 5, 7),
                (5, 0, 1, 7),
                (0, 7, 5, 1),
                (0, 0, 0, 7),
                (0, 0, 5, 0),
                (0, 0, -1, 7),
                (0, 0, 5, -1),
                (2**31 - 1, 0, 5, 7),
                (0, 2**31 - 1, 5, 7),
                (1, 0, 2**31 - 1, 7),
                (0, 1, 5, 2**31 - 1),
            ]
        ],
    ],
)
def test_bad_picture(changes, error, match):
    with pytest.raises(error, match=match):
        make_picture(**changes).write([], [], [])


def change(index, value):
    """Sets one of a list."""
    return lambda each: [*each[:index], value, *each[index + 1 :]]


def same(each):
    return each


@pytest.mark.parametrize(
    ("planes", "line_sizes", "match"),
    [
        (change(0, bytes(9 * 4 + 6)), same, "plane 0 has 42 bytes in lines of 9; 5 lines of 7"),
        (change(1, bytes(5 * 2 + 3)), same, "plane 1 has 13 bytes in lines of 5; 3 lines of 4"),
        (change(2, bytes(4 * 2 + 3)), same, "plane 2 has 11 bytes in lines of 4; 3 lines of 4"),
        (change(0, b""), same, "plane 0 has 0 bytes"),
        (same, change(0, 6), "plane 0 has 43 bytes in lines of 6; 5 lines of 7"),
        (same, change(1, 3), "plane 1 .* in lines of 3"),
        (same, change(2, 3), "plane 2 .* in lines of 3"),
        (same, change(0, 0), "in lines of 0"),
        (same, change(0, -9), "in lines of -9"),
        (same, change(0, 10), "in lines of 10"),
        (same, change(2, 5), "plane 2 .* in lines of 5"),
        # Times the lines that follow the first it is 2**64, which is 0 in as many bits.
        (same, change(0, 2**62), "in lines of 4611686018427387904"),
        (same, change(1, 2**63 - 1), "in lines of 9223372036854775807"),
        (lambda each: each[:2], same, "2 planes and 3 line sizes; 3 are read"),
        (lambda each: [], same, "0 planes"),
        (same, lambda each: each[:2], "3 planes and 2 line sizes; 3 are read"),
    ],
)
def test_bad_planes(planes, line_sizes, match):
    good = [bytes(9 * 4 + 7), bytes(5 * 2 + 4), bytes(4 * 2 + 4)], [9, 5, 4]
    # The first row alone, so that a check that is missing shows as no error, not as a crash.
    writer, (target, check) = make_picture(crop=(0, 0, 1, 7)), guarded(21, 0)
    target[:] = 77
    with pytest.raises(ValueError, match=match):
        writer.write(planes(good[0]), line_sizes(good[1]), [target])
    check()
    assert (target == 77).all()
    writer.write(*good, [target])
    assert (target != 77).any()


@pytest.mark.parametrize(
    ("layout", "sample_bytes", "chroma_rows", "sizes"),
    [
        ("gray", 1, False, [35]),
        ("gray", 2, False, [70]),
        ("full", 1, False, [35, 35, 35]),
        ("full", 2, True, [70, 42, 42]),
        ("paired", 1, False, [35, 20, 20]),
        ("paired", 2, True, [70, 24, 24]),
        ("interleaved", 1, False, [35, 40]),
        ("interleaved", 2, True, [70, 48]),
        ("packed", 3, False, [105]),
        ("packed", 4, False, [140]),
    ],
)
def test_planes_that_just_reach(layout, sample_bytes, chroma_rows, sizes):
    writer = make_picture(layout=layout, sample_bytes=sample_bytes, chroma_rows=chroma_rows)
    lines = [size // (3 if i and chroma_rows else 5) for i, size in enumerate(sizes)]
    out = np.full(105, 77, np.uint8)
    for i, (size, line) in enumerate(zip(sizes, lines)):
        short = [bytes(each - (k == i)) for k, each in enumerate(sizes)]
        with pytest.raises(ValueError, match=f"plane {i} has {size - 1} bytes"):
            writer.write(short, lines, [out])
        with pytest.raises(ValueError, match=f"plane {i} has {size} bytes in lines of {line - 1}"):
            writer.write([bytes(each) for each in sizes], change(i, line - 1)(lines), [out])
    with pytest.raises(ValueError, match=f"; {len(sizes)} are read"):
        writer.write([bytes(each) for each in sizes[:-1]], lines, [out])
    assert (out == 77).all()
    writer.write([bytes(each) for each in sizes], lines, [out])
    assert (out != 77).all()


def read_only():
    out = np.zeros(105, np.uint8)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("target", "error", "match"),
    [
        (np.zeros(104, np.uint8), ValueError, "a target has 104 bytes in items of 1; .*105 in items of 1"),
        (np.zeros(106, np.uint8), ValueError, "a target has 106 bytes"),
        (np.zeros(0, np.uint8), ValueError, "a target has 0 bytes"),
        (np.zeros(105, np.int16), ValueError, "in items of 2"),
        (np.zeros(35, "V3"), ValueError, "in items of 3"),
        (np.zeros((7, 5, 3), np.uint8).transpose(1, 0, 2), ValueError, "not C-contiguous"),
        (np.zeros(210, np.uint8)[::2], ValueError, "not C-contiguous"),
        (read_only(), (ValueError, BufferError), "read-only"),
        (bytes(105), BufferError, "not writable"),
        (7, TypeError, "int"),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_bad_target(target, error, match, position):
    good, check = guarded(105, 3)
    targets = [good, good]
    targets[position] = target
    before = target.tobytes() if isinstance(target, np.ndarray) else target
    with pytest.raises(error, match=match):
        make_picture().write([bytes([99]) * 35, bytes(12), bytes(12)], [7, 4, 4], targets)
    check()
    assert (good == LEFT_ALONE).all()
    assert (target.tobytes() if isinstance(target, np.ndarray) else target) == before


@pytest.mark.parametrize("targets", [None, (np.zeros(105, np.uint8),)])
def test_targets_are_a_list(targets):
    with pytest.raises(TypeError, match="targets"):
        make_picture().write([bytes(35), bytes(12), bytes(12)], [7, 4, 4], targets)


def test_plane_that_is_no_buffer():
    out = np.full(105, 77, np.uint8)
    for plane in (None, [0] * 35, np.zeros((5, 14), np.uint8)[:, ::2]):
        with pytest.raises((TypeError, ValueError), match=r"bytes-like|contiguous"):
            make_picture().write([plane, bytes(12), bytes(12)], [7, 4, 4], [out])
    assert (out == 77).all()
